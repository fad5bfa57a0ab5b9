package cueworker

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// checksField of the CUE module has the checks across services, by the path with the error.
const checksField = "_checks"

// renderedField of the CUE module has the results of the template, by service.
const renderedField = "_rendered"

// fromCUE converts errors of CUE to findings with positions in files of the user. For rules of the
// vendored module, whose position CUE names, the line is found by the path.
func fromCUE(err error, at Locator) manifest.Findings { return PlainFindings(shardFindings(err, at)) }

// shardFindings is fromCUE with the scope of each finding.
func shardFindings(err error, at Locator) []ShardFinding {
	var findings []ShardFinding
	seen := map[ShardFinding]bool{}
	for _, e := range errors.Errors(err) {
		f := fromOne(e, at)
		if seen[f] {
			continue
		}
		seen[f] = true
		findings = append(findings, f)
	}
	slices.SortStableFunc(findings, func(a, b ShardFinding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return findings
}

func fromOne(e errors.Error, at Locator) ShardFinding {
	// Some messages of CUE name a file below root.
	f := manifest.Finding{Message: abridged(strings.ReplaceAll(message(e), root+"/", ""))}
	path := unquote(e.Path())
	checked := len(path) > 1 && path[0] == checksField
	switch {
	case checked:
		path = strings.Split(path[1], ".")
	case len(path) > 1 && path[0] == renderedField:
		f.Code = manifest.RenderingFailed
		f.Message = strings.TrimSuffix("rendering "+strings.Join(path[2:], "."), " ") + ": " + f.Message
		path = renderedFrom(path[1])
	case len(path) > 1 && path[0] == "resources":
		f.Message = fmt.Sprintf("resource %s, which several services render: %s", path[1], f.Message)
		path = []string{"#template"}
	}
	f.Path = strings.Join(path, ".")
	if len(path) > 1 && (path[0] == "services" || path[0] == "externals") {
		f.Service = path[1]
	}
	if pos, ok := userPosition(e); ok {
		f.File, f.Line, f.Column = pos.Filename(), pos.Line(), pos.Column()
	} else if pos, ok := at.Find(path); ok {
		f.File, f.Line, f.Column = pos.File, pos.Line, pos.Column
	} else if p := e.Position(); p.IsValid() && !checked {
		// The line of a check is not the error: the value may be missing, such as a cluster that is
		// not in the inventory.
		f.File, f.Line, f.Column = relative(p.Filename()), p.Line(), p.Column()
	}
	f.File = relative(f.File)
	return ShardFinding{Finding: f, Scope: scopeOf(path), Callee: calleeIn(path)}
}

// abridged cuts out the middle of a message that quotes a large value.
func abridged(text string) string {
	const longest = 2000
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest/2], "") + " [...] " + strings.ToValidUTF8(text[len(text)-longest/2:], "")
}

// renderedFrom is the path of the value that was rendered under a key of renderedField. The first
// word of a key of two or more words is the kind of value.
func renderedFrom(key string) []string {
	word, name, several := strings.Cut(key, " ")
	switch {
	case !several:
		return []string{"services", key}
	case word == "external":
		return []string{"externals", name}
	case word == "sidecar":
		return []string{"services", name, "sidecar"}
	case word == "stub":
		service, host, _ := strings.Cut(name, " ")
		return []string{"services", service, "hosts", host}
	default:
		return []string{renderedField, key}
	}
}

// message is the text of an error and of the errors that it wraps, without the path.
func message(e errors.Error) string {
	format, args := e.Msg()
	text := fmt.Sprintf(format, args...)
	inner := errors.Unwrap(e)
	if inner == nil {
		return text
	}
	rest := inner.Error()
	var wrapped errors.Error
	if errors.As(inner, &wrapped) {
		rest = message(wrapped)
	}
	if rest == "" || strings.Contains(text, rest) {
		return text
	}
	if text == "" {
		return rest
	}
	return text + ": " + rest
}

// userPosition is the first position of an error outside of vendored modules.
func userPosition(e errors.Error) (token.Pos, bool) {
	for _, p := range append([]token.Pos{e.Position()}, e.InputPositions()...) {
		if p.IsValid() && p.Filename() != "" && !strings.HasPrefix(relative(p.Filename()), VendoredFolder) {
			return p, true
		}
	}
	return token.NoPos, false
}

func unquote(path []string) []string {
	out := make([]string, len(path))
	for i, p := range path {
		out[i] = p
		if s, err := literal.Unquote(p); err == nil {
			out[i] = s
		}
	}
	return out
}

func relative(file string) string { return strings.TrimPrefix(file, root+"/") }
