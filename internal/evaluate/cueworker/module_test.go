package cueworker

import (
	"io/fs"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
)

func TestFilesAcrossServicesDefineOnlyFieldsOfTheMesh(t *testing.T) {
	for _, name := range acrossServices {
		data, err := fs.ReadFile(meshmodule.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(name, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			field, ok := d.(*ast.Field)
			if !ok {
				continue
			}
			if label, _, err := ast.LabelName(field.Label); err != nil || label != "#Mesh" {
				t.Errorf("%s:%d: %s is something that a repository could refer to", name, field.Pos().Line(), label)
			}
		}
	}
}
