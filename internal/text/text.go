package text

import (
	"fmt"
	"strings"
)

// maxNamed is how many of a list are named in a message; the status has more, the log all.
const MaxNamed = 3

// sentence ends text with a full stop, so that another sentence may follow.
func Sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// short is a revision with the first 12 digits of its commit, for reading; the status fields have all of them.
func Short(revision string) string {
	ref, commit, ok := strings.Cut(revision, "sha1:")
	if !ok {
		return revision
	}
	return ref + "sha1:" + commit[:min(len(commit), 12)]
}

func AndMore(named []string, all int) string {
	text := strings.Join(named, "; ")
	if all > len(named) {
		text += fmt.Sprintf("; and %d more", all-len(named))
	}
	return text
}

// few are the first of several names.
func Few(names []string) string {
	const enough = 5
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}
