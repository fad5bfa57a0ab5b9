package meshsync_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

func TestAPIServerRejectsInvalidSpecs(t *testing.T) {
	w := newWorld(t, withIstio)
	cases := map[string]struct {
		reason, message string
		spec            map[string]any
	}{
		"NoCluster":        {"a cluster must be named", "cluster", map[string]any{"source": map[string]any{"url": "https://git.example.com/mesh"}}},
		"ShortURL":         {"the short form of SSH URLs has no port and no scheme", "write ssh://git@host/a/b.git", source("git@git.example.com:mesh.git", nil)},
		"FileURL":          {"the controller's own disk is no source", "spec.source.url", source("file:///etc", nil)},
		"SSHWithoutKey":    {"SSH without a known host key is no security", "needs a secretRef", source("ssh://git@git.example.com/mesh", nil)},
		"BranchAndTag":     {"it would not be clear which of them counts", "only one of branch, tag and semver", source("https://git.example.com/mesh", map[string]any{"branch": "main", "tag": "v1"})},
		"CommitAndTag":     {"a commit goes with a branch only", "commit goes alone or with branch", source("https://git.example.com/mesh", map[string]any{"commit": strings.Repeat("a", 40), "tag": "v1"})},
		"ShortCommit":      {"a short hash may become ambiguous", "spec.source.ref.commit", source("https://git.example.com/mesh", map[string]any{"commit": "abc1234"})},
		"EmptyRef":         {"a ref without content is a mistake", "one of branch, tag, semver and commit", source("https://git.example.com/mesh", map[string]any{})},
		"PathOutside":      {"the mesh is inside the repository", "path must be inside", with(source("https://git.example.com/mesh", nil), "path", "a/../../b")},
		"IntervalWithout":  {"a number without unit is a mistake", "spec.interval", with(source("https://git.example.com/mesh", nil), "interval", "60")},
		"VerifyTagOfHead":  {"a branch has no tag to verify", "need ref.tag or ref.semver", verify("Tag")},
		"UnknownMode":      {"there is Apply and Observe", "spec.mode", with(source("https://git.example.com/mesh", nil), "mode", "Maybe")},
		"TooManyPercent":   {"there are 100", "spec.prune.maxPercent", with(source("https://git.example.com/mesh", nil), "prune", map[string]any{"maxPercent": int64(101)})},
		"SettingsToCome":   {"a field without effect is not in the schema, and a strict client gets an error", `unknown field "spec.serviceAccountName"`, with(source("https://git.example.com/mesh", nil), "serviceAccountName", "mesh")},
		"DeletionUnheard":  {"there is Orphan and Delete", "spec.deletionPolicy", with(source("https://git.example.com/mesh", nil), "deletionPolicy", "Keep")},
		"VerifyNoSecret":   {"whom to trust must be said", "secretRef", with(source("https://git.example.com/mesh", nil), "source", map[string]any{"url": "https://x.example", "verify": map[string]any{"mode": "HEAD"}})},
		"UnknownVerifying": {"modes are those of Flux", "spec.source.verify.mode", verify("head")},
	}
	strict := client.WithFieldValidation(w.Admin, metav1.FieldValidationStrict)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := strict.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "isthmus.dev/v1alpha1", "kind": "MeshSync",
				"metadata": map[string]any{"generateName": "refused-", "namespace": namespace}, "spec": tc.spec,
			}}, client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), tc.message) {
				t.Errorf("want an error with %q, since %s; got: %v", tc.message, tc.reason, err)
			}
		})
	}
}

func source(url string, ref map[string]any) map[string]any {
	s := map[string]any{"url": url}
	if ref != nil {
		s["ref"] = ref
	}
	return map[string]any{"cluster": "east", "source": s}
}

func with(spec map[string]any, field string, value any) map[string]any {
	spec[field] = value
	return spec
}

func verify(mode string) map[string]any {
	s := source("https://git.example.com/mesh", map[string]any{"branch": "main"})
	s["source"].(map[string]any)["verify"] = map[string]any{"mode": mode, "secretRef": map[string]any{"name": "signers"}}
	return s
}

func TestDefaultsMatchTheDocumentation(t *testing.T) {
	w := newWorld(t, withIstio)
	ms := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "isthmus.dev/v1alpha1", "kind": "MeshSync",
		"metadata": map[string]any{"name": "defaults", "namespace": namespace}, "spec": source("https://git.example.com/mesh", nil),
	}}
	must(t, w.Admin.Create(t.Context(), ms, client.DryRunAll))
	got := map[string]any{}
	for field, value := range ms.Object["spec"].(map[string]any) {
		if field != "cluster" && field != "source" {
			got[field] = value
		}
	}
	want := map[string]any{
		"interval": "1m", "timeout": "60s", "withdrawAfter": "1h", "mode": "Apply", "onError": "Freeze", "deletionPolicy": "Orphan",
		"prune": map[string]any{"enabled": true, "maxPercent": int64(20)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults: -want, +got:\n%s", diff)
	}
}

func TestSamplesAreAccepted(t *testing.T) {
	w := newWorld(t, withIstio)
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	must(t, err)
	if len(samples) < 3 {
		t.Fatalf("there are %d samples, too few for this test", len(samples))
	}
	strict := client.WithFieldValidation(w.Admin, metav1.FieldValidationStrict)
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		must(t, err)
		for _, document := range strings.Split(string(text), "\n---\n") {
			object := &unstructured.Unstructured{}
			must(t, yaml.Unmarshal([]byte(document), &object.Object))
			if err := strict.Create(t.Context(), object, client.DryRunAll); err != nil {
				t.Errorf("%s: %v", sample, err)
			}
		}
	}
}

func TestMissingDurationsHaveDefaults(t *testing.T) {
	w := newWorld(t, withIstio)
	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "plain-", Namespace: namespace},
		Spec:       v1alpha1.MeshSyncSpec{Cluster: "east", Source: v1alpha1.Source{URL: "https://git.example.com/mesh"}},
	}
	// A Go client must not send "0s", which would look like an explicit value.
	must(t, w.Admin.Create(t.Context(), ms, client.DryRunAll))
	if ms.Spec.Interval.Duration != time.Minute || ms.Spec.Timeout.Duration != time.Minute {
		t.Errorf("interval %s, timeout %s; want the defaults of a minute", ms.Spec.Interval.Duration, ms.Spec.Timeout.Duration)
	}
}

func TestZeroDurationsHaveDefaults(t *testing.T) {
	ms := &v1alpha1.MeshSync{}
	if ms.GetInterval() != time.Minute || ms.GetTimeout() != time.Minute || ms.GetRetryInterval() != time.Minute || !ms.PruneEnabled() || ms.GetMaxPrunePercent() != 20 {
		t.Errorf("a MeshSync from before the defaults: every %s, within %s, retry after %s, prunes %v, %d %%",
			ms.GetInterval(), ms.GetTimeout(), ms.GetRetryInterval(), ms.PruneEnabled(), ms.GetMaxPrunePercent())
	}
	ms.Spec.RetryInterval = &metav1.Duration{Duration: time.Second}
	if ms.GetRetryInterval() != time.Second {
		t.Errorf("retryInterval is %s", ms.GetRetryInterval())
	}
}

var _ meta.ObjectWithConditionsSetter = &v1alpha1.MeshSync{}
