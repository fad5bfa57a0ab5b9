package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// usage measures a process. Reading fails after the end of the process, even if its pid was reused.
type usage struct {
	statm, stat *os.File
}

func openUsage(pid int) (*usage, error) {
	statm, err := os.Open(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return nil, err
	}
	stat, err := os.Open(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		statm.Close()
		return nil, err
	}
	return &usage{statm: statm, stat: stat}, nil
}

func (u *usage) close() {
	u.statm.Close()
	u.stat.Close()
}

// memory returns the resident memory that is not shared, in bytes.
func (u *usage) memory() (int64, bool) {
	const resident, shared = 1, 2 // man 5 proc: size resident shared …, in pages
	pages, ok := numbers(u.statm, nil, resident, shared)
	if !ok {
		return 0, false
	}
	return (pages[0] - pages[1]) * int64(os.Getpagesize()), true
}

// cpu returns the processor time of the process so far, summed over all threads.
func (u *usage) cpu() (time.Duration, bool) {
	const utime, stime = 14 - 3, 15 - 3 // man 5 proc, counted after the program name, which may contain any character
	ticks, ok := numbers(u.stat, []byte(")"), utime, stime)
	if !ok {
		return 0, false
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all platforms of Go
	return time.Duration(ticks[0]+ticks[1]) * tick, true
}

// numbers reads two of the fields after the last occurrence of after.
func numbers(file *os.File, after []byte, first, second int) ([2]int64, bool) {
	var buffer [1024]byte
	n, _ := file.ReadAt(buffer[:], 0) // io.EOF is usual
	text := buffer[:n]
	if after != nil {
		text = text[bytes.LastIndex(text, after)+1:]
	}
	fields := bytes.Fields(text)
	if len(fields) <= max(first, second) {
		return [2]int64{}, false
	}
	a, errA := strconv.ParseInt(string(fields[first]), 10, 64)
	b, errB := strconv.ParseInt(string(fields[second]), 10, 64)
	return [2]int64{a, b}, errA == nil && errB == nil
}
