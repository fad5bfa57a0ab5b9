package source

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// authority signs certificates for loopback.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.pem, _, a.key = a.sign(a.cert, a.cert, nil)
	return a
}

func (a *authority) sign(cert, parent *x509.Certificate, by *ecdsa.PrivateKey) (certPEM, keyPEM []byte, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), key
}

// leaf returns a certificate and key for a server or client on loopback.
func (a *authority) leaf() (certPEM, keyPEM []byte) {
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "loopback"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certPEM, keyPEM, _ = a.sign(cert, a.cert, a.key)
	return certPEM, keyPEM
}

func TestHTTPSCredentials(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	plain := s.startHTTP()
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.leaf()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca.pem)

	serve := func(want string, clientAuth tls.ClientAuthType) string {
		f := front(t, plain, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if want != "" && r.Header.Get("Authorization") != want {
					w.Header().Set("WWW-Authenticate", "Basic")
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				r.Header.Del("Authorization")
				next.ServeHTTP(w, r)
			})
		})
		f.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: clientAuth, ClientCAs: clients}
		f.StartTLS()
		return f.URL + "/mesh.git"
	}
	basic := serve("Basic "+base64.StdEncoding.EncodeToString([]byte("ann:s3cret-pass")), tls.NoClientCert)
	bearer := serve("Bearer t0ken-text", tls.NoClientCert)
	mutual := serve("", tls.RequireAndVerifyClientCert)
	clientCert, clientKey := ca.leaf()
	strangeCert, strangeKey := other.leaf()

	data := func(pairs ...string) map[string][]byte {
		m := map[string][]byte{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = []byte(pairs[i+1])
		}
		return m
	}
	caPEM := string(ca.pem)
	cases := map[string]struct {
		url  string
		auth map[string][]byte
		fail Reason
		says string
	}{
		"Basic":           {url: basic, auth: data("username", "ann", "password", "s3cret-pass", "ca.crt", caPEM)},
		"BasicInURL":      {url: strings.Replace(basic, "https://", "https://ann:s3cret-pass@", 1), auth: data("ca.crt", caPEM)},
		"Token":           {url: bearer, auth: data("bearerToken", "t0ken-text", "ca.crt", caPEM)},
		"ClientCert":      {url: mutual, auth: data("ca.crt", caPEM, "tls.crt", string(clientCert), "tls.key", string(clientKey))},
		"OldNameOfCA":     {url: basic, auth: data("username", "ann", "password", "s3cret-pass", "caFile", caPEM)},
		"WrongPassword":   {url: basic, auth: data("username", "ann", "password", "wrong-pass", "ca.crt", caPEM), fail: AuthenticationFailed, says: "check the Secret"},
		"WrongInURL":      {url: strings.Replace(basic, "https://", "https://ann:wrong-pass@", 1), auth: data("ca.crt", caPEM), fail: AuthenticationFailed, says: "check the Secret"},
		"WrongToken":      {url: bearer, auth: data("bearerToken", "wrong-pass", "ca.crt", caPEM), fail: AuthenticationFailed, says: "check the Secret"},
		"NoCredentials":   {url: basic, auth: data("ca.crt", caPEM), fail: AuthenticationFailed, says: "check the Secret"},
		"UnknownCA":       {url: basic, auth: data("username", "ann", "password", "s3cret-pass"), fail: AuthenticationFailed, says: "ca.crt"},
		"OtherCA":         {url: basic, auth: data("username", "ann", "password", "s3cret-pass", "ca.crt", string(other.pem)), fail: AuthenticationFailed, says: "ca.crt"},
		"NoClientCert":    {url: mutual, auth: data("ca.crt", caPEM), fail: AuthenticationFailed, says: "tls.crt"},
		"OtherClientCert": {url: mutual, auth: data("ca.crt", caPEM, "tls.crt", string(strangeCert), "tls.key", string(strangeKey)), fail: AuthenticationFailed, says: "tls.crt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := fetch(t, newGit(t, Options{URL: tc.url, Auth: tc.auth}), "")
			if tc.fail == "" {
				if err != nil || got.Commit != hash {
					t.Errorf("got %v, %v; want commit %s", got, err, hash)
				}
				return
			}
			wantError(t, err, tc.fail, tc.says, "/mesh.git")
			wantWithout(t, err, "s3cret-pass", "wrong-pass", "t0ken-text")
		})
	}
}

func TestInvalidOptions(t *testing.T) {
	t.Parallel()
	pair, err := ssh.NewEd25519Generator().Generate()
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		options Options
		reason  Reason
		names   []string
	}{
		"NoURL":              {Options{}, ConfigurationInvalid, []string{"https://host/path"}},
		"File":               {Options{URL: "file:///tmp/mesh.git"}, ConfigurationInvalid, []string{`scheme "file"`}},
		"Path":               {Options{URL: "/tmp/mesh.git"}, ConfigurationInvalid, []string{"https://host/path"}},
		"Git":                {Options{URL: "git://example.com/mesh.git"}, ConfigurationInvalid, []string{`scheme "git"`}},
		"ShortForm":          {Options{URL: "git@example.com:mesh.git"}, ConfigurationInvalid, []string{"ssh://git@host/path"}},
		"Unparsable":         {Options{URL: "https://ann:s3cret-pass@exa mple.com:x/"}, ConfigurationInvalid, []string{"cannot be parsed"}},
		"PlainCredentials":   {Options{URL: "http://example.com/m", Auth: map[string][]byte{"username": []byte("ann"), "password": []byte("s3cret-pass")}}, ConfigurationInvalid, []string{"unencrypted"}},
		"PlainInURL":         {Options{URL: "http://ann:s3cret-pass@example.com/m"}, ConfigurationInvalid, []string{"unencrypted", "http://example.com/m"}},
		"PlainToken":         {Options{URL: "http://example.com/m", Auth: map[string][]byte{"bearerToken": []byte("s3cret-pass")}}, ConfigurationInvalid, []string{"unencrypted"}},
		"PasswordOnly":       {Options{URL: "https://example.com/m", Auth: map[string][]byte{"password": []byte("s3cret-pass")}}, ConfigurationInvalid, []string{"username"}},
		"HalfClientCert":     {Options{URL: "https://example.com/m", Auth: map[string][]byte{"tls.crt": []byte("x")}}, ConfigurationInvalid, []string{"tls.key"}},
		"BadCA":              {Options{URL: "https://example.com/m", Auth: map[string][]byte{"ca.crt": []byte("x")}}, ConfigurationInvalid, []string{"ca.crt"}},
		"SSHWithoutSecret":   {Options{URL: "ssh://git@example.com/m"}, ConfigurationInvalid, []string{"identity and known_hosts"}},
		"SSHWithoutHostKeys": {Options{URL: "ssh://git@example.com/m", Auth: map[string][]byte{"identity": pair.PrivateKey}}, ConfigurationInvalid, []string{"lacks known_hosts"}},
		"SSHBadIdentity":     {Options{URL: "ssh://git@example.com/m", Auth: map[string][]byte{"identity": []byte("s3cret-pass"), "known_hosts": pair.PublicKey}}, ConfigurationInvalid, []string{"identity"}},
		"ShortHash":          {Options{URL: "https://example.com/m", Ref: Ref{Commit: "abc123"}}, ConfigurationInvalid, []string{"full hash"}},
		"BadRange":           {Options{URL: "https://example.com/m", Ref: Ref{SemVer: "one"}}, ConfigurationInvalid, []string{`"one"`}},
		"BadBranch":          {Options{URL: "https://example.com/m", Ref: Ref{Branch: "a..b:c"}}, ConfigurationInvalid, []string{"a..b:c"}},
		"Proxy":              {Options{URL: "https://example.com/m", Proxy: map[string][]byte{"username": []byte("x")}}, ConfigurationInvalid, []string{"address"}},
		"ProxyForSSH":        {Options{URL: "ssh://git@example.com/m", Auth: map[string][]byte{"identity": pair.PrivateKey, "known_hosts": append([]byte("example.com "), pair.PublicKey...)}, Proxy: map[string][]byte{"address": []byte("http://p:3128")}}, ConfigurationInvalid, []string{"socks5://"}},
		"NoKeys":             {Options{URL: "https://example.com/m", Verify: &Verify{Keys: map[string][]byte{"empty": []byte(" \n")}}}, VerificationFailed, []string{"has no keys"}},
		"TagOfABranch":       {Options{URL: "https://example.com/m", Verify: &Verify{Mode: VerifyTag, Keys: map[string][]byte{"k": []byte("k")}}}, ConfigurationInvalid, []string{"ref.tag"}},
		"UnknownMode":        {Options{URL: "https://example.com/m", Verify: &Verify{Mode: "Head", Keys: map[string][]byte{"k": []byte("k")}}}, ConfigurationInvalid, []string{`"Head"`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g, err := New(tc.options)
			if g != nil {
				t.Error("a Git is returned")
			}
			wantError(t, err, tc.reason, tc.names...)
			wantWithout(t, err, "s3cret-pass")
		})
	}
}

// serveSSH starts the ssh server and returns its URL without a path.
func serveSSH(t *testing.T, s *server, config *gossh.ServerConfig) string {
	t.Helper()
	s.git.KeyDir(t.TempDir())
	if config != nil {
		s.git.WithSSHConfig(config)
	}
	if err := s.git.ListenSSH(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.git.StartSSH() }()
	t.Cleanup(func() {
		if err := s.git.StopSSH(); err != nil {
			t.Error(err)
		}
		if err := <-stopped; err != nil && !strings.Contains(err.Error(), "closed") {
			t.Log("ssh server: ", err)
		}
	})
	return s.git.SSHAddress()
}

func TestSSH(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	address := serveSSH(t, s, nil)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	known, err := ssh.ScanHostKey(u.Host, limit, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ssh.NewEd25519Generator().Generate()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ssh.NewECDSAGenerator(elliptic.P256()).Generate()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Fields(string(known))[0]
	rsa, err := ssh.NewRSAGenerator(2048).Generate()
	if err != nil {
		t.Fatal(err)
	}
	open := func(knownHosts string) (*Snapshot, error) {
		return fetch(t, newGit(t, Options{URL: address + "/mesh.git", Auth: map[string][]byte{"identity": pair.PrivateKey, "known_hosts": []byte(knownHosts)}}), "")
	}
	got, err := open(string(known))
	if err != nil || got.Commit != hash {
		t.Fatalf("got %v, %v; want commit %s", got, err, hash)
	}
	for reason, hosts := range map[string]string{
		"another key of the same kind": name + " " + string(rsa.PublicKey),
		"a key of another kind":        name + " " + string(stranger.PublicKey),
		"only another host":            strings.Replace(string(known), name, "other.example.com", 1),
	} {
		t.Run(reason, func(t *testing.T) {
			_, err := open(hosts)
			wantError(t, err, AuthenticationFailed, "known_hosts")
		})
	}

	g := newGit(t, Options{URL: address + "/mesh.git", Auth: map[string][]byte{"identity": pair.PrivateKey, "known_hosts": known}})
	first := mustFetch(t, g)
	if again := mustFetch(t, g); again != first {
		t.Error("another Snapshot without a change")
	}
	s.write("mesh.cue", "package config\n// over ssh\n")
	first2 := s.push("main", "Over ssh")
	if got := mustFetch(t, g); got.Commit != first2 || got.RewrittenFrom != "" {
		t.Errorf("got %s, rewrittenFrom %q", got.Commit, got.RewrittenFrom)
	}
	s.run(s.clone, "push", "-q", "--force", "origin", hash+":refs/heads/main")
	if got := mustFetch(t, g); got.Commit != hash || got.RewrittenFrom != first2 {
		t.Errorf("after the force push: %s, rewrittenFrom %q", got.Commit, got.RewrittenFrom)
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	target := s.startHTTP()
	var through atomic.Int64
	proxy := front(t, target, func(http.Handler) http.Handler {
		forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = r.In.URL }}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("ann:s3cret-pass")) {
				w.WriteHeader(http.StatusProxyAuthRequired)
				return
			}
			through.Add(1)
			forward.ServeHTTP(w, r)
		})
	})
	proxy.Start()
	secret := map[string][]byte{"address": []byte(proxy.URL), "username": []byte("ann"), "password": []byte("s3cret-pass")}
	got, err := fetch(t, newGit(t, Options{URL: target, Proxy: secret}), "")
	if err != nil || got.Commit != hash {
		t.Fatalf("got %v, %v; want commit %s", got, err, hash)
	}
	if through.Load() < 2 {
		t.Errorf("%d requests went through the proxy", through.Load())
	}
	secret["password"] = []byte("wrong-pass")
	_, err = fetch(t, newGit(t, Options{URL: target, Proxy: secret}), "")
	wantError(t, err, FetchFailed, target, "407")
	wantWithout(t, err, "wrong-pass")
}

func TestSSHServerWithSeveralHostKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	config := &gossh.ServerConfig{PublicKeyCallback: func(gossh.ConnMetadata, gossh.PublicKey) (*gossh.Permissions, error) {
		return &gossh.Permissions{Extensions: map[string]string{"key-id": "test-user"}}, nil
	}}
	var public [][]byte
	for _, generator := range []ssh.KeyPairGenerator{ssh.NewEd25519Generator(), ssh.NewECDSAGenerator(elliptic.P256())} {
		pair, err := generator.Generate()
		if err != nil {
			t.Fatal(err)
		}
		signer, err := gossh.ParsePrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		config.AddHostKey(signer)
		public = append(public, pair.PublicKey)
	}
	address := serveSSH(t, s, config)
	client, err := ssh.NewEd25519Generator().Generate()
	if err != nil {
		t.Fatal(err)
	}
	// The server adds its own RSA key. Entries of other hosts in the file must not matter.
	own, err := ssh.ScanHostKey(strings.TrimPrefix(address, "ssh://git@"), limit, []string{gossh.KeyAlgoRSASHA256}, false)
	if err != nil {
		t.Fatal(err)
	}
	public = append(public, []byte(strings.SplitN(string(own), " ", 2)[1]))
	host := "[127.0.0.1]:" + address[strings.LastIndex(address, ":")+1:]
	for _, key := range public {
		g := newGit(t, Options{URL: address + "/mesh.git", Auth: map[string][]byte{"identity": client.PrivateKey, "known_hosts": []byte(host + " " + string(key) + "\nother.example.com " + string(public[0]) + "other.example.com " + string(public[1]))}})
		if got, err := fetch(t, g, ""); err != nil || got.Commit != hash {
			t.Errorf("with %.20s only: %v, %v", key, got, err)
		}
	}
}

func TestSSHServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, maxAbandoned+1)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				// Read until the client closes the connection.
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
				closed <- struct{}{}
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	pair, err := ssh.NewEd25519Generator().Generate()
	if err != nil {
		t.Fatal(err)
	}
	auth := map[string][]byte{"identity": pair.PrivateKey, "known_hosts": append([]byte("example.com "), pair.PublicKey...)}
	g := newGit(t, Options{URL: "ssh://git@" + listener.Addr().String() + "/mesh.git", Auth: auth})

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = g.Fetch(ctx, "")
	wantError(t, err, FetchFailed, listener.Addr().String())
	select {
	case <-closed:
	case <-time.After(limit):
		t.Fatal("the connection was not closed at the deadline of its Fetch")
	}

	// A fetch that is cancelled long before its deadline keeps its connection. The number is
	// bounded.
	for range maxAbandoned {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		if _, err := g.Fetch(ctx, ""); err == nil {
			t.Fatal("Fetch from a silent server succeeded")
		}
	}
	eventually(t, "the limit of hanging fetches is reached", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, err := g.Fetch(ctx, "")
		return err != nil && strings.Contains(err.Error(), "have not returned")
	})
}

// serveSOCKS starts a SOCKS5 proxy (RFC 1928, 1929) for one user and counts its connections.
func serveSOCKS(t *testing.T, user, password string, connections *atomic.Int64) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				target, err := greetSOCKS(conn, user, password)
				if err != nil {
					return
				}
				connections.Add(1)
				defer func() { _ = target.Close() }()
				go func() { _, _ = io.Copy(target, conn) }()
				_, _ = io.Copy(conn, target)
			}()
		}
	}()
	return listener.Addr().String()
}

func greetSOCKS(conn net.Conn, user, password string) (net.Conn, error) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(conn, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	read(int(read(2)[1]))
	_, _ = conn.Write([]byte{5, 2})
	gotUser := string(read(int(read(2)[1])))
	gotPassword := string(read(int(read(1)[0])))
	if gotUser != user || gotPassword != password {
		_, _ = conn.Write([]byte{1, 1})
		return nil, io.EOF
	}
	_, _ = conn.Write([]byte{1, 0})
	head := read(4)
	if head[3] != 1 {
		return nil, io.EOF
	}
	address := &net.TCPAddr{IP: read(4)}
	port := read(2)
	address.Port = int(port[0])<<8 | int(port[1])
	target, err := net.Dial("tcp", address.String())
	if err != nil {
		return nil, err
	}
	_, err = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return target, err
}

func TestSSHThroughAProxy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := s.seed()
	address := serveSSH(t, s, nil)
	known, err := ssh.ScanHostKey(strings.TrimPrefix(address, "ssh://git@"), limit, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ssh.NewEd25519Generator().Generate()
	if err != nil {
		t.Fatal(err)
	}
	var through atomic.Int64
	proxy := map[string][]byte{
		"address":  []byte("socks5://" + serveSOCKS(t, "ann", "s3cret-pass", &through)),
		"username": []byte("ann"), "password": []byte("s3cret-pass"),
	}
	auth := map[string][]byte{"identity": pair.PrivateKey, "known_hosts": known}
	got, err := fetch(t, newGit(t, Options{URL: address + "/mesh.git", Auth: auth, Proxy: proxy}), "")
	if err != nil || got.Commit != hash {
		t.Fatalf("got %v, %v; want commit %s", got, err, hash)
	}
	if through.Load() == 0 {
		t.Error("the proxy was not used")
	}
	proxy["password"] = []byte("wrong-pass")
	_, err = fetch(t, newGit(t, Options{URL: address + "/mesh.git", Auth: auth, Proxy: proxy}), "")
	wantError(t, err, FetchFailed, address[len("ssh://git@"):])
	wantWithout(t, err, "wrong-pass", "s3cret-pass")
}
