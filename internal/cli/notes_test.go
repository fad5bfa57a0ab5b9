package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ledger is a service that checkout calls, which runs in both clusters.
func ledger(t *testing.T, dir, placement string) {
	t.Helper()
	write(t, dir, "services/checkout.cue", `package config

services: checkout: {
	owner: "storefront"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "checkout", selector: app: "checkout", serviceAccounts: ["checkout"]}
	egress: {
		ledger:   {}
		payments: {}
	}
	placement: {east: {}, west: {}}
}
`)
	write(t, dir, "services/ledger.cue", `package config

services: ledger: {
	owner: "finance"
	ports: http: {port: 80, protocol: "HTTP"}
	backend: {namespace: "ledger", selector: app: "ledger", serviceAccounts: ["ledger"]}
	placement: `+placement+`
}
`)
}

func TestVetNotesCallsWithoutEndpoints(t *testing.T) {
	t.Parallel()
	const everywhere = "note: services/checkout.cue:8:3: services.checkout.egress.ledger: checkout calls ledger, which no active cluster runs: the call has no endpoints"
	state := func(cluster, state string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir, "state.cue", "package config\n\nclusters: "+cluster+": state: \""+state+"\"\n")
		}
	}
	for _, tc := range []struct {
		reason, placement string
		change            func(t *testing.T, dir string)
		note              string
	}{
		{"the callee runs nowhere yet", "{}", nil, everywhere + "\n"},
		{"another cluster takes the call", "west: {}", nil, ""},
		{"a cluster on standby takes the call", "west: standby: true", nil, ""},
		{"its only cluster is down, the other one calls in vain", "west: {}", state("west", "down"), everywhere + "\n"},
		{"a cluster that drains still takes the calls of its own", "west: {}", state("west", "draining"), everywhere + " (in cluster east)\n"},
		{"the other cluster takes the call instead", "{east: {}, west: {}}", state("west", "down"), ""},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			dir := newRepository(t)
			ledger(t, dir, tc.placement)
			if tc.change != nil {
				tc.change(t, dir)
			}
			r := run(t, dir, "vet")
			r.expect(t, 0, []string{"ok: 5 services, 2 clusters, "}, nil)
			got, _, noted := strings.Cut(r.stdout, "ok: ")
			// Draining or downing west takes the endpoints of the sample stock, too.
			var about string
			for line := range strings.Lines(got) {
				if strings.Contains(line, "ledger") {
					about += line
				}
			}
			if diff := cmp.Diff(tc.note, about); !noted || diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if counted := strings.Contains(r.stdout, " note"); counted != (got != "") {
				t.Errorf("the summary does not count the notes:\n%s", r.stdout)
			}
		})
	}
}

func TestNotesInEveryForm(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	ledger(t, dir, "{}")
	run(t, dir, "vet").expect(t, 0, []string{" resources, 1 note\n"}, nil)
	run(t, dir, "vet", "-o", "github").expect(t, 0, []string{
		"::notice file=services/checkout.cue,line=8,col=3,title=service checkout::services.checkout.egress.ledger: checkout calls ledger, ",
		"::stop-commands::", "\nok: 5 services",
	}, nil)

	var report struct {
		Findings []any
		Notes    []struct {
			Service, Path, File, Message string
			Line                         int
		}
	}
	r := run(t, dir, "vet", "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if r.status != 0 || len(report.Findings) != 0 || len(report.Notes) != 1 {
		t.Fatalf("want one note and no finding, status 0; status %d:\n%s", r.status, r.stdout)
	}
	if n := report.Notes[0]; n.Service != "checkout" || n.Path != "services.checkout.egress.ledger" || n.File != "services/checkout.cue" || n.Line != 8 || n.Message == "" {
		t.Errorf("got %+v", n)
	}

	run(t, dir, "vet", "-o", "sarif").expect(t, 0, []string{`"ruleId": "endpoints"`, `"ruleIndex": 2`, `"level": "note"`, `"startLine": 8`}, nil)

	// Without notes there is an empty list; with findings none, as they were not looked for.
	run(t, newRepository(t), "vet", "-o", "json").expect(t, 0, []string{`"notes": []`}, nil)
	replace(t, dir, "services/web.cue", "egress:", "egres:")
	if r := run(t, dir, "vet", "-o", "json"); r.status != 1 || strings.Contains(r.stdout, `"notes"`) {
		t.Errorf("status %d:\n%s", r.status, r.stdout)
	}
}
