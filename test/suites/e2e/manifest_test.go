package e2e_test

import (
	"fmt"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// manyServices returns the files of n services in west and of the service hub in east, which calls
// all of them.
func manyServices(n int) map[string]string {
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

// removalOf returns a change that removes the files.
func removalOf(files map[string]string) map[string]string {
	out := map[string]string{}
	for name := range files {
		out[name] = ""
	}
	return out
}
