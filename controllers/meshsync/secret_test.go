package meshsync_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/gittestserver"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// secret creates a Secret and deletes it after the test.
func (w *world) secret(inNamespace, name string, data map[string][]byte) {
	w.T.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: inNamespace, Name: name}, Data: data}
	must(w.T, w.Admin.Create(w.T.Context(), secret))
	// The test's own context has ended by then.
	w.T.Cleanup(func() { must(w.T, client.IgnoreNotFound(w.Admin.Delete(context.Background(), secret))) })
}

func TestCredentialsAreReadFromASecretInTheSameNamespace(t *testing.T) {
	w := newWorld(t, withIstio)
	server, err := gittestserver.NewTempGitServer()
	must(t, err)
	certificate, key := selfSigned(t)
	server.Auth("robot", "correct horse")
	must(t, server.InitRepo("../../examples/quickstart", "main", "mesh.git"))
	must(t, server.StartHTTPS(certificate, key, certificate, "127.0.0.1"))
	t.Cleanup(server.StopHTTP)

	w.Create("mesh", func(ms *v1alpha1.MeshSync) {
		ms.Spec.Source.URL = server.HTTPAddress() + "/mesh.git"
		ms.Spec.Source.SecretRef = &meta.LocalObjectReference{Name: "mesh-repo"}
	})
	ms := w.NotReady("mesh", v1alpha1.ReasonSourceInvalid)
	if message := conditions.GetMessage(ms, meta.ReadyCondition); !strings.Contains(message, "isthmus-system/mesh-repo") || !strings.Contains(message, "spec.source.secretRef") {
		t.Errorf("the message names the Secret and the field: %s", message)
	}
	w.secret(namespace, "mesh-repo", map[string][]byte{"username": []byte("robot"), "password": []byte("wrong"), "ca.crt": certificate})
	ms = w.NotReady("mesh", v1alpha1.ReasonAuthenticationFailed)
	if strings.Contains(describe(ms), "wrong") {
		t.Errorf("the status holds the password: %s", describe(ms))
	}
	good := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mesh-repo"},
		Data:       map[string][]byte{"username": []byte("robot"), "password": []byte("correct horse"), "ca.crt": certificate},
	}
	must(t, w.Admin.Update(t.Context(), good))
	w.Applied("mesh", "")
	// The Secret is not read again while nothing changes.
	sent := len(w.requests.list())
	time.Sleep(time.Second)
	if extra := w.requests.list()[sent:]; len(extra) > 0 {
		t.Errorf("requests without any change: %q", extra)
	}
}

func TestSecretOfAnotherNamespaceIsNotReadable(t *testing.T) {
	w := newWorld(t, withIstio)
	w.secret("default", "mesh-repo", map[string][]byte{"username": []byte("u"), "password": []byte("p")})
	elsewhere := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "mesh"},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster: "east", Source: v1alpha1.Source{URL: w.Git.URL(), SecretRef: &meta.LocalObjectReference{Name: "mesh-repo"}},
			Interval: metav1.Duration{Duration: 200 * time.Millisecond},
		},
	}
	must(t, w.Admin.Create(t.Context(), elsewhere))
	w.Until("the MeshSync reports that the Secret is not readable", func() (bool, string) {
		must(t, w.Admin.Get(t.Context(), client.ObjectKeyFromObject(elsewhere), elsewhere))
		message := conditions.GetMessage(elsewhere, meta.ReadyCondition)
		return conditions.GetReason(elsewhere, meta.ReadyCondition) == v1alpha1.ReasonSourceInvalid && strings.Contains(message, "own namespace only"), message
	})
}

// commitSigned pushes an empty signed commit.
func commitSigned(repository *gitops.Repository, by *openpgp.Entity) string {
	repository.T.Helper()
	clone, err := git.PlainOpen(repository.Clone)
	must(repository.T, err)
	tree, err := clone.Worktree()
	must(repository.T, err)
	author := &object.Signature{Name: "Ada", Email: "ada@example.com", When: time.Now()}
	_, err = tree.Commit("Change", &git.CommitOptions{Author: author, AllowEmptyCommits: true, SignKey: by})
	must(repository.T, err)
	return repository.Push()
}

func TestOnlySignedCommitsAreApplied(t *testing.T) {
	w := newWorld(t, withIstio)
	trusted, err := openpgp.NewEntity("Ada", "", "ada@example.com", nil)
	must(t, err)
	var key bytes.Buffer
	armored, err := armor.Encode(&key, openpgp.PublicKeyType, nil)
	must(t, err)
	must(t, trusted.Serialize(armored))
	must(t, armored.Close())
	w.secret(namespace, "signers", map[string][]byte{"ada.asc": key.Bytes()})

	w.Create("mesh", func(ms *v1alpha1.MeshSync) {
		ms.Spec.Source.Verify = &v1alpha1.Verify{SecretRef: meta.LocalObjectReference{Name: "signers"}}
	})
	ms := w.NotReady("mesh", v1alpha1.ReasonVerificationFailed)
	if !conditions.IsFalse(ms, v1alpha1.SourceVerifiedCondition) || len(w.all()) != 0 {
		t.Errorf("an unsigned commit is not verified, and nothing is applied: %d objects, %s", len(w.all()), describe(ms))
	}
	signed := commitSigned(w.Git, trusted)
	ms = w.Applied("mesh", signed)
	if !conditions.IsTrue(ms, v1alpha1.SourceVerifiedCondition) {
		t.Errorf("the condition does not name the signer: %s", describe(ms))
	}
	before := w.Objects()
	w.Git.Commit(map[string]string{"services/cart.cue": ""})
	ms = w.NotReady("mesh", v1alpha1.ReasonVerificationFailed)
	if len(w.Objects()) != len(before) || !strings.HasSuffix(ms.Status.LastAppliedRevision, signed) {
		t.Errorf("an unsigned commit changes nothing: %s", describe(ms))
	}
}

// withoutServiceEntries is the controller's role without read access to ServiceEntries.
func withoutServiceEntries(t *testing.T) []rbacv1.PolicyRule {
	t.Helper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	must(t, err)
	role := &rbacv1.ClusterRole{}
	for _, document := range strings.Split(string(text), "\n---\n") {
		if strings.Contains(document, "kind: ClusterRole\n") {
			must(t, yaml.Unmarshal([]byte(strings.Replace(document, "  - serviceentries\n", "", 1)), role))
		}
	}
	return role.Rules
}

func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "loopback"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
