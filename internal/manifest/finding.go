package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is one error in a mesh repository, for the user who has to correct it.
type Finding struct {
	// Code is "" for findings that no decision depends on.
	Code Code `json:"code,omitempty"`
	// Service is the key of the service or external with the error, "" if the error is in the
	// inventory, in a setting or in the repository as a whole.
	Service string `json:"service,omitempty"`
	// Cluster is the cluster with the error, "" for all clusters.
	Cluster string `json:"cluster,omitempty"`
	// Path of the value: "services.checkout.egress.carts", or "VirtualService/shop/x.spec.http".
	Path string `json:"path,omitempty"`
	// File is slash-separated and relative to the mesh repository, "" if unknown. Line and Column
	// count from 1; 0 means unknown.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Message describes the error without its position.
	Message string `json:"message"`
}

// Code classifies a finding. Code that handles findings decides by it, never by the message.
type Code string

const (
	// UnknownCluster: the cluster to evaluate for is not in the inventory.
	UnknownCluster Code = "unknownCluster"
	// RenderingFailed: CUE could not compute a resource of a service.
	RenderingFailed Code = "renderingFailed"
)

// String returns the finding on one line: "services/checkout.cue:4:2: service checkout calls
// unknown service carts".
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

// Findings is an error with all findings of a repository. A retry cannot succeed before a user
// commits a correction.
type Findings []Finding

// Error lists the findings, one per line.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Has reports whether one of the findings has a code.
func (fs Findings) Has(code Code) bool {
	return slices.ContainsFunc(fs, func(f Finding) bool { return f.Code == code })
}
