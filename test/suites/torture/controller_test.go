//go:build linux

package torture_test

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// restartDelay is the pause before an ended process is started again, as a kubelet does.
const restartDelay = 200 * time.Millisecond

// runEnds is contained in the last log line of every reconciliation, which has the time of the
// next.
const runEnds = `"next":`

// controller is an isthmus-controller that is restarted whenever it ends.
type controller struct {
	name    string
	relay   *controllerRelay
	log     string
	command gitops.Command
	clock   *clock

	mutex   sync.Mutex
	process *gitops.Process
	// starts is the number of processes. exits describes those that ended without kill.
	starts   int
	exits    []string
	killed   bool
	stopping chan struct{}
}

// start runs the command as its Deployment does. Its home is on the given disk.
func (c *cluster) start(t *testing.T, name string, disk string, flags ...string) *controller {
	t.Helper()
	folder, home := t.TempDir(), filepath.Join(disk, name)
	k := &controller{
		name: name, relay: startRelay(t, c.server), log: filepath.Join(cmp.Or(os.Getenv("ISTHMUS_LOGS"), folder), name+".log"),
		clock: newClock(t), stopping: make(chan struct{}),
	}
	k.relay.kill = k.kill
	token, err := gitops.Token(t.Context(), c.admin)
	must(t, err)
	kubeconfig, err := gitops.WriteKubeconfig(c.server, k.relay.Connection(token), folder)
	must(t, err)
	must(t, os.MkdirAll(home, 0o755))
	out, err := os.Create(k.log)
	must(t, err)
	k.command = gitops.Command{
		Binary: suite.Controller, Kubeconfig: kubeconfig, Home: home, Output: out,
		Flags: slices.Concat(gitops.TestFlags, []string{"--cache-dir=" + filepath.Join(home, "cache")}, flags),
		Env:   []string{clockVariable + "=" + k.clock.file.Name()},
	}
	var running sync.WaitGroup
	running.Go(k.run)
	t.Cleanup(func() {
		close(k.stopping)
		k.kill()
		running.Wait()
		_ = out.Close()
	})
	return k
}

// run restarts the process until the test ends.
func (k *controller) run() {
	for {
		process, err := k.launch()
		if err != nil {
			fmt.Fprintln(k.command.Output, "the command does not start:", err)
			return
		}
		k.ended(process.Wait())
		select {
		case <-k.stopping:
			return
		case <-time.After(restartDelay):
		}
	}
}

func (k *controller) launch() (*gitops.Process, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	select {
	case <-k.stopping:
		return nil, os.ErrProcessDone
	default:
	}
	process, err := k.command.Start()
	if err != nil {
		return nil, err
	}
	k.process, k.killed = process, false
	k.starts++
	return process, nil
}

func (k *controller) ended(err error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.process = nil
	if !k.killed {
		k.exits = append(k.exits, fmt.Sprintf("%s ended by itself: %v", k.name, err))
	}
}

// kill ends the process with SIGKILL. It is started again.
func (k *controller) kill() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process != nil {
		k.killed = true
		k.process.Kill()
	}
}

// signal sends SIGSTOP or SIGCONT.
func (k *controller) signal(signal syscall.Signal) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process != nil {
		_ = k.process.Signal(signal)
	}
}

// limit sets the maximum file size of the process, to imitate a full disk.
func (k *controller) limit(bytes uint64) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process != nil {
		_ = unix.Prlimit(k.process.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil)
	}
}

// counts returns the number of processes so far, and the exits without kill.
func (k *controller) counts() (starts int, exits []string) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.starts, slices.Clone(k.exits)
}

func (k *controller) tail() string { return gitops.Tail(k.log, 30) }

// logged returns the log from a byte offset on. A negative offset counts from the end.
func (k *controller) logged(from int64) string {
	log, err := os.Open(k.log)
	if err != nil {
		return fmt.Sprint(err)
	}
	defer log.Close()
	if from < 0 {
		from = max(0, k.logSize()+from)
	}
	text, err := io.ReadAll(io.NewSectionReader(log, from, math.MaxInt64-from))
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(text)
}

func (k *controller) logSize() int64 {
	info, err := os.Stat(k.log)
	if err != nil {
		return 0
	}
	return info.Size()
}
