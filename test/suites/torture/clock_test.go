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

// clockVariable is the environment variable with the file that contains the offset of a
// controller's wall clock.
const clockVariable = "ISTHMUS_TORTURE_CLOCK"

// The wall clock of a single process cannot be set. The controllers are therefore built with a
// patched package time: Now adds an offset from a file. The file is mapped into memory, so a jump
// takes effect at once and Now costs no system call. Timers and the monotonic clock are not
// changed, as after clock_settime(2). Child processes of the evaluation have an empty environment
// and no offset.
const (
	originalNow  = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	patchedNow   = "func Now() Time {\n\tsec, nsec, mono := runtimeNow(); sec += clockOffset()\n"
	offsetSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var clockOffsetFile = func() *int64 {
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

func clockOffset() int64 {
	if clockOffsetFile == nil {
		return 0
	}
	return atomic.LoadInt64(clockOffsetFile)
}
`
)

// patchedTime returns the flags of go build that replace package time of the toolchain by the
// patched one.
func patchedTime(scratch string) ([]string, error) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(strings.TrimSpace(string(goroot)), "src", "time")
	source, err := os.ReadFile(filepath.Join(folder, "time.go"))
	if err != nil {
		return nil, err
	}
	if strings.Count(string(source), originalNow) != 1 {
		return nil, fmt.Errorf("%s/time.go has an unknown version of Now", folder)
	}
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": strings.Replace(string(source), originalNow, patchedNow, 1), "clock_offset.go": offsetSource} {
		replace[filepath.Join(folder, name)] = filepath.Join(scratch, name)
		if err := os.WriteFile(filepath.Join(scratch, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(scratch, "overlay.json")
	return []string{"-overlay", path}, os.WriteFile(path, text, 0o644)
}

// clock is the wall clock of the processes of one controller.
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

// set sets the offset of the clock, in whole seconds.
func (c *clock) set(by time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.by = by.Truncate(time.Second)
	if _, err := c.file.WriteAt(endian.NativeEndian.AppendUint64(nil, uint64(c.by/time.Second)), 0); err != nil {
		panic(err)
	}
}

func (c *clock) offset() time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.by
}

// clockJumps sets the wall clocks of controllers to different times: without other activity or
// during deferrals and withdrawals, with or without a restart, once or repeatedly. In half of the
// injections the clocks are set back to the right time at the end. Otherwise they stay wrong until
// the next jump.
//
// Deferrals and withdrawals may end early, because a controller only has its own clock. Their
// duration is not checked. Required hosts must always be present, as in every fault. A clock that
// was set back must not delay anything by as much: with wrong clocks, all clusters must converge
// within the usual deadline and then be idle.
func clockJumps(inj *injection) func() {
	affected := inj.someClusters()
	pending, restarts, repeated := inj.chance(0.7), inj.chance(0.4), inj.chance(0.25)
	if pending {
		for _, c := range inj.clusters {
			c.setDelays(inj.T, time.Second, 4*time.Second)
		}
		inj.commit(inj.number)
		inj.note("with pending deferrals or withdrawals: %v", inj.delaysPending(affected))
	}
	var set []*controller
	for _, c := range affected {
		selected := c.controllers
		if inj.chance(0.5) {
			selected = []*controller{c.leader()}
		}
		for _, k := range selected {
			if restarts {
				k.kill()
			}
			k.clock.set(inj.jump())
			inj.note("%s is off by %s, restarted: %v", k.name, k.clock.offset(), restarts)
		}
		set = append(set, selected...)
	}
	if !pending {
		inj.pause(0, 2*interval)
		inj.commit(inj.number)
	}
	if repeated {
		inj.note("repeatedly")
		for range 20 {
			for _, k := range set {
				k.clock.set(pick(inj, []time.Duration{0, inj.jump()}))
			}
			inj.pause(10*time.Millisecond, 200*time.Millisecond)
		}
	}
	return func() {
		for _, c := range affected {
			c.awaitRunOnItsClock(inj.T)
		}
		if inj.chance(0.5) {
			inj.note("reset at the end")
			for _, k := range set {
				k.clock.set(0)
			}
		}
	}
}

// jump is a random offset: shorter than the withdrawals, or longer than the deadline.
func (inj *injection) jump() time.Duration {
	by := pick(inj, []time.Duration{2 * time.Second, 3 * time.Minute, 3 * time.Hour, 36 * time.Hour, 20 * 24 * time.Hour})
	if inj.chance(0.5) {
		return -by
	}
	return by
}

// delaysPending waits for a deferral or withdrawal in one of the clusters. Not every commit causes
// one.
func (inj *injection) delaysPending(in []*cluster) bool {
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, c := range in {
			ms, err := c.get(inj.Context())
			must(inj.T, err)
			if ms.Status.WithdrawingCount > 0 || conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonRoutingDeferred {
				return true
			}
		}
	}
	return false
}

// awaitRunOnItsClock waits until the leader logs the end of a run at the time of its clock. A
// controller that waits for a time of the old clock does not.
func (c *cluster) awaitRunOnItsClock(t *testing.T) {
	t.Helper()
	until(t, c.name+" reconciles with the time of its clock", func() string {
		k := c.leader()
		var last string
		for line := range strings.Lines(k.logged(-20_000)) {
			if strings.Contains(line, runEnds) {
				last = line
			}
		}
		line := struct{ TS time.Time }{}
		if err := json.Unmarshal([]byte(last), &line); err != nil {
			return fmt.Sprintf("%q has no time: %v", last, err)
		}
		if want, got := k.clock.offset(), time.Until(line.TS); (got - want).Abs() > 10*time.Second {
			return fmt.Sprintf("the clock of %s is off by %s, its log by %s", k.name, want, got)
		}
		return ""
	})
}
