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
		"Default":        {"without flags all kinds are managed, by one controller at a time", nil, kindNames(istio.Kinds), true, ""},
		"SomeKinds":      {"kinds keep the order in which they are applied", []string{"--kinds=VirtualService,Gateway"}, []string{"Gateway", "VirtualService"}, true, ""},
		"UnknownKind":    {"a misspelt kind would leave drift unseen", []string{"--kinds=EnvoyFilter"}, nil, true, "EnvoyFilter"},
		"NoKind":         {"a controller without kinds does nothing", []string{"--kinds="}, nil, true, "at least one kind"},
		"NoElection":     {"it can be switched off for development", []string{"--enable-leader-election=false"}, kindNames(istio.Kinds), false, ""},
		"Argument":       {"an argument is a flag with its dashes forgotten", []string{"metrics-addr"}, nil, true, "metrics-addr"},
		"UnknownFlag":    {"a misspelt flag is told", []string{"--metric-addr=:1"}, nil, true, "metric-addr"},
		"LogsAsInFlux":   {"flags that Flux has are named as there", []string{"--log-level=debug", "--log-encoding=console"}, kindNames(istio.Kinds), true, ""},
		"MoreMemory":     {"amounts are written as in Kubernetes", []string{"--evaluation-memory=4Gi", "--evaluation-cpu=2m"}, kindNames(istio.Kinds), true, ""},
		"NoMemory":       {"nothing can be evaluated without memory", []string{"--evaluation-memory=1Mi"}, nil, true, "--evaluation-memory must be at least 128Mi, but is 1Mi"},
		"NoAmount":       {"an amount needs a unit that is known", []string{"--evaluation-memory=4GB"}, nil, true, "2Gi"},
		"NoProcessor":    {"nothing can be evaluated in no time", []string{"--evaluation-cpu=0"}, nil, true, "--evaluation-cpu must be at least 1s"},
		"JitterAsInFlux": {"flags that Flux has are named as there", []string{"--interval-jitter-percentage=10"}, kindNames(istio.Kinds), true, ""},
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
