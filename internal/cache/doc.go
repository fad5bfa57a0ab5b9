// Package cache keeps computed values on disk, for this process, later ones and others.
//
// Input: a [Key], the SHA-256 of everything that the value depends on, and the value as bytes.
// Output: the same bytes, or a miss. A [Store] is a directory that several processes may share.
// Small values share an entry (see [Buckets]).
//
// Invariant: [Store.Get] returns only complete content that was stored under this key. A torn,
// damaged or foreign entry is a miss and is removed. This protects against accidents, not against
// forgery: a user who can write to the directory decides what Get returns, so the directory has
// mode 0700.
//
// Get and Put never fail the caller: an unreadable entry is a miss, and a value that cannot be
// stored is computed again next time. [Store.Err] has the last error. A nil *Store is an empty
// cache.
package cache
