package parity

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Values of manifests are string, int, bool, nil, decimal, expression, []any and object.
type (
	// object is an ordered struct.
	object []member
	member struct {
		key   string
		value any
	}
	// decimal is a number in its notation.
	decimal string
	// expression is CUE source.
	expression string
)

// fields makes an object of alternating keys and values.
func fields(pairs ...any) object {
	var o object
	for i := 0; i < len(pairs); i += 2 {
		o = append(o, member{pairs[i].(string), pairs[i+1]})
	}
	return o
}

func stringList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

var identifier = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]*$`)

// reserved are identifiers that must be quoted as labels.
var reserved = map[string]bool{
	"null": true, "true": true, "false": true, "for": true, "in": true, "if": true, "let": true, "package": true, "import": true,
	// Unquoted, these would hide the identifiers of the same name in their scope.
	"string": true, "cluster": true, "len": true, "name": true,
}

// label is a label in its simplest notation.
func label(name string) string {
	if identifier.MatchString(name) && !reserved[name] {
		return name
	}
	return strconv.Quote(name)
}

// path is a path of labels in the simplest notation, "a: b".
func path(names ...string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = label(n)
	}
	return strings.Join(out, ": ")
}

// fieldRef is a reference to a field of a struct: base.name or base["name"].
func fieldRef(base, name string) string {
	if identifier.MatchString(name) && !reserved[name] {
		return base + "." + name
	}
	return base + "[" + strconv.Quote(name) + "]"
}

// useForm reports whether a literal uses an enabled notation. The share is small, so that most
// literals stay plain.
func (g *generator) useForm(feature string, key []any) bool {
	return g.applyToShare(0.12, feature, key...)
}

// literal writes a value in CUE with random notations.
func (g *generator) literal(value any, key ...any) string {
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
		return g.stringLiteral(v, key)
	case int:
		return g.numberLiteral(v, key)
	case []any:
		return g.listLiteral(v, key)
	case object:
		return g.structLiteral(v, key)
	}
	panic(fmt.Sprintf("values of type %T are not supported", value))
}

func subkey(key []any, more ...any) []any { return append(append([]any(nil), key...), more...) }

func (g *generator) listLiteral(v []any, key []any) string {
	items := make([]string, len(v))
	for i, x := range v {
		items[i] = g.literal(x, subkey(key, i)...)
	}
	inner := strings.Join(items, ", ")
	switch {
	case len(v) > 0 && g.useForm("list comprehension", key):
		return "[for x in [" + inner + "] {x}]"
	case len(v) > 0 && g.useForm("open list", key):
		return "[" + inner + ", ...]"
	}
	return "[" + inner + "]"
}

func (g *generator) structLiteral(v object, key []any) string {
	order := v
	if g.useForm("another order of fields", key) {
		order = shuffled(g.random, v, subkey(key, "order")...)
	}
	var parts []string
	for _, f := range order {
		k := subkey(key, f.key)
		text := g.literal(f.value, k...)
		if inner, ok := f.value.(object); ok && len(inner) == 1 && g.useForm("short struct", k) {
			text = g.anyLabel(inner[0].key, k) + ": " + g.literal(inner[0].value, subkey(k, inner[0].key)...)
		}
		if g.useForm("conditional field in a struct", k) {
			parts = append(parts, "if true {"+g.anyLabel(f.key, k)+": "+text+"}")
			continue
		}
		parts = append(parts, g.anyLabel(f.key, k)+": "+text)
	}
	if len(parts) > 1 && g.useForm("embedded struct", key) {
		return "{" + parts[0] + "\n{" + strings.Join(parts[1:], ", ") + "}}"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// anyLabel is the label of a field without references by name.
func (g *generator) anyLabel(name string, key []any) string {
	switch {
	case g.useForm("quoted label", key):
		return strconv.Quote(name)
	case g.useForm("dynamic label", key):
		return "(" + strconv.Quote(name) + ")"
	case ascii(name) && g.useForm("interpolated label", key):
		return fmt.Sprintf(`"\(%q)%s"`, name[:1], quoted(name[1:]))
	}
	return g.staticLabel(name, key)
}

// staticLabel is a label in a notation that is constant for a parser.
func (g *generator) staticLabel(name string, key []any) string {
	switch {
	case ascii(name) && g.useForm("label with escapes", key):
		return fmt.Sprintf(`"\u%04x%s"`, name[0], quoted(name[1:]))
	case g.useForm("raw label", key):
		return `#"` + name + `"#`
	}
	return label(name)
}

// ascii reports whether the string can be cut after its first byte.
func ascii(s string) bool { return len(s) > 1 && s[0] < 0x80 }

// quoted is the content of a string literal.
func quoted(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func (g *generator) stringLiteral(s string, key []any) string {
	plain := strconv.Quote(s)
	if strings.ContainsAny(s, "\\\n\"") {
		return plain
	}
	switch {
	case g.useForm("raw string", key):
		return `#"` + s + `"#`
	case g.useForm("multi-line string", key):
		return "\"\"\"\n" + s + "\n\"\"\""
	case g.useForm("multi-line raw string", key):
		return "##\"\"\"\n" + s + "\n\"\"\"##"
	case ascii(s) && g.useForm("interpolation", key):
		return fmt.Sprintf(`"\(%q)%s"`, s[:1], quoted(s[1:]))
	case ascii(s) && g.useForm("string arithmetic", key):
		return fmt.Sprintf("(%q + %q)", s[:1], s[1:])
	}
	return plain
}

func (g *generator) numberLiteral(n int, key []any) string {
	switch {
	case n > 0 && g.useForm("hexadecimal number", key):
		return fmt.Sprintf("0x%X", n)
	case n > 0 && g.useForm("octal number", key):
		return fmt.Sprintf("0o%o", n)
	case n > 0 && n < 256 && g.useForm("binary number", key):
		return fmt.Sprintf("0b%b", n)
	case n >= 1000 && g.useForm("number with underscores", key):
		return fmt.Sprintf("%d_%03d", n/1000, n%1000)
	case n > 0 && n%1000 == 0 && g.useForm("number with a multiplier", key):
		return fmt.Sprintf("%dK", n/1000)
	case n > 10 && g.useForm("number arithmetic", key):
		return fmt.Sprintf("(%d*10 + %d)", n/10, n%10)
	}
	return strconv.Itoa(n)
}

// jsonOf is a value in JSON. It is false for expressions.
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
