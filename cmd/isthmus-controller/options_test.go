package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

func TestFlags(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		kinds  []string
		elects bool
		fails  string
	}{
		"Default":        {"by default all kinds are managed, with leader election", nil, kindNames(istio.Kinds), true, ""},
		"SomeKinds":      {"kinds keep the order in which they are applied", []string{"--kinds=VirtualService,Gateway"}, []string{"Gateway", "VirtualService"}, true, ""},
		"UnknownKind":    {"drift of a misspelt kind would not be corrected", []string{"--kinds=EnvoyFilter"}, nil, true, "EnvoyFilter"},
		"NoKind":         {"a controller without kinds does nothing", []string{"--kinds="}, nil, true, "at least one kind"},
		"NoElection":     {"leader election can be disabled for development", []string{"--enable-leader-election=false"}, kindNames(istio.Kinds), false, ""},
		"Argument":       {"an argument is probably a flag without dashes", []string{"metrics-addr"}, nil, true, "metrics-addr"},
		"UnknownFlag":    {"a misspelt flag is an error", []string{"--metric-addr=:1"}, nil, true, "metric-addr"},
		"LogsAsInFlux":   {"flags have the names of Flux", []string{"--log-level=debug", "--log-encoding=console"}, kindNames(istio.Kinds), true, ""},
		"MoreMemory":     {"sizes are written as in Kubernetes", []string{"--evaluation-memory=4Gi", "--evaluation-cpu=2m"}, kindNames(istio.Kinds), true, ""},
		"NoMemory":       {"an evaluation needs memory", []string{"--evaluation-memory=1Mi"}, nil, true, "--evaluation-memory must be at least 128Mi, but is 1Mi"},
		"UnknownUnit":    {"a size needs a known unit", []string{"--evaluation-memory=4GB"}, nil, true, "2Gi"},
		"NoProcessor":    {"an evaluation needs processor time", []string{"--evaluation-cpu=0"}, nil, true, "--evaluation-cpu must be at least 1s"},
		"JitterAsInFlux": {"flags have the names of Flux", []string{"--interval-jitter-percentage=10"}, kindNames(istio.Kinds), true, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o, err := parse(tc.args)
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("%s: want an error with %q, got %v", tc.reason, tc.fails, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.kinds, kindNames(o.kinds)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			if o.leaderElection.Enable != tc.elects {
				t.Errorf("%s: leader election is %v", tc.reason, o.leaderElection.Enable)
			}
		})
	}
}
