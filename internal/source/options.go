package source

import (
	"path"
	"reflect"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
)

// Options say what to fetch, from where and as whom. A [Git] never outlives its Options: when any of them
// changes, a key for verification included, make a new one, so that nothing held was judged by older ones.
type Options struct {
	// URL is https://, ssh:// or http://, the latter without credentials only. file:// and the short form
	// host:path are refused.
	URL string
	// Ref is what of it; the zero Ref is the branch that the remote's HEAD points at. (Flux takes "master".)
	Ref Ref
	// Path is the folder that is the mesh repository, slash-separated, "" for all. Files are relative to it.
	Path string
	// Auth is a Secret's data in Flux's format: username and password, or bearerToken, with ca.crt, tls.crt and
	// tls.key, for https; identity, known_hosts and, for an encrypted identity, password, for ssh.
	Auth map[string][]byte
	// Proxy is a proxy Secret's data in Flux's format: address, username, password. For ssh the address is
	// socks5://.
	Proxy map[string][]byte
	// Verify asks for a signature, nil for none.
	Verify *Verify
	// Limits bound what a commit may hold.
	Limits Limits
}

// Ref is a branch, a tag, a range of versions or a commit. Where several are given, the last of that list
// wins, as in Flux.
type Ref struct {
	Branch string
	Tag    string
	// SemVer is a range such as ">=1.2.0 <2.0.0"; the highest tag in it is taken, and of equal ones
	// ("1.2.0" and "v1.2.0") the one whose name sorts last.
	SemVer string
	// Commit is a full hash. Branch then is a hint for servers that do not serve a commit by its hash: where
	// to look for it.
	Commit string
}

// VerifyMode says which object must carry the signature.
type VerifyMode string

// The modes are Flux's.
const (
	VerifyHEAD       VerifyMode = "HEAD"
	VerifyTag        VerifyMode = "Tag"
	VerifyTagAndHEAD VerifyMode = "TagAndHEAD"
)

// Verify asks that a commit, tag or both be signed by one of Keys.
type Verify struct {
	// Mode is "" for HEAD.
	Mode VerifyMode
	// Keys are a Secret's data: each value an armored OpenPGP key ring, or SSH public keys in the format of
	// authorized_keys. A Verify without keys is an error: it fails closed.
	Keys map[string][]byte
}

// Equal says whether a Git made with o may serve other, too: whether nothing differs.
func (o Options) Equal(other Options) bool {
	o.Limits, other.Limits = o.Limits.withDefaults(), other.Limits.withDefaults()
	return reflect.DeepEqual(o, other)
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// validate checks all that can be known without the network, and brings Path into its canonical form.
func (o *Options) validate() error {
	if err := o.Ref.validate(); err != nil {
		return err
	}
	for _, step := range strings.Split(o.Path, "/") {
		if step == ".." {
			return invalid("path %q leaves the repository", o.Path)
		}
	}
	o.Path = strings.TrimPrefix(path.Clean("/"+o.Path), "/")
	return o.Verify.validate(o.Ref)
}

func (r Ref) validate() error {
	switch {
	case r.Commit != "":
		if !fullHash.MatchString(r.Commit) {
			return invalid("commit %q is not a full hash of 40 lower-case hex digits", r.Commit)
		}
	case r.SemVer != "":
		if _, err := semver.NewConstraint(r.SemVer); err != nil {
			return invalid("semver %q is not a range of versions: %w", r.SemVer, err)
		}
	case r.Tag != "":
		if err := plumbing.NewTagReferenceName(r.Tag).Validate(); err != nil {
			return invalid("tag %q is not a valid name: %w", r.Tag, err)
		}
	case r.Branch != "":
		if err := plumbing.NewBranchReferenceName(r.Branch).Validate(); err != nil {
			return invalid("branch %q is not a valid name: %w", r.Branch, err)
		}
	}
	return nil
}

// validate returns no typed nil: a nil Verify is fine.
func (v *Verify) validate(ref Ref) error {
	if v == nil {
		return nil
	}
	switch v.Mode {
	case "", VerifyHEAD:
	case VerifyTag, VerifyTagAndHEAD:
		if ref.Commit != "" || (ref.Tag == "" && ref.SemVer == "") {
			return invalid("verification mode %s needs ref.tag or ref.semver: a branch or commit has no tag to verify", v.Mode)
		}
	default:
		return invalid("verification mode %q is none of HEAD, Tag, TagAndHEAD", v.Mode)
	}
	if len(v.keyRings()) == 0 {
		return unverified("verification is asked for without any key: the Secret holds none, so nothing can be trusted; put an OpenPGP key ring or SSH public keys into it")
	}
	return nil
}
