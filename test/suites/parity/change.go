package parity

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// change is one small change: of what the repository says, which is known while it is made, or of its files afterwards.
type change struct {
	kind  string
	index int
}

// changes are those of what the repository says; a change of a feature's own values is in files.
var changes = []string{
	"owner of a service", "port of a service", "placement of a service", "calls of a service", "policy of a service", "a service more", "a service less",
	"file of another name", "region of a cluster", "state of a cluster", "gateway of a cluster", "a setting", "a shared default",
}

// edits are changes of files.
var edits = []string{
	"edit: a comment", "edit: a new pattern", "edit: a file without a declaration", "edit: a file that is not the mesh's", "edit: a value of a package", "edit: embedded data",
	"edit: an annotation in the template", "edit: the module's own file", "edit: a conditional field in a service's file", "edit: a hidden field in a service's file",
	"edit: a constraint of cue.mod/usr", "edit: two files exchange their names",
}

// mistakes are edits that plain CUE refuses.
var mistakes = []string{
	"mistake: unknown callee", "mistake: conflicting values", "mistake: misspelt field", "mistake: host claimed twice", "mistake: unknown cluster", "mistake: syntax",
	"mistake: two files disagree", "mistake: same pods guarded differently", "mistake: virtual address claimed twice", "mistake: incomplete value",
	"mistake: constraint of a pattern", "mistake: two services refer to each other", "mistake: caller that is not listed",
}

// plan decides what is to be changed, which the repository may have to have first.
func (m *maker) plan() {
	// Seeds in a row take them in turn.
	kinds := slices.Concat(changes, edits, changes, edits, mistakes)
	m.planned = change{kinds[m.spec.Seed%uint64(len(kinds))], m.below(3, "changed")}
	switch {
	case strings.HasPrefix(m.planned.kind, "a "):
		m.planned.index = 0 // There is one.
	case strings.HasSuffix(m.planned.kind, " of a cluster"):
		m.planned.index %= 2 // There are two at least.
	}
	if m.spec.Changed {
		m.change = m.planned
	}
	switch m.planned.kind {
	case "a shared default":
		m.needed["default of all services"] = true
	case "edit: a value of a package":
		m.needed["template: definition of a package"] = true
	case "edit: embedded data":
		m.needed["JSON embedded in a shared file"] = true
	}
	if m.planned.kind == "edit: embedded data" || m.across["across: services from JSON"] {
		m.needed["layout: nested folders"] = false
	}
}

// turned says whether this is what is changed.
func (m *maker) turned(kind string, index int) bool { return m.change == change{kind, index} }

// edit changes the files; false if there is nothing of the kind to change.
func (m *maker) edit(files map[string]string) bool {
	s := m.services[m.change.index%len(m.services)]
	own := pick(m.dice, m.withParts(), "edited").path
	add := func(name, text string) bool {
		if _, ok := files[name]; !ok {
			text = "package config\n\n" + text
		}
		files[name] += text + "\n"
		return true
	}
	fresh := m.platform() + "zz-new.cue"
	switch m.change.kind {
	case "edit: a comment":
		return add(own, "// nothing changes")
	case "edit: a new pattern":
		return add(fresh, `services: [string]: traffic: connectionPool: tcp: idleTimeout: *"31m" | string`)
	case "edit: a file without a declaration":
		return add(fresh, "")
	case "edit: a file that is not the mesh's":
		files["NOTES.md"] = "services: web: owner: 1\n"
		return true
	case "edit: a value of a package", "edit: embedded data":
		return m.editData(files)
	case "edit: an annotation in the template":
		return add(fresh, `#template: {resources: [string]: metadata: annotations: "parity.example.com/edited": "yes"}`)
	case "edit: the module's own file":
		// As an upgrade does it.
		name := "cue.mod/pkg/isthmus.dev/mesh/template.cue"
		files[name] = strings.Replace(files[name], `"isthmus.dev/failover-\(r.rank)": "true"`, `"isthmus.dev/failover-\(r.rank)": "yes"`, 1)
		return true
	case "edit: a conditional field in a service's file":
		return add(own, fmt.Sprintf(`services: %q: {if cluster == %q {traffic: outlierDetection: consecutiveGatewayErrors: 9}}`, s.name, m.clusters[0].name))
	case "edit: a hidden field in a service's file":
		return add(own, fmt.Sprintf(`services: %q: {_tier: string, _edited: true}`, s.name))
	case "edit: a constraint of cue.mod/usr":
		files["cue.mod/usr/isthmus.dev/mesh/zz.cue"] = "package mesh\n\n#Template: resources: [string]: metadata: annotations: \"parity.example.com/usr\": \"yes\"\n"
		return true
	case "edit: two files exchange their names":
		return m.exchange(files)
	}
	return m.mistake(add, s, own, fresh)
}

// exchange gives two files of services each other's name.
func (m *maker) exchange(files map[string]string) bool {
	all := m.withParts()
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

func (m *maker) editData(files map[string]string) bool {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, swap := range [][2]string{{"team of", "the team of"}, {`"most": 50`, `"most": 51`}} {
			if !strings.HasSuffix(name, ".cue") == (m.change.kind == "edit: embedded data") && strings.Contains(files[name], swap[0]) {
				files[name] = strings.Replace(files[name], swap[0], swap[1], 1)
				return true
			}
		}
	}
	return false
}

// mistake makes one.
func (m *maker) mistake(add func(name, text string) bool, s *service, own, fresh string) bool {
	other := m.services[(m.change.index+1)%len(m.services)]
	named := func(text string) string { return fmt.Sprintf("services: %q: %s", s.name, text) }
	lost := func(name, more string) string { return "services: " + m.fresh(name, anyPort+", "+more) }
	switch m.change.kind {
	case "mistake: unknown callee":
		return add(own, named(`egress: "does-not-exist": {}`))
	case "mistake: conflicting values":
		return add(own, named(`{owner: "one" & "two"}`))
	case "mistake: misspelt field":
		return add(own, named(`egres: {}`))
	case "mistake: host claimed twice":
		return add(fresh, lost("thief-a", `hosts: ["stolen.example.com"]`)) && add(own, lost("thief-b", `hosts: ["stolen.example.com"]`))
	case "mistake: unknown cluster":
		return add(own, named(`placement: nowhere: {}`))
	case "mistake: syntax":
		return add(own, named(`{`))
	case "mistake: two files disagree":
		return add(own, named(`owner: !~"^x"`)) && add(fresh, named(`owner: =~"^x"`))
	case "mistake: same pods guarded differently":
		return add(fresh, lost("pods-a", `authorization: mode: "enforce", backend: selector: app: "pods-a"`)) &&
			add(own, strings.Replace(lost("pods-b", `authorization: mode: "off"`), `app: "pods-b"`, `app: "pods-a"`, 1))
	case "mistake: virtual address claimed twice":
		return add(fresh, lost("vip-a", `vip: "241.200.0.1"`)) && add(own, lost("vip-b", `vip: "241.200.0.1"`))
	case "mistake: incomplete value":
		return add(own, named(`traffic: connectionPool: tcp: connectTimeout: string`)) && add(own, lost("unsaid", `vip: string`))
	case "mistake: constraint of a pattern":
		return add(fresh, fmt.Sprintf(`services: [=~"^%s$"]: owner: =~"^nobody-is-called-this$"`, s.name))
	case "mistake: two services refer to each other":
		return add(own, named(fmt.Sprintf(`_loop: services[%q]._loop + 1`, other.name))) &&
			add(fresh, fmt.Sprintf(`services: %q: _loop: services[%q]._loop + 1`, other.name, s.name)) &&
			add(fresh, named(fmt.Sprintf(`vip: "241.0.0.\(services[%q]._loop)"`, s.name)))
	case "mistake: caller that is not listed":
		return add(fresh, lost("shy", `authorization: callers: []`)) && add(own, lost("bold", `egress: shy: {}`))
	}
	return false
}

// Features are the names of all that may occur in a repository or be changed in it.
func Features() []string {
	var names []string
	for _, f := range features {
		names = append(names, f.name)
	}
	return slices.Concat(names, changes, edits, mistakes)
}
