package clustercache

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// StatusProblem is a problem that istiod reports in the status of an object.
type StatusProblem struct {
	Key     render.Key
	Service string
	// Message is that of istiod, after the type of the condition.
	Message string
	// Rejected is set if the object does not pass the validation of istiod. Otherwise not all
	// proxies have it yet.
	Rejected bool
}

// statusProblems reduces a status to its problems: conditions that are False, and validation
// errors. It is nil if there are none, and for the status of an older generation.
func statusProblems(object *unstructured.Unstructured) map[string]any {
	status := nested.Map(object.Object, "status")
	if len(status) == 0 {
		return nil
	}
	if seen, ok := nested.Integer(status["observedGeneration"]); ok && seen < object.GetGeneration() {
		return nil
	}
	out := map[string]any{}
	var conditions, messages []any
	for _, item := range nested.List(status, "conditions") {
		condition := nested.Map(item)
		if kind := condition["type"]; condition["status"] == "False" && (kind == reconciled || kind == passedValidation) {
			conditions = append(conditions, map[string]any{"type": kind, "status": "False", "message": condition["message"]})
		}
	}
	for _, item := range nested.List(status, "validationMessages") {
		if message := nested.Map(item); message["level"] == "ERROR" {
			messages = append(messages, map[string]any{"level": "ERROR", "type": message["type"], "documentationUrl": message["documentationUrl"]})
		}
	}
	if len(conditions) > 0 {
		out["conditions"] = conditions
	}
	if len(messages) > 0 {
		out["validationMessages"] = messages
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Conditions that istiod writes.
const reconciled, passedValidation = "Reconciled", "PassedValidation"

// StatusProblemOf returns the problem that istiod reports for a live object.
func StatusProblemOf(live *unstructured.Unstructured) (StatusProblem, bool) {
	status := statusProblems(live)
	if status == nil {
		return StatusProblem{}, false
	}
	c := StatusProblem{Key: render.KeyOf(live), Service: live.GetLabels()[render.LabelService]}
	var words []string
	for _, item := range nested.List(status, "conditions") {
		condition := nested.Map(item)
		c.Rejected = c.Rejected || condition["type"] == passedValidation
		words = append(words, strings.TrimSpace(fmt.Sprintf("%v: %v", condition["type"], stringOf(condition, "message"))))
	}
	for _, item := range nested.List(status, "validationMessages") {
		message := nested.Map(item)
		c.Rejected = true
		kind := nested.Map(message, "type")
		words = append(words, strings.TrimSpace(fmt.Sprintf("%v %v %v", stringOf(kind, "code"), stringOf(kind, "name"), stringOf(message, "documentationUrl"))))
	}
	c.Message = strings.Join(words, "; ")
	return c, true
}

func stringOf(fields map[string]any, name string) string {
	text, _ := fields[name].(string)
	return text
}
