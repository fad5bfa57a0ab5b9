package source

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/fluxcd/pkg/git/signature"
	"github.com/fluxcd/pkg/ssh"
	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	gossh "golang.org/x/crypto/ssh"
)

// author signs commits and tags. keys is the value of a Secret that trusts them, id the expected
// Signer.
type author struct {
	signer signature.Signer
	entity *openpgp.Entity
	keys   []byte
	id     string
}

func newPGPAuthor(t *testing.T) author {
	t.Helper()
	entity, err := openpgp.NewEntity("an engineer", "", "engineer@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	signer, err := signature.NewOpenPGPSigner(entity)
	if err != nil {
		t.Fatal(err)
	}
	return author{signer, entity, public.Bytes(), entity.PrimaryKey.KeyIdString()}
}

func newSSHAuthor(t *testing.T) author {
	t.Helper()
	pair, err := ssh.NewECDSAGenerator(elliptic.P256()).Generate()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.NewSSHSigner(pair.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := gossh.ParseAuthorizedKey(pair.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return author{signer, nil, append([]byte("# an engineer\n"), pair.PublicKey...), gossh.FingerprintSHA256(public)}
}

var someone = &object.Signature{Name: "an engineer", Email: "engineer@example.com", When: time.Unix(1_700_000_000, 0)}

// signedCommit commits the clone, signed by an author (nil for unsigned), and pushes it to main.
func (s *server) signedCommit(by *author) string {
	s.t.Helper()
	repository, err := gogit.PlainOpen(s.clone)
	if err != nil {
		s.t.Fatal(err)
	}
	tree, err := repository.Worktree()
	if err != nil {
		s.t.Fatal(err)
	}
	options := &gogit.CommitOptions{Author: someone, AllowEmptyCommits: true}
	if by != nil {
		options.Signer = by.signer
	}
	hash, err := tree.Commit("A commit\n\nwith a body.\n", options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.run(s.clone, "push", "-q", "--force", "origin", "HEAD:refs/heads/main")
	return hash.String()
}

// signedTag tags the commit of the clone, signed by an OpenPGP author (nil for unsigned), and
// pushes the tag.
func (s *server) signedTag(name string, by *author) {
	s.t.Helper()
	repository, err := gogit.PlainOpen(s.clone)
	if err != nil {
		s.t.Fatal(err)
	}
	options := &gogit.CreateTagOptions{Tagger: someone, Message: "A release\n"}
	if by != nil {
		options.SignKey = by.entity
	}
	if _, err := repository.CreateTag(name, plumbing.NewHash(s.run(s.clone, "rev-parse", "HEAD")), options); err != nil {
		s.t.Fatal(err)
	}
	s.run(s.clone, "push", "-q", "--force", "origin", "refs/tags/"+name)
}

func TestSignatureOfACommit(t *testing.T) {
	t.Parallel()
	pgp, otherPGP, key, otherKey := newPGPAuthor(t), newPGPAuthor(t), newSSHAuthor(t), newSSHAuthor(t)
	s := newServer(t)
	s.seed()
	url := s.startHTTP()
	keys := func(of ...author) map[string][]byte {
		m := map[string][]byte{}
		for i, a := range of {
			m[string(rune('a'+i))+".pub"] = a.keys
		}
		return m
	}
	cases := map[string]struct {
		by     *author
		keys   map[string][]byte
		signer string
		says   string
	}{
		"OpenPGP":         {by: &pgp, keys: keys(pgp), signer: pgp.id},
		"OpenPGPAmongAll": {by: &pgp, keys: keys(otherKey, otherPGP, pgp), signer: pgp.id},
		"SSH":             {by: &key, keys: keys(key), signer: key.id},
		"SSHAmongAll":     {by: &key, keys: keys(pgp, otherKey, key), signer: key.id},
		"SSHInOneValue":   {by: &key, keys: map[string][]byte{"k": append(bytes.Clone(otherKey.keys), key.keys...)}, signer: key.id},
		"OpenPGPUnknown":  {by: &pgp, keys: keys(otherPGP), says: "any of the 1 keys"},
		"OpenPGPOtherFmt": {by: &pgp, keys: keys(key), says: "cannot be verified"},
		"SSHUnknown":      {by: &key, keys: keys(otherKey), says: "any of the 1 keys"},
		"SSHOtherFormat":  {by: &key, keys: keys(pgp), says: "cannot be verified"},
		"Unsigned":        {by: nil, keys: keys(pgp, key), says: "not signed"},
		"GarbledKeys":     {by: &key, keys: map[string][]byte{"k": []byte("garbage")}, says: "cannot be verified"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			hash := s.signedCommit(tc.by)
			got, err := fetch(t, newGit(t, Options{URL: url, Verify: &Verify{Mode: VerifyHEAD, Keys: tc.keys}}), "")
			if tc.says != "" {
				wantError(t, err, VerificationFailed, hash, tc.says)
				return
			}
			if err != nil || got.Commit != hash || got.Signer != tc.signer {
				t.Errorf("got %v, %v; want signer %q", got, err, tc.signer)
			}
		})
	}
}

func TestAlteredCommitIsRejected(t *testing.T) {
	t.Parallel()
	a := newSSHAuthor(t)
	s := newServer(t)
	s.seed()
	s.signedCommit(&a)
	raw := s.run(s.clone, "cat-file", "commit", "HEAD")
	s.write("mesh.cue", "package config\n// evil\n")
	s.run(s.clone, "add", "-A")
	evil := s.run(s.clone, "write-tree")
	forged := bytes.Replace([]byte(raw+"\n"), []byte(s.run(s.clone, "rev-parse", "HEAD^{tree}")), []byte(evil), 1)
	hash := s.runWith(s.clone, forged, "hash-object", "-t", "commit", "-w", "--stdin")
	s.run(s.clone, "push", "-q", "--force", "origin", hash+":refs/heads/main")
	_, err := fetch(t, newGit(t, Options{URL: s.startHTTP(), Verify: &Verify{Keys: map[string][]byte{"k": a.keys}}}), "")
	wantError(t, err, VerificationFailed, hash)
}

func TestSignatureOfATag(t *testing.T) {
	t.Parallel()
	a, other, committer := newPGPAuthor(t), newPGPAuthor(t), newSSHAuthor(t)
	s := newServer(t)
	s.seed()
	s.signedCommit(nil)
	s.signedTag("v1.0.0", &a)
	s.signedTag("v1.1.0", &other)
	s.signedTag("v1.2.0", nil)
	s.run(s.clone, "tag", "v1.3.0")
	// The signed tag object of v1.0.0 under another name.
	s.run(s.clone, "update-ref", "refs/tags/v9.0.0", "refs/tags/v1.0.0")
	s.signedCommit(&committer)
	s.signedTag("v2.0.0", &a)
	s.run(s.clone, "push", "-q", "--tags", "origin")
	url := s.startHTTP()
	keys := map[string][]byte{"a.asc": a.keys, "committer.pub": committer.keys}

	for name, tc := range map[string]struct {
		ref    Ref
		mode   VerifyMode
		signer string
		says   string
	}{
		"Signed":         {ref: Ref{Tag: "v1.0.0"}, mode: VerifyTag, signer: a.id},
		"SemVer":         {ref: Ref{SemVer: "~1.0"}, mode: VerifyTag, signer: a.id},
		"Both":           {ref: Ref{Tag: "v2.0.0"}, mode: VerifyTagAndHEAD, signer: a.id + ", " + committer.id},
		"HeadOfATag":     {ref: Ref{Tag: "v2.0.0"}, mode: VerifyHEAD, signer: committer.id},
		"CommitUnsigned": {ref: Ref{Tag: "v1.0.0"}, mode: VerifyTagAndHEAD, says: "is not signed"},
		"UnknownKey":     {ref: Ref{Tag: "v1.1.0"}, mode: VerifyTag, says: "tag v1.1.0"},
		"Unsigned":       {ref: Ref{Tag: "v1.2.0"}, mode: VerifyTag, says: "tag v1.2.0 is not signed"},
		"Lightweight":    {ref: Ref{Tag: "v1.3.0"}, mode: VerifyTag, says: "lightweight"},
		"OtherName":      {ref: Ref{SemVer: ">=9"}, mode: VerifyTag, says: `another name, "v1.0.0"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fetch(t, newGit(t, Options{URL: url, Ref: tc.ref, Verify: &Verify{Mode: tc.mode, Keys: keys}}), "")
			if tc.says != "" {
				wantError(t, err, VerificationFailed, tc.says)
				return
			}
			if err != nil || got.Signer != tc.signer {
				t.Errorf("got %v, %v; want signer %q", got, err, tc.signer)
			}
		})
	}

	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	g := newGit(t, Options{URL: url, Ref: Ref{Tag: "v2.0.0"}, Verify: &Verify{Mode: VerifyTag, Keys: keys}})
	_, err := g.FetchCommit(ctx, mustFetch(t, g).Commit)
	wantError(t, err, VerificationFailed, "no tag")
}

func TestReplacedTagIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	a := newPGPAuthor(t)
	s := newServer(t)
	s.seed()
	s.signedTag("v1.0.0", nil)
	g := newGit(t, Options{URL: s.startHTTP(), Ref: Ref{Tag: "v1.0.0"}, Verify: &Verify{Mode: VerifyTag, Keys: map[string][]byte{"a.asc": a.keys}}})
	_, err := fetch(t, g, "")
	wantError(t, err, VerificationFailed, "not signed")
	s.run(s.clone, "tag", "-d", "v1.0.0")
	s.signedTag("v1.0.0", &a)
	if got := mustFetch(t, g); got.Signer != a.id {
		t.Errorf("signer is %q, want %q", got.Signer, a.id)
	}
}

func TestChangedKeysNeedANewGit(t *testing.T) {
	t.Parallel()
	a, other := newPGPAuthor(t), newPGPAuthor(t)
	s := newServer(t)
	s.seed()
	s.signedCommit(&a)
	trusting := Options{URL: s.startHTTP(), Verify: &Verify{Keys: map[string][]byte{"k": a.keys}}}
	g := newGit(t, trusting)
	mustFetch(t, g)

	same := trusting
	same.Verify = &Verify{Keys: map[string][]byte{"k": bytes.Clone(a.keys)}}
	if !trusting.Equal(same) {
		t.Error("equal options are reported as different")
	}
	changed := trusting
	changed.Verify = &Verify{Keys: map[string][]byte{"k": other.keys}}
	if trusting.Equal(changed) {
		t.Fatal("options with other keys are reported as equal")
	}
	_, err := fetch(t, newGit(t, changed), "")
	wantError(t, err, VerificationFailed, "any of the 1 keys")
}

func TestUnverifiedCommitKeepsTheLastSnapshot(t *testing.T) {
	t.Parallel()
	a := newSSHAuthor(t)
	s := newServer(t)
	s.seed()
	good := s.signedCommit(&a)
	g := newGit(t, Options{URL: s.startHTTP(), Verify: &Verify{Keys: map[string][]byte{"k": a.keys}}})
	first := mustFetch(t, g)
	s.signedCommit(nil)
	for range 2 {
		packs := s.packs.Load()
		_, err := fetch(t, g, "")
		wantError(t, err, VerificationFailed, "not signed")
		if t.Failed() {
			t.Logf("packs %d to %d", packs, s.packs.Load())
		}
	}
	if first.Commit != good || first.Signer != a.id {
		t.Errorf("the last Snapshot changed: %s by %s", first.Commit, first.Signer)
	}
	next := s.signedCommit(&a)
	if got := mustFetch(t, g); got.Commit != next || got.RewrittenFrom != "" {
		t.Errorf("got %s, rewrittenFrom %q; want %s", got.Commit, got.RewrittenFrom, next)
	}
}
