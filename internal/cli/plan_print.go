package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/plans"
)

// maxFields limits the fields in a line of text. JSON has all fields.
const maxFields = 5

// writePlanText writes one line for each object, in the order of the writes.
func writePlanText(w *bufio.Writer, p planned, s style) error {
	fmt.Fprintf(w, "%s\n\n", printable(p.heading()))
	var aligned bytes.Buffer
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, namespace := range p.Plan.Namespaces {
		fmt.Fprintf(table, "create\tNamespace/%s\t\t\t\n", namespace)
	}
	actions := p.actions()
	for _, action := range actions {
		fmt.Fprintln(table, strings.Join(cells(action), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for text := range strings.Lines(aligned.String()) {
		// The tab writer pads empty cells at the end of a line.
		fmt.Fprintln(w, strings.TrimRight(text, " \n"))
	}
	if len(actions)+len(p.Plan.Namespaces) > 0 {
		fmt.Fprintln(w)
	}
	return writePlanEnd(w, p, s)
}

// cells are the columns of an action. Field names come from the repository and from foreign objects,
// so they are not trusted.
func cells(action plans.Action) []string {
	var about []string
	if len(action.Fields) > 0 {
		fields := strings.Join(action.Fields[:min(len(action.Fields), maxFields)], ", ")
		if more := len(action.Fields) - maxFields; more > 0 {
			fields += fmt.Sprintf(" and %d more", more)
		}
		about = append(about, fields)
	}
	if action.Reason != nil {
		about = append(about, action.Reason.String())
	}
	all := []string{verb(action), action.Key.String(), action.Service, string(action.Effect), strings.Join(about, "; ")}
	for i, cell := range all {
		all[i] = oneLine(cell)
	}
	return all
}

// oneLine removes newlines and tabs, which would add lines or columns.
func oneLine(text string) string {
	return printable(strings.NewReplacer("\n", " ", "\t", " ").Replace(text))
}

// writePlanDiff shows each write as a unified diff, without the fields that the API server fills in.
func writePlanDiff(w *bufio.Writer, p planned, s style) error {
	fmt.Fprintf(w, "%s\n\n", printable(p.heading()))
	for _, action := range p.actions() {
		before, after := p.Plan.Writing(action)
		from, to := "cluster/"+action.Key.String(), "repository/"+action.Key.String()
		if before == nil {
			from = "/dev/null"
		}
		if after == nil {
			to = "/dev/null"
		}
		texts, err := asYAML(before, after)
		if err != nil {
			return fmt.Errorf("writing %s as YAML: %w", action.Key, err)
		}
		diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: texts[0], B: texts[1], FromFile: from, ToFile: to, Context: 3})
		if err != nil {
			return err
		}
		fmt.Fprintln(w, s.bold("# "+strings.Join(slices.DeleteFunc(cells(action), func(cell string) bool { return cell == "" }), " ")))
		for text := range strings.Lines(diff) {
			fmt.Fprintln(w, s.changed(printable(strings.TrimSuffix(text, "\n"))))
		}
		fmt.Fprintln(w)
	}
	return writePlanEnd(w, p, s)
}

// asYAML returns the YAML lines of each object, no line for nil.
func asYAML(objects ...*unstructured.Unstructured) ([][]string, error) {
	texts := make([][]string, len(objects))
	for i, object := range objects {
		if object == nil {
			continue
		}
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		for text := range strings.Lines(string(data)) {
			texts[i] = append(texts[i], text)
		}
	}
	return texts, nil
}

// changed colours a line of a diff.
func (s style) changed(line string) string {
	switch {
	case strings.HasPrefix(line, "+"):
		return s.green(line)
	case strings.HasPrefix(line, "-"):
		return s.red(line)
	}
	return line
}

// writePlanEnd writes what blocks the plan, the notes and the summary.
func writePlanEnd(w io.Writer, p planned, s style) error {
	for _, stop := range p.BlockedBy {
		fmt.Fprintf(w, "%s %s\n", s.red("not now:"), oneLine(stop))
	}
	for _, problem := range p.Problems {
		if !problem.Blocks {
			fmt.Fprintf(w, "note: %s\n", oneLine(problem.Message))
		}
	}
	for _, namespace := range p.Plan.UnusedNamespaces {
		fmt.Fprintf(w, "note: Isthmus created namespace %s and no longer needs it; delete it if it is empty\n", namespace)
	}
	_, err := fmt.Fprintln(w, s.bold("plan:"), p.summary())
	return err
}

// planReport is the JSON form of a plan.
type planReport struct {
	Cluster  string `json:"cluster"`
	MeshSync string `json:"meshSync,omitempty"` // NAMESPACE/NAME, absent if there is none yet
	Applied  string `json:"applied,omitempty"`  // status.lastAppliedRevision
	// Namespaces are created first.
	Namespaces []string `json:"namespaces"`
	// Actions are in the order of the writes.
	Actions   []planAction `json:"actions"`
	Unchanged int          `json:"unchanged"`
	// Stops are the reasons why nothing is written now.
	Stops    []string      `json:"stops"`
	Brake    *planGuard    `json:"brake,omitempty"`
	Problems []planProblem `json:"problems"`
	// Findings are those of broken services, whose objects are skipped.
	Findings []problem `json:"findings,omitempty"`
}

type planAction struct {
	Verb      string     `json:"verb"`
	Kind      string     `json:"kind"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Service   string     `json:"service,omitempty"`
	Side      string     `json:"side,omitempty"`
	Effect    string     `json:"effect,omitempty"`
	Fields    []string   `json:"fields,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	// Before and After are the object without the fields that the API server fills in. They are set
	// for writes, and for objects that could be adopted.
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
}

type planGuard struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
	Reason string `json:"reason"`
}

type planProblem struct {
	Reason   string `json:"reason"`
	Resource string `json:"resource,omitempty"`
	Message  string `json:"message"`
	Blocks   bool   `json:"blocks"`
}

func writePlanJSON(w *bufio.Writer, p planned, _ style) error {
	report := planReport{
		Cluster: p.meshSync.Spec.Cluster, Applied: p.meshSync.Status.LastAppliedRevision, Unchanged: p.Plan.Unchanged,
		Namespaces: append([]string{}, p.Plan.Namespaces...), Actions: []planAction{}, Stops: append([]string{}, p.BlockedBy...), Problems: []planProblem{},
	}
	if p.meshSync.UID != "" {
		report.MeshSync = p.meshSync.Namespace + "/" + p.meshSync.Name
	}
	for _, action := range p.actions() {
		report.Actions = append(report.Actions, p.reported(action))
	}
	if guard := p.Plan.Guard; guard != nil {
		report.Brake = &planGuard{guard.Kind, guard.Digest, guard.Reason}
	}
	for _, problem := range p.Problems {
		one := planProblem{Reason: problem.Reason, Message: problem.Message, Blocks: problem.Blocks}
		if problem.Resource.Kind != "" {
			one.Resource = problem.Resource.String()
		}
		report.Problems = append(report.Problems, one)
	}
	report.Findings = merge(p.broken)
	return encodeJSON(w, report)
}

func (p planned) reported(action plans.Action) planAction {
	out := planAction{
		Verb: verb(action), Kind: action.Key.Kind, Namespace: action.Key.Namespace, Name: action.Key.Name, Service: action.Service, Side: string(action.Side),
		Effect: string(action.Effect), Fields: action.Fields,
	}
	if action.Reason != nil {
		out.Reason = action.Reason.String()
	}
	if !action.Until.IsZero() {
		until := action.Until.UTC()
		out.Until = &until
	}
	if !showsWrite(action) {
		return out
	}
	before, after := p.Plan.Writing(action)
	if before != nil {
		out.Before = before.Object
	}
	if after != nil {
		out.After = after.Object
	}
	return out
}

// showsWrite reports whether an action has a write to show, now or later.
func showsWrite(action plans.Action) bool {
	switch action.Verb {
	case plans.Refuse:
		return action.Adopts
	case plans.Skip, plans.Withdraw, plans.Report:
		return false
	default:
		return true
	}
}
