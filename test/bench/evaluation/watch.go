package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// watchEvery is how often processes are looked at: in that time Go fills some 10 MiB.
const watchEvery = 10 * time.Millisecond

// peaks are of what a process and its descendants had resident, in bytes.
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

	// members are the process and its descendants; strangers are all others, so that each is read once.
	members   map[int]*member
	strangers map[int]bool
}

// member is one process.
type member struct {
	parent  *member
	command string
	// begun: it runs a program of its own. Between fork and exec it has its parent's memory, which is not there twice.
	begun bool
}

// watch samples until stop is called.
func watch(pid int) *watcher {
	w := &watcher{
		root: pid, quit: make(chan struct{}), done: make(chan struct{}),
		members: map[int]*member{pid: {command: commandLine(pid), begun: true}}, strangers: map[int]bool{},
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

// restart gives the peaks so far and begins anew.
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
			w.meet(pid)
		}
	}
	for pid := range w.strangers {
		if !here[pid] {
			delete(w.strangers, pid)
		}
	}
	var own, children int64
	for pid, m := range w.members {
		if !here[pid] {
			delete(w.members, pid)
			continue
		}
		if !m.begins(pid) {
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

// meet finds out whether a process is one of ours. Its parent is known by then: it has the smaller number, but where these begin anew.
func (w *watcher) meet(pid int) {
	if w.members[pid] != nil || w.strangers[pid] {
		return
	}
	parent, _ := figure.ParentAndTime(pid)
	if m := w.members[parent]; m != nil {
		w.members[pid] = &member{parent: m}
		return
	}
	w.strangers[pid] = true
}

func (m *member) begins(pid int) bool {
	if !m.begun {
		m.command = commandLine(pid)
		m.begun = m.command != "" && m.command != m.parent.command
	}
	return m.begun
}

func commandLine(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(data)
}
