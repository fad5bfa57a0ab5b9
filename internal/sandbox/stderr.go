package sandbox

import "sync"

// outputBuffer keeps the first and the last bytes written to it.
type outputBuffer struct {
	mu        sync.Mutex
	head      []byte
	tail      []byte
	truncated bool
}

// outputEnd is the number of bytes kept at each end.
const outputEnd = 8 << 10

func (b *outputBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(p)
	if room := outputEnd - len(b.head); room > 0 {
		take := min(room, len(p))
		b.head, p = append(b.head, p[:take]...), p[take:]
	}
	b.tail = append(b.tail, p...)
	if over := len(b.tail) - outputEnd; over > 0 {
		b.tail, b.truncated = append(b.tail[:0], b.tail[over:]...), true
	}
	return n, nil
}

func (b *outputBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.truncated {
		return string(b.head) + "\n[…]\n" + string(b.tail)
	}
	return string(b.head) + string(b.tail)
}
