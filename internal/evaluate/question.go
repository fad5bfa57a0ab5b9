package evaluate

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/source"
)

// writtenQuestion is shardQuestion for services as their files say them.
func (r *run) writtenQuestion(names []string) shardQuestion {
	q := r.shardQuestion(names)
	q.Own, q.Written = map[string][]byte{}, names
	files := map[string]source.Blob{}
	for _, name := range names {
		maps.Copy(files, r.written(name))
	}
	q.On = r.question(nil, r.options.Cluster)
	for p, blob := range files {
		q.On.Mesh = append(q.On.Mesh, p)
		q.On.Files[p] = blob.Data
	}
	return q
}

// shardQuestion asks for some services, with what they have to know of others.
func (r *run) shardQuestion(names []string) shardQuestion {
	q := shardQuestion{On: r.question(nil, r.options.Cluster), Own: map[string][]byte{}, Others: map[string][]byte{}, Rivals: map[string][]byte{}}
	for _, name := range names {
		q.Own[name] = r.services[name].raw
	}
	isOwn := func(name string) bool { return q.Own[name] != nil }
	ports := map[string]bool{}
	others := map[string]struct{}{}
	for _, name := range names {
		for _, caller := range r.around.callers[name] {
			others[caller] = struct{}{}
		}
		for callee := range r.services[name].Egress {
			if r.services[callee] != nil {
				others[callee] = struct{}{}
				ports[callee] = ports[callee] || r.services[name].needs[callee] != nil
			}
		}
		for _, allowed := range r.services[name].Authorization.Callers {
			if r.services[allowed] != nil {
				others[allowed] = struct{}{}
			}
		}
		for _, rival := range r.around.rivals[name] {
			if !isOwn(rival) {
				q.Rivals[rival] = r.services[rival].raw
			}
		}
	}
	for name := range r.broken {
		if r.isStandIn(name) {
			q.Others[name] = standIn
		}
	}
	for name := range others {
		if isOwn(name) || q.Rivals[name] != nil {
			continue
		}
		facts := r.services[name].facts
		if ports[name] {
			facts = r.services[name].withPorts
		}
		q.Others[name] = withEgress(facts, r.calls(name, isOwn))
	}
	return q
}

// standIn stands for a service that is broken and never was good: that somebody calls it is not wrong, and has no effect.
var standIn = []byte(`{"placement":{},"backend":{"namespace":"none"},"hosts":[],"ports":{},"egress":{}}`)

func (r *run) isStandIn(name string) bool {
	return r.services[name] == nil && (r.broken[name] != nil || r.mayBeUnread(name))
}

// mayBeUnread tells whether a file that cannot be parsed may define a service: its callers are not to blame.
func (r *run) mayBeUnread(name string) bool {
	for p := range r.split.broken {
		if bytes.Contains(r.snap.Files[p].Data, []byte(name)) {
			return true
		}
	}
	return false
}

// calls are those of a service to some others, with what it needs of them.
func (r *run) calls(name string, to func(string) bool) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	for callee := range r.services[name].Egress {
		if to(callee) {
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			out[callee] = r.services[name].need(callee)
		}
	}
	return out
}

// question is the shared files and some service files.
func (r *run) question(units []string, cluster string) meshQuestion {
	q := meshQuestion{Files: make(map[string][]byte, len(r.split.shared)+len(r.split.beside)+len(units)), Package: r.split.pkg, Cluster: cluster}
	q.Mesh = slices.Concat(r.split.shared, units)
	for _, paths := range [][]string{q.Mesh, r.split.beside} {
		for _, p := range paths {
			q.Files[p] = r.snap.Files[p].Data
		}
	}
	return q
}

func (r *run) unitOf(name string) unit {
	if i, ok := r.split.of[name]; ok {
		return r.split.units[i]
	}
	return unit{services: []string{name}}
}
