package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Key names a value: the SHA-256 of everything that the value depends on, including the version of
// the program that computes it.
type Key [sha256.Size]byte

// NewKey returns the key of a sequence of parts. Each part is hashed after its length, so different
// sequences have different keys: ("ab", "c") differs from ("a", "bc"), and an empty part from a
// missing one.
func NewKey(parts ...[]byte) Key {
	hash := sha256.New()
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write(part)
	}
	var key Key
	hash.Sum(key[:0])
	return key
}

// String returns the key in hex, which is also the name of its file.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// path returns the path of the entry below the directory of the store.
func (k Key) path() string {
	name := k.String()
	return name[:2] + "/" + name
}

// isKey reports whether a file of this name in this folder is an entry.
func isKey(folder, name string) bool {
	if len(name) != 2*sha256.Size || name[:2] != folder {
		return false
	}
	for _, c := range []byte(name) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
