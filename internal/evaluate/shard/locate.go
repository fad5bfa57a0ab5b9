package shard

import (
	"context"
	"errors"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Locator finds the positions of paths of the mesh. It parses a file at the first lookup.
type Locator struct {
	snapshot   *source.Snapshot
	partition  *Partition
	shared     cueworker.Locator
	components map[int]cueworker.Locator
}

// NewLocator returns a locator for the files of a snapshot.
func NewLocator(snap *source.Snapshot, p *Partition) *Locator {
	return &Locator{snapshot: snap, partition: p, components: map[int]cueworker.Locator{}}
}

// Find returns the position of the path, or of the nearest enclosing field.
func (l *Locator) Find(path []string) (cueworker.Position, bool) {
	if len(path) > 1 && path[0] == cueworker.ServicesField {
		if i, ok := l.partition.of[path[1]]; ok {
			if l.components[i] == nil {
				l.components[i] = l.read(l.partition.Components[i].Files)
			}
			if at, ok := l.components[i].Find(path); ok {
				return at, true
			}
		}
	}
	if l.shared == nil {
		l.shared = l.read(l.partition.Shared)
	}
	return l.shared.Find(path)
}

func (l *Locator) read(paths []string) cueworker.Locator {
	return cueworker.NewLocator(paths, func(p string) []byte { return l.snapshot.Files[p].Data })
}

// blame completes findings: with positions, and with the service to blame.
type blame struct {
	session   *Session
	partition *Partition
}

// located adds the position to findings about data, which has no file.
func (b blame) located(findings manifest.Findings) manifest.Findings {
	at := NewLocator(b.session.Snapshot, b.partition)
	out := make(manifest.Findings, len(findings))
	for i, f := range findings {
		out[i] = locate(at, f)
	}
	return out
}

func locate(at *Locator, f manifest.Finding) manifest.Finding {
	if f.File != "" && f.File != cueworker.ShardFile {
		return f
	}
	f.File, f.Line, f.Column = "", 0, 0
	if pos, ok := at.Find(strings.Split(f.Path, ".")); ok {
		f.File, f.Line, f.Column = pos.File, pos.Line, pos.Column
	}
	return f
}

// service returns the findings for a service whose evaluation failed.
func (b blame) service(ctx context.Context, name string, err error) manifest.Findings {
	file := ""
	if files := b.partition.ComponentOf(name).Files; len(files) > 0 {
		file = files[0]
	}
	var findings manifest.Findings
	if errors.As(err, &findings) {
		findings = b.located(findings)
	} else {
		findings = manifest.Findings{{Message: limitMessage(ctx, err)}}
	}
	out := make(manifest.Findings, len(findings))
	for i, f := range findings {
		f.Service = name
		if f.Path == "" {
			f.Path = cueworker.ServicesField + "." + name
		}
		if f.File == "" {
			f.File = file
		}
		out[i] = f
	}
	return out
}

// blameFile returns the findings for a file that could not be parsed.
func blameFile(ctx context.Context, path string, err error) manifest.Findings {
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		errors.As(Explain(ctx, err), &findings)
	}
	out := make(manifest.Findings, len(findings))
	for i, f := range findings {
		if f.File == "" {
			f.File = path
		}
		out[i] = f
	}
	return out
}
