package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// usage is the cost of a process with all its descendants.
type usage struct {
	wall, cpu time.Duration
	// memory is the peak of the total resident memory, in bytes. own and children are the peaks of the
	// process itself and of its descendants.
	memory, own, children int64
	// ownCPU is the sampled processor time of the process itself.
	ownCPU time.Duration
	// largest is the peak of the largest process according to the kernel, to check memory.
	largest int64
	// others is the number of processors that other work used at the same time.
	others float64
}

func (u usage) String() string {
	return fmt.Sprintf("%s, %s of processors (%s the process itself), %s resident (the process itself %s, its children %s; largest by the kernel %s), others used %.1f processors",
		figure.Seconds(u.wall), figure.Seconds(u.cpu), figure.Seconds(u.ownCPU), figure.Bytes(u.memory), figure.Bytes(u.own), figure.Bytes(u.children), figure.Bytes(u.largest), u.others)
}

func wallTime(u usage) int64 { return int64(u.wall) }

// measure runs a command in dir and writes its stdout to the file out.
func measure(ctx context.Context, dir, out string, name string, args ...string) (usage, error) {
	stdout, err := os.Create(out)
	if err != nil {
		return usage{}, err
	}
	defer stdout.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, stdout, &stderr
	u, err := measureCommand(cmd)
	if err != nil {
		return u, fmt.Errorf("%s in %s: %w\n%.4000s", cmd, dir, err, stderr.String())
	}
	return u, nil
}

func measureCommand(cmd *exec.Cmd) (usage, error) {
	busy, began := figure.BusyTime(), time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	w := watch(cmd.Process.Pid)
	err := cmd.Wait()
	u := usage{wall: time.Since(began)}
	p := w.stop()
	u.memory, u.own, u.children, u.ownCPU = p.sum, p.own, p.children, p.ownCPU
	// wait4 includes all descendants that were waited for.
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.largest = r.Maxrss * 1024 // Linux
	}
	u.others = max(0, (figure.BusyTime()-busy-u.cpu).Seconds()/u.wall.Seconds())
	if err == nil && u.memory == 0 {
		err = fmt.Errorf("its resident memory cannot be read from /proc")
	}
	return u, err
}
