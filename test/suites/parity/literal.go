package parity

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Values of manifests before they are written: string, int, bool, nil, decimal, expression, []any and object.
type (
	// object is a struct, in order.
	object []member
	member struct {
		key   string
		value any
	}
	// decimal is a number as it is written.
	decimal string
	// expression is CUE as it is written.
	expression string
)

// fields makes an object of keys and values in turn.
func fields(pairs ...any) object {
	var o object
	for i := 0; i < len(pairs); i += 2 {
		o = append(o, member{pairs[i].(string), pairs[i+1]})
	}
	return o
}

func words(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

var identifier = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]*$`)

// reserved are identifiers that are no labels, or read badly as such.
var reserved = map[string]bool{
	"null": true, "true": true, "false": true, "for": true, "in": true, "if": true, "let": true, "package": true, "import": true,
	// Unquoted, these would hide what they are named after from all that stands beside them.
	"string": true, "cluster": true, "len": true, "name": true,
}

// label is a label as plainly as it can be written.
func label(name string) string {
	if identifier.MatchString(name) && !reserved[name] {
		return name
	}
	return strconv.Quote(name)
}

// path is a plain path of labels, "a: b".
func path(names ...string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = label(n)
	}
	return strings.Join(out, ": ")
}

// in refers to a field of a struct: base.name or base["name"].
func in(base, name string) string {
	if identifier.MatchString(name) && !reserved[name] {
		return base + "." + name
	}
	return base + "[" + strconv.Quote(name) + "]"
}

// form says whether one literal takes a form that has been chosen for the repository: rarely, so that plain ones stay.
func (m *maker) form(feature string, key []any) bool {
	return m.onFor(0.12, feature, key...)
}

// write is a value in CUE, its literals in one form or another.
func (m *maker) write(value any, key ...any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case expression:
		return string(v)
	case decimal:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case string:
		return m.text(v, key)
	case int:
		return m.number(v, key)
	case []any:
		return m.list(v, key)
	case object:
		return m.structure(v, key)
	}
	panic(fmt.Sprintf("no literal for %T", value))
}

func at(key []any, more ...any) []any { return append(append([]any(nil), key...), more...) }

func (m *maker) list(v []any, key []any) string {
	items := make([]string, len(v))
	for i, x := range v {
		items[i] = m.write(x, at(key, i)...)
	}
	inner := strings.Join(items, ", ")
	switch {
	case len(v) > 0 && m.form("list comprehension", key):
		return "[for x in [" + inner + "] {x}]"
	case len(v) > 0 && m.form("open list", key):
		return "[" + inner + ", ...]"
	}
	return "[" + inner + "]"
}

func (m *maker) structure(v object, key []any) string {
	order := v
	if m.form("another order of fields", key) {
		order = shuffled(m.dice, v, at(key, "order")...)
	}
	var parts []string
	for _, f := range order {
		k := at(key, f.key)
		text := m.write(f.value, k...)
		if inner, ok := f.value.(object); ok && len(inner) == 1 && m.form("short struct", k) {
			text = m.anyLabel(inner[0].key, k) + ": " + m.write(inner[0].value, at(k, inner[0].key)...)
		}
		if m.form("conditional field in a struct", k) {
			parts = append(parts, "if true {"+m.anyLabel(f.key, k)+": "+text+"}")
			continue
		}
		parts = append(parts, m.anyLabel(f.key, k)+": "+text)
	}
	if len(parts) > 1 && m.form("embedded struct", key) {
		return "{" + parts[0] + "\n{" + strings.Join(parts[1:], ", ") + "}}"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// anyLabel is the label of a field that nothing refers to by name.
func (m *maker) anyLabel(name string, key []any) string {
	switch {
	case m.form("quoted label", key):
		return strconv.Quote(name)
	case m.form("dynamic label", key):
		return "(" + strconv.Quote(name) + ")"
	case ascii(name) && m.form("interpolated label", key):
		return fmt.Sprintf(`"\(%q)%s"`, name[:1], quoted(name[1:]))
	}
	return m.staticLabel(name, key)
}

// staticLabel is a label in one of the forms that a parser sees through.
func (m *maker) staticLabel(name string, key []any) string {
	switch {
	case ascii(name) && m.form("label with escapes", key):
		return fmt.Sprintf(`"\u%04x%s"`, name[0], quoted(name[1:]))
	case m.form("raw label", key):
		return `#"` + name + `"#`
	}
	return label(name)
}

// ascii tells what can be cut after its first byte.
func ascii(s string) bool { return len(s) > 1 && s[0] < 0x80 }

// quoted is the inside of a string literal.
func quoted(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func (m *maker) text(s string, key []any) string {
	plain := strconv.Quote(s)
	if strings.ContainsAny(s, "\\\n\"") {
		return plain
	}
	switch {
	case m.form("raw string", key):
		return `#"` + s + `"#`
	case m.form("multi-line string", key):
		return "\"\"\"\n" + s + "\n\"\"\""
	case m.form("multi-line raw string", key):
		return "##\"\"\"\n" + s + "\n\"\"\"##"
	case ascii(s) && m.form("interpolation", key):
		return fmt.Sprintf(`"\(%q)%s"`, s[:1], quoted(s[1:]))
	case ascii(s) && m.form("string arithmetic", key):
		return fmt.Sprintf("(%q + %q)", s[:1], s[1:])
	}
	return plain
}

func (m *maker) number(n int, key []any) string {
	switch {
	case n > 0 && m.form("hexadecimal number", key):
		return fmt.Sprintf("0x%X", n)
	case n > 0 && m.form("octal number", key):
		return fmt.Sprintf("0o%o", n)
	case n > 0 && n < 256 && m.form("binary number", key):
		return fmt.Sprintf("0b%b", n)
	case n >= 1000 && m.form("number with underscores", key):
		return fmt.Sprintf("%d_%03d", n/1000, n%1000)
	case n > 0 && n%1000 == 0 && m.form("number with a multiplier", key):
		return fmt.Sprintf("%dK", n/1000)
	case n > 10 && m.form("number arithmetic", key):
		return fmt.Sprintf("(%d*10 + %d)", n/10, n%10)
	}
	return strconv.Itoa(n)
}

// jsonOf is a value in JSON; false if it is no plain data.
func jsonOf(value any) (string, bool) {
	switch v := value.(type) {
	case expression:
		return "", false
	case decimal:
		return string(v), json.Valid([]byte(v))
	case []any:
		items := make([]string, len(v))
		for i, x := range v {
			text, ok := jsonOf(x)
			if !ok {
				return "", false
			}
			items[i] = text
		}
		return "[" + strings.Join(items, ", ") + "]", true
	case object:
		items := make([]string, len(v))
		for i, f := range v {
			text, ok := jsonOf(f.value)
			if !ok {
				return "", false
			}
			items[i] = strconv.Quote(f.key) + ": " + text
		}
		return "{" + strings.Join(items, ", ") + "}", true
	}
	data, err := json.Marshal(value)
	return string(data), err == nil
}
