package source

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sort"
	"strings"

	"github.com/fluxcd/pkg/git"
	"github.com/fluxcd/pkg/ssh/knownhosts"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage"
	gossh "golang.org/x/crypto/ssh"
	hostkeys "golang.org/x/crypto/ssh/knownhosts"
)

// remote is a remote repository with its credentials.
type remote struct {
	// url has no credentials; display has no query either and is used in messages.
	url, display string
	auth         transport.AuthMethod
	caFile       []byte
	clientCert   []byte
	clientKey    []byte
	proxy        transport.ProxyOptions
	// secrets are removed from all error texts.
	secrets []string
}

func newRemote(o Options) (*remote, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		// The error of the parser quotes the URL, which may contain a password.
		return nil, invalid("the repository URL cannot be parsed; write it as https://host/path or ssh://git@host/path")
	}
	r := &remote{display: (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()}
	switch u.Scheme {
	case "https", "http", "ssh":
	default:
		return nil, invalid("repository URL %s: scheme %q is not supported; write it as https://host/path or ssh://git@host/path", r.display, u.Scheme)
	}
	if u.Host == "" {
		return nil, invalid("repository URL %s has no host", r.display)
	}
	opts, err := git.NewAuthOptions(*u, o.Auth)
	if err != nil {
		return nil, r.invalidAuth(u.Scheme, o.Auth, err)
	}
	r.addSecrets(opts, o.Proxy)
	if u.Scheme == "ssh" {
		u.User = url.User(opts.Username)
		r.auth, err = sshAuth(opts)
	} else {
		u.User = nil
		r.auth, err = r.httpAuth(opts)
	}
	if err != nil {
		return nil, err
	}
	r.url = u.String()
	r.caFile, r.clientCert, r.clientKey = opts.CAFile, opts.ClientCert, opts.ClientKey
	if err := r.useProxy(o.Proxy); err != nil {
		return nil, err
	}
	return r, nil
}

// addSecrets collects the secrets for redact. Values under 3 characters would garble every text.
func (r *remote) addSecrets(opts *git.AuthOptions, proxy map[string][]byte) {
	for _, secret := range []string{opts.Password, opts.BearerToken, string(proxy["password"])} {
		// URLs contain secrets in escaped form.
		for _, s := range []string{secret, url.QueryEscape(secret), url.UserPassword("", secret).String()[1:], url.PathEscape(secret)} {
			if len(s) >= 3 {
				r.secrets = append(r.secrets, s)
			}
		}
	}
	sort.Slice(r.secrets, func(i, j int) bool { return len(r.secrets[i]) > len(r.secrets[j]) })
}

// invalidAuth lists all keys that a Secret lacks.
func (r *remote) invalidAuth(scheme string, data map[string][]byte, err error) *Error {
	if scheme != "ssh" {
		return invalid("credentials for %s: %w", r.display, err)
	}
	var missing []string
	for _, key := range []string{"identity", "known_hosts"} {
		if len(data[key]) == 0 {
			missing = append(missing, key)
		}
	}
	return invalid("credentials for %s: the Secret lacks %s; ssh needs a private key (identity) and the server's host keys (known_hosts, as `ssh-keyscan` prints them)",
		r.display, strings.Join(missing, " and "))
}

func (r *remote) httpAuth(opts *git.AuthOptions) (transport.AuthMethod, error) {
	if opts.Transport == git.HTTP {
		if opts.Username != "" || opts.Password != "" || opts.BearerToken != "" || len(opts.ClientKey) > 0 {
			return nil, invalid("credentials for %s would be sent unencrypted; use https:// or ssh://, or no credentials", r.display)
		}
		return nil, nil
	}
	if (len(opts.ClientCert) == 0) != (len(opts.ClientKey) == 0) {
		return nil, invalid("credentials for %s: a client certificate needs both tls.crt and tls.key", r.display)
	}
	if len(opts.ClientCert) > 0 {
		if _, err := tls.X509KeyPair(opts.ClientCert, opts.ClientKey); err != nil {
			return nil, invalid("credentials for %s: tls.crt and tls.key: %w", r.display, err)
		}
	}
	if len(opts.CAFile) > 0 && !x509.NewCertPool().AppendCertsFromPEM(opts.CAFile) {
		return nil, invalid("credentials for %s: ca.crt has no PEM certificate", r.display)
	}
	switch {
	case opts.BearerToken != "":
		return &http.TokenAuth{Token: opts.BearerToken}, nil
	case opts.Username != "" || opts.Password != "":
		return &http.BasicAuth{Username: opts.Username, Password: opts.Password}, nil
	}
	// Empty credentials are not sent: GitLab rejects them even for a public repository.
	return nil, nil
}

// hostKeyError: the host key of the server is not in known_hosts.
type hostKeyError struct {
	host, fingerprint string
	cause             error
}

func (e *hostKeyError) Error() string {
	return fmt.Sprintf("host key of %s with fingerprint %s is not in known_hosts: %v", e.host, e.fingerprint, e.cause)
}

func (e *hostKeyError) Unwrap() error { return e.cause }

// pinnedHostKey is SSH public key authentication to a server with a known host key.
type pinnedHostKey struct {
	*ssh.PublicKeys
	algorithms []string
}

// ClientConfig offers only the algorithms of the known keys, so that a server with several host
// keys uses one of them.
func (a *pinnedHostKey) ClientConfig() (*gossh.ClientConfig, error) {
	c, err := a.PublicKeys.ClientConfig()
	if err != nil {
		return nil, err
	}
	c.HostKeyAlgorithms = a.algorithms
	return c, nil
}

func sshAuth(opts *git.AuthOptions) (transport.AuthMethod, error) {
	keys, err := ssh.NewPublicKeys(opts.Username, opts.Identity, opts.Password)
	if err != nil {
		return nil, invalid("credentials for %s: identity is not a readable private key: %w (is it encrypted? put its passphrase into password)", opts.Host, err)
	}
	check, _, err := knownhosts.New(opts.KnownHosts)
	if err != nil {
		return nil, invalid("credentials for %s: known_hosts: %w", opts.Host, err)
	}
	keys.HostKeyCallback = func(host string, address net.Addr, key gossh.PublicKey) error {
		if err := check(host, address, key); err != nil {
			return &hostKeyError{host: host, fingerprint: gossh.FingerprintSHA256(key), cause: err}
		}
		return nil
	}
	return &pinnedHostKey{PublicKeys: keys, algorithms: hostKeyAlgorithms(check, opts.Host)}, nil
}

// hostKeyAlgorithms returns the algorithms of the known keys of host, nil if there are none. Keys
// of other hosts in the same file do not count.
func hostKeyAlgorithms(check gossh.HostKeyCallback, host string) []string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), "22")
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil
	}
	unknown, err := gossh.NewPublicKey(public)
	if err != nil {
		return nil
	}
	// Checking a random key returns an error with the list of the known keys.
	var keyErr *hostkeys.KeyError
	if !errors.As(check(host, &net.TCPAddr{}, unknown), &keyErr) {
		return nil
	}
	var algorithms []string
	for _, known := range keyErr.Want {
		if known.Key.Type() == gossh.KeyAlgoRSA {
			// An RSA key also signs with SHA-2; servers no longer offer SHA-1.
			algorithms = append(algorithms, gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256)
		}
		algorithms = append(algorithms, known.Key.Type())
	}
	sort.Strings(algorithms)
	return algorithms
}

func (r *remote) useProxy(data map[string][]byte) error {
	if len(data) == 0 {
		return nil
	}
	address := string(data["address"])
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return invalid("the proxy Secret needs address, as http://host:port or socks5://host:port")
	}
	if ssh := strings.HasPrefix(r.url, "ssh://"); ssh && u.Scheme != "socks5" && u.Scheme != "socks5h" {
		return invalid("the proxy Secret has an address of scheme %q; ssh needs a socks5:// proxy", u.Scheme)
	} else if !ssh && u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h" {
		return invalid("the proxy Secret has an address of scheme %q; use http://, https:// or socks5://", u.Scheme)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return invalid("the proxy Secret's address must be scheme://host:port")
	}
	r.proxy = transport.ProxyOptions{URL: address, Username: string(data["username"]), Password: string(data["password"])}
	if p, ok := u.User.Password(); ok && len(p) >= 3 {
		r.secrets = append(r.secrets, p)
	}
	return nil
}

// gitRemote returns the remote of go-git that stores objects in s.
func (r *remote) gitRemote(s storage.Storer) *gogit.Remote {
	return gogit.NewRemote(s, &config.RemoteConfig{Name: gogit.DefaultRemoteName, URLs: []string{r.url}})
}

// list returns the refs of the server (ls-remote) without transferring objects.
func (r *remote) list(ctx context.Context) ([]*plumbing.Reference, error) {
	return r.gitRemote(nil).ListContext(ctx, &gogit.ListOptions{
		Auth: r.auth, CABundle: r.caFile, ClientCert: r.clientCert, ClientKey: r.clientKey, ProxyOptions: r.proxyWithDeadline(ctx),
	})
}

// fetch transfers the specs into s, with the given depth of history, 0 for all.
func (r *remote) fetch(ctx context.Context, s storage.Storer, depth int, specs ...config.RefSpec) error {
	return r.gitRemote(s).FetchContext(ctx, &gogit.FetchOptions{
		RefSpecs: specs, Depth: depth, Tags: gogit.NoTags, Force: true,
		Auth: r.auth, CABundle: r.caFile, ClientCert: r.clientCert, ClientKey: r.clientKey, ProxyOptions: r.proxyWithDeadline(ctx),
	})
}
