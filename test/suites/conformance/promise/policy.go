package promise

import (
	"cmp"
	"fmt"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// policy are the entries that a trace has to show for a route.
func policy(r repo.Route) map[string]string {
	out := map[string]string{}
	if r.Timeout != "" {
		out["timeout"] = r.Timeout
	}
	for _, key := range []string{"attempts", "perTryTimeout", "retryOn"} {
		if v, has := r.Retries[key]; has {
			out["retries."+key] = fmt.Sprint(v)
		}
	}
	for _, key := range []string{"uri", "authority"} {
		if v, has := r.Rewrite[key]; has {
			out["rewrite."+key] = fmt.Sprint(v)
		}
	}
	if delay, has := r.Fault["delay"].(map[string]any); has {
		out["fault.delay"] = fmt.Sprintf("%v %g%%", delay["fixedDelay"], 100*part(delay))
	}
	for _, side := range []string{"request", "response"} {
		operations, _ := r.Headers[side].(map[string]any)
		for _, op := range []string{"set", "add"} {
			for name, value := range object(operations[op]) {
				out["headers."+side+"."+op+"."+name] = fmt.Sprint(value)
			}
		}
	}
	return out
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// answer that the caller's own proxy gives, and for which part of the calls.
func answer(r repo.Route, host string) (string, float64) {
	switch {
	case r.DirectResponse != nil:
		return fmt.Sprintf("response %v", r.DirectResponse["status"]), 1
	case r.Redirect != nil:
		code := 301
		if c := number(r.Redirect["redirectCode"]); c != 0 {
			code = c
		}
		scheme, _ := r.Redirect["scheme"].(string)
		authority, _ := r.Redirect["authority"].(string)
		uri, _ := r.Redirect["uri"].(string)
		return fmt.Sprintf("redirect %d %s://%s%s", code, cmp.Or(scheme, "http"), cmp.Or(authority, host), uri), 1
	}
	if abort := object(r.Fault["abort"]); abort != nil {
		return fmt.Sprintf("fault abort %v", abort["httpStatus"]), part(abort)
	}
	return "", 0
}

// part of the calls that a fault is for, all unless it says otherwise.
func part(fault map[string]any) float64 {
	if percentage := object(fault["percentage"]); percentage != nil {
		return float(percentage["value"]) / 100
	}
	return 1
}
