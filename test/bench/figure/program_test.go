package figure

import (
	"context"
	"flag"
	"io"
	"strings"
	"testing"
)

func TestOnlyAWholeRunIsJudgedAndKept(t *testing.T) {
	tests := map[string]struct {
		args   string
		judged bool
		err    string
	}{
		"Whole":          {"-write", true, ""},
		"Quick":          {"-quick", false, ""},
		"Only":           {"-only a", false, ""},
		"Partial":        {"-services 5", false, ""},
		"DefaultPartial": {"-services 10 -write", true, ""},
		"Profiling":      {"-profiles dir", true, ""},
		"WriteQuick":     {"-write -quick", false, "leave out -quick"},
		"WriteProfiles":  {"-write -profiles dir", false, "leave out -profiles"},
		"UnknownFigure":  {"-only a,c", false, `unknown figure "c": choose from a, b`},
	}
	p := Program{Name: "test", Figures: []string{"a", "b"}, Partial: []string{"services"}, Profiling: []string{"profiles"}, Flags: func(f *flag.FlagSet) {
		f.Int("services", 10, "")
		f.String("profiles", "", "")
	}}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, judged, err := p.parse(strings.Fields(tc.args), io.Discard)
			if judged != tc.judged || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("judged %t, error %v", judged, err)
			}
		})
	}
}

func TestMissedLimitFailsTheRun(t *testing.T) {
	p := Program{Name: "test", Measure: func(context.Context, Run) (Report, error) {
		return Report{Rows: []Row{{Limit: 1, Measured: 2}}}, nil
	}}
	var out strings.Builder
	if err := p.command(t.Context(), nil, nil, &out, io.Discard); err == nil || !strings.Contains(out.String(), "**no**") {
		t.Errorf("error %v, output:\n%s", err, out.String())
	}
}
