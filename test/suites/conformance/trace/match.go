package trace

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

var expressions sync.Map

// fullMatch reports whether the expression matches the whole value, as RE2 does in Envoy.
func fullMatch(expression, value string) (bool, error) {
	if known, ok := expressions.Load(expression); ok {
		return known.(*regexp.Regexp).MatchString(value), nil
	}
	compiled, err := regexp.Compile("^(?:" + expression + ")$")
	if err != nil {
		return false, fmt.Errorf("regular expression %q: %w", expression, err)
	}
	expressions.Store(expression, compiled)
	return compiled.MatchString(value), nil
}

func matchString(m *matcherv3.StringMatcher, value string) (bool, error) {
	fold := func(s string) string {
		if m.GetIgnoreCase() {
			return strings.ToLower(s)
		}
		return s
	}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return fold(value) == fold(p.Exact), nil
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(fold(value), fold(p.Prefix)), nil
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(fold(value), fold(p.Suffix)), nil
	case *matcherv3.StringMatcher_Contains:
		return strings.Contains(fold(value), fold(p.Contains)), nil
	case *matcherv3.StringMatcher_SafeRegex:
		return fullMatch(p.SafeRegex.GetRegex(), value)
	}
	return false, fmt.Errorf("unsupported string matcher %T", m.GetMatchPattern())
}

// matchHeader follows Envoy's HeaderMatcher: an absent header matches only a test for absence.
func matchHeader(m *routev3.HeaderMatcher, r *request) (bool, error) {
	value, present := r.header(m.Name)
	if !present && m.TreatMissingHeaderAsEmpty {
		present = true
	}
	if p, ok := m.GetHeaderMatchSpecifier().(*routev3.HeaderMatcher_PresentMatch); ok {
		return (present == p.PresentMatch) != m.InvertMatch, nil
	}
	if m.GetHeaderMatchSpecifier() == nil {
		return present != m.InvertMatch, nil
	}
	if !present {
		// Envoy ignores InvertMatch if there is no value.
		return false, nil
	}
	matched, err := matchHeaderValue(m, value)
	return matched != m.InvertMatch, err
}

//nolint:staticcheck // Envoy still supports its deprecated matchers.
func matchHeaderValue(m *routev3.HeaderMatcher, value string) (bool, error) {
	switch p := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		return matchString(p.StringMatch, value)
	case *routev3.HeaderMatcher_ExactMatch:
		return value == p.ExactMatch, nil
	case *routev3.HeaderMatcher_PrefixMatch:
		return strings.HasPrefix(value, p.PrefixMatch), nil
	case *routev3.HeaderMatcher_SuffixMatch:
		return strings.HasSuffix(value, p.SuffixMatch), nil
	case *routev3.HeaderMatcher_ContainsMatch:
		return strings.Contains(value, p.ContainsMatch), nil
	case *routev3.HeaderMatcher_SafeRegexMatch:
		return fullMatch(p.SafeRegexMatch.GetRegex(), value)
	}
	return false, fmt.Errorf("unsupported header matcher %T", m.GetHeaderMatchSpecifier())
}

// matchQuery matches a parameter of the path's query. The first value of a name counts.
func matchQuery(m *routev3.QueryParameterMatcher, r *request) (bool, error) {
	_, query, _ := strings.Cut(r.path, "?")
	value, present := "", false
	for _, pair := range strings.Split(query, "&") {
		name, v, _ := strings.Cut(pair, "=")
		if name == m.Name && query != "" && !present {
			value, present = v, true
		}
	}
	switch p := m.GetQueryParameterMatchSpecifier().(type) {
	case *routev3.QueryParameterMatcher_PresentMatch:
		return present == p.PresentMatch, nil
	case *routev3.QueryParameterMatcher_StringMatch:
		if !present {
			return false, nil
		}
		return matchString(p.StringMatch, value)
	case nil:
		return present, nil
	}
	return false, fmt.Errorf("unsupported query matcher %T", m.GetQueryParameterMatchSpecifier())
}

// anyMatches reports whether a matcher accepts the value. An empty list accepts every value.
func anyMatches(matchers []*matcherv3.StringMatcher, value string) (bool, error) {
	for _, m := range matchers {
		if matched, err := matchString(m, value); matched || err != nil {
			return matched, err
		}
	}
	return len(matchers) == 0, nil
}
