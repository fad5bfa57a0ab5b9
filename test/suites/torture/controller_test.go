//go:build linux

package torture_test

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// restartPause is how long a process that ended is left alone, as a kubelet does before it starts one again.
const restartPause = 200 * time.Millisecond

// runEnds stands in the last line of every run in a log, which says when the next one is.
const runEnds = `"next":`

// controller is an isthmus-controller that is started again whenever it ends.
type controller struct {
	name  string
	relay *relay
	log   string
	args  []string
	home  string
	clock *clock

	mutex   sync.Mutex
	process *os.Process
	// starts counts processes; exits are those that ended without being killed, and why.
	starts int
	exits  []string
	killed bool
	ending chan struct{}
}

// start runs the command as its Deployment does, with its own home on the given disk.
func (c *cluster) start(t *testing.T, name string, disk string, flags ...string) *controller {
	t.Helper()
	folder := t.TempDir()
	k := &controller{name: name, relay: newRelay(t, c.server), log: filepath.Join(cmp.Or(os.Getenv("ISTHMUS_LOGS"), folder), name+".log"), home: filepath.Join(disk, name), clock: newClock(t), ending: make(chan struct{})}
	k.relay.kill = k.kill
	kubeconfig := filepath.Join(folder, "kubeconfig")
	text, err := c.server.Kubeconfig(&rest.Config{Host: k.relay.server.URL, BearerToken: c.token(t), TLSClientConfig: rest.TLSClientConfig{CAData: k.relay.authority()}})
	must(t, err)
	must(t, os.WriteFile(kubeconfig, text, 0o600))
	must(t, os.MkdirAll(k.home, 0o755))
	k.args = append([]string{
		"--kubeconfig=" + kubeconfig, "--metrics-addr=0", "--health-addr=0", "--log-level=debug", "--min-retry-delay=50ms", "--settle-time=0",
		"--cache-dir=" + filepath.Join(k.home, "cache"),
	}, flags...)
	out, err := os.Create(k.log)
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() { k.keep(out) })
	t.Cleanup(func() {
		close(k.ending)
		k.kill()
		running.Wait()
		_ = out.Close()
	})
	return k
}

// keep runs the command again and again until the test ends.
func (k *controller) keep(out *os.File) {
	for {
		cmd := exec.Command(binary, k.args...)
		cmd.Env = []string{"RUNTIME_NAMESPACE=" + namespace, "HOME=" + k.home, "TMPDIR=" + k.home, clockVariable + "=" + k.clock.file.Name()}
		cmd.Stdout, cmd.Stderr = out, out
		if err := k.launch(cmd); err != nil {
			fmt.Fprintln(out, "the command does not start:", err)
			return
		}
		err := cmd.Wait()
		k.ended(err)
		select {
		case <-k.ending:
			return
		case <-time.After(restartPause):
		}
	}
}

func (k *controller) launch(cmd *exec.Cmd) error {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	select {
	case <-k.ending:
		return os.ErrProcessDone
	default:
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	k.process, k.killed = cmd.Process, false
	k.starts++
	return nil
}

func (k *controller) ended(err error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.process = nil
	if !k.killed {
		k.exits = append(k.exits, fmt.Sprintf("%s ended by itself: %v", k.name, err))
	}
}

// kill ends the process at once; what it has under way may still reach the API server.
func (k *controller) kill() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process != nil {
		k.killed = true
		_ = k.process.Kill()
	}
}

// signal stops the process or lets it go on.
func (k *controller) signal(signal syscall.Signal) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process != nil {
		_ = k.process.Signal(signal)
	}
}

// limit forbids the process to write to files, as a full disk does where none can be made.
func (k *controller) limit(bytes uint64) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.process != nil {
		_ = unix.Prlimit(k.process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil)
	}
}

// counts are the processes so far, and those that ended by themselves.
func (k *controller) counts() (starts int, exits []string) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.starts, append([]string(nil), k.exits...)
}

func (k *controller) tail() string { return gitops.Tail(k.log, 30) }

// logged is the log from a byte on, or its last bytes.
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
