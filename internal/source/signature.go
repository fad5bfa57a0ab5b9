package source

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/git/signature"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// keyRings returns the keys in the order of their names, so that errors are stable.
func (v *Verify) keyRings() []string {
	var rings []string
	for _, name := range slices.Sorted(maps.Keys(v.Keys)) {
		if ring := string(v.Keys[name]); strings.TrimSpace(ring) != "" {
			rings = append(rings, ring)
		}
	}
	return rings
}

// signer verifies the signatures that the mode requires and returns the identity of the key: an
// OpenPGP key ID or an SSH SHA256 fingerprint. If tag and commit have different keys, it returns
// both. A nil Verify requires nothing.
func (v *Verify) signer(name plumbing.ReferenceName, commit *object.Commit, tag *object.Tag) (string, error) {
	if v == nil {
		return "", nil
	}
	mode := v.Mode
	if mode == "" {
		mode = VerifyHEAD
	}
	var tagSigner, commitSigner string
	var err error
	if mode == VerifyTag || mode == VerifyTagAndHEAD {
		if tagSigner, err = v.tagSigner(name, tag); err != nil {
			return "", err
		}
	}
	if mode == VerifyHEAD || mode == VerifyTagAndHEAD {
		commitSigner, err = v.verify("commit "+commit.Hash.String(), commit.PGPSignature, commit.EncodeWithoutSignature)
		if err != nil {
			return "", err
		}
	}
	switch {
	case tagSigner == "" || tagSigner == commitSigner:
		return commitSigner, nil
	case commitSigner == "":
		return tagSigner, nil
	}
	return tagSigner + ", " + commitSigner, nil
}

func (v *Verify) tagSigner(name plumbing.ReferenceName, tag *object.Tag) (string, error) {
	if tag == nil {
		if !name.IsTag() {
			return "", unverified("verification of a tag is required, but no tag was fetched")
		}
		return "", unverified("tag %s is lightweight and cannot be signed; create an annotated, signed tag (git tag -s)", name.Short())
	}
	// Otherwise the signed tag of an old release could be published under the name of a new one.
	if tag.Name != name.Short() {
		return "", unverified("tag %s points at the signed tag of another name, %q", name.Short(), tag.Name)
	}
	return v.verify("tag "+tag.Name, tag.PGPSignature, tag.EncodeWithoutSignature)
}

func (v *Verify) verify(what, armored string, payload func(plumbing.EncodedObject) error) (string, error) {
	signed := &plumbing.MemoryObject{}
	if err := payload(signed); err != nil {
		return "", unverified("%s: the signed text cannot be encoded: %w", what, err)
	}
	r, err := signed.Reader()
	if err != nil {
		return "", unverified("%s: %w", what, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return "", unverified("%s: %w", what, err)
	}

	var signer string
	switch {
	case strings.TrimSpace(armored) == "":
		return "", unverified("%s is not signed and not used; sign it, or remove spec.source.verify", what)
	case signature.IsPGPSignature(armored):
		signer, err = signature.VerifyPGPSignature(armored, text, v.keyRings()...)
	case signature.IsSSHSignature(armored):
		signer, err = signature.VerifySSHSignature(armored, text, v.keyRings()...)
	default:
		err = fmt.Errorf("signatures of type %s are not supported; use OpenPGP or SSH", signature.GetSignatureType(armored))
	}
	if errors.Is(err, signature.ErrNoMatchingKey) {
		return "", unverified("%s is signed, but not by any of the %d keys or key rings of the Secret, or it was changed after signing; it is not used: %w", what, len(v.keyRings()), err)
	}
	if err != nil {
		return "", unverified("%s is not used, because its signature cannot be verified: %w", what, err)
	}
	if signer == "" {
		return "", unverified("%s: the signature has no key", what)
	}
	return signer, nil
}
