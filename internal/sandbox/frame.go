package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is kind (1 byte), lengths of head (4 bytes) and body (8 bytes, both big endian), head,
// body.
type frame struct {
	kind byte
	head string
	body []byte
}

// The kinds of frames. The parent sends a setup and the child replies with hello. Then the child
// replies to each request with a response or a failure.
const (
	kindSetup    = 'S' // body: setup as JSON
	kindHello    = 'H' // body: Enforced as JSON
	kindRequest  = 'R' // head: the handler's name, body: the request
	kindResponse = 'A' // body: the response
	kindFailure  = 'F' // body: the handler's error
)

const (
	headerSize = 13
	maxHead    = 1 << 10
)

var errBadFrame = errors.New("sent an invalid response")

// frameTooLarge is the error of a frame whose body exceeds the limit.
type frameTooLarge struct{ size uint64 }

func (e frameTooLarge) Error() string { return fmt.Sprintf("a frame of %d bytes is too large", e.size) }

func writeFrame(w io.Writer, f frame) error {
	header := make([]byte, headerSize, headerSize+len(f.head))
	header[0] = f.kind
	binary.BigEndian.PutUint32(header[1:], uint32(len(f.head)))
	binary.BigEndian.PutUint64(header[5:], uint64(len(f.body)))
	if _, err := w.Write(append(header, f.head...)); err != nil {
		return err
	}
	_, err := w.Write(f.body)
	return err
}

// readFrame reads one frame of one of the kinds. Children are not trusted, so it neither reads nor
// allocates more than the limit.
func readFrame(r io.Reader, limit int64, kinds ...byte) (frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return frame{}, err
	}
	f := frame{kind: header[0]}
	known := false
	for _, k := range kinds {
		known = known || f.kind == k
	}
	headLen, bodyLen := binary.BigEndian.Uint32(header[1:]), binary.BigEndian.Uint64(header[5:])
	if !known || headLen > maxHead {
		return frame{}, errBadFrame
	}
	if bodyLen > uint64(limit) {
		return frame{}, frameTooLarge{bodyLen}
	}
	head := make([]byte, headLen)
	if _, err := io.ReadFull(r, head); err != nil {
		return frame{}, err
	}
	f.head, f.body = string(head), make([]byte, bodyLen)
	_, err := io.ReadFull(r, f.body)
	return f, err
}
