package evaluate_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// refuse removes paths from a snapshot, with everything below them, and adds their rejections.
func refuse(snap *source.Snapshot, refused map[string]source.Rejection) *source.Snapshot {
	snap.Rejected = map[string]source.Rejection{}
	for p, refusal := range refused {
		maps.DeleteFunc(snap.Files, func(file string, _ source.Blob) bool { return file == p || strings.HasPrefix(file, p+"/") })
		refusal.Finding = manifest.Finding{File: p, Message: "must not be read"}
		snap.Rejected[p] = refusal
	}
	return snap
}

func TestRejectedFileFreezesOnlyItsServices(t *testing.T) {
	link := source.Rejection{Link: true, Target: "../elsewhere"}
	for name, tc := range map[string]struct {
		reason  string
		refused map[string]source.Rejection
		// frozen are the services that stay as they were, told the files that are named.
		frozen, told []string
	}{
		"File":             {"too large, or no UTF-8", map[string]source.Rejection{"services/web.cue": {}}, []string{"web"}, []string{"web services/web.cue"}},
		"Link":             {"it leads elsewhere", map[string]source.Rejection{"services/web.cue": link}, []string{"web"}, []string{"web services/web.cue"}},
		"Folder":           {"a link, or a submodule, in the place of a folder", map[string]source.Rejection{"services": {Link: true}}, []string{"cart", "web"}, []string{"services"}},
		"NewFile":          {"nothing vanished that could be in it", map[string]source.Rejection{"services/new.cue": {}}, nil, []string{"services/new.cue"}},
		"NewFolder":        {"nor in this", map[string]source.Rejection{"more": link}, nil, []string{"more"}},
		"Dump":             {"no file of CUE", map[string]source.Rejection{"services/dump.sql": {}}, nil, []string{"services/dump.sql"}},
		"LinkToText":       {"nobody reads it, CUE neither", map[string]source.Rejection{"docs/README.md": {Link: true, Target: "../notes.md"}}, nil, nil},
		"LinkOutOfSight":   {"CUE looks at no such file", map[string]source.Rejection{"_drafts/web.cue": link, "web_test.cue": link}, nil, nil},
		"LinkToAFarFile":   {"not of the repository", map[string]source.Rejection{"docs/README.md": {Link: true, Target: "/notes.md"}}, nil, []string{"docs/README.md"}},
		"LinkToAnyService": {"plain CUE would read it", map[string]source.Rejection{"services/more.cue": {Link: true, Target: "stock.cue"}}, nil, []string{"services/more.cue"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := newTree(t), follow(t, "east")
			r.files["notes.md"] = "Notes\n"
			r.files["stock.cue"] = r.files["services/stock.cue"]
			delete(r.files, "services/stock.cue")
			f.applies(r.commit(nil))
			first := r.revision()
			snap := r.commit(map[string]string{"stock.cue": service("stock", everywhere, `authorization: mode: "enforce"`)})
			result := f.applies(refuse(snap, tc.refused))
			want := map[string]string{}
			for _, name := range tc.frozen {
				want[name] = first
			}
			same(t, "frozen", want, frozen(result))
			same(t, "told", tc.told, places(result.Findings()))
			same(t, "all as it was, and what else changed with it", clean(t, r.commit(nil), "east"), texts(result.Rendered))
			if len(result.Unknown) > 0 {
				t.Errorf("lost: %v", result.Unknown)
			}
		})
	}
}

func TestRejectedSharedFileRejectsTheCommit(t *testing.T) {
	for name, p := range map[string]string{
		"Settings": "mesh.cue", "Module": "cue.mod/module.cue", "Vendored": "cue.mod/pkg/isthmus.dev/mesh/mesh.cue", "Modules": "cue.mod", "New": "more.cue",
	} {
		t.Run(name, func(t *testing.T) {
			r, f := newTree(t), follow(t, "east")
			f.applies(r.commit(nil))
			found := f.halts(refuse(r.commit(nil), map[string]source.Rejection{p: {Link: true, Target: "x"}}))
			if !slices.ContainsFunc(found, func(f manifest.Finding) bool { return f.File == p }) {
				t.Errorf("%s is not named: %v", p, found)
			}
		})
	}
}

func TestEvaluateRejectsARepositoryWithALink(t *testing.T) {
	snap := refuse(newTree(t).commit(nil), map[string]source.Rejection{"services/more.cue": {Link: true, Target: "web.cue"}})
	_, err := evaluate.Evaluate(t.Context(), snap, evaluate.Options{})
	if err == nil || !strings.Contains(err.Error(), "services/more.cue: must not be read") {
		t.Errorf("got %v", err)
	}
}

func TestServiceInARejectedFileIsFrozenUntilItOrTheFileIsReadable(t *testing.T) {
	r, f := newTree(t), followCold(t, "east")
	first := r.commit(nil)
	f.applies(first)
	second := r.commit(map[string]string{"services/web.cue": "", "services/new.cue": "package config\n\nservices: {"})
	want := map[string]string{"web": first.Revision}
	same(t, "frozen", want, frozen(f.applies(second)))
	same(t, "frozen in the next commit", want, frozen(f.applies(r.commit(map[string]string{"README.md": "x\n"}))))

	again := followCold(t, "east")
	before, err := again.evaluator.Manifests(t.Context(), first, "east")
	if err != nil {
		t.Fatal(err)
	}
	basis, err := again.evaluator.Manifests(t.Context(), second, "east")
	if err != nil {
		t.Fatal(err)
	}
	again.basis = basis.With(before, "web")
	same(t, "frozen after a restart", want, frozen(again.applies(r.commit(map[string]string{"README.md": "y\n"}))))

	for _, f := range []*follower{f, again} {
		result := f.applies(r.commit(map[string]string{"services/web.cue": goodWeb}))
		same(t, "it is back, and the file is as it was", map[string]string{}, frozen(result))
		result = f.applies(r.commit(map[string]string{"services/web.cue": ""}))
		same(t, "it is gone, and no new file is there", map[string]string{}, frozen(result))
		if _, there := result.Mesh.Services["web"]; there {
			t.Error("it was removed")
		}
	}
}

func TestCallersOfAServiceInAnUnparsableFileAreNotBlamed(t *testing.T) {
	r := newTree(t)
	snap := r.commit(map[string]string{
		"services/stock.cue": "package config\n\nservices: stock: {\n\towner \"tests\"\n}\n",
		"services/more.cue":  service("more", everywhere, `egress: {stock: {}, nobody: {}}`),
	})
	_, err := evaluate.Evaluate(t.Context(), snap, evaluate.Options{})
	var findings manifest.Findings
	if !errors.As(err, &findings) {
		t.Fatal(err)
	}
	same(t, "told", []string{"more services/more.cue", "services/stock.cue"}, places(findings))
	for _, f := range findings {
		if f.Service == "more" && !strings.Contains(f.Message, "nobody") {
			t.Errorf("more is to blame for nobody, and not for stock: %s", f.Message)
		}
	}
}
