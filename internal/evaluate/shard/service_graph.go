package shard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// This file mirrors the CUE module: it knows which data of other services the checks and the
// objects of a service depend on. It mirrors checks.cue, checks_access.cue, checks_clusters.cue,
// checks_routes.cue, cluster_view.cue (hosts) and vip.cue (virtual addresses). The tests of
// internal/evaluate/shards_test.go and the examples compare the result of shards with that of the
// repository in one piece.

// Summary is an evaluated manifest, with the data that shards of other services read.
type Summary struct {
	manifest.Service
	// Key is the hash of the manifest.
	Key cache.Key

	raw json.RawMessage
	// summary is the data that callers and callees need. summaryWithPorts is for a callee whose
	// ports a caller names. Both are JSON objects without the field egress.
	summary, summaryWithPorts []byte
	// needs are the values of egress that are not empty, by callee.
	needs map[string]json.RawMessage
	// callees are sorted.
	callees []string
	// mistyped is the error of fields that do not have the type of manifest.Service. A check of the
	// CUE module usually reports it with a better message.
	mistyped error
}

func newSummary(raw json.RawMessage) (*Summary, error) {
	k := &Summary{raw: raw, Key: cache.NewKey(raw)}
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, &k.Service); errors.As(err, &mistyped) {
		k.mistyped = err
	} else if err != nil {
		return nil, err
	}
	var fields struct {
		Placement    json.RawMessage            `json:"placement"`
		Backend      map[string]json.RawMessage `json:"backend"`
		Hosts        json.RawMessage            `json:"hosts,omitempty"`
		ClusterHosts json.RawMessage            `json:"clusterHosts,omitempty"`
		Ports        json.RawMessage            `json:"ports"`
		Egress       map[string]json.RawMessage `json:"egress"`
	}
	if err := json.Unmarshal(raw, &fields); err != nil && !errors.As(err, &mistyped) {
		return nil, err
	}
	k.callees = slices.Sorted(maps.Keys(k.Egress))
	for callee, need := range fields.Egress {
		if string(need) != "{}" {
			if k.needs == nil {
				k.needs = map[string]json.RawMessage{}
			}
			k.needs[callee] = need
		}
	}
	backend := part(fields.Backend, "namespace", "serviceAccounts")
	k.summary = object("placement", fields.Placement, "backend", backend, "hosts", fields.Hosts, "clusterHosts", fields.ClusterHosts)
	k.summaryWithPorts = object("placement", fields.Placement, "backend", backend, "hosts", fields.Hosts, "clusterHosts", fields.ClusterHosts,
		"ports", fields.Ports)
	return k, nil
}

func (k *Summary) need(callee string) json.RawMessage {
	if need, ok := k.needs[callee]; ok {
		return need
	}
	return json.RawMessage("{}")
}

// object is a JSON object of names and values, without the nil values.
func object(pairs ...any) []byte {
	out := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		if value := pairs[i+1].(json.RawMessage); value != nil {
			out[pairs[i].(string)] = value
		}
	}
	data, _ := json.Marshal(out) // it was JSON before
	return data
}

func part(object map[string]json.RawMessage, names ...string) json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, name := range names {
		if value, ok := object[name]; ok {
			out[name] = value
		}
	}
	data, _ := json.Marshal(out)
	return data
}

// withEgress adds the field egress to a summary, which is never an empty object.
func withEgress(summary []byte, egress map[string]json.RawMessage) []byte {
	data, _ := json.Marshal(egress)
	if egress == nil {
		data = []byte("{}")
	}
	return slices.Concat(summary[:len(summary)-1], []byte(`,"egress":`), data, []byte("}"))
}

// Graph has the services whose checks or objects depend on each other.
type Graph struct {
	services map[string]*Summary
	// names are the names of all services, sorted.
	names []string
	// callers by callee, sorted; the callee may be an external, or unknown.
	callers map[string][]string
	// conflictCandidates may claim the same host, address or pods.
	conflictCandidates map[string][]string
	// byAddress are the services by virtual address.
	byAddress map[string][]string
}

// ConflictCandidates are the services that may claim the same host, address or pods as a service.
func (n *Graph) ConflictCandidates(service string) []string { return n.conflictCandidates[service] }

func newGraph(m *manifest.Mesh, services map[string]*Summary) *Graph {
	n := &Graph{services: services, callers: map[string][]string{}, conflictCandidates: map[string][]string{}, byAddress: map[string][]string{}}
	names := slices.Sorted(maps.Keys(services))
	n.names = names
	claims := map[string][]string{}
	claim := func(what, name string) {
		if who := claims[what]; len(who) == 0 || who[len(who)-1] != name {
			claims[what] = append(who, name)
		}
	}
	capture := false
	for _, c := range m.Clusters {
		capture = capture || c.DNS == "capture"
	}
	modes := map[string]bool{}
	for _, name := range names {
		k := services[name]
		for _, callee := range k.callees {
			n.callers[callee] = append(n.callers[callee], name)
		}
		hosts := hostsOf(m, name, k.Service)
		for i, h := range hosts {
			claim("host "+h, name)
			addressed := []string{h}
			if k.ClusterHosts {
				for c := range k.Placement {
					claim("host "+c+"."+h, name)
					addressed = append(addressed, c+"."+h)
				}
			}
			if capture || k.VIP != "" || hasTCP(k.Service) {
				for j, h := range addressed {
					vip := k.VIP
					if vip == "" || i > 0 || j > 0 {
						vip = virtualAddress(h, m.Settings.VIPRange)
					}
					claim("address "+vip, name)
					n.byAddress[vip] = append(n.byAddress[vip], name)
				}
			}
		}
		if k.Sidecar {
			claim("sidecar "+k.Backend.Namespace+" "+strings.Join(labelPairs(k.Backend.Selector), ","), name)
		}
		modes[modeOf(m, k.Service)] = true
	}
	if len(modes) > 1 {
		claimPods(m, services, names, n.meet)
	}
	for _, who := range claims {
		for i, a := range who {
			for _, b := range who[i+1:] {
				n.meet(a, b)
			}
		}
	}
	for name, who := range n.conflictCandidates {
		slices.Sort(who)
		n.conflictCandidates[name] = slices.Compact(who)
	}
	return n
}

func (n *Graph) meet(a, b string) {
	if a != b {
		n.conflictCandidates[a] = append(n.conflictCandidates[a], b)
		n.conflictCandidates[b] = append(n.conflictCandidates[b], a)
	}
}

// claimPods finds services that select the same pods with different modes of authorization.
func claimPods(m *manifest.Mesh, services map[string]*Summary, names []string, meet func(a, b string)) {
	type selection struct {
		of, mode string
		pairs    []string
	}
	byPair := map[string][]selection{}
	var all []selection
	var namespaces []string
	for _, name := range names {
		s := services[name].Service
		backends := []manifest.Backend{s.Backend}
		for _, p := range s.Placement {
			if p.Backend != nil {
				backends = append(backends, *p.Backend)
			}
		}
		for _, b := range backends {
			if b.Selector == nil {
				b.Selector = s.Backend.Selector
			}
			if b.Namespace == "" {
				b.Namespace = s.Backend.Namespace
			}
			x := selection{of: name, mode: modeOf(m, s), pairs: labelPairs(b.Selector)}
			if len(x.pairs) == 0 {
				continue
			}
			all, namespaces = append(all, x), append(namespaces, b.Namespace)
			for _, p := range x.pairs {
				byPair[b.Namespace+" "+p] = append(byPair[b.Namespace+" "+p], x)
			}
		}
	}
	for i, x := range all {
		for _, y := range byPair[namespaces[i]+" "+x.pairs[0]] {
			if x.mode != y.mode && !slices.ContainsFunc(x.pairs, func(p string) bool { return !slices.Contains(y.pairs, p) }) {
				meet(x.of, y.of)
			}
		}
	}
}

func labelPairs(labels map[string]string) []string {
	var pairs []string
	for k, v := range labels {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return pairs
}

func modeOf(m *manifest.Mesh, s manifest.Service) string {
	if s.Authorization.Mode != "" {
		return s.Authorization.Mode
	}
	return m.Settings.Authorization.Mode
}

func hasTCP(s manifest.Service) bool {
	for _, p := range s.Ports {
		if p.Protocol == "TCP" {
			return true
		}
	}
	return false
}

// hostsOf mirrors _hosts of cluster_view.cue.
func hostsOf(m *manifest.Mesh, name string, s manifest.Service) []string {
	if len(s.Hosts) > 0 {
		return s.Hosts
	}
	return []string{name + "." + s.Backend.Namespace + "." + m.Settings.Domain}
}

// virtualAddress mirrors #vip of vip.cue.
func virtualAddress(host string, in manifest.AddressRange) string {
	from, to := addressNumber(in.From), addressNumber(in.To)
	sum := sha256.Sum256([]byte(host))
	hash, _ := strconv.ParseUint(hex.EncodeToString(sum[:])[:15], 16, 64) // fifteen digits fit
	n := from
	if to >= from {
		n += hash % (to - from + 1)
	}
	return fmt.Sprintf("%d.%d.%d.%d", n>>24&255, n>>16&255, n>>8&255, n&255)
}

func addressNumber(text string) uint64 {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0
	}
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}
