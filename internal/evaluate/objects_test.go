package evaluate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
)

func TestServiceWithTooManyObjectsIsFrozen(t *testing.T) {
	const most = 20
	r := newTree(t)
	f := follow(t, "east")
	f.evaluator = evaluate.New(evaluate.Limits{Objects: most}, nil)
	before := texts(f.applies(r.commit(nil)).Rendered)
	var hosts []string
	for i := range most {
		hosts = append(hosts, fmt.Sprintf("\"n%d.example.com\"", i))
	}
	greedy := service("cart", everywhere, `egress: stock: {}`, "hosts: ["+strings.Join(hosts, ", ")+"]")
	result := f.applies(r.commit(map[string]string{"services/cart.cue": greedy}))
	same(t, "rendered", before, texts(result.Rendered))
	said := result.Broken["cart"]
	if len(result.Broken) != 1 || len(said) != 1 || said[0].File != "services/cart.cue" || said[0].Line == 0 || !strings.Contains(said[0].Message, "--"+evaluate.ObjectsFlag) {
		t.Errorf("broken: %v", result.Broken)
	}
	// With a higher limit it is as good as any other.
	f.evaluator = evaluate.New(evaluate.Limits{}, nil)
	if found := f.applies(r.commit(nil)).Findings(); len(found) > 0 {
		t.Errorf("with the default: %v", found)
	}
}
