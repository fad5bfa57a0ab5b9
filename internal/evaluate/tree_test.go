package evaluate_test

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/source"
)

// tree is a repository in memory.
type tree struct {
	files   map[string]string
	commits int
}

// newTree has the inventory and the settings of examples/quickstart, and three services: web and cart
// run in both clusters, stock in west. web calls cart and stock, cart calls stock.
func newTree(t *testing.T) *tree {
	t.Helper()
	r := &tree{files: map[string]string{}}
	for p, blob := range quickstart(t, map[string]string{"services/": ""}).Files {
		r.files[p] = string(blob.Data)
	}
	r.files["services/web.cue"] = goodWeb
	r.files["services/cart.cue"] = service("cart", everywhere, `egress: stock: {}`, `authorization: mode: "enforce"`)
	r.files["services/stock.cue"] = service("stock", `placement: west: {}`, `authorization: mode: "enforce"`)
	return r
}

const everywhere = `placement: {east: {}, west: {}}`

var goodWeb = service("web", everywhere, `egress: {cart: {}, stock: {}}`)

// service is a file with one service and the given fields.
func service(name string, fields ...string) string {
	return "package config\n\n" + definition(name, fields...)
}

func definition(name string, fields ...string) string {
	fields = append([]string{
		`owner: "tests"`,
		`ports: http: {port: 80, protocol: "HTTP"}`,
		fmt.Sprintf(`backend: {namespace: %q, selector: app: %q, serviceAccounts: [%q]}`, name, name, name),
	}, fields...)
	return fmt.Sprintf("services: %q: {\n\t%s\n}\n", name, strings.Join(fields, "\n\t"))
}

// commit writes files; "" removes a file.
func (r *tree) commit(files map[string]string) *source.Snapshot {
	for name, text := range files {
		r.files[name] = text
		if text == "" {
			delete(r.files, name)
		}
	}
	r.commits++
	return snapshot(fmt.Sprintf("%040d", r.commits), r.files)
}

func (r *tree) revision() string { return fmt.Sprintf("main@sha1:%040d", r.commits) }

func snapshot(commit string, files map[string]string) *source.Snapshot {
	s := &source.Snapshot{Revision: "main@sha1:" + commit, Commit: commit, Files: make(map[string]source.Blob, len(files))}
	for name, text := range files {
		sum := sha1.Sum([]byte(text))
		s.Files[name] = source.Blob{Data: []byte(text), Hash: hex.EncodeToString(sum[:])}
	}
	return s
}
