package plans_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

func TestEveryReasonIsASentenceWithItsFacts(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rule := render.Key{Kind: "DestinationRule", Namespace: "shop", Name: "cart"}
	foreign := plans.ForeignObject{PartOf: "applyset-other"}
	reasons := map[plans.Reason][]string{
		plans.MissingKind{Kind: "Sidecar", GroupVersion: "networking.istio.io/v1"}: {"Sidecar", "networking.istio.io/v1"},
		plans.TerminatingNamespace{Namespace: "shop"}:                              {"shop"},
		plans.ForeignObject{}: {plans.ForeignAdvice},
		foreign:               {"applyset-other"},
		plans.ControlledObject{Kind: "Rollout", Name: "cart"}:               {"Rollout cart"},
		plans.NotAdoptable{Object: foreign}:                                 {"spec.adopt", "applyset-other"},
		plans.AdoptionObserved{}:                                            {"spec.adopt.mode"},
		plans.OptedOut{Annotation: "isthmus.dev/prune"}:                     {"isthmus.dev/prune"},
		plans.BeingDeleted{Finalizers: "example.com/wait", Recreate: true}:  {"example.com/wait", "created again"},
		plans.BeingDeleted{}:                                                {"grace period"},
		plans.LabelOnlyObject{}:                                             {"remove the label"},
		plans.LabelRemoved{}:                                                {"label"},
		plans.PruneDisabled{}:                                               {"spec.prune.enabled"},
		plans.UnknownServices{Services: "ledger", Cause: "Git has no copy"}: {"ledger", "Git has no copy"},
		plans.FightBackoff{Manager: "argocd", Corrections: 7}:               {"argocd", "7 corrections"},
		plans.BehindRefusal{Refused: rule}:                                  {rule.String()},
		plans.MissingVersions{Versions: "v2", Rule: rule}:                   {"v2", rule.String()},
		plans.Withdrawal{Until: at, After: time.Hour}:                       {"2026-01-02T03:04:05Z", "1h0m0s"},
		plans.Deferral{Until: at}:                                           {"2026-01-02T03:04:05Z"},
	}
	var tested []string
	for reason, facts := range reasons {
		name := strings.TrimPrefix(fmt.Sprintf("%T", reason), "plans.")
		tested = append(tested, name)
		sentence := reason.String()
		if len(strings.Fields(sentence)) < 4 || regexp.MustCompile(`[{}\n]|%!|  |[.;,]$`).MatchString(sentence) {
			t.Errorf("%s does not print a plain sentence: %q", name, sentence)
		}
		for _, fact := range facts {
			if !strings.Contains(sentence, fact) {
				t.Errorf("%s lacks %q: %q", name, fact, sentence)
			}
		}
	}
	slices.Sort(tested)
	if diff := cmp.Diff(declaredReasons(t), slices.Compact(tested)); diff != "" {
		t.Errorf("reasons without a case in this test (-declared +tested):\n%s", diff)
	}
}

// declaredReasons are the types of reasons.go that have a method String, sorted.
func declaredReasons(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, declaration := range file.Decls {
		method, ok := declaration.(*ast.FuncDecl)
		if !ok || method.Recv == nil || method.Name.Name != "String" {
			continue
		}
		if receiver, ok := method.Recv.List[0].Type.(*ast.Ident); ok {
			names = append(names, receiver.Name)
		}
	}
	slices.Sort(names)
	return names
}
