package execute

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/plans"
)

// Permission is a verb of the API on a resource, which the role of the controller has to grant.
type Permission struct {
	Verb     string
	Resource schema.GroupResource
}

func (r Permission) String() string { return r.Verb + " " + r.Resource.String() }

// MissingPermissions returns the permissions that a plan needs and the controller lacks, sorted,
// so that nothing is begun that cannot be completed. A granted permission is asked for once, a
// missing one each time. An error means that the API server did not answer.
func (a *Applier) MissingPermissions(ctx context.Context, plan plans.Plan) ([]Permission, error) {
	needed := permissionsFor(plan)
	var missing []Permission
	for _, right := range slices.SortedFunc(maps.Keys(needed), func(x, y Permission) int { return strings.Compare(x.String(), y.String()) }) {
		granted, err := a.accessCache.allowed(right, func() (bool, error) { return a.allowedInAll(ctx, right, needed[right]) })
		if err != nil {
			return nil, fmt.Errorf("checking whether the controller may %s: %w", right, err)
		}
		if !granted {
			missing = append(missing, right)
		}
	}
	return missing, nil
}

// permissionsFor are the permissions that a plan needs, now or when its deferrals and withdrawals
// are over, each with its namespaces.
func permissionsFor(plan plans.Plan) map[Permission][]string {
	needed := map[Permission][]string{}
	if len(plan.Namespaces) > 0 {
		needed[Permission{Verb: "create", Resource: clustercache.NamespaceResource.GroupResource()}] = []string{""}
	}
	for _, action := range plan.Actions {
		i := slices.IndexFunc(istio.Kinds, func(kind istio.Kind) bool { return kind.Kind == action.Key.Kind })
		if i < 0 {
			continue
		}
		for _, verb := range verbsFor(action) {
			right := Permission{Verb: verb, Resource: schema.GroupResource{Group: istio.Kinds[i].Group, Resource: istio.Kinds[i].Resource}}
			if !slices.Contains(needed[right], action.Key.Namespace) {
				needed[right] = append(needed[right], action.Key.Namespace)
			}
		}
	}
	return needed
}

func verbsFor(action plans.Action) []string {
	switch {
	case action.Verb == plans.Withdraw, action.Verb == plans.Update && !action.Until.IsZero():
		return []string{"update", "delete"}
	case action.Verb == plans.Delete, action.Verb == plans.Defer && action.Desired == nil:
		return []string{"delete"}
	case action.Verb == plans.Create, action.Verb == plans.Defer && action.Live == nil:
		return []string{"create"}
	case action.Verb == plans.Update, action.Verb == plans.Defer:
		return []string{"update"}
	case action.Verb == plans.Claim:
		return []string{"patch"}
	default:
		return nil
	}
}

// allowedInAll asks for all namespaces at once, and for each namespace only if that is denied.
func (a *Applier) allowedInAll(ctx context.Context, right Permission, namespaces []string) (bool, error) {
	granted, err := a.allowed(ctx, right, "")
	if err != nil || granted || slices.Contains(namespaces, "") {
		return granted, err
	}
	for _, namespace := range namespaces {
		if granted, err = a.allowed(ctx, right, namespace); err != nil || !granted {
			return false, err
		}
	}
	return true, nil
}

func (a *Applier) allowed(ctx context.Context, right Permission, namespace string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectAccessReview"},
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: right.Verb, Group: right.Resource.Group, Resource: right.Resource.Resource, Namespace: namespace,
		}},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(review)
	if err != nil {
		return false, err
	}
	var answer *unstructured.Unstructured
	err = newWriteLimiter(a.clock).do(ctx, func(bool) (err error) {
		answer, err = a.client.Resource(authorizationv1.SchemeGroupVersion.WithResource("selfsubjectaccessreviews")).
			Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return false, err
	}
	granted, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return granted, err
}

// accessCache remembers granted permissions until a write is denied.
type accessCache struct {
	mu      sync.Mutex
	granted map[Permission]bool
}

// allowed answers from memory if the permission was granted. With several namespaces it is the
// permission for the namespaces of the first question; for others a denied write shows.
func (g *accessCache) allowed(right Permission, ask func() (bool, error)) (bool, error) {
	g.mu.Lock()
	known := g.granted[right]
	g.mu.Unlock()
	if known {
		return true, nil
	}
	is, err := ask()
	if err != nil || !is {
		return false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.granted == nil {
		g.granted = map[Permission]bool{}
	}
	g.granted[right] = true
	return true, nil
}

func (g *accessCache) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.granted = nil
}
