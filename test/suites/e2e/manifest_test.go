package e2e_test

import (
	"fmt"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// many are n services in west, all called from east by one more, and the files that hold them.
func many(n int) map[string]string {
	caller := gitops.Service{Name: "hub", In: []string{east}}
	files := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("item-%d", i)
		caller.Egress = append(caller.Egress, name)
		files["services/"+name+".cue"] = gitops.Service{Name: name, In: []string{west}}.String()
	}
	files["services/hub.cue"] = caller.String()
	return files
}

// without is a change that removes these files.
func without(files map[string]string) map[string]string {
	out := map[string]string{}
	for name := range files {
		out[name] = ""
	}
	return out
}
