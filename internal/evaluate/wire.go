package evaluate

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// handlerName is what the child is asked for.
const handlerName = "evaluate"

func init() { sandbox.Handle(handlerName, serve) }

// question is what the child is told: a snapshot's content and nothing about where it is from.
type question struct {
	Cluster string
	Files   map[string][]byte
}

// answer is what it says: findings, or plain data.
type answer struct {
	Findings manifest.Findings `json:"findings,omitempty"`
	// Values are the fields of the root, in JSON as CUE writes it.
	Values map[string]json.RawMessage `json:"values,omitempty"`
	At     locator                    `json:"at,omitempty"`
}

// resourcesField is where the objects for the cluster stand.
const resourcesField = "resources"

// fields are the fields of the root that an answer has.
func fields(cluster string) []string {
	names := []string{"settings", "clusters", "services", "externals"}
	if cluster != "" {
		names = append(names, resourcesField)
	}
	return names
}

func writeQuestion(snap *source.Snapshot, cluster string) ([]byte, error) {
	q := question{Cluster: cluster, Files: make(map[string][]byte, len(snap.Files))}
	for p, blob := range snap.Files {
		q.Files[p] = blob.Data
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(q)
	return b.Bytes(), err
}

// serve answers a question, in the child. Questions are trusted and gob, which is fast with bytes; answers are
// not, and JSON, whose decoder withstands whatever it is given.
func serve(_ context.Context, request []byte) ([]byte, error) {
	var q question
	if err := gob.NewDecoder(bytes.NewReader(request)).Decode(&q); err != nil {
		return nil, fmt.Errorf("reading the question: %w", err)
	}
	a, err := recovered(q)
	if err != nil {
		var findings manifest.Findings
		if !errors.As(err, &findings) {
			return nil, err
		}
		a = answer{Findings: findings}
	}
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false) // what CUE wrote stays as it is
	err = out.Encode(a)
	return b.Bytes(), err
}
