package expected

import (
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// request holds the properties that a route can match.
type request struct {
	port    int
	sni     string
	method  string
	path    string // including the query
	headers map[string]string
	// labels and namespace of the caller's pod.
	labels    map[string]string
	namespace string
}

// firstMatch is the first route that matches a request, nil if none does, and its match.
func firstMatch(routes []repo.Route, r request) (*repo.Route, map[string]any, error) {
	for i := range routes {
		if len(routes[i].Match) == 0 {
			return &routes[i], nil, nil
		}
		for _, m := range routes[i].Match {
			ok, err := matches(m, r)
			if err != nil {
				return nil, nil, err
			}
			if ok {
				return &routes[i], m, nil
			}
		}
	}
	return nil, nil, nil
}

// matches reports whether a request satisfies all conditions of Istio's HTTPMatchRequest,
// L4MatchAttributes or TLSMatchAttributes.
func matches(match map[string]any, r request) (bool, error) {
	for key, condition := range match {
		ok, err := satisfies(match, key, condition, r)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func satisfies(match map[string]any, key string, condition any, r request) (bool, error) {
	target, err := url.Parse(r.path)
	if err != nil {
		return false, err
	}
	switch key {
	case "name", "statPrefix", "ignoreUriCase":
		return true, nil
	case "port":
		return asInt(condition) == r.port, nil
	case "uri":
		path := target.Path
		if match["ignoreUriCase"] == true {
			path = strings.ToLower(path)
			condition = lower(condition)
		}
		return matchText(condition, path, true), nil
	case "method":
		return matchText(condition, r.method, true), nil
	case "headers":
		return allMatch(condition, func(name string, c any) bool {
			value, has := r.headers[name]
			return matchText(c, value, has)
		}), nil
	case "withoutHeaders":
		return allMatch(condition, func(name string, c any) bool {
			value, has := r.headers[name]
			return !matchText(c, value, has)
		}), nil
	case "queryParams":
		return allMatch(condition, func(name string, c any) bool {
			return matchText(c, target.Query().Get(name), target.Query().Has(name))
		}), nil
	case "sourceLabels":
		return allMatch(condition, func(name string, c any) bool { return r.labels[name] == c }), nil
	case "sourceNamespace":
		return condition == r.namespace, nil
	case "sniHosts":
		return slices.ContainsFunc(condition.([]any), func(h any) bool { return sniMatches(h.(string), r.sni) }), nil
	}
	return false, unsupportedMatch(key)
}

func unsupportedMatch(key string) error {
	return fmt.Errorf("matches on %s are not supported: implement them in satisfies and sample", key)
}

func sniMatches(pattern, sni string) bool {
	if rest, wild := strings.CutPrefix(pattern, "*"); wild {
		return strings.HasSuffix(sni, rest)
	}
	return pattern == sni
}

// matchText reports whether a string satisfies Istio's StringMatch. An empty match tests for
// presence.
func matchText(condition any, value string, has bool) bool {
	c, _ := condition.(map[string]any)
	if !has {
		return false
	}
	for kind, want := range c {
		want, _ := want.(string)
		switch kind {
		case "exact":
			return value == want
		case "prefix":
			return strings.HasPrefix(value, want)
		case "regex":
			re, err := regexp.Compile("^(?:" + want + ")$")
			return err == nil && re.MatchString(value)
		}
	}
	return true
}

func lower(condition any) any {
	out := map[string]any{}
	for k, v := range condition.(map[string]any) {
		out[k] = strings.ToLower(v.(string))
	}
	return out
}

func allMatch(conditions any, holds func(string, any) bool) bool {
	for name, c := range conditions.(map[string]any) {
		if !holds(name, c) {
			return false
		}
	}
	return true
}

func asInt(v any) int {
	f, _ := v.(float64)
	return int(f)
}

// sample changes a request so that it satisfies a match. The labels and the namespace stay, because
// a caller cannot choose them.
func sample(match map[string]any, r request) (request, error) {
	headers := map[string]string{}
	query := url.Values{}
	path := r.path
	for key, condition := range match {
		switch key {
		case "uri":
			path = sampleText(condition)
		case "method":
			r.method = sampleText(condition)
		case "headers":
			for name, c := range condition.(map[string]any) {
				headers[name] = sampleText(c)
			}
		case "queryParams":
			for name, c := range condition.(map[string]any) {
				query.Set(name, sampleText(c))
			}
		case "sniHosts":
			r.sni = strings.Replace(condition.([]any)[0].(string), "*", "a", 1)
		case "name", "statPrefix", "ignoreUriCase", "port", "withoutHeaders", "sourceLabels", "sourceNamespace":
		default:
			return r, unsupportedMatch(key)
		}
	}
	r.headers, r.path = headers, path
	if len(query) > 0 {
		r.path += "?" + query.Encode()
	}
	return r, nil
}

func sampleText(condition any) string {
	c, _ := condition.(map[string]any)
	for kind, want := range c {
		want, _ := want.(string)
		switch kind {
		case "exact":
			return want
		case "prefix":
			return want + "x"
		case "regex":
			if re, err := syntax.Parse(want, syntax.Perl); err == nil {
				return sampleRegex(re.Simplify())
			}
		}
	}
	return "any"
}

// sampleRegex is a short text that a common regular expression accepts.
func sampleRegex(re *syntax.Regexp) string {
	out := ""
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		return string(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCapture, syntax.OpPlus, syntax.OpRepeat, syntax.OpAlternate:
		return sampleRegex(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			out += sampleRegex(sub)
		}
	default: // * and ? may be empty, anchors have no text.
	}
	return out
}
