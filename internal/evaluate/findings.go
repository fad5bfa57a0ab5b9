package evaluate

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// checksField is where the module's cross-service checks stand, each under the path that is to blame.
const checksField = "_checks"

// renderedField is where the template results stand, by service.
const renderedField = "_rendered"

// withUnknownCluster sets the code of the finding that the cluster is not in the inventory.
func withUnknownCluster(findings manifest.Findings, value cue.Value, cluster string) manifest.Findings {
	if cluster == "" || value.LookupPath(cue.MakePath(cue.Str("clusters"), cue.Str(cluster))).Exists() {
		return findings
	}
	for i, f := range findings {
		if f.Path == "clusters."+cluster {
			findings[i].Code = manifest.UnknownCluster
		}
	}
	return findings
}

// fromCUE turns CUE's errors into findings: one per problem, with the position in the user's files. CUE names the
// vendored module where the module states the rule; the line to mend is then found by the path.
func fromCUE(err error, at locator) manifest.Findings {
	var findings manifest.Findings
	seen := map[manifest.Finding]bool{}
	for _, e := range errors.Errors(err) {
		f := fromOne(e, at)
		if seen[f] {
			continue
		}
		seen[f] = true
		findings = append(findings, f)
	}
	slices.SortStableFunc(findings, func(a, b manifest.Finding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return findings
}

func fromOne(e errors.Error, at locator) manifest.Finding {
	// Some of CUE's messages name a file, in the folder that exists only here.
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
	} else if pos, ok := at.find(path); ok {
		f.File, f.Line, f.Column = pos.File, pos.Line, pos.Column
	} else if p := e.Position(); p.IsValid() && !checked {
		// A check's own line is nobody's mistake: what it is about may be nowhere, as a cluster that is not in the inventory.
		f.File, f.Line, f.Column = relative(p.Filename()), p.Line(), p.Column()
	}
	f.File = relative(f.File)
	return f
}

// abridged cuts out the middle of a message that quotes a value of any size.
func abridged(text string) string {
	const longest = 2000
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest/2], "") + " [...] " + strings.ToValidUTF8(text[len(text)-longest/2:], "")
}

// renderedFrom is what was rendered under a key of renderedField: a service, or what the key says by its first word.
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

// message is the text of an error without its path, with what it wraps.
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

// userPosition is the first position of an error that is in a file of the repository's own.
func userPosition(e errors.Error) (token.Pos, bool) {
	for _, p := range append([]token.Pos{e.Position()}, e.InputPositions()...) {
		if p.IsValid() && p.Filename() != "" && !strings.HasPrefix(relative(p.Filename()), vendored) {
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
