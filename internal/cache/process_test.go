package cache

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// otherProcess is the environment variable that makes the test binary run one of otherProcesses.
const otherProcess = "CACHE_TEST_PROCESS"

var otherProcesses = map[string]func(args []string) error{
	"mixed":   mixedProcess,
	"endless": endlessProcess,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(otherProcess); name != "" {
		if err := otherProcesses[name](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func startProcess(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), otherProcess+"="+name)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	return cmd
}

// contentOf returns the content of a key: different for each, up to three blocks long.
func contentOf(i int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(i), 0))
	content := make([]byte, rnd.IntN(3*block))
	for i := range content {
		content[i] = byte(rnd.Uint32())
	}
	return content
}

const mixedKeys = 400

// mix gets random keys and puts those that are missing.
func mix(s *Store, seed uint64, rounds int) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range rounds {
		i := rnd.IntN(mixedKeys)
		content, ok := s.Get(numbered(i))
		if !ok || rnd.IntN(10) == 0 {
			s.Put(numbered(i), contentOf(i))
		}
		if ok && !bytes.Equal(content, contentOf(i)) {
			return fmt.Errorf("seed %d: Get(%d) returns other content than was stored", seed, i)
		}
	}
	if s.corrupt.Load() > 0 || s.Err() != nil {
		return fmt.Errorf("seed %d: %+v, last error %w", seed, s.Stats(), s.Err())
	}
	if s.hits.Load() == 0 {
		return fmt.Errorf("seed %d: no hit, so the test proves nothing: %+v", seed, s.Stats())
	}
	return nil
}

func mixedProcess(args []string) error {
	limit, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	s, err := Open(args[0], limit)
	if err != nil {
		return err
	}
	return mix(s, seed, 2000)
}

func TestProcessesShareADirectory(t *testing.T) {
	dir := t.TempDir()
	const n, limit = 4, mixedKeys * block // half of the content, so that all processes evict
	var started []*exec.Cmd
	for seed := range n {
		started = append(started, startProcess(t, "mixed", dir, strconv.Itoa(limit), strconv.Itoa(seed)))
	}
	for _, cmd := range started {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if size, _ := measure(t, dir); size > limit+(n-1)*limit/16 {
		t.Errorf("%d bytes, the limit is %d", size, limit)
	}
	wantOnlyWholeEntries(t, openNow(t, dir, limit))
}

func TestGoroutinesShareAStore(t *testing.T) {
	const limit = mixedKeys * block
	s := openNow(t, t.TempDir(), limit)
	var group sync.WaitGroup
	for seed := range uint64(8) {
		group.Go(func() {
			if err := mix(s, seed, 500); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if size, _ := measure(t, s.dir); size > limit {
		t.Errorf("%d bytes, the limit is %d", size, limit)
	}
	wantOnlyWholeEntries(t, s)
}

// wantOnlyWholeEntries checks that each file is a complete entry.
func wantOnlyWholeEntries(t *testing.T, s *Store) {
	t.Helper()
	found := 0
	for i := range mixedKeys {
		if content, ok := s.Get(numbered(i)); ok {
			found++
			if !bytes.Equal(content, contentOf(i)) {
				t.Errorf("Get(%d) returns other content than was stored", i)
			}
		}
	}
	if _, entries := measure(t, s.dir); entries != found || found == 0 {
		t.Errorf("%d files but %d entries", entries, found)
	}
	if s.corrupt.Load() > 0 || s.Err() != nil {
		t.Errorf("%+v, last error %v", s.Stats(), s.Err())
	}
	wantNoTemporary(t, s)
}

func endlessProcess(args []string) error {
	s, err := Open(args[0], 0)
	if err != nil {
		return err
	}
	for i := 0; s.Err() == nil; i++ {
		s.Put(numbered(i%mixedKeys), contentOf(i%mixedKeys))
	}
	return s.Err()
}

func TestKilledProcessLeavesWholeEntries(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		cmd := startProcess(t, "endless", dir)
		waitFor(t, func() bool { return countFiles(dir) > mixedKeys/2 })
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // returns that it was killed
	}
	s := openAt(t, dir, 0, time.Now().Add(2*time.Hour))
	wantOnlyWholeEntries(t, s)
}

// countFiles counts the files of a directory that another process writes to.
func countFiles(dir string) (files int) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() { // an error is a file that was removed
			files++
		}
		return nil
	})
	return files
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timeout after one minute")
		}
	}
}
