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

func TestEveryManagedKindMayBeWritten(t *testing.T) {
	role := clusterRole(istio.Kinds)
	for _, kind := range istio.Kinds {
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete"} {
			if !allows(role.Rules, kind.Group, kind.Resource, verb) {
				t.Errorf("the role does not let the controller %s %s.%s", verb, kind.Resource, kind.Group)
			}
		}
	}
}

func TestRoleStaysNarrow(t *testing.T) {
	cases := map[string]struct{ reason, group, resource, verb string }{
		"ReadSecretsEverywhere": {"secrets are read in the controller's own namespace only, by its Role", "", "secrets", "get"},
		"DeleteNamespaces":      {"namespaces are created and never deleted", "", "namespaces", "delete"},
		"ChangeNamespaces":      {"labels of an existing namespace are its owner's", "", "namespaces", "update"},
		"WriteEnvoyFilters":     {"EnvoyFilter can do anything to a proxy and is no managed kind", "networking.istio.io", "envoyfilters", "create"},
		"WriteRoles":            {"the controller must not be able to widen its own role", "rbac.authorization.k8s.io", "clusterroles", "update"},
		"GiveStubsEndpoints":    {"a stub Service has none of its own, so nobody can be led astray with one", "discovery.k8s.io", "endpointslices", "create"},
		"PublishStubs":          {"the status of a Service holds the address of its load balancer, and a stub has none", "", "services/status", "update"},
		"CallServices":          {"writing a Service is no reason to reach through it", "", "services/proxy", "get"},
		"DeleteMeshSyncs":       {"a MeshSync is a person's to delete", "isthmus.dev", "meshsyncs", "delete"},
	}
	role := clusterRole(istio.Kinds)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if allows(role.Rules, tc.group, tc.resource, tc.verb) {
				t.Errorf("the cluster role lets the controller %s %s.%s: %s", tc.verb, tc.resource, tc.group, tc.reason)
			}
		})
	}
}

// allows matches as the API server does, wildcards included.
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
