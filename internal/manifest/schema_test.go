package manifest_test

import (
	"io/fs"
	"path"
	"reflect"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

func TestEveryGoFieldIsInTheSchema(t *testing.T) {
	checked := check(t, reflect.TypeFor[manifest.Mesh](), schema(t).LookupPath(cue.ParsePath("#Mesh")), "#Mesh")
	if checked < 50 {
		t.Errorf("only %d fields were compared", checked)
	}
}

func schema(t *testing.T) cue.Value {
	t.Helper()
	overlay := map[string]load.Source{}
	files, err := fs.ReadDir(meshmodule.Files, ".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		data, err := fs.ReadFile(meshmodule.Files, f.Name())
		if err != nil {
			t.Fatal(err)
		}
		name := path.Join("/mesh", f.Name())
		overlay[name] = load.FromBytes(data)
		names = append(names, name)
	}
	overlay["/mesh/cue.mod/module.cue"] = load.FromString("module: \"isthmus.dev/mesh\"\nlanguage: version: \"v0.17.0\"\n")
	instances := load.Instances(names, &load.Config{Overlay: overlay, Dir: "/mesh", ModuleRoot: "/mesh", Env: []string{"CUE_REGISTRY=none"}})
	if err := instances[0].Err; err != nil {
		t.Fatal(err)
	}
	return cuecontext.New().BuildInstance(instances[0])
}

// check returns the number of fields of a type that are in the schema, and reports all others.
func check(t *testing.T, goType reflect.Type, schema cue.Value, at string) int {
	t.Helper()
	inside := func(s cue.Selector) cue.Value { return schema.LookupPath(cue.MakePath(s)) }
	switch goType.Kind() {
	case reflect.Pointer:
		return check(t, goType.Elem(), schema, at)
	case reflect.Map:
		return check(t, goType.Elem(), inside(cue.Str("any").Optional()), at+"[]")
	case reflect.Slice:
		return check(t, goType.Elem(), inside(cue.AnyIndex), at+"[]")
	case reflect.Struct:
		checked := 0
		for f := range goType.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			field := inside(cue.Str(name).Optional())
			if !field.Exists() {
				field = inside(cue.Str(name))
			}
			if !field.Exists() {
				t.Errorf("%s has no field %s for %s.%s", at, name, goType, f.Name)
				continue
			}
			checked += 1 + check(t, f.Type, field, at+"."+name)
		}
		return checked
	default:
		return 0
	}
}
