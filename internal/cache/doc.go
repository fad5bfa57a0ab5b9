// Package cache answers: was this computed before, by this process or another one?
//
// In: a [Key], which is the SHA-256 of everything that the value depends on, and the value as bytes. Out: the same bytes,
// or nothing. A [Store] is a directory that several processes may share; it survives all of them.
//
// Invariant: [Store.Get] returns only what was stored under this key, whole: an entry carries the version of its
// format, its key and the SHA-256 of its content. An entry that is torn, damaged, of another key or of another format is a
// miss, and is removed. That is no proof against a forger: who may write to the directory decides what Get returns, which is why the
// directory is made for its user alone.
//
// No Get and no Put fails its caller. What cannot be read is a miss, what cannot be stored is computed again next time; both
// are counted ([Store.Stats]) and the last reason is kept ([Store.Err]). A nil *Store is a cache that holds nothing.
//
// An entry is a file, DIR/0a/0a1b…: a folder for each first byte of a key, a file named by the key in hex. It is
// written beside them, in DIR/tmp, and renamed into place, so that a reader finds all of it or none. Nothing is synced: what a power
// failure tears, the checksum finds. Symbolic links do not lead out of the directory, and files of other names are left alone.
//
// # How it stays small
//
// The limit is divided among parts of the key space, of one to 256 folders and at least 4 MiB each. Keys are hashes, so parts
// fill evenly. A Put that takes its part over its share looks at the files of that part alone, and removes those that went
// unused for the longest time, down to 90 % of the share. So no Put ever walks the whole cache, and processes share no state but the
// files. With a limit below 8 MiB there is one part, and the order of removal is exact; above, it is exact in each part.
//
// A part is looked at when this process first stores into it, and again with each sixteenth of its share that this process
// adds, since others add too: while n processes write at once, the cache may be larger than its limit by n-1 sixteenths. With
// each Put, one part that was not yet looked at is, so that a limit that was lowered holds everywhere after 256 of them.
//
// An entry counts as the 4 KiB blocks that it occupies, which is what a volume's quota counts as well, and bounds the number of
// files. The folders themselves are not counted; they take some 2 % of what a full cache of the smallest entries does.
//
// The time of an entry's last use is its modification time, which Get renews at most once an hour: reading stays reading.
package cache
