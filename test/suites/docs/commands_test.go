package docs_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// runElsewhere lists commands that this test skips, with the reason.
var runElsewhere = map[string]string{
	"make demo": "the test of internal/demo runs it",
	"make test": "it runs this test",
}

// The sh blocks of each document run in order, in a copy of config and examples, with the built
// isthmus, the real cue and kubectl, and a real API server.
func TestCommandsInDocumentsWork(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	documents = append(documents, filepath.Join(root, "README.md"))
	path := commands(t)
	ran := 0
	for _, document := range documents {
		script := script(t, document)
		if script == "" {
			continue
		}
		ran++
		t.Run(filepath.Base(document), func(t *testing.T) {
			dir := t.TempDir()
			for _, folder := range []string{"config", "examples"} {
				if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("bash", "-euxo", "pipefail", "-c", script)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+path+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir)
			if strings.Contains(script, "kubectl") {
				cmd.Env = append(cmd.Env, "KUBECONFIG="+cluster(t, filepath.Base(document) != "install.md"))
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v; the last of these commands failed:\n%s", err, out)
			}
		})
	}
	if ran < 4 {
		t.Errorf("only %d documents have commands", ran)
	}
}

// script joins the sh blocks of a document, without the commands of runElsewhere.
func script(t *testing.T, document string) string {
	t.Helper()
	f, err := os.Open(document)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	in := false
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "```"):
			in = !in && line == "```sh"
		case in:
			command, _, _ := strings.Cut(line, "#")
			if runElsewhere[strings.TrimSpace(command)] == "" {
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// commands returns a folder with isthmus, cue and kubectl.
func commands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir, "./cmd/isthmus")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, target := range map[string]string{"cue": cuecmd.Path(t), "kubectl": kubectl(t)} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func kubectl(t *testing.T) string {
	t.Helper()
	path, err := apiserver.Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// cluster starts an API server and returns the path of its kubeconfig. installed: the cluster has
// the objects of install.md and a DestinationRule of the quickstart.
func cluster(t *testing.T, installed bool) string {
	t.Helper()
	ctx := context.Background()
	fleet, err := apiserver.Start(ctx, apiserver.Options{CRDs: istio.CRDs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := fleet.Clusters()[0]
	config, err := c.Kubeconfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	if !installed {
		return file
	}
	for _, args := range [][]string{
		{"apply", "-k", "config/default"},
		{"wait", "--for=condition=Established", "crd", "meshsyncs.isthmus.dev"},
		{"apply", "-f", "config/samples/https.yaml"},
		{"create", "namespace", "cart"},
	} {
		cmd := exec.Command(kubectl(t), args...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "KUBECONFIG="+file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
	}
	k, err := client.New(c.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rule := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"host": "cart.cart.global"}}}
	rule.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"})
	rule.SetNamespace("cart")
	rule.SetName("cart.cart.global")
	if err := k.Create(ctx, rule); err != nil {
		t.Fatal(err)
	}
	return file
}
