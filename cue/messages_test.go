package meshmodule_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// good is a manifest to which a row adds one mistake.
const good = `
	owner: "x"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "x", selector: app: "x", serviceAccounts: ["x"]}
	versions: v1: labels: version: "v1"
`

// mistake is one that a person makes in a mesh repository, and what they are told.
type mistake struct {
	reason string
	cue    string // services/x.cue, after the package clause
	want   string // the message of plain cue
	path   string
	line   int // in services/x.cue
}

// mistakes are one at least for each message of the module, by the file that has the message.
func mistakes() []mistake {
	return slices.Concat(schemaMistakes, serviceMistakes, clusterMistakes, routeMistakes, accessMistakes)
}

// Every mistake is told once by plain `cue vet ./...`, in words a person understands, and by evaluate with the
// service, the file and the line to mend.
func TestAMistakeIsToldOnceWithItsPlace(t *testing.T) {
	cue := cuecmd.Path(t)
	for _, m := range mistakes() {
		t.Run(m.reason, func(t *testing.T) {
			t.Parallel()
			dir := quickstart(t)
			write(t, filepath.Join(dir, "services", "x.cue"), "package config\n\n"+m.cue+"\n")
			want := manifest.Finding{Path: m.path, File: "services/x.cue", Line: m.line, Message: m.want}
			if parts := strings.Split(m.path, "."); parts[0] == "services" || parts[0] == "externals" {
				want.Service = parts[1]
			}
			toldOnce(t, cue, dir, "", want)
		})
	}
}

// unknownCluster is what evaluate says of a cluster that is not in the inventory.
var unknownCluster = manifest.Finding{
	Path:    "clusters.nord",
	Message: "cluster nord is not in the inventory: it has east, west",
}

func TestAnUnknownClusterIsToldToWhoAsksForIt(t *testing.T) {
	toldOnce(t, cuecmd.Path(t), quickstart(t), "nord", unknownCluster)
}

// toldOnce expects one finding of evaluate, and its message as the only one of the real cue command.
func toldOnce(t *testing.T, cue, dir, cluster string, want manifest.Finding) {
	t.Helper()
	var flags []string
	if cluster != "" {
		flags = []string{"-t", "cluster=" + cluster}
	}
	if d := cmp.Diff([]string{want.Message}, vet(t, cue, dir, flags...)); d != "" {
		t.Errorf("cue vet told (-want +got):\n%s", d)
	}

	snap, err := source.FromDir(context.Background(), dir, source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = evaluate.Evaluate(context.Background(), snap, evaluate.Options{Cluster: cluster})
	var findings manifest.Findings
	if !errors.As(err, &findings) || len(findings) != 1 {
		t.Fatalf("evaluate found %v, want one finding", err)
	}
	got := findings[0]
	got.Column = 0
	if want.File == "" { // no line of the repository is to blame
		got.File, got.Line = "", 0
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("finding (-want +got):\n%s", d)
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
func vet(t *testing.T, cue, dir string, flags ...string) []string {
	t.Helper()
	cmd := exec.Command(cue, append([]string{"vet", "./..."}, flags...)...)
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
