package main

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if len(os.Args) == 2 && os.Args[1] == memoryCommand {
		main()
		return
	}
	discardLogs()
	os.Exit(m.Run())
}

// The sizes are too small to judge. The test checks that both sides write all objects, and each
// once.
func TestTinyRunMeasuresEveryFigure(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an API server: left out with -short")
	}
	var log bytes.Buffer
	report, err := measure(t.Context(), plan{
		some: size{20, 10}, many: size{40, 40}, rounds: 1, intervals: 3, changes: 3, processes: 1,
	}, &log)
	t.Log(log.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report.String())
	for _, of := range []string{
		"first sync of", "`ApplyAll`, 1 at a time", "`ApplyAll`, 4 at a time", "interval with nothing to do", "memory for", "the state of the evaluator",
		"one changed object among", "the write alone", "`Apply` of that object alone",
	} {
		if !strings.Contains(report.String(), of) {
			t.Errorf("the table lacks %q", of)
		}
	}
	for _, row := range report.Rows {
		if row.Measured <= 0 && !row.Count {
			t.Errorf("%s: measured %v", row.Figure, row.Measured)
		}
		if row.Count && row.Missed() {
			t.Errorf("%s: %v", row.Figure, row.Measured)
		}
	}
}

func TestWatchesAndLeasesAreNotCounted(t *testing.T) {
	const host = "https://192.0.2.1"
	for _, tc := range []struct {
		method, url string
		want        count
		reason      string
	}{
		{http.MethodGet, "/apis/networking.istio.io/v1/gateways", count{reads: 1}, "a list"},
		{http.MethodGet, "/apis/networking.istio.io/v1/gateways?resourceVersion=7&watch=true", count{}, "a watch"},
		{http.MethodGet, "/apis/networking.istio.io/v1/namespaces/a/gateways/watch", count{reads: 1}, "a read of an object with the name watch"},
		{http.MethodPut, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", count{}, "a lease"},
		{http.MethodPost, "/apis/networking.istio.io/v1/namespaces/a/gateways", count{writes: 1}, "a write"},
		{http.MethodPatch, "/apis/networking.istio.io/v1/namespaces/a/gateways/b?dryRun=All", count{writes: 1}, "a dry run counts as a write"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), tc.method, host+tc.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		sent := &requests{}
		sent.of(request).Add(1)
		if sent.count() != tc.want {
			t.Errorf("%s: %s", tc.reason, sent.count())
		}
	}
}

func TestGeneratedCommitChangesOneObject(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates: left out with -short")
	}
	m, err := newMaker()
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := m.bundle(t.Context(), size{20, 10})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for n := range 3 {
		next, object, err := changed(bundle, n)
		if err != nil {
			t.Fatal(err)
		}
		differ := 0
		for i, resource := range next.Resources {
			was := bundle.Resources[i]
			if resource.Key != was.Key {
				t.Fatalf("%s became %s", was.Key, resource.Key)
			}
			if resource.Hash != was.Hash {
				differ++
			}
		}
		if differ != 1 || seen[object.GetName()] {
			t.Errorf("commit %d changes %d objects; the changed object is %s", n, differ, object.GetName())
		}
		seen[object.GetName()] = true
		bundle = next
	}
}
