package testcluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

// Cluster is one API server.
type Cluster struct {
	Name string
	// Config connects as administrator, without a rate limit of the client.
	Config *rest.Config
	// Server is the process of the API server.
	Server *Server

	authority *authority
}

// startCluster starts an API server with its keys below folder.
func startCluster(ctx context.Context, name, assets, folder, etcd string) (*Cluster, error) {
	folder = filepath.Join(folder, name)
	c := &Cluster{Name: name}
	if err := c.writeKeys(folder); err != nil {
		return nil, fmt.Errorf("making the keys of cluster %s: %w", name, err)
	}
	admin, err := c.config("admin", "system:masters")
	if err != nil {
		return nil, err
	}
	c.Server, err = start(ctx, func(address string) (*Server, error) {
		c.Config = rest.CopyConfig(admin)
		c.Config.Host = "https://" + address
		client, err := rest.HTTPClientFor(c.Config)
		if err != nil {
			return nil, err
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return &Server{
			path: filepath.Join(assets, "kube-apiserver"),
			args: []string{
				"--etcd-servers=" + etcd,
				"--etcd-prefix=/" + name, // keeps the clusters of one etcd apart
				"--bind-address=127.0.0.1",
				"--secure-port=" + port,
				"--cert-dir=" + folder,
				"--tls-cert-file=" + filepath.Join(folder, "server.crt"),
				"--tls-private-key-file=" + filepath.Join(folder, "server.key"),
				"--client-ca-file=" + filepath.Join(folder, "ca.crt"),
				"--service-account-issuer=https://kubernetes.default.svc",
				"--service-account-key-file=" + filepath.Join(folder, "service-accounts.key"),
				"--service-account-signing-key-file=" + filepath.Join(folder, "service-accounts.key"),
				"--service-cluster-ip-range=10.0.0.0/24",
				"--authorization-mode=RBAC",
				// Nothing creates the service accounts that this plugin asks for.
				"--disable-admission-plugins=ServiceAccount",
			},
			environment: []string{"TMPDIR=" + folder},
			log:         filepath.Join(folder, "kube-apiserver.log"),
			ready:       func(ctx context.Context) error { return apiServerReady(ctx, client, "https://"+address) },
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	return c, nil
}

// apiServerReady returns nil if the API server is ready and has made its own namespaces, which may
// come later.
func apiServerReady(ctx context.Context, client *http.Client, url string) error {
	for _, path := range []string{"/readyz", "/api/v1/namespaces/default"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			return err
		}
		if _, err := answer(client, request); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) writeKeys(folder string) error {
	var err error
	if c.authority, err = newAuthority(c.Name); err != nil {
		return err
	}
	ca, err := c.authority.pem()
	if err != nil {
		return err
	}
	certificate, key, err := c.authority.server(net.IPv4(127, 0, 0, 1))
	if err != nil {
		return err
	}
	serviceAccounts, err := keyutil.MakeEllipticPrivateKeyPEM()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	files := map[string][]byte{"ca.crt": ca, "server.crt": certificate, "server.key": key, "service-accounts.key": serviceAccounts}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// config connects as a user. The host is that of c.Config, if the cluster has one already.
func (c *Cluster) config(user string, groups ...string) (*rest.Config, error) {
	certificate, key, err := c.authority.client(user, groups...)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for user %s of cluster %s: %w", user, c.Name, err)
	}
	ca, err := c.authority.pem()
	if err != nil {
		return nil, err
	}
	// No rate limit of the client, as in controllers: the API server has priority and fairness.
	config := &rest.Config{QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: ca, CertData: certificate, KeyData: key}}
	if c.Config != nil {
		config.Host = c.Config.Host
	}
	return config, nil
}

// Kubeconfig returns the connection as the file that kubectl and controllers read. Its context has
// the name of the cluster.
func (c *Cluster) Kubeconfig(config *rest.Config) ([]byte, error) {
	if len(config.CertData) == 0 && config.BearerToken == "" {
		return nil, errors.New("a kubeconfig needs a client certificate or a token")
	}
	file := clientcmdapi.NewConfig()
	file.Clusters[c.Name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	file.AuthInfos[c.Name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	file.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: c.Name}
	file.CurrentContext = c.Name
	data, err := clientcmd.Write(*file)
	if err != nil {
		return nil, fmt.Errorf("writing the kubeconfig of cluster %s: %w", c.Name, err)
	}
	return data, nil
}
