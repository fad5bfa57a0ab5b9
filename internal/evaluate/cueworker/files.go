package cueworker

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Paths in a CUE module.
const (
	ModuleFile     = "cue.mod/module.cue"
	VendoredFolder = "cue.mod/pkg/"
)

// Header is the head of a CUE file.
type Header struct {
	Package string
	Imports []string
}

// meshFiles lists the .cue files of the mesh: those of the package of the root folder, in all
// folders. A file that CUE would ignore silently (a mistyped package name, a second package in the
// folder) is a finding, because its services would disappear.
func meshFiles(all map[string][]byte) (files []string, pkg string, _ error) {
	headers := map[string]Header{}
	var findings manifest.Findings
	for p, data := range all {
		if !ReadByCUE(p) {
			continue
		}
		f, err := parser.ParseFile(p, data, parser.ImportsOnly)
		if err != nil {
			findings = append(findings, fromCUE(err, nil)...)
			continue
		}
		h := Header{Package: f.PackageName()}
		for spec := range f.ImportSpecs() {
			h.Imports = append(h.Imports, strings.Trim(spec.Path.Value, `"`))
		}
		headers[p] = h
	}
	if len(findings) > 0 {
		slices.SortFunc(findings, func(a, b manifest.Finding) int { return strings.Compare(a.File, b.File) })
		return nil, "", findings
	}
	return Choose(all[ModuleFile], len(all), headers)
}

// Choose selects the files of the mesh, and returns their package, from the content of ModuleFile
// (nil if it is missing), the number of all files, and the headers by path. Errors are
// manifest.Findings.
func Choose(moduleCUE []byte, all int, headers map[string]Header) (files []string, pkg string, _ error) {
	if all == 0 {
		return nil, "", manifest.Findings{{Message: "the repository has no files; check the path, or create a mesh repository with `isthmus init`"}}
	}
	if moduleCUE == nil {
		return nil, "", manifest.Findings{{File: ModuleFile, Message: "is missing, so this is not a CUE module; check the path, or create a mesh repository with `isthmus init`"}}
	}
	var findings manifest.Findings
	packages := map[string][]string{} // package name → files
	imported := map[string]bool{}     // folders that are imported from within the module
	module := modulePath(moduleCUE)
	for _, p := range slices.Sorted(maps.Keys(headers)) {
		for _, path := range headers[p].Imports {
			if dir, ok := strings.CutPrefix(path, module+"/"); ok {
				// A qualifier (":pkg") or a major version ("@v0") may follow.
				dir, _, _ = strings.Cut(dir, ":")
				dir, _, _ = strings.Cut(dir, "@")
				imported[dir] = true
			}
		}
		name := headers[p].Package
		packages[name] = append(packages[name], p)
	}
	pkg, err := rootPackage(packages)
	if err != nil {
		return nil, "", err
	}
	inMesh := map[string]bool{}
	for _, p := range packages[pkg] {
		inMesh[path.Dir(p)] = true
	}
	for name, ps := range packages {
		if name == pkg {
			continue
		}
		for _, p := range ps {
			if dir := path.Dir(p); imported[dir] && !inMesh[dir] {
				continue
			}
			what := "has no package clause"
			if name != "" {
				what = "is of package " + name
			}
			findings = append(findings, manifest.Finding{File: p, Line: 1, Message: fmt.Sprintf(
				"%s, but the mesh is package %s: the file would have no effect; write `package %s`", what, pkg, pkg)})
		}
	}
	if len(findings) > 0 {
		slices.SortFunc(findings, func(a, b manifest.Finding) int { return strings.Compare(a.File, b.File) })
		return nil, "", findings
	}
	return packages[pkg], pkg, nil
}

// ReadByCUE reports whether `cue vet ./...` would read the file as part of a package of the module.
func ReadByCUE(p string) bool {
	if !strings.HasSuffix(p, ".cue") || strings.HasSuffix(p, "_tool.cue") || strings.HasSuffix(p, "_test.cue") {
		return false
	}
	for _, part := range strings.Split(p, "/") {
		if part == "cue.mod" || strings.HasPrefix(part, ".") || strings.HasPrefix(part, "_") {
			return false
		}
	}
	return true
}

// rootPackage is the only package of the root folder.
func rootPackage(packages map[string][]string) (string, error) {
	var names, files []string
	for name, ps := range packages {
		for _, p := range ps {
			if path.Dir(p) == "." {
				names, files = append(names, name), append(files, p)
				break
			}
		}
	}
	switch {
	case len(names) == 0:
		return "", manifest.Findings{{File: "mesh.cue", Message: "is missing: the root folder holds no .cue file; `isthmus init` makes a mesh repository"}}
	case len(names) > 1:
		slices.Sort(files)
		slices.Sort(names)
		return "", manifest.Findings{{File: files[0], Line: 1, Message: fmt.Sprintf(
			"the root folder holds %d packages (%s, in %s): a mesh is one package", len(names), strings.Join(names, ", "), strings.Join(files, ", "))}}
	case names[0] == "":
		return "", manifest.Findings{{File: files[0], Line: 1, Message: "has no package clause; write `package config`"}}
	}
	return names[0], nil
}

// modulePath is the path of the module without its major version. It is "" for an unreadable file,
// which is an error when CUE loads the module.
func modulePath(moduleCUE []byte) string {
	f, err := parser.ParseFile(ModuleFile, moduleCUE)
	if err != nil {
		return ""
	}
	for _, d := range f.Decls {
		field, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, _, err := ast.LabelName(field.Label)
		lit, isLit := field.Value.(*ast.BasicLit)
		if err == nil && isLit && name == "module" {
			p, _, _ := strings.Cut(strings.Trim(lit.Value, `"`), "@")
			return p
		}
	}
	return ""
}
