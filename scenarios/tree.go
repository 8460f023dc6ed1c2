package scenarios

import (
	"errors"
	"fmt"
	"strings"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds on a file: the shipped ones need 20 kB and a depth of 5.
const (
	textMax  = 128 << 10 // bytes
	depthMax = 32        // brackets or sections within each other
)

type kind uint8

const (
	scalar kind = iota + 1
	mapping
	list
)

// node is a value of the file and where it stands.
type node struct {
	kind    kind
	at      string  // file:line:col
	text    string  // scalar: as written, quotes removed
	entries []entry // mapping, in file order
	items   []*node // list
}

type entry struct {
	key string
	at  string
	val *node
}

func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.val
		}
	}
	return nil
}

// noted reports whether the mapping is one value with its provenance.
func (n *node) noted() bool { return n.kind == mapping && n.get("value") != nil }

// parseTree reads a text into nodes. It never panics: the library's own panics
// on odd input are turned into errors.
func parseTree(text []byte, file string) (root *node, err error) {
	if len(text) > textMax {
		return nil, fmt.Errorf("%s: %d bytes: a scenario has at most %d", file, len(text), textMax)
	}
	if err := shallow(text, file); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			root, err = nil, fmt.Errorf("%s: not readable as YAML: simplify it", file)
		}
	}()
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var se *yaml.SyntaxError
		if errors.As(err, &se) && se.Token != nil && se.Token.Position != nil {
			p := se.Token.Position
			return nil, fmt.Errorf("%s:%d:%d: %s", file, p.Line, p.Column, oneLine(se.Message))
		}
		return nil, fmt.Errorf("%s: %s", file, oneLine(err.Error()))
	}
	for i, d := range f.Docs {
		switch {
		case d.Body == nil:
		case i > 0 || root != nil:
			return nil, fmt.Errorf("%s: a second document: one scenario a file", position(file, d.Body))
		default:
			if root, err = convert(d.Body, file, 0); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case root == nil:
		return nil, fmt.Errorf("%s:1:1: empty: a scenario starts with its name", file)
	case root.kind != mapping:
		return nil, fmt.Errorf("%s: a scenario is a mapping of keys to values", root.at)
	}
	return root, nil
}

// shallow refuses texts nested so deep that the parser's recursion is at risk.
func shallow(text []byte, file string) error {
	depth, line := 0, 1
	dashes := 0 // "- - - -" and "? ? ? ?" nest as well
	for _, c := range text {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '-', '?', ':':
			dashes++
		case '\n':
			line++
			dashes = 0
		case ' ', '\t':
		default:
			dashes = 0
		}
		if depth > depthMax || dashes > 4*depthMax {
			return fmt.Errorf("%s:%d: nested deeper than %d", file, line, depthMax)
		}
	}
	return nil
}

func position(file string, n ast.Node) string {
	// A mapping's own token is its first colon; its first key is where it begins.
	switch x := n.(type) {
	case *ast.MappingNode:
		if len(x.Values) > 0 && !x.IsFlowStyle {
			n = x.Values[0].Key
		}
	case *ast.MappingValueNode:
		n = x.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return fmt.Sprintf("%s:%d:%d", file, t.Position.Line, t.Position.Column)
	}
	return file
}

func convert(n ast.Node, file string, depth int) (*node, error) {
	at := position(file, n)
	if depth > depthMax {
		return nil, fmt.Errorf("%s: nested deeper than %d", at, depthMax)
	}
	switch x := n.(type) {
	case *ast.MappingNode:
		return convertMapping(x.Values, file, at, depth)
	case *ast.MappingValueNode:
		return convertMapping([]*ast.MappingValueNode{x}, file, at, depth)
	case *ast.SequenceNode:
		out := &node{kind: list, at: at}
		for _, v := range x.Values {
			c, err := convert(v, file, depth+1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, c)
		}
		return out, nil
	case *ast.LiteralNode:
		return &node{kind: scalar, at: at, text: x.Value.Value}, nil
	case *ast.StringNode:
		return &node{kind: scalar, at: at, text: x.Value}, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return &node{kind: scalar, at: at, text: x.GetToken().Value}, nil
	case *ast.NullNode:
		return nil, fmt.Errorf("%s: no value: give one or remove the key (a text with a comma in braces wants quotes)", at)
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return nil, fmt.Errorf("%s: anchors and aliases are not read: write the value out, or use extends", at)
	case *ast.TagNode:
		return nil, fmt.Errorf("%s: tags are not read: write the value alone", at)
	}
	return nil, fmt.Errorf("%s: not a value, a list or a mapping", at)
}

func convertMapping(values []*ast.MappingValueNode, file, at string, depth int) (*node, error) {
	out := &node{kind: mapping, at: at}
	for _, v := range values {
		keyAt := position(file, v.Key)
		var key string
		switch k := v.Key.(type) {
		case *ast.StringNode:
			key = k.Value
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
			key = k.GetToken().Value
		case *ast.MergeKeyNode:
			return nil, fmt.Errorf("%s: merge keys are not read: write the values out, or use extends", keyAt)
		default:
			return nil, fmt.Errorf("%s: a key is one plain word", keyAt)
		}
		if before := out.get(key); before != nil {
			return nil, fmt.Errorf("%s: key %.40q is there twice: remove one", keyAt, key)
		}
		c, err := convert(v.Value, file, depth+1)
		if err != nil {
			return nil, err
		}
		out.entries = append(out.entries, entry{key, keyAt, c})
	}
	return out, nil
}

// merge lays over on base: sections key by key, everything else replaced whole, a
// law too when it is named anew: the parameters are those of its family.
func merge(base, over *node) *node {
	if base == nil || base.kind != mapping || over.kind != mapping || base.noted() || over.noted() || over.get("law") != nil {
		return over
	}
	out := &node{kind: mapping, at: over.at, entries: append([]entry(nil), base.entries...)}
next:
	for _, e := range over.entries {
		for i := range out.entries {
			if out.entries[i].key == e.key {
				out.entries[i] = entry{e.key, e.at, merge(out.entries[i].val, e.val)}
				continue next
			}
		}
		out.entries = append(out.entries, e)
	}
	return out
}

func (n *node) without(key string) *node {
	out := *n
	out.entries = nil
	for _, e := range n.entries {
		if e.key != key {
			out.entries = append(out.entries, e)
		}
	}
	return &out
}

func oneLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}
