package parity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// change is one small change: of the mesh while it is generated, or of the finished files.
type change struct {
	kind  string
	index int
}

// changes are changes of the mesh.
var changes = []string{
	"owner of a service", "port of a service", "placement of a service", "calls of a service", "policy of a service", "a service is added", "a service is removed",
	"renamed file", "region of a cluster", "state of a cluster", "gateway of a cluster", "a setting", "a shared default",
}

// edits are changes of the finished files.
var edits = []string{
	"edit: a comment", "edit: a new pattern", "edit: a file without a declaration", "edit: a file outside the mesh", "edit: a value of a package", "edit: embedded data",
	"edit: an annotation in the template", "edit: a file of the module", "edit: a conditional field in a service's file", "edit: a hidden field in a service's file",
	"edit: a constraint of cue.mod/usr", "edit: two files swap their names",
}

// mistakes are edits that plain CUE rejects.
var mistakes = []string{
	"mistake: unknown callee", "mistake: conflicting values", "mistake: misspelt field", "mistake: duplicate host", "mistake: unknown cluster", "mistake: syntax",
	"mistake: conflict between two files", "mistake: different authorization of the same pods", "mistake: duplicate virtual address", "mistake: incomplete value",
	"mistake: violated constraint of a pattern", "mistake: two services refer to each other", "mistake: unlisted caller",
}

// planChange selects the change by the seed, and forces the features that it needs.
func (g *generator) planChange() {
	// Consecutive seeds take the kinds in turn.
	kinds := slices.Concat(changes, edits, changes, edits, mistakes)
	g.planned = change{kinds[g.spec.Seed%uint64(len(kinds))], g.intN(3, "changed")}
	switch {
	case strings.HasPrefix(g.planned.kind, "a "):
		g.planned.index = 0 // There is only one.
	case strings.HasSuffix(g.planned.kind, " of a cluster"):
		g.planned.index %= 2 // There are at least two.
	}
	if g.spec.Changed {
		g.change = g.planned
	}
	switch g.planned.kind {
	case "a shared default":
		g.forced["default of all services"] = true
	case "edit: a value of a package":
		g.forced["template: definition of a package"] = true
	case "edit: embedded data":
		g.forced["JSON embedded in a shared file"] = true
	}
	if g.planned.kind == "edit: embedded data" || g.crossService["cross-service: services from JSON"] {
		g.forced["layout: nested folders"] = false
	}
}

// isChanged reports whether the change applies to the item with this index.
func (g *generator) isChanged(kind string, index int) bool { return g.change == change{kind, index} }

// applyEdit changes the files. It is false if the edit does not apply to the repository.
func (g *generator) applyEdit(files map[string]string) bool {
	s := g.services[g.change.index%len(g.services)]
	serviceFile := pick(g.random, g.serviceFiles(), "edited").path
	add := func(name, text string) bool {
		if _, ok := files[name]; !ok {
			text = "package config\n\n" + text
		}
		files[name] += text + "\n"
		return true
	}
	fresh := g.platformFolder() + "zz-new.cue"
	switch g.change.kind {
	case "edit: a comment":
		return add(serviceFile, "// nothing changes")
	case "edit: a new pattern":
		return add(fresh, `services: [string]: traffic: connectionPool: tcp: idleTimeout: *"31m" | string`)
	case "edit: a file without a declaration":
		return add(fresh, "")
	case "edit: a file outside the mesh":
		files["NOTES.md"] = "services: web: owner: 1\n"
		return true
	case "edit: a value of a package", "edit: embedded data":
		return g.editData(files)
	case "edit: an annotation in the template":
		return add(fresh, `#template: {resources: [string]: metadata: annotations: "parity.example.com/edited": "yes"}`)
	case "edit: a file of the module":
		// Like an upgrade of the module.
		name := "cue.mod/pkg/isthmus.dev/mesh/template.cue"
		files[name] = strings.Replace(files[name], `"isthmus.dev/failover-\(r.rank)": "true"`, `"isthmus.dev/failover-\(r.rank)": "yes"`, 1)
		return true
	case "edit: a conditional field in a service's file":
		return add(serviceFile, fmt.Sprintf(`services: %q: {if cluster == %q {traffic: outlierDetection: consecutiveGatewayErrors: 9}}`, s.name, g.clusters[0].name))
	case "edit: a hidden field in a service's file":
		return add(serviceFile, fmt.Sprintf(`services: %q: {_tier: string, _edited: true}`, s.name))
	case "edit: a constraint of cue.mod/usr":
		files["cue.mod/usr/isthmus.dev/mesh/zz.cue"] = "package mesh\n\n#Template: resources: [string]: metadata: annotations: \"parity.example.com/usr\": \"yes\"\n"
		return true
	case "edit: two files swap their names":
		return g.swapFiles(files)
	}
	return g.applyMistake(add, s, serviceFile, fresh)
}

// swapFiles swaps the names of two service files.
func (g *generator) swapFiles(files map[string]string) bool {
	all := g.serviceFiles()
	for i, a := range all {
		for _, b := range all[i+1:] {
			if folderOf(a.path) == folderOf(b.path) && a.path != "mesh.cue" && b.path != "mesh.cue" {
				files[a.path], files[b.path] = files[b.path], files[a.path]
				return true
			}
		}
	}
	return false
}

func (g *generator) editData(files map[string]string) bool {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, swap := range [][2]string{{"team of", "the team of"}, {`"most": 50`, `"most": 51`}} {
			if !strings.HasSuffix(name, ".cue") == (g.change.kind == "edit: embedded data") && strings.Contains(files[name], swap[0]) {
				files[name] = strings.Replace(files[name], swap[0], swap[1], 1)
				return true
			}
		}
	}
	return false
}

// applyMistake makes the files invalid.
func (g *generator) applyMistake(add func(name, text string) bool, s *service, serviceFile, fresh string) bool {
	other := g.services[(g.change.index+1)%len(g.services)]
	named := func(text string) string { return fmt.Sprintf("services: %q: %s", s.name, text) }
	lost := func(name, more string) string { return "services: " + g.serviceText(name, anyPort+", "+more) }
	switch g.change.kind {
	case "mistake: unknown callee":
		return add(serviceFile, named(`egress: "does-not-exist": {}`))
	case "mistake: conflicting values":
		return add(serviceFile, named(`{owner: "one" & "two"}`))
	case "mistake: misspelt field":
		return add(serviceFile, named(`egres: {}`))
	case "mistake: duplicate host":
		return add(fresh, lost("thief-a", `hosts: ["stolen.example.com"]`)) && add(serviceFile, lost("thief-b", `hosts: ["stolen.example.com"]`))
	case "mistake: unknown cluster":
		return add(serviceFile, named(`placement: nowhere: {}`))
	case "mistake: syntax":
		return add(serviceFile, named(`{`))
	case "mistake: conflict between two files":
		return add(serviceFile, named(`owner: !~"^x"`)) && add(fresh, named(`owner: =~"^x"`))
	case "mistake: different authorization of the same pods":
		return add(fresh, lost("pods-a", `authorization: mode: "enforce", backend: selector: app: "pods-a"`)) &&
			add(serviceFile, strings.Replace(lost("pods-b", `authorization: mode: "off"`), `app: "pods-b"`, `app: "pods-a"`, 1))
	case "mistake: duplicate virtual address":
		return add(fresh, lost("vip-a", `vip: "241.200.0.1"`)) && add(serviceFile, lost("vip-b", `vip: "241.200.0.1"`))
	case "mistake: incomplete value":
		return add(serviceFile, named(`traffic: connectionPool: tcp: connectTimeout: string`)) && add(serviceFile, lost("unsaid", `vip: string`))
	case "mistake: violated constraint of a pattern":
		return add(fresh, fmt.Sprintf(`services: [=~"^%s$"]: owner: =~"^nobody-is-called-this$"`, s.name))
	case "mistake: two services refer to each other":
		return add(serviceFile, named(fmt.Sprintf(`_loop: services[%q]._loop + 1`, other.name))) &&
			add(fresh, fmt.Sprintf(`services: %q: _loop: services[%q]._loop + 1`, other.name, s.name)) &&
			add(fresh, named(fmt.Sprintf(`vip: "241.0.0.\(services[%q]._loop)"`, s.name)))
	case "mistake: unlisted caller":
		return add(fresh, lost("shy", `authorization: callers: []`)) && add(serviceFile, lost("bold", `egress: shy: {}`))
	}
	return false
}

// Features are the names of all features and changes of repositories.
func Features() []string {
	var names []string
	for _, f := range features {
		names = append(names, f.name)
	}
	return slices.Concat(names, changes, edits, mistakes)
}
