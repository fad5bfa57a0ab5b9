package sandbox

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// orphanEnv makes this test binary the parent of a child that computes for ever.
const orphanEnv = "ISTHMUS_TEST_PARENT_OF_ORPHAN"

func parentOfOrphan() {
	w, err := Start(context.Background(), Limits{Time: time.Hour, CPU: time.Hour})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(w.child.process.Pid)
	_, err = w.Call(context.Background(), "loop", nil)
	fmt.Println("the loop ended:", err)
	os.Exit(1)
}

func TestAChildDoesNotOutliveItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = parent.Process.Kill()
		_ = parent.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if ended(pid) {
		t.Fatal("the child does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !ended(pid) {
			return fmt.Errorf("child %d is still there", pid)
		}
		return nil
	})
}

// ended counts a zombie as ended: an orphan is reaped by whatever is process 1, if at all.
func ended(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(status), "State:\tZ")
}

func TestAComputingChildEndsWithItsPipe(t *testing.T) {
	// What holds where the kernel does not end it.
	w := start(t, Limits{})
	if err := writeFrame(w.child.requests, frame{kind: kindRequest, head: "loop"}); err != nil {
		t.Fatal(err)
	}
	w.child.requests.Close()
	select {
	case <-w.child.exited:
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if !w.child.state.Success() {
		t.Errorf("it ended otherwise: %s", w.child.state)
	}
}
