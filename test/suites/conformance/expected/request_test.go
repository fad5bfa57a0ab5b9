package expected

import (
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

func TestSampleSatisfiesItsMatch(t *testing.T) {
	exact := func(s string) map[string]any { return map[string]any{"exact": s} }
	for reason, match := range map[string]map[string]any{
		"a header":                 {"headers": map[string]any{"end-user": exact("jason")}},
		"the presence of a header": {"headers": map[string]any{"x-any": map[string]any{}}},
		"a path":                   {"uri": map[string]any{"prefix": "/api/"}},
		"a regular expression":     {"uri": map[string]any{"regex": "/v[12]/(items|users)/[a-z]+\\.json"}},
		"a query":                  {"queryParams": map[string]any{"debug": exact("1")}, "method": exact("POST")},
		"a case that is ignored":   {"uri": exact("/API"), "ignoreUriCase": true},
		"a TLS name":               {"sniHosts": []any{"*.example.com"}, "port": 443.0},
	} {
		t.Run(reason, func(t *testing.T) {
			got, err := sample(match, request{port: 443, method: "GET", path: "/"})
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := matches(match, got); err != nil || !ok {
				t.Errorf("the sample %+v does not match %v (%v)", got, match, err)
			}
		})
	}
}

func TestFirstMatchingRouteIsUsed(t *testing.T) {
	routes := []repo.Route{
		{Name: "trial", Match: []map[string]any{{"headers": map[string]any{"end-user": map[string]any{"exact": "jason"}}}}},
		{Name: "rest"},
	}
	for user, want := range map[string]string{"jason": "trial", "anna": "rest"} {
		route, _, err := firstMatch(routes, request{path: "/", headers: map[string]string{"end-user": user}})
		if err != nil {
			t.Fatal(err)
		}
		if route.Name != want {
			t.Errorf("%s takes route %s, want %s", user, route.Name, want)
		}
	}
}

func TestUnsupportedMatchIsAnError(t *testing.T) {
	if _, err := matches(map[string]any{"moonPhase": "full"}, request{path: "/"}); err == nil {
		t.Error("no error")
	}
}
