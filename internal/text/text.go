package text

import (
	"fmt"
	"strings"
)

// MaxNamed is the number of list items that a message names.
const MaxNamed = 3

// Sentence ends text with a full stop, so that another sentence may follow.
func Sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// Count is "1 object" or "2 objects".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Short shortens the commit hash of a revision to 12 digits: main@sha1:0123456789ab.
func Short(revision string) string {
	ref, commit, ok := strings.Cut(revision, "sha1:")
	if !ok {
		return revision
	}
	return ref + "sha1:" + commit[:min(len(commit), 12)]
}

// AndMore joins the named items of a list of length all: "a; b; and 3 more".
func AndMore(named []string, all int) string {
	text := strings.Join(named, "; ")
	if all > len(named) {
		text += fmt.Sprintf("; and %d more", all-len(named))
	}
	return text
}

// Few joins up to five names: "a, b, c, d, e and 2 more".
func Few(names []string) string {
	const enough = 5
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}
