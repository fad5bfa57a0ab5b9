package evaluate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// small are limits that are exceeded soon.
var small = evaluate.Limits{Memory: 256 << 20, CPU: 3 * time.Second}

// Flags in the messages for exceeded limits.
const anyLimit, cpuLimit = "see --evaluation-", "--evaluation-cpu"

// badInput is content of a service file that CUE cannot evaluate, or that is forbidden.
type badInput struct {
	reason string
	// head is before the package clause, imports after it, fields in the service; or whole is the
	// whole file.
	head, imports string
	fields        []string
	whole         string
	// says is a part of the message.
	says string
	// harmless: it may also evaluate.
	harmless bool
}

// text is the file of a service with the bad input.
func (b badInput) text(name string) string {
	if b.whole != "" {
		return strings.ReplaceAll(b.whole, "NAME", name)
	}
	imports := ""
	for _, path := range strings.Fields(b.imports) {
		imports += fmt.Sprintf("import %q\n", path)
	}
	return b.head + "package config\n\n" + imports + definition(name, append([]string{everywhere}, b.fields...)...)
}

// endless runs for hours in little memory.
const endless = `_found: [for a in list.Range(0, 3000, 1) for b in list.Range(0, 3000, 1) for c in list.Range(0, 3000, 1) if a+b+c == -1 {a}]
_none: len(_found) & 0
`

// badInputs are large, so they are made on demand: the children that evaluate are this program as well.
var badInputs = sync.OnceValue(func() map[string]badInput {
	return map[string]badInput{
		"Endless":       {reason: "CUE cannot be interrupted", imports: "list", fields: strings.Split(strings.TrimSpace(endless), "\n"), says: cpuLimit},
		"LongList":      {reason: "one call makes more than the machine has", imports: "list", fields: []string{`_l: list.Range(0, 1e8, 1)`}, says: anyLimit},
		"Doubling":      {reason: "thirty lines make 16 GiB", fields: doubled(30), says: anyLimit},
		"Repeat":        {reason: "one call makes 100 GB", imports: "strings", fields: []string{`hosts: [strings.Repeat("0123456789", 10_000_000_000)]`}},
		"ManyValues":    {reason: "all are kept", imports: "list", fields: []string{`_l: list.Range(0, 2000, 1)`, `_all: {for a in _l for b in _l {"\(a).\(b)": a*b}}`}, says: anyLimit},
		"ManyFields":    {reason: "a million of them", imports: "list", fields: []string{`traffic: connectionPool: {for n in list.Range(0, 1_000_000, 1) {"f\(n)": n}}`}, says: anyLimit},
		"ManyWritten":   {reason: "a million of them, in 16 MB", fields: []string{"traffic: connectionPool: {\n" + numbered(1_000_000) + "}"}, says: anyLimit},
		"LongAnswer":    {reason: "more than is read of a child", imports: "list strings", fields: []string{`_s: strings.Repeat("x", 1_000_000)`, `traffic: connectionPool: {for n in list.Range(0, 40, 1) {"f\(n)": _s}}`}, says: anyLimit},
		"Recursion":     {reason: "a template that calls itself", fields: []string{`_f: {n: int, out: {_g: _f & {"n": n + 1}, x: _g.out.x}}`, `hosts: [(_f & {n: 0}).out.x]`}},
		"Infinite":      {reason: "a structural cycle", fields: []string{`_x: {n: _x}`, `hosts: [_x.n.n.host]`}},
		"DeepStructs":   {reason: "the parser recurses", fields: []string{"_x: " + strings.Repeat("{a: ", 200_000) + "1" + strings.Repeat("}", 200_000)}, harmless: true},
		"DeepLists":     {reason: "brackets cost a byte each", fields: []string{"_x: " + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000)}, harmless: true},
		"LongString":    {reason: "large is not wrong", fields: []string{`_x: "` + strings.Repeat("x", 10<<20) + `"`}, harmless: true},
		"Exec":          {reason: "tools do not run", imports: "tool/exec", fields: []string{`hosts: [(exec.Run & {cmd: "id", stdout: string}).stdout]`}},
		"File":          {reason: "tools do not read", imports: "tool/file", fields: []string{`hosts: [(file.Read & {filename: "/etc/passwd", contents: string}).contents]`}},
		"UnknownTag":    {reason: "a value that nobody gives", fields: []string{`vip: string @tag(nobody)`}},
		"HostTag":       {reason: "facts of the host are not there", fields: []string{`vip: string @tag(h,var=cwd)`, `_h: string @tag(h2,var=hostname)`, `hosts: [_h]`}},
		"NotUTF8":       {reason: "a file that is no text", fields: []string{"hosts: [\"\xff\xfe\"]"}},
		"UTF16":         {reason: "a file in another encoding", whole: "\xff\xfep\x00a\x00c\x00k\x00a\x00g\x00e\x00 \x00c\x00"},
		"NUL":           {reason: "a file that is no text", fields: []string{"\x00"}},
		"Blank":         {reason: "a file of nothing", whole: "\n"},
		"Future":        {reason: "an experiment of a newer CUE", head: "@experiment(fromthefuture)\n\n"},
		"FutureSyntax":  {reason: "what only a newer CUE can parse", fields: []string{`hosts: match name { case "a": ["a.example.com"] }`}},
		"FuturePackage": {reason: "what only a newer CUE brings", imports: "encoding/future", fields: []string{`hosts: [future.Host]`}},
		"Registry":      {reason: "a module from elsewhere", imports: "example.org/else@v1", fields: []string{`hosts: [else.host]`}},
		"Embed":         {reason: "a file beside the repository", head: "@extern(embed)\n\n", fields: []string{`hosts: [_h]`, `_h: _ @embed(file="../../../../etc/hostname",type=text)`}},
		"EmbedAbsolute": {reason: "a file of the machine", head: "@extern(embed)\n\n", fields: []string{`hosts: [_h]`, `_h: _ @embed(file="/etc/hostname",type=text)`}},
		"ExternC":       {reason: "an extern other than embed", head: "@extern(\"wasm\")\n\n", fields: []string{`_add: _ @extern("/tmp/foo.wasm",abi=c, sig="func(int64, int64): int64")`, `vip: "\(_add(1, 2))"`}},
	}
})

// doubled are fields, each twice as long as the one before.
func doubled(n int) []string {
	fields := []string{`_s0: "0123456789abcdef"`}
	for i := range n {
		fields = append(fields, fmt.Sprintf("_s%d: _s%d + _s%d", i+1, i, i))
	}
	return append(fields, fmt.Sprintf("hosts: [_s%d]", n))
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "f%d: %d\n", i, i)
	}
	return b.String()
}

// One process evaluates all inputs.
func TestBadInputFreezesOnlyTheServiceOfItsFile(t *testing.T) {
	const file = "services/web.cue"
	r, e := newTree(t), evaluate.New(small, nil)
	opts := evaluate.Options{Cluster: "west", LastKnownGood: &evaluate.LastKnownGood{}}
	first, err := e.Partial(t.Context(), r.commit(nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	good := r.revision()
	opts.LastKnownGood = first.LastKnownGood
	// The same commit changes the other services.
	fan := service("fan", everywhere, `egress: {web: {}, stock: {}}`)
	r.files["services/fan.cue"] = fan
	kept := clean(t, r.commit(nil), "west")
	bare := clean(t, r.commit(map[string]string{file: service("web", everywhere)}), "west")
	before := resident()
	for _, name := range slices.Sorted(maps.Keys(badInputs())) {
		tc := badInputs()[name]
		t.Run(name, func(t *testing.T) {
			if testing.Short() && tc.says != "" && name != "Endless" && name != "Doubling" {
				t.Skip("two that meet limits are enough")
			}
			result, err := e.Partial(t.Context(), r.commit(map[string]string{file: tc.text("web")}), opts)
			if err != nil {
				t.Fatalf("%s: one service halts everything: %.2000v", tc.reason, err)
			}
			found := result.Findings()
			if tc.harmless && len(found) == 0 {
				same(t, "rendered", bare, texts(result.Rendered))
				return
			}
			same(t, "rendered", kept, texts(result.Rendered))
			same(t, "frozen", map[string]string{"web": good}, frozen(result))
			if len(result.Broken["web"]) == 0 || len(result.Unknown)+len(result.NeverGood) > 0 {
				t.Errorf("%s: broken: %v, lost: %q, left out: %q", tc.reason, result.Broken, result.Unknown, result.NeverGood)
			}
			for _, f := range found {
				if f.File != file {
					t.Errorf("%s: %q is to blame, not %s: %s", tc.reason, file, f.File, f.Message)
				}
			}
			text := found.Error()
			if len(found) == 0 || !strings.Contains(text, tc.says) || len(text) > 20_000 {
				t.Errorf("%s: %q is not named: %.2000s", tc.reason, tc.says, text)
			}
			if host, _ := os.Hostname(); host != "" && strings.Contains(text, host) {
				t.Errorf("%s: the host's name came out: %v", tc.reason, found)
			}
			// It was found out once, and is known from then on.
			again, err := e.Partial(t.Context(), r.commit(nil), evaluate.Options{Cluster: "west", LastKnownGood: result.LastKnownGood})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "rendered later", kept, texts(again.Rendered))
			if again.Work.Evaluated > 0 {
				t.Errorf("%s: what did not change is evaluated again: %+v", tc.reason, again.Work)
			}
		})
	}
	if after := resident(); after > before+256<<20 {
		t.Errorf("this process has grown from %d to %d MiB", before>>20, after>>20)
	}
	mended, err := e.Partial(t.Context(), r.commit(map[string]string{file: goodWeb}), opts)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "mended", kept, texts(mended.Rendered))
}

func resident() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys
}

func TestBadInputInSharedFilesRejectsTheCommit(t *testing.T) {
	for name, text := range map[string]string{
		"Endless":  withList(endless),
		"Doubling": "package config\n\n" + strings.Join(doubled(30)[:31], "\n") + "\nsettings: domain: _s30\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, f := newTree(t), follow(t, "west")
			f.evaluator = evaluate.New(small, nil)
			f.applies(r.commit(nil))
			found := f.halts(r.commit(map[string]string{"bad.cue": text, "services/cart.cue": service("cart", everywhere)}))
			if !strings.Contains(found.Error(), anyLimit) || !strings.Contains(found.Error(), "bad.cue") {
				t.Errorf("neither the limit nor bad.cue is named: %v", found)
			}
		})
	}
}

// Tool files never run, and the cluster is the only tag. The result is that of plain CUE.
func TestToolsAndTagsBehaveAsInPlainCUE(t *testing.T) {
	witness := filepath.Join(t.TempDir(), "witness")
	tool := func(path, field string) string {
		return "package config\n\nimport \"tool/" + path + "\"\n\n" + definition("web", everywhere, `egress: {cart: {}, stock: {}}`, field)
	}
	web := func(fields ...string) string {
		return service("web", append([]string{everywhere, `egress: {cart: {}, stock: {}}`}, fields...)...)
	}
	for name, tc := range map[string]struct {
		text    string
		refused bool
	}{
		"ExecUnused":  {tool("exec", `_x: exec.Run & {cmd: "touch `+witness+`"}`), false},
		"ExecUsed":    {tool("exec", `hosts: [(exec.Run & {cmd: ["sh", "-c", "touch `+witness+`; echo x.example.com"], stdout: string}).stdout]`), true},
		"FileUnused":  {tool("file", `_x: file.Create & {filename: "`+witness+`", contents: "x"}`), false},
		"FileUsed":    {tool("file", `hosts: [(file.Read & {filename: "/etc/hostname", contents: string}).contents]`), true},
		"HTTPUnused":  {tool("http", `_x: http.Get & {url: "http://127.0.0.1:1/"}`), false},
		"Command":     {tool("exec", `clusterHosts: true`) + "command: x: exec.Run & {cmd: \"touch " + witness + "\"}\n", true},
		"TagBeside":   {web(`owner: string @tag(nobody)`), false},
		"TagDefault":  {web(`clusterHosts: *true | bool @tag(nobody,type=bool)`), false},
		"TagAlone":    {web(`vip: string @tag(nobody)`), true},
		"TagOptional": {web(`vip?: string @tag(nobody)`), true},
		"TagBadType":  {web(`clusterHosts: *true | bool @tag(nobody,type=shoe)`), true},
		"TagBadName":  {web(`clusterHosts: *true | bool @tag()`), true},
		"TagCluster":  {web(`_c: *"" | string @tag(cluster)`, `if _c == "west" {clusterHosts: true}`), false},
		"TagVar":      {web(`vip: string @tag(nobody,var=hostname)`), true},
		"TagBuild":    {"@if(nobody)\n\n" + web(), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTree(t)
			snap := r.commit(map[string]string{"services/web.cue": tc.text})
			plain, refused := exported(t, r.files, "west")
			if (refused != "") != tc.refused {
				t.Fatalf("plain CUE says %q, so this test shows something else", refused)
			}
			result, err := evaluate.Evaluate(t.Context(), snap, evaluate.Options{Cluster: "west"})
			switch {
			case tc.refused && err == nil:
				t.Errorf("accepted, but plain CUE says: %s", refused)
			case !tc.refused && err != nil:
				t.Errorf("refused, but not by plain CUE: %v", err)
			case err == nil:
				same(t, "rendered", plain, sorted(t, result.Rendered))
			}
			if _, err := os.Stat(witness); err == nil {
				t.Error("a tool was run")
			}
		})
	}
}

// exported is the result of `cue vet` and `cue export` for a cluster, or their error.
func exported(t *testing.T, files map[string]string, cluster string) (objects map[string]string, refused string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (stdout []byte, stderr string, ok bool) {
		cmd := exec.CommandContext(t.Context(), cuecmd.Path(t), args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CUE_REGISTRY=none")
		var failed strings.Builder
		cmd.Stderr = &failed
		stdout, err := cmd.Output()
		return stdout, failed.String(), err == nil
	}
	if _, stderr, ok := run("vet", "./..."); !ok {
		return nil, stderr
	}
	stdout, stderr, ok := run("export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	if !ok {
		return nil, stderr
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(stdout, &raw); err != nil {
		t.Fatal(err)
	}
	return sorted(t, raw), ""
}
