package cache

// Stats counts what this process did with the cache since Open, and measures the cache.
type Stats struct {
	Hits   int64 // calls of Get that returned content
	Misses int64 // all other calls of Get

	Corrupt int64 // damaged, torn or foreign entries that were removed; each is also a miss
	Evicted int64 // entries that this process removed to keep the limit
	Errors  int64 // failed reads, writes and removals; Err has the last one

	Bytes   int64 // on disk, all entries: as of the last scan, plus the changes by this process
	Entries int64 // likewise
}

// Stats returns the counters. The first call scans the segments that this process has not scanned
// yet: a few microseconds per entry.
func (s *Store) Stats() Stats {
	if s == nil {
		return Stats{}
	}
	stats := Stats{
		Hits:    s.hits.Load(),
		Misses:  s.misses.Load(),
		Corrupt: s.corrupt.Load(),
		Evicted: s.evicted.Load(),
	}
	for i := range s.segments {
		g := &s.segments[i]
		g.mu.Lock()
		if !g.scanned {
			s.scan(g)
		}
		stats.Bytes += g.bytes
		stats.Entries += int64(g.entries)
		g.mu.Unlock()
	}
	stats.Errors = s.failures.Load() // including those of the scans
	return stats
}

// Err returns the last error of a Get, a Put or an eviction, nil if there was none.
func (s *Store) Err() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}
