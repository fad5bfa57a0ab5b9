package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// watchEvery is the sampling interval. In this time a Go program allocates some 10 MiB.
const watchEvery = 10 * time.Millisecond

// peaks are the peaks of the resident memory of a process and its descendants, in bytes.
type peaks struct {
	sum, own, children int64
	ownCPU             time.Duration
}

// watcher samples a process and all its descendants.
type watcher struct {
	root int
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex
	peaks peaks

	// members are the process and its descendants. unrelated caches all other processes.
	members   map[int]*member
	unrelated map[int]bool
}

// member is one process.
type member struct {
	parent  *member
	command string
	// executed: it has called exec. Between fork and exec it shares the memory of its parent.
	executed bool
}

// watch starts sampling.
func watch(pid int) *watcher {
	w := &watcher{
		root: pid, quit: make(chan struct{}), done: make(chan struct{}),
		members: map[int]*member{pid: {command: commandLine(pid), executed: true}}, unrelated: map[int]bool{},
	}
	go w.loop()
	return w
}

func (w *watcher) loop() {
	defer close(w.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.sample()
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
	}
}

// stop ends the sampling.
func (w *watcher) stop() peaks {
	close(w.quit)
	<-w.done
	return w.peaks
}

// restart returns the peaks and resets them.
func (w *watcher) restart() peaks {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peaks
	w.peaks = peaks{}
	return p
}

func (w *watcher) sample() {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	names, _ := proc.Readdirnames(0)
	proc.Close()
	here := make(map[int]bool, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			here[pid] = true
			w.classify(pid)
		}
	}
	for pid := range w.unrelated {
		if !here[pid] {
			delete(w.unrelated, pid)
		}
	}
	var own, children int64
	for pid, m := range w.members {
		if !here[pid] {
			delete(w.members, pid)
			continue
		}
		if !m.hasExecuted(pid) {
			continue
		}
		if pid == w.root {
			own = figure.Resident(pid)
		} else {
			children += figure.Resident(pid)
		}
	}
	_, cpu := figure.ParentAndTime(w.root)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peaks.own, w.peaks.children, w.peaks.sum = max(w.peaks.own, own), max(w.peaks.children, children), max(w.peaks.sum, own+children)
	w.peaks.ownCPU = max(w.peaks.ownCPU, cpu)
}

// classify decides whether a process is a descendant. Its parent is already classified, because it
// has the smaller process ID, unless these have wrapped around.
func (w *watcher) classify(pid int) {
	if w.members[pid] != nil || w.unrelated[pid] {
		return
	}
	parent, _ := figure.ParentAndTime(pid)
	if m := w.members[parent]; m != nil {
		w.members[pid] = &member{parent: m}
		return
	}
	w.unrelated[pid] = true
}

func (m *member) hasExecuted(pid int) bool {
	if !m.executed {
		m.command = commandLine(pid)
		m.executed = m.command != "" && m.command != m.parent.command
	}
	return m.executed
}

func commandLine(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(data)
}
