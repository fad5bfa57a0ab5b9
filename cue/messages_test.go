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

// mistake is an invalid mesh repository, and the error that it reports.
type mistake struct {
	reason string
	cue    string // services/x.cue, after the package clause
	want   string // the message in cue vet
	path   string
	line   int // in services/x.cue
}

// mistakes has at least one case for each message of the module.
func mistakes() []mistake {
	return slices.Concat(schemaMistakes, serviceMistakes, clusterMistakes, routeMistakes, accessMistakes)
}

// Plain `cue vet ./...` reports each mistake once, and evaluate reports it with service, file and
// line.
func TestEachMistakeIsReportedOnceWithItsPosition(t *testing.T) {
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
			reportedOnce(t, cue, dir, "", want)
		})
	}
}

// unknownCluster is the finding of evaluate for a cluster that is not in the inventory.
var unknownCluster = manifest.Finding{
	Code:    manifest.UnknownCluster,
	Path:    "clusters.nord",
	Message: "cluster nord is not in the inventory: the inventory has east, west",
}

func TestUnknownClusterIsReported(t *testing.T) {
	reportedOnce(t, cuecmd.Path(t), quickstart(t), "nord", unknownCluster)
}

// reportedOnce expects one finding of evaluate, and one error of the cue command with its message.
func reportedOnce(t *testing.T, cue, dir, cluster string, want manifest.Finding) {
	t.Helper()
	var flags []string
	if cluster != "" {
		flags = []string{"-t", "cluster=" + cluster}
	}
	if d := cmp.Diff([]string{want.Message}, vet(t, cue, dir, flags...)); d != "" {
		t.Errorf("cue vet reported (-want +got):\n%s", d)
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
	if want.File == "" { // the error has no line in the repository
		got.File, got.Line = "", 0
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("finding (-want +got):\n%s", d)
	}
}

// A valid repository has no messages, and several mistakes are reported together.
func TestAllMistakesAreReported(t *testing.T) {
	cue := cuecmd.Path(t)
	dir := quickstart(t)
	if reported := vet(t, cue, dir); len(reported) > 0 {
		t.Errorf("cue vet of a valid repository reported %q", reported)
	}
	write(t, filepath.Join(dir, "services", "x.cue"), "package config\n\nservices: x: {"+good+"egress: {a: {}, b: {}}\nplacement: c: {}\n}\n")
	if reported := vet(t, cue, dir); len(reported) != 3 {
		t.Errorf("cue vet reported %q, want three mistakes", reported)
	}
}

var problem = regexp.MustCompile(`(?m)^[^ \n].*?: (.*):$`)

// vet runs the cue command and returns its error messages, without their paths.
func vet(t *testing.T, cue, dir string, flags ...string) []string {
	t.Helper()
	cmd := exec.Command(cue, append([]string{"vet", "./..."}, flags...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var reported []string
	for _, m := range problem.FindAllStringSubmatch(string(out), -1) {
		reported = append(reported, m[1])
	}
	if (err != nil) != (len(reported) > 0) {
		t.Fatalf("cue vet: %v, output:\n%s", err, out)
	}
	return reported
}
