package suite

import (
	"fmt"
	"iter"
	stdmaps "maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

func maps[V any](m map[string]V) iter.Seq[string] { return stdmaps.Keys(m) }

// text writes traces for a reader: a paragraph a call.
func text(about string, all []traced) string {
	out := strings.Builder{}
	if about != "" {
		out.WriteString(about + "\n\n")
	}
	for i, t := range all {
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(paragraph(t))
	}
	return out.String()
}

func paragraph(t traced) string {
	lines := []string{t.Title() + requestText(t.Call.Call)}
	if t.result.Answer != "" {
		lines = append(lines, fmt.Sprintf("  %4s  answered by its own proxy: %s", share(t.result.AnswerShare), t.result.Answer))
	}
	lines = append(lines, arrivals(t.result.Arrivals, "")...)
	lines = append(lines, arrivals(t.result.Mirrors, "copied ")...)
	if policy := policyText(t.Want.Policy); policy != "" {
		lines = append(lines, "  with "+policy)
	}
	if len(t.result.Arrivals) == 0 && t.result.Answer == "" {
		lines = append(lines, "  fails: "+t.result.Error)
	}
	return strings.Join(lines, "\n") + "\n"
}

func requestText(c trace.Call) string {
	words := []string{}
	if c.Method != "" && c.Method != "GET" {
		words = append(words, c.Method)
	}
	if c.Path != "" && c.Path != "/" {
		words = append(words, c.Path)
	}
	for _, name := range slices.Sorted(maps(c.Headers)) {
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

// arrivals joins the pods that are reached alike.
func arrivals(all []trace.Arrival, what string) []string {
	type kind struct {
		priority                                                       int
		cluster, port, via, sni, identity, denied, dryRun, rejected, x string
	}
	order := []kind{}
	shares, pods := map[kind]float64{}, map[kind][]string{}
	for _, a := range all {
		k := kind{
			a.Priority, a.Cluster, fmt.Sprint(a.Port), strings.Join(a.Via, ", "), a.SNI, a.Identity, a.Denied, a.DryRunDenied, a.Rejected,
			a.External + strings.Join(versionOf(a.Pod), " "),
		}
		if _, known := shares[k]; !known {
			order = append(order, k)
		}
		shares[k] += a.Share
		pods[k] = append(pods[k], a.Pod)
	}
	lines := []string{}
	for _, k := range order {
		where := k.x
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

// versionOf takes the number of the replica off a pod's name: what is left are service and version.
func versionOf(pod string) []string {
	if i := strings.LastIndex(pod, "-"); i > 0 {
		return []string{pod[:i]}
	}
	return []string{pod}
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func share(part float64) string { return fmt.Sprintf("%.0f%%", part*100) }

func policyText(policy map[string]string) string {
	words := []string{}
	for _, key := range slices.Sorted(maps(policy)) {
		words = append(words, key+" "+policy[key])
	}
	return strings.Join(words, ", ")
}
