package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
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
	w.t.Helper()
	c := &controller{t: w.t, wire: newWire(w.t, w.cluster), done: make(chan struct{})}
	folder := w.t.TempDir()
	kubeconfig := filepath.Join(folder, "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["it"] = &clientcmdapi.Cluster{Server: c.wire.server.URL, CertificateAuthorityData: c.wire.authority()}
	config.AuthInfos["it"] = &clientcmdapi.AuthInfo{Token: w.token()}
	config.Contexts["it"] = &clientcmdapi.Context{Cluster: "it", AuthInfo: "it"}
	config.CurrentContext = "it"
	must(w.t, clientcmd.WriteToFile(*config, kubeconfig))

	c.log = filepath.Join(folder, "log")
	out, err := os.Create(c.log)
	must(w.t, err)
	defer out.Close()
	c.cmd = exec.Command(binary, append([]string{
		"--kubeconfig=" + kubeconfig, "--metrics-addr=0", "--health-addr=0", "--log-level=debug", "--min-retry-delay=50ms", "--settle-time=0",
		"--leader-election-lease-duration=60s", "--leader-election-renew-deadline=50s", "--leader-election-retry-period=1s",
	}, flags...)...)
	c.cmd.Env = []string{"RUNTIME_NAMESPACE=" + namespace, "HOME=" + folder, "TMPDIR=" + folder}
	c.cmd.Stdout, c.cmd.Stderr = out, out
	must(w.t, c.cmd.Start())
	c.wire.kill = func() { _ = c.cmd.Process.Kill(); <-c.done }
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	w.t.Cleanup(func() {
		c.kill()
		c.wire.server.Close()
		// E2E_LOG=1 shows it of tests that pass, too.
		if w.t.Failed() || os.Getenv("E2E_LOG") != "" {
			w.t.Logf("the end of the controller's log:\n%s", c.tail())
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
	for end := time.Now().Add(deadline); c.running() && c.logged("isthmus-controller starts") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("waited %s in vain until the controller says that it starts", deadline)
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

func (c *controller) tail() string {
	log, err := os.ReadFile(c.log)
	if err != nil {
		return fmt.Sprint(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	lines = lines[max(0, len(lines)-25):]
	for i, line := range lines {
		// Stack traces stand at the end of a line.
		lines[i] = line[:min(len(line), 600)]
	}
	return strings.Join(lines, "\n")
}
