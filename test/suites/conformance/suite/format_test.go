package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// formatTraces writes one paragraph for each call.
func formatTraces(about string, all []tracedCall) string {
	out := strings.Builder{}
	if about != "" {
		out.WriteString(about + "\n\n")
	}
	for i, t := range all {
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(formatTrace(t))
	}
	return out.String()
}

func formatTrace(t tracedCall) string {
	lines := []string{t.Title() + formatRequest(t.Call.Call)}
	if t.result.LocalReply != "" {
		lines = append(lines, fmt.Sprintf("  %4s  answered by its own proxy: %s", share(t.result.LocalReplyShare), t.result.LocalReply))
	}
	lines = append(lines, formatArrivals(t.result.Arrivals, "")...)
	lines = append(lines, formatArrivals(t.result.Mirrors, "copied ")...)
	if policy := formatPolicy(t.Want.Policy); policy != "" {
		lines = append(lines, "  with "+policy)
	}
	if len(t.result.Arrivals) == 0 && t.result.LocalReply == "" {
		lines = append(lines, "  fails: "+t.result.Error)
	}
	return strings.Join(lines, "\n") + "\n"
}

func formatRequest(c trace.Call) string {
	words := []string{}
	if c.Method != "" && c.Method != "GET" {
		words = append(words, c.Method)
	}
	if c.Path != "" && c.Path != "/" {
		words = append(words, c.Path)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		words = append(words, name+": "+c.Headers[name])
	}
	if c.SNI != "" && c.SNI != c.Host {
		words = append(words, "SNI "+c.SNI)
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// formatArrivals groups arrivals that differ in the pod only.
func formatArrivals(all []trace.Arrival, what string) []string {
	type kind struct {
		priority                                                            int
		cluster, port, via, sni, identity, denied, dryRun, rejected, target string
	}
	order := []kind{}
	shares, pods := map[kind]float64{}, map[kind][]string{}
	for _, a := range all {
		k := kind{
			a.Priority, a.Cluster, fmt.Sprint(a.Port), strings.Join(a.Via, ", "), a.SNI, a.Identity, a.Denied, a.DryRunDenied, a.Rejected,
			a.External + withoutReplica(a.Pod),
		}
		if _, seen := shares[k]; !seen {
			order = append(order, k)
		}
		shares[k] += a.Share
		pods[k] = append(pods[k], a.Pod)
	}
	lines := []string{}
	for _, k := range order {
		where := k.target
		if k.cluster != "" {
			where += fmt.Sprintf(" in %s, %d pods, port %s", k.cluster, len(unique(pods[k])), k.port)
		}
		line := fmt.Sprintf("  %d. %4s  %s%s", k.priority+1, share(shares[k]), what, where)
		if k.via != "" {
			line += fmt.Sprintf("\n           by the gateway of %s, as %s", k.via, k.sni)
		}
		if k.identity != "" {
			line += "\n           seen as " + k.identity
		}
		for _, refusal := range []struct{ how, by string }{{"denied by ", k.denied}, {"would be denied by ", k.dryRun}, {"rejected: ", k.rejected}} {
			if refusal.by != "" {
				line += "\n           " + refusal.how + refusal.by
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// withoutReplica removes the replica number from a pod's name, which leaves service and version.
func withoutReplica(pod string) string {
	if i := strings.LastIndex(pod, "-"); i > 0 {
		return pod[:i]
	}
	return pod
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func share(part float64) string { return fmt.Sprintf("%.0f%%", part*100) }

func formatPolicy(policy map[string]string) string {
	words := []string{}
	for _, key := range slices.Sorted(maps.Keys(policy)) {
		words = append(words, key+" "+policy[key])
	}
	return strings.Join(words, ", ")
}
