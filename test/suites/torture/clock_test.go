//go:build linux

package torture_test

import (
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// clockVariable names, in the environment of a controller, the file that says by how many seconds its wall clock is wrong.
const clockVariable = "ISTHMUS_TORTURE_CLOCK"

// The wall clock of one process cannot be set, so the controllers under torture are built with a package time whose Now adds what a file says. The
// file is mapped into memory: a process sees the jump at the next instruction, and Now costs what it did. Timers, and the monotonic reading of a
// time, are the runtime's business and run on, as after clock_settime(2). Children of the evaluation have an empty environment, and the right time.
const (
	rightNow = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	wrongNow = "func Now() Time {\n\tsec, nsec, mono := runtimeNow(); sec += wrongBy()\n"
	wrongBy  = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var wrong = func() *int64 {
	name, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return new(int64)
	}
	file, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	defer syscall.Close(file)
	memory, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&memory[0]))
}()

func wrongBy() int64 {
	if wrong == nil {
		return 0
	}
	return atomic.LoadInt64(wrong)
}
`
)

// overlay makes what "go build -overlay" takes to build with that package, from the toolchain's own source.
func overlay(scratch string) (string, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time")
	source, err := os.ReadFile(filepath.Join(folder, "time.go"))
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), rightNow) != 1 {
		return "", fmt.Errorf("%s/time.go has another Now than this test knows", folder)
	}
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": strings.Replace(string(source), rightNow, wrongNow, 1), "wrong.go": wrongBy} {
		replace[filepath.Join(folder, name)] = filepath.Join(scratch, name)
		if err := os.WriteFile(filepath.Join(scratch, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(scratch, "overlay.json")
	return path, os.WriteFile(path, text, 0o644)
}

// clock is the wall clock of a controller's processes.
type clock struct {
	file *os.File

	mutex sync.Mutex
	by    time.Duration
}

func newClock(t *testing.T) *clock {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	c := &clock{file: file}
	c.set(0)
	return c
}

// set makes the clock wrong by so much, in whole seconds.
func (c *clock) set(by time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.by = by.Truncate(time.Second)
	if _, err := c.file.WriteAt(endian.NativeEndian.AppendUint64(nil, uint64(c.by/time.Second)), 0); err != nil {
		panic(err)
	}
}

func (c *clock) wrongBy() time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.by
}

// clockJumps sets the wall clocks of controllers, each to another time: while nothing happens or while something stays or waits by its time, with or
// without a restart, once or again and again. Half of them are right when it is over, by another jump; the others stay wrong for the faults that
// follow, until the next jump.
//
// What stays or waits until a time may go at once when that time has come by the clock that there is: nothing here can know better, and nothing asks
// how long it stayed. That a host is called is no question of time: it must be there at every moment, as in any fault. Nor may a clock that was set
// back hold anything for as long as it was set back: while the clocks are wrong, all clusters have to be as the repository says within the usual
// deadline, and when it is over, to rest.
func clockJumps(w *trial) func() {
	hit := w.someClusters()
	byTime, restarts, swings := w.chance(0.7), w.chance(0.4), w.chance(0.25)
	if byTime {
		for _, c := range w.clusters {
			c.timing(w.T, time.Second, 4*time.Second)
		}
		w.commit(w.number)
		w.tell("while something stays or waits: %v", w.waits(hit))
	}
	var set []*controller
	for _, c := range hit {
		those := c.controllers
		if w.chance(0.5) {
			those = []*controller{c.leader()}
		}
		for _, k := range those {
			if restarts {
				k.kill()
			}
			k.clock.set(w.jump())
			w.tell("%s is wrong by %s, anew: %v", k.name, k.clock.wrongBy(), restarts)
		}
		set = append(set, those...)
	}
	if !byTime {
		w.pause(0, 2*interval)
		w.commit(w.number)
	}
	if swings {
		w.tell("again and again")
		for range 20 {
			for _, k := range set {
				k.clock.set(pick(w, []time.Duration{0, w.jump()}))
			}
			w.pause(10*time.Millisecond, 200*time.Millisecond)
		}
	}
	return func() {
		for _, c := range hit {
			c.goesByItsClock(w.T)
		}
		if w.chance(0.5) {
			w.tell("and right again")
			for _, k := range set {
				k.clock.set(0)
			}
		}
	}
}

// jump is by how much a clock is wrong: by less than what stays does, or by more than the deadline.
func (w *trial) jump() time.Duration {
	by := pick(w, []time.Duration{2 * time.Second, 3 * time.Minute, 3 * time.Hour, 36 * time.Hour, 20 * 24 * time.Hour})
	if w.chance(0.5) {
		return -by
	}
	return by
}

// waits waits a while until something stays or waits in one of the clusters, which not every commit gives cause for.
func (w *trial) waits(in []*cluster) bool {
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, c := range in {
			ms, err := c.get(w.Context())
			must(w.T, err)
			if ms.Status.WithdrawingCount > 0 || conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonRoutingDeferred {
				return true
			}
		}
	}
	return false
}

// goesByItsClock waits until whoever leads tells at the end of a run that it is the time that its clock says. A controller that
// sleeps until the old time comes does not.
func (c *cluster) goesByItsClock(t *testing.T) {
	t.Helper()
	until(t, c.name+" goes by its clock", func() string {
		k := c.leader()
		var last string
		for line := range strings.Lines(k.logged(-20_000)) {
			if strings.Contains(line, runEnds) {
				last = line
			}
		}
		line := struct{ TS time.Time }{}
		if err := json.Unmarshal([]byte(last), &line); err != nil {
			return fmt.Sprintf("%q tells no time: %v", last, err)
		}
		if by, off := k.clock.wrongBy(), time.Until(line.TS); (off - by).Abs() > 10*time.Second {
			return fmt.Sprintf("%s is wrong by %s, and its log by %s", k.name, by, off)
		}
		return ""
	})
}
