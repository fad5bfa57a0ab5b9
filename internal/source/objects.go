package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// objects is a bounded bare repository in memory. Unlike the one of go-git, it measures a pack
// before it inflates it, keeps only the size of blobs over the limit for one file, and removes
// objects that the commit does not need ([objects.pruneTo]).
type objects struct {
	memory.ReferenceStorage
	memory.ConfigStorage
	memory.ShallowStorage
	memory.IndexStorage
	memory.ModuleStorage

	limits Limits
	byHash map[plumbing.Hash]plumbing.EncodedObject
	// ctxErr ends an import when the context ends; go-git checks the context only on the network.
	ctxErr func() error
	// dropLarge is set while no object of the imported pack is a delta of a large blob.
	dropLarge bool
}

func newObjects(ctx context.Context, limits Limits) *objects {
	return &objects{
		ReferenceStorage: memory.ReferenceStorage{},
		ModuleStorage:    memory.ModuleStorage{},
		limits:           limits.withDefaults(),
		byHash:           map[plumbing.Hash]plumbing.EncodedObject{},
		ctxErr:           ctx.Err,
	}
}

// stored is an object. If omitted is set, only its size is known.
type stored struct {
	kind    plumbing.ObjectType
	hash    plumbing.Hash
	size    int64
	data    []byte
	omitted bool
}

func (o *stored) Hash() plumbing.Hash            { return o.hash }
func (o *stored) Type() plumbing.ObjectType      { return o.kind }
func (o *stored) SetType(plumbing.ObjectType)    {}
func (o *stored) Size() int64                    { return o.size }
func (o *stored) SetSize(int64)                  {}
func (o *stored) Reader() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(o.data)), nil }

func (o *stored) Writer() (io.WriteCloser, error) {
	return nil, errors.New("a stored object is immutable")
}

// NewEncodedObject implements storage.Storer of go-git, like all exported methods here.
func (s *objects) NewEncodedObject() plumbing.EncodedObject { return &plumbing.MemoryObject{} }

// SetEncodedObject stores a copy of exactly the needed size.
func (s *objects) SetEncodedObject(o plumbing.EncodedObject) (plumbing.Hash, error) {
	if err := s.ctxErr(); err != nil {
		return plumbing.ZeroHash, err
	}
	kept := &stored{kind: o.Type(), hash: o.Hash(), size: o.Size()}
	if s.dropLarge && kept.kind == plumbing.BlobObject && kept.size > s.limits.MaxFileBytes {
		kept.omitted = true
		s.byHash[kept.hash] = kept
		return kept.hash, nil
	}
	r, err := o.Reader()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer func() { _ = r.Close() }()
	kept.data = make([]byte, kept.size)
	if _, err := io.ReadFull(r, kept.data); err != nil {
		return plumbing.ZeroHash, err
	}
	s.byHash[kept.hash] = kept
	return kept.hash, nil
}

// EncodedObject returns an object of a kind.
func (s *objects) EncodedObject(kind plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	o, ok := s.byHash[h]
	if !ok || (kind != plumbing.AnyObject && o.Type() != kind) {
		return nil, plumbing.ErrObjectNotFound
	}
	return o, nil
}

// IterEncodedObjects iterates over the objects of a kind, in random order.
func (s *objects) IterEncodedObjects(kind plumbing.ObjectType) (storer.EncodedObjectIter, error) {
	var all []plumbing.EncodedObject
	for _, o := range s.byHash {
		if kind == plumbing.AnyObject || o.Type() == kind {
			all = append(all, o)
		}
	}
	return storer.NewEncodedObjectSliceIter(all), nil
}

// HasEncodedObject returns nil if the object exists.
func (s *objects) HasEncodedObject(h plumbing.Hash) error {
	if _, ok := s.byHash[h]; !ok {
		return plumbing.ErrObjectNotFound
	}
	return nil
}

// EncodedObjectSize returns the size of the content, also for omitted content.
func (s *objects) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	o, ok := s.byHash[h]
	if !ok {
		return 0, plumbing.ErrObjectNotFound
	}
	return o.Size(), nil
}

// AddAlternate is not supported.
func (s *objects) AddAlternate(string) error { return errors.New("alternates are not supported") }

// PackfileWriter makes go-git pass the pack unparsed, as it arrives from the network.
func (s *objects) PackfileWriter() (io.WriteCloser, error) { return &packImport{into: s}, nil }

// packImport collects a pack, then measures and parses it.
type packImport struct {
	into *objects
	pack bytes.Buffer
	err  error
}

// Write bounds the size of the pack.
func (p *packImport) Write(b []byte) (int, error) {
	if err := p.into.ctxErr(); err != nil {
		p.err = err
		return 0, err
	}
	if limit := p.into.limits.repositoryBytes(); int64(p.pack.Len()+len(b)) > limit {
		p.err = repositoryTooLarge(limit)
		return 0, p.err
	}
	return p.pack.Write(b)
}

// Close imports the pack, unless Write failed.
func (p *packImport) Close() error {
	if p.err != nil || p.pack.Len() == 0 {
		return p.err
	}
	if err := p.into.measure(p.pack.Bytes()); err != nil {
		return err
	}
	parser, err := packfile.NewParserWithStorage(packfile.NewScanner(bytes.NewReader(p.pack.Bytes())), p.into)
	if err != nil {
		return err
	}
	if _, err := parser.Parse(); err != nil {
		return err
	}
	p.into.omitLarge()
	return nil
}

func repositoryTooLarge(limit int64) error {
	return contentRefused("the repository", manifest.Findings{{Message: fmt.Sprintf(
		"its files, including those outside the path, exceed %s; move the mesh to its own repository, or raise --%s", byteCount(limit), TotalSizeFlag)}})
}

// measure computes the memory that a pack needs, without storing its content. It sets dropLarge.
func (s *objects) measure(pack []byte) error {
	scan := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := scan.Header()
	if err != nil {
		return err
	}
	s.dropLarge = true
	large, byHash := map[int64]bool{}, false
	// droppable is the size of the large blobs that are not the base of a delta so far.
	var total, droppable int64
	for range count {
		if err := s.ctxErr(); err != nil {
			return err
		}
		h, err := scan.NextObjectHeader()
		if err != nil {
			return err
		}
		var start prefix
		if _, _, err := scan.NextObject(&start); err != nil {
			return err
		}
		size, isDelta := h.Length, h.Type.IsDelta()
		if isDelta {
			size = start.deltaTarget()
		}
		if size > s.limits.MaxFileBytes {
			large[h.Offset] = true
		}
		// A delta of a large blob needs its content, so large blobs cannot be dropped on arrival. A
		// delta that names its base by hash may refer to any of them.
		byHash = byHash || h.Type == plumbing.REFDeltaObject
		if isDelta && (large[h.OffsetReference] || large[h.Offset]) || byHash && len(large) > 0 {
			s.dropLarge = false
		}
		if h.Type == plumbing.BlobObject && large[h.Offset] {
			droppable += size
		} else {
			total += size
		}
		needed := total
		if !s.dropLarge {
			needed += droppable
		}
		if limit := s.limits.repositoryBytes(); needed > limit || size > limit {
			return repositoryTooLarge(limit)
		}
	}
	return nil
}

// prefix stores the first bytes written to it: the two sizes at the start of a delta.
type prefix struct{ data []byte }

func (p *prefix) Write(b []byte) (int, error) {
	if room := 2*binary.MaxVarintLen64 - len(p.data); room > 0 {
		p.data = append(p.data, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

// deltaTarget returns the size of the result of a delta: its second number (gitformat-pack(5)).
func (p *prefix) deltaTarget() int64 {
	_, n := binary.Uvarint(p.data)
	if n <= 0 {
		return 0
	}
	size, n := binary.Uvarint(p.data[n:])
	if n <= 0 || size > 1<<62 {
		return 1 << 62
	}
	return int64(size)
}

// omitLarge removes the content of blobs over the limit for one file.
func (s *objects) omitLarge() {
	for h, o := range s.byHash {
		if o.Type() == plumbing.BlobObject && o.Size() > s.limits.MaxFileBytes {
			s.byHash[h] = &stored{kind: plumbing.BlobObject, hash: h, size: o.Size(), omitted: true}
		}
	}
}

// pruneTo removes all objects that tip (a tag or a commit) does not need, so that thousands of
// commits need no more memory than one. The whole tree of the commit stays, also outside the path,
// because the server omits it from the next pack. A missing object is an error; discard the
// repository then.
func (s *objects) pruneTo(tip plumbing.Hash) (*object.Commit, *object.Tag, error) {
	needed := map[plumbing.Hash]plumbing.EncodedObject{}
	commit, tag, err := s.peel(tip, needed)
	if err != nil {
		return nil, nil, err
	}
	if err := s.addTree(commit.TreeHash, needed); err != nil {
		return nil, nil, err
	}
	s.byHash = needed
	return commit, tag, s.SetShallow([]plumbing.Hash{commit.Hash})
}

// maxTags is the longest chain of tags that point at tags.
const maxTags = 5

// peel follows tags to their commit. tag is the outermost tag, nil if tip is a commit.
func (s *objects) peel(
	tip plumbing.Hash, needed map[plumbing.Hash]plumbing.EncodedObject,
) (commit *object.Commit, tag *object.Tag, err error) {
	for range maxTags {
		o, err := s.EncodedObject(plumbing.AnyObject, tip)
		if err != nil {
			return nil, nil, fmt.Errorf("object %s: %w", tip, err)
		}
		needed[tip] = o
		switch o.Type() {
		case plumbing.CommitObject:
			commit, err = object.DecodeCommit(s, o)
			return commit, tag, err
		case plumbing.TagObject:
			t, err := object.DecodeTag(s, o)
			if err != nil {
				return nil, nil, err
			}
			if tag == nil {
				tag = t
			}
			tip = t.Target
		default:
			return nil, nil, fmt.Errorf("object %s is a %s, not a commit", tip, o.Type())
		}
	}
	return nil, nil, fmt.Errorf("tag %s points at more than %d other tags", tag.Name, maxTags)
}

// addTree adds a tree, its blobs and its subtrees to needed.
func (s *objects) addTree(h plumbing.Hash, needed map[plumbing.Hash]plumbing.EncodedObject) error {
	if err := s.ctxErr(); err != nil {
		return err
	}
	o, err := s.EncodedObject(plumbing.TreeObject, h)
	if err != nil {
		return fmt.Errorf("tree %s: %w", h, err)
	}
	needed[h] = o
	tree, err := object.DecodeTree(s, o)
	if err != nil {
		return fmt.Errorf("tree %s: %w", h, err)
	}
	for _, e := range tree.Entries {
		if _, done := needed[e.Hash]; done || e.Mode == filemode.Submodule {
			continue
		}
		if e.Mode == filemode.Dir {
			if err := s.addTree(e.Hash, needed); err != nil {
				return err
			}
			continue
		}
		blob, err := s.EncodedObject(plumbing.BlobObject, e.Hash)
		if err != nil {
			return fmt.Errorf("file %s, %s: %w", e.Name, e.Hash, err)
		}
		needed[e.Hash] = blob
	}
	return nil
}
