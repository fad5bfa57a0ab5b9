package expected

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// address is the IP that an application in a cluster resolves a host to. It is the virtual address
// if the manifest states one, if the service has a TCP port, or if sidecars capture DNS. Otherwise
// the address does not matter and is "".
func address(m repo.Mesh, cluster, service, host string) string {
	s := m.Services[service]
	hasTCP := false
	for _, p := range s.Ports {
		hasTCP = hasTCP || p.Protocol == "TCP"
	}
	switch {
	case s.VIP != "" && host == hosts(m, service)[0]:
		return s.VIP
	case s.VIP != "" || hasTCP || m.Clusters[cluster].DNS == "capture":
		return derivedAddress(m.Settings.VIPRange, host)
	}
	return ""
}

// derivedAddress maps the hash of a host into the range, as the module's documentation describes
// it.
func derivedAddress(r repo.VIPRange, host string) string {
	from, to := ipNumber(r.From), ipNumber(r.To)
	sum := sha256.Sum256([]byte(host))
	hash, err := strconv.ParseUint(hex.EncodeToString(sum[:])[:15], 16, 64)
	if err != nil {
		panic(err) // 15 hexadecimal digits fit into 64 bits
	}
	n := from + hash%(to-from+1)
	return fmt.Sprintf("%d.%d.%d.%d", n>>24&255, n>>16&255, n>>8&255, n&255)
}

func ipNumber(ip string) uint64 {
	b := netip.MustParseAddr(ip).As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}
