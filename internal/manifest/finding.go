package manifest

import (
	"fmt"
	"strings"
)

// Finding is one thing that is wrong in a mesh repository, in words for the person who has to mend it.
type Finding struct {
	// Service is the key of the service (or external) to blame, "" if it is the inventory, a setting or
	// the repository as a whole.
	Service string `json:"service,omitempty"`
	// Cluster is the cluster for which it was found, "" if it holds for all.
	Cluster string `json:"cluster,omitempty"`
	// Path is where in the value: "services.checkout.egress.carts", or "VirtualService/shop/x.spec.http".
	Path string `json:"path,omitempty"`
	// File is slash-separated and relative to the mesh repository, "" where none can be named; Line and
	// Column count from 1, 0 where unknown.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Message says what is wrong, without repeating the position.
	Message string `json:"message"`
}

// String is the finding on one line: "services/checkout.cue:4:2: service checkout calls unknown service carts".
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
			if f.Column > 0 {
				fmt.Fprintf(&b, ":%d", f.Column)
			}
		}
		b.WriteString(": ")
	}
	if f.Path != "" && !strings.Contains(f.Message, f.Path) {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Findings is an error that carries everything found, never only the first. It is a person's to mend:
// trying again without another commit cannot help.
type Findings []Finding

// Error lists the findings, one a line.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}
