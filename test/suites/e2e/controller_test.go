package e2e_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// controller is a running isthmus-controller.
type controller struct {
	*gitops.Process
	t        *testing.T
	recorder *recorder
	log      string
}

// start runs the command as its Deployment does. The lease is long, because a process that loses
// its API server ends itself. Only the tests of leader election use a shorter one.
func (env *environment) start(flags ...string) *controller {
	env.T.Helper()
	folder := env.T.TempDir()
	c := &controller{t: env.T, recorder: startRecorder(env.T, env.Cluster), log: filepath.Join(folder, "log")}
	kubeconfig, err := gitops.WriteKubeconfig(env.Cluster, c.recorder.relay.Connection(env.token()), folder)
	must(env.T, err)
	out, err := os.Create(c.log)
	must(env.T, err)
	defer out.Close()
	lease := []string{"--leader-election-lease-duration=60s", "--leader-election-renew-deadline=50s", "--leader-election-retry-period=1s"}
	command := gitops.Command{Binary: suite.Controller, Kubeconfig: kubeconfig, Home: folder, Flags: slices.Concat(gitops.TestFlags, lease, flags), Output: out}
	c.Process, err = command.Start()
	must(env.T, err)
	c.recorder.kill = func() { c.Kill(); _ = c.Wait() }
	env.T.Cleanup(func() {
		c.kill()
		c.recorder.relay.Stop()
		// E2E_LOG=1 shows the log of passing tests too.
		if env.T.Failed() || os.Getenv("E2E_LOG") != "" {
			env.T.Logf("end of the controller's log:\n%s", gitops.Tail(c.log, 25))
		}
	})
	return c
}

// kill ends the process with SIGKILL if it is running, and waits until its last requests are done.
func (c *controller) kill() {
	c.Kill()
	_ = c.Wait()
	c.recorder.drain()
}

// stop ends the process with SIGTERM, as Kubernetes does. The process must exit with status 0.
// Before the process logs that it starts, it may not handle signals yet.
func (c *controller) stop() {
	c.t.Helper()
	for end := time.Now().Add(gitops.Deadline); c.Running() && c.logged("isthmus-controller starts") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("timed out after %s waiting until the controller starts", gitops.Deadline)
		}
	}
	must(c.t, c.Signal(syscall.SIGTERM))
	err := c.Wait()
	c.recorder.drain()
	if err != nil {
		c.t.Errorf("after SIGTERM the controller ended with %v", err)
	}
}

// logged counts occurrences of a text in the log.
func (c *controller) logged(text string) int {
	c.t.Helper()
	log, err := os.ReadFile(c.log)
	must(c.t, err)
	return strings.Count(string(log), text)
}
