// Command gen writes config/rbac/role.yaml: what the controller may do, and nothing beyond it.
//
// The rules for managed kinds come from istio.Kinds, the list that the watches and the check of every rendered
// resource are made from, so a kind cannot be managed without its permission, nor permitted without being managed.
//
//	go run ./config/rbac/gen config/rbac/role.yaml
package main

//go:generate go run . ../role.yaml

import (
	"bytes"
	"fmt"
	"os"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

const (
	name      = "isthmus-controller"
	namespace = "isthmus-system"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	out, err := manifest(istio.Kinds)
	if err == nil {
		err = os.WriteFile(os.Args[1], out, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// manifest is the content of role.yaml for these kinds.
func manifest(kinds []istio.Kind) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Made by config/rbac/gen from internal/istio.Kinds; change it there.\n")
	for _, object := range []any{clusterRole(kinds), ownNamespaceRole()} {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("role cannot be written as YAML: %w", err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}

// clusterRole is what the controller needs in all namespaces.
func clusterRole(kinds []istio.Kind) *rbacv1.ClusterRole {
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
	}
	role.Rules = append(role.Rules, managedKinds(kinds)...)
	role.Rules = append(role.Rules,
		// Missing namespaces are created; none is ever changed or deleted. Reading kube-system gives the cluster's uid.
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch", "create"}},
		rbacv1.PolicyRule{APIGroups: []string{"isthmus.dev"}, Resources: []string{"meshsyncs"}, Verbs: []string{"get", "list", "watch", "update", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{"isthmus.dev"}, Resources: []string{"meshsyncs/status"}, Verbs: []string{"get", "update", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{"isthmus.dev"}, Resources: []string{"meshsyncs/finalizers"}, Verbs: []string{"update"}},
		rbacv1.PolicyRule{APIGroups: []string{"", "events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	)
	return role
}

// managedKinds is one rule per API group, in the order in which the groups first appear.
func managedKinds(kinds []istio.Kind) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for _, kind := range kinds {
		i := slices.IndexFunc(rules, func(r rbacv1.PolicyRule) bool { return r.APIGroups[0] == kind.Group })
		if i < 0 {
			rules = append(rules, rbacv1.PolicyRule{
				APIGroups: []string{kind.Group},
				Verbs:     []string{"get", "list", "watch", "create", "update", "patch", "delete"},
			})
			i = len(rules) - 1
		}
		rules[i].Resources = append(rules[i].Resources, kind.Resource)
	}
	return rules
}

// ownNamespaceRole is what the controller needs in its own namespace only: the Secrets that a MeshSync names, read
// one at a time and never listed, and the lease of the leader election.
func ownNamespaceRole() *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}},
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update", "patch"}},
		},
	}
}
