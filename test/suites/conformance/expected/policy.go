package expected

import (
	"cmp"
	"fmt"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// policy lists the entries of trace.Result.Policy that a route sets.
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
		out["fault.delay"] = fmt.Sprintf("%v %g%%", delay["fixedDelay"], 100*faultShare(delay))
	}
	for _, side := range []string{"request", "response"} {
		operations, _ := r.Headers[side].(map[string]any)
		for _, op := range []string{"set", "add"} {
			for name, value := range asObject(operations[op]) {
				out["headers."+side+"."+op+"."+name] = fmt.Sprint(value)
			}
		}
	}
	return out
}

func asObject(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// localReply is the response of the caller's proxy, and the share of the calls that get it.
func localReply(r repo.Route, host string) (string, float64) {
	switch {
	case r.DirectResponse != nil:
		return fmt.Sprintf("response %v", r.DirectResponse["status"]), 1
	case r.Redirect != nil:
		code := 301
		if c := asInt(r.Redirect["redirectCode"]); c != 0 {
			code = c
		}
		scheme, _ := r.Redirect["scheme"].(string)
		authority, _ := r.Redirect["authority"].(string)
		uri, _ := r.Redirect["uri"].(string)
		return fmt.Sprintf("redirect %d %s://%s%s", code, cmp.Or(scheme, "http"), cmp.Or(authority, host), uri), 1
	}
	if abort := asObject(r.Fault["abort"]); abort != nil {
		return fmt.Sprintf("fault abort %v", abort["httpStatus"]), faultShare(abort)
	}
	return "", 0
}

// faultShare is the share of the calls that a fault affects, 1 by default.
func faultShare(fault map[string]any) float64 {
	if percentage := asObject(fault["percentage"]); percentage != nil {
		return asFloat(percentage["value"]) / 100
	}
	return 1
}
