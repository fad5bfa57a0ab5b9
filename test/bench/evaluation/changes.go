package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// kinds of changes of a service file of package bench. n makes two changes of a kind differ.
var kinds = []struct {
	name   string
	change func(text string, n int, h *history) string
}{
	{"route", func(text string, n int, _ *history) string {
		weight := 1 + n%69
		return strings.NewReplacer("weight: 70}", fmt.Sprintf("weight: %d}", weight), "weight: 30}", fmt.Sprintf("weight: %d}", 100-weight)).Replace(text)
	}},
	{"placement", func(text string, n int, h *history) string {
		return addName(text, "placement: {", "c", n, h.clusterCount)
	}},
	{"call", func(text string, n int, h *history) string {
		return addName(text, "egress: {", "s", n*7919, h.serviceCount)
	}},
	{"port", func(text string, n int, _ *history) string {
		return strings.Replace(text, "ports: {", fmt.Sprintf("ports: {admin: {port: %d, protocol: \"HTTP\"}, ", 10000+n%10000), 1)
	}},
}

// addName adds a name to a set: the first one from n on that is not in it.
func addName(text, field, prefix string, n, of int) string {
	there := regexp.MustCompile(regexp.QuoteMeta(field) + `[^\n]*`).FindString(text)
	for i := range of {
		name := prefix + strconv.Itoa((n+i)%of)
		if !strings.Contains(there, name+":") {
			return strings.Replace(text, field, field+name+": {}, ", 1)
		}
	}
	return text
}

// history generates commits. Each changes the original file of one of a few services, so a long
// history does not grow. It stores little besides the last snapshot, because the memory of its
// process is measured.
type history struct {
	clusterCount, serviceCount int
	services                   []string
	// texts are the original files of the services.
	texts map[string]string
	now   *source.Snapshot
	// commits is the number of commits so far.
	commits int
}

// newHistory selects services that run in the cluster and are called there, because most of their
// changes affect its bundle.
func newHistory(snap *source.Snapshot, m *manifest.Mesh, of int) (*history, error) {
	runs := func(name string) bool { _, ok := m.Services[name].Placement[cluster]; return ok }
	called := map[string]bool{}
	for name, s := range m.Services {
		if runs(name) {
			for callee := range s.Egress {
				called[callee] = true
			}
		}
	}
	var near, far []string
	for _, name := range slices.Sorted(maps.Keys(m.Services)) {
		switch {
		case runs(name) && called[name]:
			near = append(near, name)
		case runs(name):
			far = append(far, name)
		}
	}
	services := near
	if len(near) < len(kinds) {
		services = append(services, far...)
	}
	if len(services) < len(kinds) {
		return nil, fmt.Errorf("only %d services run in %s", len(services), cluster)
	}
	services = services[:min(of, len(services))]
	h := &history{clusterCount: len(m.Clusters), serviceCount: len(m.Services), services: services, texts: map[string]string{}, now: snap}
	for _, name := range services {
		h.texts[name] = string(snap.Files[serviceFile(name)].Data)
	}
	return h, nil
}

func serviceFile(name string) string { return "services/" + name + ".cue" }

// next generates a commit and returns the kind of its change.
func (h *history) next() (string, error) {
	at := h.commits % len(h.services)
	kind := kinds[(at+h.commits/len(h.services))%len(kinds)]
	path := serviceFile(h.services[at])
	old := h.texts[h.services[at]]
	text := kind.change(old, h.commits, h)
	if text == old || text == string(h.now.Files[path].Data) {
		return "", fmt.Errorf("a %s of %s changes nothing", kind.name, path)
	}
	h.commits++
	h.commit(path, text)
	return kind.name, nil
}

// commit creates a snapshot that shares no memory with the previous one, as a fetch does.
func (h *history) commit(path, text string) {
	files := make(map[string]source.Blob, len(h.now.Files)+1)
	for p, b := range h.now.Files {
		files[strings.Clone(p)] = source.Blob{Hash: strings.Clone(b.Hash), Data: slices.Clone(b.Data)}
	}
	files[path] = source.Blob{Hash: plumbing.ComputeHash(plumbing.BlobObject, []byte(text)).String(), Data: []byte(text)}
	h.now = &source.Snapshot{Files: files}
}
