// Package check puts rendered resources before Istio's own judges: the validation of its admission webhook, and istioctl's analyzers.
//
// In come a bundle, or a world for what needs the pods beside it; out come findings. Findings that are known to be wrong about meshes that span
// clusters are told apart by a table that gives the reason for each, and an entry that nothing hits is a fault of the table.
package check

import "fmt"

// Finding is one remark on one resource.
type Finding struct {
	// Resource is Kind/namespace/name.
	Resource string
	// Level is error, warning or info.
	Level string
	// Code is the analyzers' ("IST0101"), "" for validation.
	Code    string
	Message string
}

func (f Finding) String() string {
	if f.Code == "" {
		return fmt.Sprintf("%s: %s: %s", f.Level, f.Resource, f.Message)
	}
	return fmt.Sprintf("%s %s: %s: %s", f.Level, f.Code, f.Resource, f.Message)
}
