package sandbox

import "sync"

// lastWords keeps the beginning and the end of what is written to it, however much that is.
type lastWords struct {
	mu        sync.Mutex
	head      []byte
	tail      []byte
	forgotten bool
}

const keptWords = 8 << 10 // bytes of each

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	if room := keptWords - len(l.head); room > 0 {
		take := min(room, len(p))
		l.head, p = append(l.head, p[:take]...), p[take:]
	}
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - keptWords; over > 0 {
		l.tail, l.forgotten = append(l.tail[:0], l.tail[over:]...), true
	}
	return n, nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forgotten {
		return string(l.head) + "\n[…]\n" + string(l.tail)
	}
	return string(l.head) + string(l.tail)
}
