package cache

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// random returns incompressible content.
func random(length int) []byte {
	content := make([]byte, length)
	for i := 0; i+8 <= length; i += 8 {
		binary.LittleEndian.PutUint64(content[i:], rand.Uint64())
	}
	return content
}

func numbered(i int) Key {
	return NewKey(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

const benchEntries = 20_000

// BenchmarkPut20000 puts 20,000 entries of 2 KB into an empty cache. Use -benchtime 1x: for minutes
// after many files were removed, ext4 creates new files three times more slowly.
func BenchmarkPut20000(b *testing.B) {
	content := random(2048)
	for b.Loop() {
		b.StopTimer()
		s := openBench(b)
		b.StartTimer()
		for i := range benchEntries {
			s.Put(numbered(i), content)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/benchEntries, "µs/entry")
}

// BenchmarkGet20000 reads the entries in a new process.
func BenchmarkGet20000(b *testing.B) {
	content := random(2048)
	written := openBench(b)
	for i := range benchEntries {
		written.Put(numbered(i), content)
	}
	for b.Loop() {
		s, err := Open(written.dir, 0)
		if err != nil {
			b.Fatal(err)
		}
		for i := range benchEntries {
			if _, ok := s.Get(numbered(i)); !ok {
				b.Fatal("a miss:", s.Err())
			}
		}
		_ = s.Close()
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/benchEntries, "µs/entry")
}

// BenchmarkMiss20000 looks up keys that are missing.
func BenchmarkMiss20000(b *testing.B) {
	content := random(2048)
	s := openBench(b)
	for i := range benchEntries {
		s.Put(numbered(i), content)
	}
	for b.Loop() {
		for i := range benchEntries {
			s.Get(numbered(benchEntries + i))
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N)/benchEntries, "µs/entry")
}

// BenchmarkPutInto100000 measures single Puts of a new process into a full cache of 100,000
// entries. The slowest one includes the scan and the eviction.
func BenchmarkPutInto100000(b *testing.B) {
	const entries = 100_000
	content := random(2048)
	full := openBench(b)
	for i := range entries {
		full.Put(numbered(i), content)
	}
	stats := full.Stats()
	b.Logf("filled: %+v", stats)
	limit := stats.Bytes
	s, err := Open(full.dir, limit)
	if err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	next := entries
	for b.Loop() {
		start := time.Now()
		s.Put(numbered(next), content)
		took = append(took, time.Since(start))
		next++
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds())
	}
	b.ReportMetric(at(0.5), "µs-median")
	b.ReportMetric(at(0.99), "µs-p99")
	b.ReportMetric(at(1), "µs-max")
	b.Logf("after %d: %+v", len(took), s.Stats())
}

// BenchmarkStats100000 measures the first call in a process, which scans the directory.
func BenchmarkStats100000(b *testing.B) {
	content := random(2048)
	full := openBench(b)
	for i := range 100_000 {
		full.Put(numbered(i), content)
	}
	for b.Loop() {
		s, err := Open(full.dir, 0)
		if err != nil {
			b.Fatal(err)
		}
		s.Stats()
		_ = s.Close()
	}
}

func openBench(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.TempDir(), 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}
