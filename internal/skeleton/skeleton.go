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
	// Module is the CUE module of the repository, such as "example.com/mesh".
	Module string
	// Isthmus and CUE are the versions that CI installs; Go is the version of the toolchain
	// ("1.26").
	Isthmus, CUE, Go string
}

// Files returns the files of a new repository by slash-separated path, including the vendored CUE
// module.
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
		return nil, fmt.Errorf("creating the files of a new repository: %w", err)
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
