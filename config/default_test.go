package config_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// build is what kubectl apply -k config/default sends.
func build(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "default")
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
}

func TestDefaultIsAcceptedByARealAPIServer(t *testing.T) {
	fleet, err := apiserver.Start(context.Background(), apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin, err := client.New(fleet.Clusters()[0].Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	strict := client.WithFieldValidation(admin, metav1.FieldValidationStrict)
	kinds := map[string]int{}
	for _, object := range build(t) {
		kinds[object.GetKind()]++
		if err := strict.Create(t.Context(), object); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
	for _, kind := range []string{"Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment"} {
		if kinds[kind] == 0 {
			t.Errorf("config/default has no %s", kind)
		}
	}
}

func TestControllerRunsWithAsFewRightsAsItCan(t *testing.T) {
	deployment := &appsv1.Deployment{}
	for _, object := range build(t) {
		if object.GetKind() != "Deployment" {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment); err != nil {
			t.Fatal(err)
		}
	}
	pod := deployment.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("the controller is one container, not %d", len(pod.Containers))
	}
	container := pod.Containers[0]
	must := func(reason string, ok bool) {
		t.Helper()
		if !ok {
			t.Error(reason)
		}
	}
	security := container.SecurityContext
	yes := func(b *bool) bool { return b != nil && *b }
	must("it does not run as root", pod.SecurityContext != nil && yes(pod.SecurityContext.RunAsNonRoot))
	must("it has the runtime's seccomp profile", pod.SecurityContext != nil && pod.SecurityContext.SeccompProfile != nil &&
		pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault)
	must("its root file system is read-only", security != nil && yes(security.ReadOnlyRootFilesystem))
	must("it cannot gain privileges", security != nil && security.AllowPrivilegeEscalation != nil && !*security.AllowPrivilegeEscalation)
	must("it has no capability", security != nil && security.Capabilities != nil && slices.Contains(security.Capabilities.Drop, "ALL"))
	must("its memory is limited", !container.Resources.Limits.Memory().IsZero())
	own := resource.MustParse("0")
	for _, variable := range container.Env {
		if variable.Name == "GOMEMLIMIT" {
			own = resource.MustParse(strings.TrimSuffix(variable.Value, "B"))
		}
	}
	must("its memory holds its own and that of an evaluation", !own.IsZero() &&
		own.Value()+evaluate.DefaultLimits().Memory < container.Resources.Limits.Memory().Value())
	must("it has a liveness probe", container.LivenessProbe != nil)
	must("it has a readiness probe", container.ReadinessProbe != nil)
}

func TestImageHasNoShellAndNoRoot(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	last := text[bytes.LastIndex(text, []byte("\nFROM ")):]
	if !bytes.Contains(last, []byte("distroless/static")) || !bytes.Contains(last, []byte("USER 65532")) || bytes.Contains(last, []byte("\nRUN ")) {
		t.Errorf("the last stage is distroless, runs as nobody and executes nothing:\n%s", last)
	}
}
