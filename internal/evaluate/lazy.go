package evaluate

import (
	"context"
	"errors"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// places finds where a path of the mesh was written. Nobody asks for most of them.
type places interface {
	find(path []string) (Position, bool)
}

// lazyLocator reads files when somebody asks. All of them were parsed before, in a child that came through it.
type lazyLocator struct {
	run    *run
	shared locator
	units  map[int]locator
}

func (l *lazyLocator) find(path []string) (Position, bool) {
	if len(path) > 1 && path[0] == servicesField {
		if i, ok := l.run.split.of[path[1]]; ok {
			if l.units == nil {
				l.units = map[int]locator{}
			}
			if l.units[i] == nil {
				l.units[i] = l.read(l.run.split.units[i].files)
			}
			if at, ok := l.units[i].find(path); ok {
				return at, true
			}
		}
	}
	if l.shared == nil {
		l.shared = l.read(l.run.split.shared)
	}
	return l.shared.find(path)
}

func (l *lazyLocator) read(paths []string) locator {
	var files []*ast.File
	for _, p := range paths {
		if f, err := parser.ParseFile(root+"/"+p, l.run.snap.Files[p].Data); err == nil {
			files = append(files, f)
		}
	}
	return newLocator(files)
}

// located names the place of what a shard found in data, which is from no file.
func (r *run) located(findings manifest.Findings) manifest.Findings {
	out := make(manifest.Findings, len(findings))
	for i, f := range findings {
		if f.File == "" || f.File == shardFile {
			f.File, f.Line, f.Column = "", 0, 0
			if at, ok := (&lazyLocator{run: r}).find(strings.Split(f.Path, ".")); ok {
				f.File, f.Line, f.Column = at.File, at.Line, at.Column
			}
		}
		out[i] = f
	}
	return out
}

// blameFile is why a file could not even be read.
func (r *run) blameFile(ctx context.Context, path string, err error) manifest.Findings {
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		errors.As(explain(ctx, err), &findings)
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

// tooMuch says which limit a service went over.
func (r *run) tooMuch(ctx context.Context, err error) string {
	var limit *sandbox.LimitError
	if errors.As(err, &limit) {
		return tooMuch("evaluation", limit)
	}
	return explain(ctx, err).Error()
}

// blameUnit is why nothing could be made of a service.
func (r *run) blameUnit(ctx context.Context, u unit, name string, err error) manifest.Findings {
	file := ""
	if len(u.files) > 0 {
		file = u.files[0]
	}
	var findings manifest.Findings
	if errors.As(err, &findings) {
		findings = r.located(findings)
	} else {
		findings = manifest.Findings{{Message: r.tooMuch(ctx, err)}}
	}
	out := make(manifest.Findings, len(findings))
	for i, f := range findings {
		f.Service = name
		if f.Path == "" {
			f.Path = servicesField + "." + name
		}
		if f.File == "" {
			f.File = file
		}
		out[i] = f
	}
	return out
}
