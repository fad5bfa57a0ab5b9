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

// build returns the objects of kubectl apply -k config/default.
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

func TestAPIServerAcceptsTheDefaultInstallation(t *testing.T) {
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

func TestControllerPodIsRestricted(t *testing.T) {
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
		t.Fatalf("the pod has %d containers, want 1", len(pod.Containers))
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
	must("it must not run as root", pod.SecurityContext != nil && yes(pod.SecurityContext.RunAsNonRoot))
	must("it must have the seccomp profile RuntimeDefault", pod.SecurityContext != nil && pod.SecurityContext.SeccompProfile != nil &&
		pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault)
	must("its root file system must be read-only", security != nil && yes(security.ReadOnlyRootFilesystem))
	must("it must not gain privileges", security != nil && security.AllowPrivilegeEscalation != nil && !*security.AllowPrivilegeEscalation)
	must("it must have no capabilities", security != nil && security.Capabilities != nil && slices.Contains(security.Capabilities.Drop, "ALL"))
	must("its memory must be limited", !container.Resources.Limits.Memory().IsZero())
	goMemLimit := resource.MustParse("0")
	for _, variable := range container.Env {
		if variable.Name == "GOMEMLIMIT" {
			goMemLimit = resource.MustParse(strings.TrimSuffix(variable.Value, "B"))
		}
	}
	must("its memory limit must cover GOMEMLIMIT and an evaluation", !goMemLimit.IsZero() &&
		goMemLimit.Value()+evaluate.DefaultLimits().Memory < container.Resources.Limits.Memory().Value())
	must("it must have a liveness probe", container.LivenessProbe != nil)
	must("it must have a readiness probe", container.ReadinessProbe != nil)
}

func TestImageHasNoShellAndNoRoot(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	last := text[bytes.LastIndex(text, []byte("\nFROM ")):]
	if !bytes.Contains(last, []byte("distroless/static")) || !bytes.Contains(last, []byte("USER 65532")) || bytes.Contains(last, []byte("\nRUN ")) {
		t.Errorf("the last stage must be distroless, run as user 65532 and have no RUN:\n%s", last)
	}
}
