// Package check runs Istio's own checks on rendered resources: the validation of istiod's admission
// webhook, and the analyzers of istioctl.
//
// In: a bundle, or a [scenario.Scenario] for checks that also need the pods. Out: [Finding]s. The
// analyzers report some false alarms for meshes of several clusters. A [Filter] removes them by a
// table that gives the reason for each entry. An entry that matches no finding is reported.
package check

import "fmt"

// Finding is one problem of one resource.
type Finding struct {
	// Resource is Kind/namespace/name.
	Resource string
	// Level is error, warning or info.
	Level string
	// Code is the code of an analyzer ("IST0101"), "" for validation.
	Code    string
	Message string
}

func (f Finding) String() string {
	if f.Code == "" {
		return fmt.Sprintf("%s: %s: %s", f.Level, f.Resource, f.Message)
	}
	return fmt.Sprintf("%s %s: %s: %s", f.Level, f.Code, f.Resource, f.Message)
}
