package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

func TestRoleFileIsFresh(t *testing.T) {
	want, err := manifest(istio.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("config/rbac/role.yaml is stale; run: make generate\n-want, +got:\n%s", diff)
	}
}

func TestRoleAllowsAllManagedKinds(t *testing.T) {
	role := clusterRole(istio.Kinds)
	for _, kind := range istio.Kinds {
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
			if !allows(role.Rules, kind.Group, kind.Resource, verb) {
				t.Errorf("the role does not allow to %s %s.%s", verb, kind.Resource, kind.Group)
			}
		}
	}
}

func TestRoleStaysNarrow(t *testing.T) {
	cases := map[string]struct{ reason, group, resource, verb string }{
		"ReadSecretsEverywhere": {"secrets are read only in the namespace of the controller, by its Role", "", "secrets", "get"},
		"DeleteNamespaces":      {"namespaces are created and never deleted", "", "namespaces", "delete"},
		"ChangeNamespaces":      {"labels of an existing namespace belong to its owner", "", "namespaces", "update"},
		"WriteEnvoyFilters":     {"EnvoyFilter can change anything in a proxy and is not managed", "networking.istio.io", "envoyfilters", "create"},
		"WriteRoles":            {"the controller must not extend its own role", "rbac.authorization.k8s.io", "clusterroles", "update"},
		"GiveStubsEndpoints":    {"stub Services have no endpoints, so calls cannot be redirected", "discovery.k8s.io", "endpointslices", "create"},
		"PublishStubs":          {"the status of a Service has the address of its load balancer, and a stub has none", "", "services/status", "update"},
		"CallServices":          {"writing a Service does not need access through it", "", "services/proxy", "get"},
		"DeleteMeshSyncs":       {"only users delete a MeshSync", "isthmus.dev", "meshsyncs", "delete"},
	}
	role := clusterRole(istio.Kinds)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if allows(role.Rules, tc.group, tc.resource, tc.verb) {
				t.Errorf("the cluster role allows to %s %s.%s: %s", tc.verb, tc.resource, tc.group, tc.reason)
			}
		})
	}
}

// allows matches rules like the API server, including wildcards.
func allows(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	has := func(list []string, want string) bool {
		for _, s := range list {
			if s == want || s == "*" {
				return true
			}
		}
		return false
	}
	for _, rule := range rules {
		if has(rule.APIGroups, group) && has(rule.Resources, resource) && has(rule.Verbs, verb) {
			return true
		}
	}
	return false
}
