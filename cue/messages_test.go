package meshmodule_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/cuecmd"
)

// good is a manifest to which a row adds one mistake.
const good = `
	owner: "x"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "x", selector: app: "x", serviceAccounts: ["x"]}
	versions: v1: labels: version: "v1"
`

// Every mistake is told once by plain `cue vet ./...`, in words a person understands, and by evaluate with the
// service, the file and the line to mend.
func TestAMistakeIsToldOnceWithItsPlace(t *testing.T) {
	cases := []struct {
		reason string
		cue    string // services/x.cue, after the package clause
		want   string // the message of plain cue
		path   string
		line   int // in services/x.cue, 0 if the file to blame is another
	}{
		{
			"a callee that nobody defines", "services: x: {" + good + "egress: carts: {}\n}",
			"service x calls unknown service carts", "services.x.egress.carts", 8,
		},
		{
			"a placement in a cluster that is not in the inventory", "services: x: {" + good + "placement: nord: {}\n}",
			"service x is placed in unknown cluster nord", "services.x.placement.nord", 8,
		},
		{
			"one host claimed twice", "services: x: {" + good + "hosts: [\"stock.stock.global\"]\n}",
			"host stock.stock.global is claimed by services.stock and services.x", "services.x.hosts.stock.stock.global", 8,
		},
		{
			"a host under the reserved suffix", "services: x: {" + good + "hosts: [\"a.isthmus.internal\"]\n}",
			"host a.isthmus.internal is under the reserved name of the gateways (settings.exportSuffix)", "services.x.hosts.a.isthmus.internal", 8,
		},
		{
			"two services with the same virtual address", "services: x: {" + good + "vip: \"241.0.0.9\"\n}\nservices: y: {" + good + "vip: \"241.0.0.9\"\n}",
			"virtual address 241.0.0.9 is claimed by hosts x.x.global and y.x.global: give one of their services a vip of its own", "services.y.vip", 15,
		},
		{
			"a route to a version that nobody defines", "services: x: {" + good + "routes: [{to: [{version: \"v9\"}]}]\n}",
			"service x has no version v9, which its route 0 names", "services.x.routes.0", 8,
		},
		{
			"a route to a version that runs nowhere", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v2\"}]}]\nplacement: east: versions: [\"v1\"]\n}",
			"service x routes to version v2, which no placement runs", "services.x.routes.0", 9,
		},
		{
			"several destinations without weights", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v1\", weight: 1}, {version: \"v2\"}]}]\n}",
			"route 0 of service x needs one destination, or several that all have a weight", "services.x.routes.0.to", 9,
		},
		{
			"a redirect that has destinations", "services: x: {" + good + "routes: [{redirect: uri: \"/\", to: [{version: \"v1\"}]}]\n}",
			"route 0 of service x answers by itself (redirect, directResponse), so it cannot have destinations", "services.x.routes.0.to", 8,
		},
		{
			"routes without a port that has routes", "services: x: {owner: \"x\", backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}\nports: db: {port: 5432, protocol: \"TCP\"}\nroutes: [{timeout: \"1s\"}]\n}",
			"service x has routes, but no port of protocol HTTP, HTTP2 or GRPC", "services.x.routes", 5,
		},
		{
			"weights in some placements only", "services: x: {" + good + "placement: {east: weight: 70, west: {}}\n}",
			"service x has weights in some clusters, but none in west: all or none, standby aside", "services.x.placement.west", 8,
		},
		{
			"a placement of a version that nobody defines", "services: x: {" + good + "placement: east: versions: [\"v9\"]\n}",
			"service x has no version v9, which its placement in east names", "services.x.placement.east.versions", 8,
		},
		{
			"versions behind a Kubernetes Service", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: \"x\", service: \"x\", serviceAccounts: [\"x\"]}\nversions: v1: labels: version: \"v1\"\n}",
			"service x has versions, but a backend that is a Kubernetes Service: versions need backend.selector", "services.x.versions", 5,
		},
		{
			"a port number given twice", "services: x: {" + good + "ports: admin: {port: 80, protocol: \"HTTP\"}\n}",
			"service x has port 80 twice: http, admin", "services.x.ports", 5,
		},
		{
			"no ports", "services: x: {owner: \"x\", backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}}",
			"service x has no ports", "services.x.ports", 3,
		},
		{
			"a missing owner", "services: x: {ports: http: {port: 80, protocol: \"HTTP\"}, backend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}}",
			"owner is missing", "services.x", 3,
		},
		{
			"a missing port number", "services: x: {" + good + "ports: admin: protocol: \"HTTP\"\n}",
			"port is missing", "services.x.ports.admin", 8,
		},
		{
			"a missing protocol", "services: x: {" + good + "ports: admin: port: 81\n}",
			"protocol is missing: one of HTTP, HTTP2, GRPC, TCP, TLS", "services.x.ports.admin", 8,
		},
		{
			"a misspelt field of a manifest", "services: x: {" + good + "egres: cart: {}\n}",
			"field not allowed", "services.x.egres", 8,
		},
		{
			"a misspelt field at the top level", "servces: x: owner: \"x\"",
			"field not allowed", "servces", 3,
		},
		{
			"a misspelt field of a cluster", "clusters: east: regoin: \"x\"",
			"field not allowed", "clusters.east.regoin", 3,
		},
		{
			"a misspelt field of a setting", "settings: domian: \"x\"",
			"field not allowed", "settings.domian", 3,
		},
		{
			"a value of the wrong type", "services: x: {" + good + "ports: admin: {port: \"81\", protocol: \"HTTP\"}\n}",
			"port is no number from 1 to 65535", "services.x.ports.admin", 8,
		},
		{
			"an unknown protocol", "services: x: {" + good + "ports: admin: {port: 81, protocol: \"HTPP\"}\n}",
			"protocol is none of HTTP, HTTP2, GRPC, TCP, TLS", "services.x.ports.admin", 8,
		},
		{
			"an unknown state of a cluster", "clusters: nord: {region: \"r\", state: \"asleep\"}",
			"state is none of active, draining, down", "clusters.nord", 3,
		},
		{
			"a name that cannot be a label", "services: \"X_y\": {" + good + "}",
			"\"X_y\" is no name: lower case letters, digits and dashes, 63 at most", "services.X_y", 3,
		},
		{
			"a service and an external of one name", "services: x: {" + good + "}\nexternals: x: {hosts: [\"x.example.com\"], ports: https: {port: 443, protocol: \"TLS\"}}",
			"x is both a service and an external", "services.x", 3,
		},
		{
			"a cluster without gateways that others call", "clusters: nord: region: \"r\"\nservices: x: {" + good + "placement: nord: {}\n}\nservices: web: egress: x: {}",
			"cluster nord has no gateways, but runs services that other clusters call, such as x called by web", "clusters.nord.gateways", 3,
		},
		{
			"a cluster without a region", "clusters: nord: gateways: [{address: \"192.0.2.1\"}]",
			"region is missing", "clusters.nord", 3,
		},
		{
			"a gateway without an address", "clusters: nord: {region: \"r\", gateways: [{port: 443}]}",
			"address is missing", "clusters.nord.gateways.0", 3,
		},
		{
			"an external without hosts", "externals: x: ports: https: {port: 443, protocol: \"TLS\"}",
			"hosts is missing", "externals.x", 3,
		},
		{
			"a placement whose backend is both pods and a Service", "services: x: {" + good + "placement: east: backend: {service: \"x\", selector: app: \"x\"}\n}",
			"service x has a backend with both a selector and a service: one of them", "services.x.placement.east.backend", 8,
		},
		{
			"versions, and a Kubernetes Service in one cluster", "services: x: {" + good + "placement: east: backend: service: \"x\"\n}",
			"service x has versions, but a backend that is a Kubernetes Service: versions need backend.selector", "services.x.versions", 7,
		},
		{
			"a selector that selects everything", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: \"x\", selector: {}, serviceAccounts: [\"x\"]}}",
			"the selector of service x is no set of pod labels with at least one", "services.x.backend.selector", 4,
		},
		{
			"a namespace of the wrong type", "services: x: {owner: \"x\", ports: http: {port: 80, protocol: \"HTTP\"}\nbackend: {namespace: 7, selector: app: \"x\", serviceAccounts: [\"x\"]}\nhosts: [\"x.example.com\"]}",
			"the namespace of service x is no name: lower case letters, digits and dashes, 63 at most", "services.x.backend.namespace", 4,
		},
		{
			"a version without labels", "services: x: {" + good + "versions: v2: {}\n}",
			"version v2 of service x has no labels, so it would be all pods", "services.x.versions.v2", 8,
		},
		{
			"destinations that all weigh nothing", "services: x: {" + good + "versions: v2: labels: version: \"v2\"\nroutes: [{to: [{version: \"v1\", weight: 0}, {version: \"v2\", weight: 0}]}]\n}",
			"the destinations of route 0 of service x have no weight above 0", "services.x.routes.0.to", 9,
		},
		{
			"a route for a port that is not there", "services: x: {" + good + "routes: [{match: [{port: 8080}]}]\n}",
			"route 0 of service x matches port 8080, which the service does not have with protocol HTTP, HTTP2 or GRPC", "services.x.routes.0", 8,
		},
		{
			"a locality setting beside a standby", "services: x: {" + good + "traffic: loadBalancer: localityLbSetting: enabled: true\nplacement: {east: {}, west: standby: true}\n}",
			"service x sets localityLbSetting, which Istio cannot combine with the weight or standby of its placements", "services.x.traffic.loadBalancer", 8,
		},
		{
			"two hosts of one service with the same virtual address", "settings: vipRange: {from: \"241.0.0.1\", to: \"241.0.0.1\"}\nservices: x: {owner: \"x\", ports: db: {port: 80, protocol: \"TCP\"}, hosts: [\"a.com\", \"b.com\"]\nbackend: {namespace: \"x\", selector: app: \"x\", serviceAccounts: [\"x\"]}}",
			"virtual address 241.0.0.1 is claimed by hosts a.com and b.com: give one of their services a vip of its own", "services.x.vip", 4,
		},
		{
			"a range of virtual addresses that ends before it begins", "settings: vipRange: {from: \"241.0.0.9\", to: \"241.0.0.1\"}",
			"vipRange ends before it begins", "settings.vipRange", 3,
		},
		{
			"one gateway in two clusters", "clusters: nord: {region: \"r\", gateways: [{address: \"192.0.2.10\"}]}",
			"gateway 192.0.2.10:15443 is claimed by clusters east and nord: calls for one would enter the other", "clusters.nord.gateways", 3,
		},
		{
			"a gateway that is no address", "clusters: nord: {region: \"r\", gateways: [{address: \"999.0.2.2\"}]}",
			"address is neither an IP nor a host name", "clusters.nord.gateways.0", 3,
		},
		{
			"a gateway with a port in its address", "clusters: nord: {region: \"r\", gateways: [{address: \"192.0.2.3:15443\"}]}",
			"address is neither an IP nor a host name", "clusters.nord.gateways.0", 3,
		},
		{
			"an external of TCP without addresses", "externals: x: {hosts: [\"db.example.com\"], ports: db: {port: 5432, protocol: \"TCP\"}}",
			"external x has a TCP port and no addresses: it would take that port of every destination", "externals.x.addresses", 3,
		},
		{
			"an external of TLS with addresses", "externals: x: {hosts: [\"db.example.com\"], addresses: [\"192.0.2.77\"], ports: db: {port: 443, protocol: \"TLS\"}}",
			"external x has addresses, and a port that goes by name: addresses are for TCP only", "externals.x.addresses", 3,
		},
		{
			"an external without ports", "externals: x: hosts: [\"x.example.com\"]",
			"external x has no ports", "externals.x.ports", 3,
		},
		{
			"a wildcard that DNS is to resolve", "externals: x: {hosts: [\"*.example.com\"], resolution: \"DNS\", ports: https: {port: 443, protocol: \"TLS\"}}",
			"external x has a host with a wildcard, which DNS cannot resolve", "externals.x.resolution", 3,
		},
		{
			"a mistake in an external that is called", "externals: x: {hosts: \"x.example.com\", ports: https: {port: 443, protocol: \"TLS\"}}\nservices: web: egress: x: {}",
			"hosts is no list of names, each of which may start with *.", "externals.x", 3,
		},
		{
			"a service named like a word of ours, beside the gateway", "services: gateway: {" + good + "egress: nobody: {}\n}",
			"service gateway calls unknown service nobody", "services.gateway.egress.nobody", 8,
		},
		{
			"a backend that is both pods and a Service", "services: x: {" + good + "backend: service: \"x\"\n}",
			"service x has a backend with both a selector and a service: one of them", "services.x.backend", 6,
		},
	}
	cue := cuecmd.Path(t)
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			dir := quickstart(t)
			write(t, filepath.Join(dir, "services", "x.cue"), "package config\n\n"+c.cue+"\n")

			told := vet(t, cue, dir)
			if n := slices.Index(told, c.want); n < 0 || len(told) != 1 {
				t.Errorf("cue vet told %q, want only %q", told, c.want)
			}

			snap, err := source.FromDir(context.Background(), dir, source.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = evaluate.Evaluate(context.Background(), snap, evaluate.Options{})
			var findings manifest.Findings
			if !errors.As(err, &findings) || len(findings) != 1 {
				t.Fatalf("evaluate found %v, want one finding", err)
			}
			got := findings[0]
			got.Column = 0
			want := manifest.Finding{Path: c.path, File: "services/x.cue", Line: c.line, Message: c.want}
			if parts := strings.Split(c.path, "."); parts[0] == "services" || parts[0] == "externals" {
				want.Service = parts[1]
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("finding (-want +got):\n%s", d)
			}
		})
	}
}

// The messages of a good repository are none, and several mistakes are all told.
func TestAllMistakesAreTold(t *testing.T) {
	cue := cuecmd.Path(t)
	dir := quickstart(t)
	if told := vet(t, cue, dir); len(told) > 0 {
		t.Errorf("cue vet of a good repository told %q", told)
	}
	write(t, filepath.Join(dir, "services", "x.cue"), "package config\n\nservices: x: {"+good+"egress: {a: {}, b: {}}\nplacement: c: {}\n}\n")
	if told := vet(t, cue, dir); len(told) != 3 {
		t.Errorf("cue vet told %q, want three mistakes", told)
	}
}

var problem = regexp.MustCompile(`(?m)^[^ \n].*?: (.*):$`)

// vet runs the real cue command and returns the messages of its problems, without their paths.
func vet(t *testing.T, cue, dir string) []string {
	t.Helper()
	cmd := exec.Command(cue, "vet", "./...")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var told []string
	for _, m := range problem.FindAllStringSubmatch(string(out), -1) {
		told = append(told, m[1])
	}
	if (err != nil) != (len(told) > 0) {
		t.Fatalf("cue vet: %v, output:\n%s", err, out)
	}
	return told
}

// quickstart is a copy of the example to break.
func quickstart(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	module := filepath.Join(dir, "cue.mod", "pkg", filepath.FromSlash(meshmodule.Path))
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "examples", "quickstart"))); err != nil {
		t.Fatal(err)
	}
	// The module under test, whether or not the example's copy is up to date.
	if err := os.RemoveAll(module); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(module, meshmodule.Files); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
