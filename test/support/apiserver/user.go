package apiserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// AddUser makes a user who may do what the rules say in the whole cluster, and nothing else, and returns
// when the API server has taken note of that.
func (c *Cluster) AddUser(ctx context.Context, name string, rules ...rbacv1.PolicyRule) (*rest.Config, error) {
	admin, err := client.New(c.Config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", c.Name, err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	}
	for _, object := range []client.Object{role, binding} {
		if err := admin.Create(ctx, object); err != nil {
			return nil, fmt.Errorf("giving user %s rights in cluster %s: %w", name, c.Name, err)
		}
	}
	config, err := c.connect(envtest.User{Name: name})
	if err != nil {
		return nil, err
	}
	return config, waitForRules(ctx, admin, name, rules)
}

// The authorizer learns of roles by watching, a moment after they are written.
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

func (c *Cluster) connect(user envtest.User) (*rest.Config, error) {
	// Unthrottled, as a controller of today is: the API server itself sees to fairness.
	config, err := c.server.SecureServing.AddUser(user, &rest.Config{QPS: -1})
	if err != nil {
		return nil, fmt.Errorf("making a certificate for user %s of cluster %s: %w", user.Name, c.Name, err)
	}
	config.CAData = c.server.SecureServing.CA
	config.Host = c.server.SecureServing.URL("https", "").String()
	return config, nil
}

// Kubeconfig returns the connection as the file that kubectl and controllers read.
func (c *Cluster) Kubeconfig(config *rest.Config) ([]byte, error) {
	if len(config.CertData) == 0 && config.BearerToken == "" {
		return nil, errors.New("a connection without a client certificate or a token has no kubeconfig here")
	}
	file := clientcmdapi.NewConfig()
	file.Clusters[c.Name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[c.Name] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken}
	file.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: c.Name}
	file.CurrentContext = c.Name
	data, err := clientcmd.Write(*file)
	if err != nil {
		return nil, fmt.Errorf("writing the kubeconfig of cluster %s: %w", c.Name, err)
	}
	return data, nil
}
