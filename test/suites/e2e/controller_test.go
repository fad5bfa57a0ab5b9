package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// controller is a running isthmus-controller.
type controller struct {
	t    *testing.T
	cmd  *exec.Cmd
	wire *wire
	log  string
	// done is closed when the process has ended, with err as exec.Cmd.Wait gave it.
	done chan struct{}
	err  error
}

// start runs the command as its Deployment does. The lease is long, since only the tests of leader election are about it; a process that
// lost its API server ends by itself.
func (w *world) start(flags ...string) *controller {
	w.T.Helper()
	c := &controller{t: w.T, wire: newWire(w.T, w.Cluster), done: make(chan struct{})}
	folder := w.T.TempDir()
	kubeconfig := filepath.Join(folder, "kubeconfig")
	text, err := w.Cluster.Kubeconfig(&rest.Config{Host: c.wire.server.URL, BearerToken: w.token(), TLSClientConfig: rest.TLSClientConfig{CAData: c.wire.authority()}})
	must(w.T, err)
	must(w.T, os.WriteFile(kubeconfig, text, 0o600))

	c.log = filepath.Join(folder, "log")
	out, err := os.Create(c.log)
	must(w.T, err)
	defer out.Close()
	c.cmd = exec.Command(binary, append([]string{
		"--kubeconfig=" + kubeconfig, "--metrics-addr=0", "--health-addr=0", "--log-level=debug", "--min-retry-delay=50ms", "--settle-time=0",
		"--leader-election-lease-duration=60s", "--leader-election-renew-deadline=50s", "--leader-election-retry-period=1s",
	}, flags...)...)
	c.cmd.Env = []string{"RUNTIME_NAMESPACE=" + namespace, "HOME=" + folder, "TMPDIR=" + folder}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	must(w.T, c.cmd.Start())
	c.wire.kill = func() { _ = c.cmd.Process.Kill(); <-c.done }
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	w.T.Cleanup(func() {
		c.kill()
		c.wire.server.Close()
		// E2E_LOG=1 shows it of tests that pass, too.
		if w.T.Failed() || os.Getenv("E2E_LOG") != "" {
			w.T.Logf("the end of the controller's log:\n%s", gitops.Tail(c.log, 25))
		}
	})
	return c
}

// kill ends the process with SIGKILL, if it still runs, and waits until nothing of it is under way.
func (c *controller) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
	c.wire.settle()
}

// stop ends the process as Kubernetes does, and it must end well. Until it has said that it starts, it may not listen to signals yet.
func (c *controller) stop() {
	c.t.Helper()
	for end := time.Now().Add(gitops.Deadline); c.running() && c.logged("isthmus-controller starts") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("waited %s in vain until the controller says that it starts", gitops.Deadline)
		}
	}
	must(c.t, c.cmd.Process.Signal(syscall.SIGTERM))
	<-c.done
	c.wire.settle()
	if c.err != nil {
		c.t.Errorf("after SIGTERM the controller ended with %v", c.err)
	}
}

func (c *controller) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// logged counts the lines of its log that hold text.
func (c *controller) logged(text string) int {
	c.t.Helper()
	log, err := os.ReadFile(c.log)
	must(c.t, err)
	return strings.Count(string(log), text)
}
