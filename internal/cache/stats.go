package cache

// Stats tells of what use a cache was to this process, and how large it is.
type Stats struct {
	Hits   int64 // Gets that returned content
	Misses int64 // all other Gets, for whatever reason

	Corrupt int64 // entries that were found torn, damaged, of another key or of another format, and removed; each is a miss as well
	Evicted int64 // entries that this process removed to stay below the limit
	Errors  int64 // reads, writes and removals that failed; the last reason is Err

	Bytes   int64 // on disk, of all entries: as last seen by this process, and what it has done since
	Entries int64 // their number, likewise
}

// Stats returns the numbers since Open. The first call looks at those folders that the process has not stored to; that takes a few
// microseconds for each entry that is there.
func (s *Store) Stats() Stats {
	if s == nil {
		return Stats{}
	}
	var stats Stats
	for i := range s.parts {
		p := &s.parts[i]
		p.mu.Lock()
		if !p.seen {
			s.look(p)
		}
		stats.Bytes += p.bytes
		stats.Entries += int64(p.entries)
		p.mu.Unlock()
	}
	stats.Hits = s.hits.Load()
	stats.Misses = s.misses.Load()
	stats.Corrupt = s.corrupt.Load()
	stats.Evicted = s.evicted.Load()
	stats.Errors = s.failures.Load()
	return stats
}

// Err returns the last error of a Get, a Put or the upkeep of the files, none of which fails its caller, or nil if there was none.
func (s *Store) Err() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}
