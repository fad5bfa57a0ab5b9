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

// orphanEnv makes this test binary the parent of a child with an endless loop.
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

func TestChildDoesNotOutliveItsParent(t *testing.T) {
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
		t.Fatal("the child is not running")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if !ended(pid) {
			return fmt.Errorf("child %d still exists", pid)
		}
		return nil
	})
}

// ended reports whether a process has ended. Zombies count, because process 1 may never reap them.
func ended(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(status), "State:\tZ")
}

func TestBusyChildEndsWhenItsPipeIsClosed(t *testing.T) {
	// On systems where the kernel does not kill the child.
	w := start(t, Limits{})
	if err := writeFrame(w.child.requests, frame{kind: kindRequest, head: "loop"}); err != nil {
		t.Fatal(err)
	}
	w.child.requests.Close()
	select {
	case <-w.child.exited:
	case <-time.After(time.Minute):
		t.Fatal("the child is still running")
	}
	if !w.child.state.Success() {
		t.Errorf("the child ended with %s", w.child.state)
	}
}
