package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// writeClustersJSON writes what writeResourcesJSON does for each cluster, by its name.
func writeClustersJSON(w io.Writer, clusters []rendered) error {
	for i, c := range clusters {
		name, err := jsonText("", c.cluster)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n%s%s: ", []string{"{", ","}[min(i, 1)], jsonIndent, name); err != nil {
			return err
		}
		if err := writeResourcesJSON(w, jsonIndent, c.resources); err != nil {
			return err
		}
	}
	end := "\n}\n"
	if len(clusters) == 0 {
		end = "{}\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// resourcesAtOnce are made into text by one goroutine.
const resourcesAtOnce = 128

// writeResourcesJSON writes resources by their keys, sorted, as encodeJSON would, but side by side: there may be tens of thousands.
func writeResourcesJSON(w io.Writer, prefix string, resources []render.Resource) error {
	if len(resources) == 0 {
		_, err := io.WriteString(w, "{}")
		return err
	}
	sorted := slices.SortedFunc(slices.Values(resources), func(a, b render.Resource) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	next := "{"
	chunks := slices.Collect(slices.Chunk(sorted, resourcesAtOnce))
	for round := range slices.Chunk(chunks, runtime.GOMAXPROCS(0)) {
		texts := make([][][]byte, len(round))
		var group errgroup.Group
		for i, chunk := range round {
			group.Go(func() (err error) {
				texts[i], err = resourceTexts(prefix+jsonIndent, chunk)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for _, text := range slices.Concat(texts...) {
			if _, err := fmt.Fprintf(w, "%s\n%s%s", next, prefix+jsonIndent, text); err != nil {
				return err
			}
			next = ","
		}
	}
	_, err := fmt.Fprintf(w, "\n%s}", prefix)
	return err
}

// resourceTexts are the fields of an object, whose further lines begin with prefix.
func resourceTexts(prefix string, resources []render.Resource) ([][]byte, error) {
	texts := make([][]byte, len(resources))
	for i, r := range resources {
		key, err := jsonText("", r.Key.String())
		if err != nil {
			return nil, err
		}
		object, err := jsonText(prefix, r.Rendered())
		if err != nil {
			return nil, err
		}
		texts[i] = slices.Concat(key, []byte(": "), object)
	}
	return texts, nil
}

// jsonText is a value as encodeJSON writes it, its lines after the first with the prefix, without a newline at the end.
func jsonText(prefix string, value any) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, jsonIndent)
	err := e.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

func writeResourcesYAML(w io.Writer, resources []render.Resource) error {
	for i, r := range resources {
		if i > 0 {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		data, err := yaml.Marshal(r.Rendered())
		if err != nil {
			return fmt.Errorf("writing %s as YAML: %w", r.Key, err)
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}
