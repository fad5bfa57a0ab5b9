package source

import (
	"path"
	"reflect"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
)

// Options select what to fetch, from where, and with which credentials and keys. If any option
// changes, create a new [Git], because its cached commit was checked with the old options.
type Options struct {
	// URL is https://, ssh://, or http:// without credentials. file:// and the short form host:path
	// are errors.
	URL string
	// Ref selects the commit. The zero Ref is the branch of the remote's HEAD (in Flux it is
	// "master").
	Ref Ref
	// Path is the folder of the mesh, slash-separated, "" for the root. Files are relative to it.
	Path string
	// Auth is the data of a Secret in the format of Flux. For https: username and password, or
	// bearerToken; optionally ca.crt, tls.crt and tls.key. For ssh: identity, known_hosts, and
	// password if the identity is encrypted.
	Auth map[string][]byte
	// Proxy is the data of a Secret in the format of Flux: address, username, password. For ssh the
	// address must be socks5://.
	Proxy map[string][]byte
	// Verify configures the verification of signatures, nil for none.
	Verify *Verify
	// Limits bound the size of a commit.
	Limits Limits
}

// Ref is a branch, a tag, a range of versions or a commit. If several are set, the last of this
// list wins, as in Flux.
type Ref struct {
	Branch string
	Tag    string
	// SemVer is a range such as ">=1.2.0 <2.0.0". The highest tag in the range wins; of equal
	// versions ("1.2.0" and "v1.2.0") the name that sorts last.
	SemVer string
	// Commit is a full hash. For servers that do not serve commits by hash, Branch says where to
	// search.
	Commit string
}

// VerifyMode selects the object whose signature is verified.
type VerifyMode string

// The modes of Flux.
const (
	VerifyHEAD       VerifyMode = "HEAD"
	VerifyTag        VerifyMode = "Tag"
	VerifyTagAndHEAD VerifyMode = "TagAndHEAD"
)

// Verify requires that a commit, a tag, or both are signed by one of Keys.
type Verify struct {
	// Mode defaults to HEAD.
	Mode VerifyMode
	// Keys is the data of a Secret: each value is an armored OpenPGP key ring, or SSH public keys
	// in the format of authorized_keys. A Verify without keys is an error.
	Keys map[string][]byte
}

// Equal reports whether two Options are the same, so that one [Git] can serve both.
func (o Options) Equal(other Options) bool {
	o.Limits, other.Limits = o.Limits.withDefaults(), other.Limits.withDefaults()
	return reflect.DeepEqual(o, other)
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// validate checks the options without using the network, and normalizes Path.
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

// validate accepts a nil Verify.
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
		return invalid("verification mode %q is unknown; use HEAD, Tag or TagAndHEAD", v.Mode)
	}
	if len(v.keyRings()) == 0 {
		return unverified("the Secret for verification has no keys; add an OpenPGP key ring or SSH public keys")
	}
	return nil
}
