package demo

import (
	"bytes"
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/config"
)

const user = "isthmus-controller"

// controllerUser makes a user with the rights of config/rbac/role.yaml, no more and no less.
func (c *cluster) controllerUser(ctx context.Context) (*rest.Config, error) {
	everywhere, own, err := roles()
	if err != nil {
		return nil, err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user, Namespace: own.Namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: own.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := c.admin.Create(ctx, own); err != nil {
		return nil, fmt.Errorf("creating the controller's role in cluster %s: %w", c.name, err)
	}
	if err := c.admin.Create(ctx, binding); err != nil {
		return nil, fmt.Errorf("binding the controller's role in cluster %s: %w", c.name, err)
	}
	return c.server.AddUser(ctx, user, everywhere.Rules...)
}

// roles are the rights everywhere and those in the controller's own namespace.
func roles() (*rbacv1.ClusterRole, *rbacv1.Role, error) {
	everywhere, own := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	for document := range bytes.SplitSeq(config.Roles, []byte("\n---\n")) {
		var is metav1.TypeMeta
		if err := yaml.Unmarshal(document, &is); err != nil {
			return nil, nil, fmt.Errorf("config/rbac/role.yaml: %w", err)
		}
		var into any
		switch is.Kind {
		case "": // the comment that opens the file
			continue
		case "ClusterRole":
			into = everywhere
		case "Role":
			into = own
		default:
			return nil, nil, fmt.Errorf("config/rbac/role.yaml holds a %s, which the demo cannot bind", is.Kind)
		}
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			return nil, nil, fmt.Errorf("config/rbac/role.yaml: %w", err)
		}
	}
	if len(everywhere.Rules) == 0 || len(own.Rules) == 0 {
		return nil, nil, fmt.Errorf("config/rbac/role.yaml lacks the ClusterRole or the Role")
	}
	return everywhere, own, nil
}
