package testcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/config"
)

// AddUser creates a user with exactly the given rights in the whole cluster. It returns when the
// API server grants them.
func (c *Cluster) AddUser(ctx context.Context, name string, rules ...rbacv1.PolicyRule) (*rest.Config, error) {
	admin, err := c.rbac()
	if err != nil {
		return nil, err
	}
	meta := metav1.ObjectMeta{Name: name}
	err = c.grant(ctx, admin, name,
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, Subjects: subjects(name),
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		})
	if err != nil {
		return nil, err
	}
	user, err := c.config(name)
	if err != nil {
		return nil, err
	}
	return user, waitForRules(ctx, admin, name, rules)
}

// AddController creates a user with exactly the rights of config/rbac/role.yaml. The namespace of
// the controller must exist.
func (c *Cluster) AddController(ctx context.Context, name string) (*rest.Config, error) {
	everywhere, own, err := controllerRoles()
	if err != nil {
		return nil, err
	}
	admin, err := c.rbac()
	if err != nil {
		return nil, err
	}
	meta := metav1.ObjectMeta{Name: name, Namespace: own.Namespace}
	err = c.grant(ctx, admin, name,
		&rbacv1.Role{ObjectMeta: meta, Rules: own.Rules},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: subjects(name),
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		})
	if err != nil {
		return nil, err
	}
	return c.AddUser(ctx, name, everywhere.Rules...)
}

// controllerRoles are the rights in the whole cluster and those in the controller's namespace.
func controllerRoles() (*rbacv1.ClusterRole, *rbacv1.Role, error) {
	everywhere, own := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	for document := range bytes.SplitSeq(config.Roles, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, nil, fmt.Errorf("config/rbac/role.yaml: %w", err)
		}
		var role any
		switch kind.Kind {
		case "": // the comment at the start of the file
			continue
		case "ClusterRole":
			role = everywhere
		case "Role":
			role = own
		default:
			return nil, nil, fmt.Errorf("config/rbac/role.yaml has an unexpected %s", kind.Kind)
		}
		if err := yaml.UnmarshalStrict(document, role); err != nil {
			return nil, nil, fmt.Errorf("config/rbac/role.yaml: %w", err)
		}
	}
	if len(everywhere.Rules) == 0 || len(own.Rules) == 0 {
		return nil, nil, errors.New("config/rbac/role.yaml needs a ClusterRole and a Role")
	}
	return everywhere, own, nil
}

func (c *Cluster) rbac() (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(rbacv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	admin, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", c.Name, err)
	}
	return admin, nil
}

func (c *Cluster) grant(ctx context.Context, admin client.Client, user string, objects ...client.Object) error {
	for _, object := range objects {
		if err := admin.Create(ctx, object); err != nil {
			return fmt.Errorf("granting rights to user %s of cluster %s: %w", user, c.Name, err)
		}
	}
	return nil
}

func subjects(user string) []rbacv1.Subject {
	return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
}

// waitForRules waits because the authorizer watches roles, and sees them a moment after they are
// written.
func waitForRules(ctx context.Context, admin client.Client, user string, rules []rbacv1.PolicyRule) error {
	for _, rule := range rules {
		if len(rule.Resources) == 0 || len(rule.ResourceNames) > 0 {
			continue
		}
		err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: rule.Verbs[0],
				},
			}}
			if err := admin.Create(ctx, review); err != nil {
				return false, err
			}
			return review.Status.Allowed, nil
		})
		if err != nil {
			return fmt.Errorf("user %s did not get the right to %s %s: %w", user, rule.Verbs[0], rule.Resources[0], err)
		}
	}
	return nil
}
