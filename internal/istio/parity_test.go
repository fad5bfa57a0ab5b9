package istio

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// API servers with Istio's original CRDs and with the reduced CRDs reject the objects that Validate
// rejects, and store what Default makes.
func TestParity(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no API server is started")
	}
	fleet, err := apiserver.Start(t.Context(), apiserver.Options{Clusters: []string{"shipped", "reduced"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	shipped := prepare(t, fleet.Cluster("shipped"), shippedCRDs(t))
	reduced := prepare(t, fleet.Cluster("reduced"), CRDs())
	v := newTestValidator(t)

	t.Run("verdicts", func(t *testing.T) {
		for _, tc := range verdicts {
			t.Run(tc.reason, func(t *testing.T) {
				compareVerdicts(t, shipped, v, parse(t, tc.object))
				compareVerdicts(t, reduced, v, parse(t, tc.object))
			})
		}
	})
	t.Run("mutations", func(t *testing.T) {
		seed := uint64(time.Now().UnixNano())
		if text := os.Getenv("ISTHMUS_SEED"); text != "" {
			var err error
			if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
				t.Fatalf("ISTHMUS_SEED: %v", err)
			}
		}
		t.Logf("ISTHMUS_SEED=%d repeats this run", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		var accepted int
		const rounds = 60
		for range rounds {
			for _, tc := range verdicts {
				if len(tc.want) > 0 {
					continue
				}
				obj := parse(t, tc.object)
				for range 1 + random.IntN(2) {
					mutate(random, obj.Object["spec"])
				}
				if compareVerdicts(t, shipped, v, obj) {
					accepted++
				}
				if t.Failed() {
					t.FailNow()
				}
			}
		}
		t.Logf("%d mutated objects were accepted", accepted)
		if accepted == 0 {
			t.Error("no mutated object was accepted: the mutations are too coarse")
		}
	})
}

// compareVerdicts creates obj and fails the test if the API server and Validate disagree. It
// reports whether the API server accepted obj.
func compareVerdicts(t *testing.T, api client.Client, v *Validator, obj *unstructured.Unstructured) bool {
	t.Helper()
	ours := obj.DeepCopy()
	v.Default(ours)
	violations := v.Validate(ours)

	// Not a dry run: a dry run accepts a resourceVersion, which the storage rejects.
	theirs := obj.DeepCopy()
	err := api.Create(t.Context(), theirs, client.FieldValidation("Strict"))
	if err != nil {
		if !rejected(err) {
			t.Fatalf("the API server did not validate\n%s\n%v", inJSON(obj.Object), err)
		}
		if len(violations) == 0 {
			t.Errorf("Validate accepts\n%s\nbut the API server rejects it: %v", inJSON(obj.Object), err)
		}
		return false
	}
	if err := api.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if len(violations) > 0 {
		t.Errorf("the API server accepts\n%s\nbut Validate rejects it:\n%s", inJSON(obj.Object), strings.Join(texts(violations), "\n"))
	}
	if diff := cmp.Diff(theirs.Object["spec"], ours.Object["spec"]); diff != "" {
		t.Errorf("spec after defaulting (-API server +ours) of\n%s\n%s", inJSON(obj.Object), diff)
	}
	return true
}

// mutate changes one value somewhere below a value, as a mistake of a user or a template would.
func mutate(random *rand.Rand, value any) {
	var places []func()
	collect(random, value, &places)
	if len(places) > 0 {
		places[random.IntN(len(places))]()
	}
}

func collect(random *rand.Rand, value any, places *[]func()) {
	wrong := []any{nil, "", "*", "x", "5s", "ISTIO_MUTUAL", int64(-1), int64(0), int64(70000), int64(1 << 40), 0.5, 2.0, 1e300, true, []any{}, map[string]any{}}
	switch value := value.(type) {
	case map[string]any:
		// Sorted, so that the seed repeats the run.
		for _, key := range slices.Sorted(maps.Keys(value)) {
			*places = append(*places,
				func() { delete(value, key) },
				func() { value[key+"x"] = value[key] },
				func() { value[key] = []any{value[key]} },
				func() { value[key] = wrong[random.IntN(len(wrong))] },
				func() { value[key] = wrong[random.IntN(len(wrong))] })
			collect(random, value[key], places)
		}
	case []any:
		for i := range value {
			*places = append(*places,
				func() { value[i] = wrong[random.IntN(len(wrong))] },
				func() { value[i] = value[random.IntN(len(value))] })
			collect(random, value[i], places)
		}
	}
}

// rejected distinguishes the rejection of an object from other failures.
func rejected(err error) bool {
	// The client library rejects an object without a namespace, because there is no URL for it.
	noNamespace := strings.Contains(err.Error(), "an empty namespace may not be set during creation")
	// The storage rejects a resourceVersion without a specific status.
	resourceVersion := strings.Contains(err.Error(), "resourceVersion should not be set on objects to be created")
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || noNamespace || resourceVersion
}

// prepare installs the CRDs in a cluster and creates the namespace of the objects.
func prepare(t *testing.T, cluster *apiserver.Cluster, crds []*apiextensionsv1.CustomResourceDefinition) client.Client {
	t.Helper()
	if err := cluster.Install(crds); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(cluster.Config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{}
	namespace.Name = "shop"
	if err := api.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return api
}

// shippedCRDs returns Istio's CRDs of the managed kinds from istio.io/api, with all versions.
func shippedCRDs(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatalf("go list -m istio.io/api: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	managed := map[string]bool{}
	for _, kind := range Kinds {
		if !kind.BuiltIn() {
			managed[kind.Resource+"."+kind.Group] = true
		}
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096); ; {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := decoder.Decode(crd); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if managed[crd.Name] {
			crds = append(crds, crd)
		}
	}
	if len(crds) != len(managed) {
		t.Fatalf("istio.io/api has %d of the %d managed kinds", len(crds), len(managed))
	}
	return crds
}
