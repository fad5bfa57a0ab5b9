package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutputIsThatOfGoTestAndTheSlowestTests(t *testing.T) {
	for _, tc := range []struct {
		reason string
		events []string
		want   string
	}{
		{
			"output of tests that pass is left out",
			[]string{
				`{"Action":"start","Package":"p"}`,
				`{"Action":"run","Package":"p","Test":"TestA","Time":"2026-01-01T00:00:00Z"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"a log\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1,"Time":"2026-01-01T00:00:01Z"}`,
				`{"Action":"output","Package":"p","Output":"PASS\n"}`,
				`{"Action":"output","Package":"p","Output":"ok  \tp\t1.0s\n"}`,
				`{"Action":"pass","Package":"p","Elapsed":1}`,
			},
			"ok  \tp\t1.0s\n\nslowest tests:\n     1.0s  p.TestA\n\n1 passed, 0 failed, 0 skipped\n",
		},
		{
			"output of tests that fail is printed in its order, without that of others",
			[]string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestA/good"}`,
				`{"Action":"output","Package":"p","Test":"TestA/good","Output":"good\n"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/good"}`,
				`{"Action":"run","Package":"p","Test":"TestA/bad"}`,
				`{"Action":"output","Package":"p","Test":"TestA/bad","Output":"=== RUN   TestA/bad\n"}`,
				`{"Action":"output","Package":"p","Test":"TestA/bad","Output":"bad\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA/bad"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}`,
				`{"Action":"fail","Package":"p","Test":"TestA"}`,
				`{"Action":"run","Package":"p","Test":"TestB"}`,
				`{"Action":"skip","Package":"p","Test":"TestB"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\n"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\tp\t0.0s\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			"bad\n--- FAIL: TestA (0.00s)\nFAIL\nFAIL\tp\t0.0s\n\n" +
				"slowest tests:\n     0.0s  p.TestA\n     0.0s  p.TestB\n\n0 passed, 1 failed, 1 skipped\n",
		},
		{
			"the time of parallel subtests counts, the time before a parallel test's turn does not",
			[]string{
				`{"Action":"run","Package":"p","Test":"TestA","Time":"2026-01-01T00:00:00Z"}`,
				`{"Action":"pause","Package":"p","Test":"TestA","Time":"2026-01-01T00:00:01Z"}`,
				`{"Action":"cont","Package":"p","Test":"TestA","Time":"2026-01-01T00:00:10Z"}`,
				`{"Action":"run","Package":"p","Test":"TestA/x","Time":"2026-01-01T00:00:10Z"}`,
				`{"Action":"pass","Package":"p","Test":"TestA/x","Time":"2026-01-01T00:00:13Z"}`,
				`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0,"Time":"2026-01-01T00:00:13Z"}`,
				`{"Action":"pass","Package":"p"}`,
			},
			"\nslowest tests:\n     4.0s  p.TestA\n\n1 passed, 0 failed, 0 skipped\n",
		},
		{
			"a test that dies with the process is printed",
			[]string{
				`{"Action":"run","Package":"p","Test":"TestA"}`,
				`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\tp\t9s\n"}`,
				`{"Action":"fail","Package":"p"}`,
			},
			"panic: test timed out\nFAIL\tp\t9s\n\nslowest tests:\n\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			"a package that cannot be built fails",
			[]string{
				`{"ImportPath":"p [p.test]","Action":"build-output","Output":"p/a.go:1:1: undefined: x\n"}`,
				`{"ImportPath":"p [p.test]","Action":"build-fail"}`,
				`{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`,
				`{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}`,
			},
			"p/a.go:1:1: undefined: x\nFAIL\tp [build failed]\n\nslowest tests:\n\n0 passed, 1 failed, 0 skipped\n",
		},
		{
			"what is not JSON is printed",
			[]string{"go: warning"},
			"go: warning\n\nslowest tests:\n\n0 passed, 0 failed, 0 skipped\n",
		},
	} {
		var out strings.Builder
		r := newReport(&out)
		if err := read(strings.NewReader(strings.Join(tc.events, "\n")+"\n"), r); err != nil {
			t.Fatal(err)
		}
		r.summary()
		if diff := cmp.Diff(tc.want, out.String()); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
		}
	}
}

func TestEachRunHasItsArguments(t *testing.T) {
	want := [][]string{{"-timeout", "1m", "./..."}, {"-C", "x", "./..."}}
	if diff := cmp.Diff(want, split([]string{"-timeout", "1m", "./...", "--", "-C", "x", "./..."})); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
