// Package skeleton answers: what does a new mesh repository hold?
//
// In: the name of its CUE module and the versions that its CI shall use. Out: its files, which `cue vet ./...`
// and `isthmus vet` accept as they are. The folder files is the one source of them; what ends in .tmpl is a
// template with <% %> around its actions, since workflows have braces of their own.
package skeleton

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"text/template"

	"github.com/isthmus-mesh/isthmus/internal/vendoring"
)

//go:embed all:files
var embedded embed.FS

const templateSuffix = ".tmpl"

// Values fill the templates.
type Values struct {
	// Module is the repository's CUE module, such as "example.com/mesh".
	Module string
	// Isthmus and CUE are the versions that CI installs, Go is that of the toolchain which builds them ("1.26").
	Isthmus, CUE, Go string
}

// Files are the files of a new repository by slash-separated path, the vendored CUE module among them.
func Files(values Values) (map[string][]byte, error) {
	files, err := vendoring.Files()
	if err != nil {
		return nil, err
	}
	tree, err := fs.Sub(embedded, "files")
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if plain, isTemplate := strings.CutSuffix(name, templateSuffix); isTemplate {
			name = plain
			if data, err = fill(name, data, values); err != nil {
				return err
			}
		}
		files[name] = data
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("making the files of a new repository: %w", err)
	}
	return files, nil
}

func fill(name string, data []byte, values Values) ([]byte, error) {
	t, err := template.New(name).Delims("<%", "%>").Parse(string(data))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
