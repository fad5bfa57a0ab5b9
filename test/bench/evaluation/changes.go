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

// kinds of changes, each of one service's file as package bench writes it; n makes two of a kind differ.
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

// addName adds to a set of names the first one from n on that is not in it.
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

// history makes one commit after another. Each changes one of a few services, from what its file was in the beginning; so a
// long history is no larger in the end than after its first round. It holds little beside the last snapshot: what the process that
// makes it has resident is measured.
type history struct {
	clusterCount, serviceCount int
	services                   []string
	// texts are what the files of services were in the beginning.
	texts map[string]string
	now   *source.Snapshot
	made  int
}

// newHistory changes so many services that run in the cluster and are called from there, where most changes show.
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

// next makes a commit, and tells what kind of change it is.
func (h *history) next() (string, error) {
	at := h.made % len(h.services)
	kind := kinds[(at+h.made/len(h.services))%len(kinds)]
	path := serviceFile(h.services[at])
	old := h.texts[h.services[at]]
	text := kind.change(old, h.made, h)
	if text == old || text == string(h.now.Files[path].Data) {
		return "", fmt.Errorf("a %s of %s changes nothing", kind.name, path)
	}
	h.made++
	h.commit(path, text)
	return kind.name, nil
}

// commit makes a snapshot as a fetch does: nothing of it is shared with the one before.
func (h *history) commit(path, text string) {
	files := make(map[string]source.Blob, len(h.now.Files)+1)
	for p, b := range h.now.Files {
		files[strings.Clone(p)] = source.Blob{Hash: strings.Clone(b.Hash), Data: slices.Clone(b.Data)}
	}
	files[path] = source.Blob{Hash: plumbing.ComputeHash(plumbing.BlobObject, []byte(text)).String(), Data: []byte(text)}
	h.now = &source.Snapshot{Files: files}
}
