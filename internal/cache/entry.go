package cache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// An entry is a header and the content:
//
//	offset  bytes
//	     0      8  magic; its last byte is the version of the format
//	     8     32  the key
//	    40     32  SHA-256 of the content
//	    72         the content, to the end of the file
const (
	magic        = "isthmus\x01"
	keyOffset    = len(magic)
	sumOffset    = keyOffset + sha256.Size
	headerLength = sumOffset + sha256.Size
)

// maxContent bounds how much is read from a file that another program put into the directory.
const maxContent = 64 << 20

// corruptError explains why an existing file is not a valid entry.
type corruptError struct {
	reason string
	length int64 // of the file, in bytes
}

func (e *corruptError) Error() string { return e.reason }

var errNotRegular = errors.New("is not a regular file and is not touched: remove it")

// encode returns the file content of an entry.
func encode(key Key, content []byte) []byte {
	file := make([]byte, 0, headerLength+len(content))
	file = append(file, magic...)
	file = append(file, key[:]...)
	sum := sha256.Sum256(content)
	file = append(file, sum[:]...)
	return append(file, content...)
}

// decode returns the content of an entry, which shares the memory of file, or a *corruptError.
func decode(key Key, file []byte) ([]byte, error) {
	corrupt := func(reason string) ([]byte, error) {
		return nil, &corruptError{reason: reason, length: int64(len(file))}
	}
	if len(file) < headerLength {
		return corrupt("is shorter than its header")
	}
	if string(file[:keyOffset]) != magic {
		return corrupt("has another format")
	}
	if !bytes.Equal(file[keyOffset:sumOffset], key[:]) {
		return corrupt("belongs to another key")
	}
	content := file[headerLength:]
	if sum := sha256.Sum256(content); !bytes.Equal(file[sumOffset:headerLength], sum[:]) {
		return corrupt("does not match its checksum")
	}
	return content, nil
}

// readEntry reads and checks an open entry. info describes the file before reading.
func readEntry(f *os.File, key Key) (content []byte, info os.FileInfo, err error) {
	info, err = f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	if info.Size() > int64(headerLength+maxContent) {
		return nil, nil, &corruptError{reason: fmt.Sprintf("is too long for an entry: %d bytes", info.Size()), length: info.Size()}
	}
	file := make([]byte, info.Size())
	n, err := io.ReadFull(f, file)
	// A file that was truncated since Stat fails the checksum.
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil, err
	}
	content, err = decode(key, file[:n])
	return content, info, err
}
