package wire

import (
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"spillway/internal/booking"
)

//go:embed openapi.yaml
var openapi []byte

// document is the description as plain maps.
func document(t *testing.T) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return doc
}

// at walks down the keys.
func at(t *testing.T, node any, keys ...string) map[string]any {
	t.Helper()
	for _, k := range keys {
		m, ok := node.(map[string]any)
		if !ok || m[k] == nil {
			t.Fatalf("openapi.yaml has no %s", strings.Join(keys, " / "))
		}
		node = m[k]
	}
	m, ok := node.(map[string]any)
	if !ok {
		t.Fatalf("openapi.yaml: %s is a %T", strings.Join(keys, " / "), node)
	}
	return m
}

// constants are the string constants of wire.go whose names begin so.
func constants(t *testing.T, prefix string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "wire.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, prefix) || i >= len(spec.Values) {
				continue
			}
			if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if out[name.Name], err = strconv.Unquote(lit.Value); err != nil {
					t.Fatal(err)
				}
			}
		}
		return true
	})
	if len(out) < 5 {
		t.Fatalf("only %d constants begin with %s", len(out), prefix)
	}
	return out
}

// Whatever the code can say is in the description.
func TestOpenAPISaysAll(t *testing.T) {
	doc := document(t)
	paths := at(t, doc, "paths")
	for name, path := range constants(t, "Path") {
		if path == PathCatalogue {
			path += "{language}.json"
		}
		if paths[path] == nil {
			t.Errorf("%s: no path %s", name, path)
		}
	}
	if paths[PathBookings+"/{ticket}"] == nil {
		t.Error("no path of a result")
	}
	for _, method := range []string{"get", "put", "delete"} {
		if at(t, doc, "paths", PathEntries+"/{ticket}")[method] == nil {
			t.Errorf("no %s of an entry", method)
		}
	}

	headers := map[string]bool{}
	for _, p := range at(t, doc, "components", "parameters") {
		headers[p.(map[string]any)["name"].(string)] = true
	}
	var walk func(any)
	walk = func(n any) {
		switch n := n.(type) {
		case map[string]any:
			if h, ok := n["headers"].(map[string]any); ok {
				for name := range h {
					headers[name] = true
				}
			}
			for _, v := range n {
				walk(v)
			}
		case []any:
			for _, v := range n {
				walk(v)
			}
		}
	}
	walk(doc["paths"])
	walk(at(t, doc, "components", "responses"))
	for name, h := range constants(t, "Header") {
		if !headers[h] {
			t.Errorf("%s: no header %s", name, h)
		}
	}

	var listed []string
	for _, o := range at(t, doc, "components", "schemas", "Outcome")["enum"].([]any) {
		listed = append(listed, o.(string))
	}
	if !slices.Equal(listed, booking.Outcomes()) {
		t.Errorf("outcomes %v, want %v", listed, booking.Outcomes())
	}
	var states []string
	for _, s := range at(t, doc, "components", "schemas", "Status", "properties", "state")["enum"].([]any) {
		states = append(states, s.(string))
	}
	for _, s := range []booking.State{booking.StateWait, booking.StatePreorder, booking.StateFinish} {
		if !slices.Contains(states, s.String()) {
			t.Errorf("no state %v", s)
		}
	}

	for _, body := range []any{Config{}, Status{}, Submit{}, Edit{}, Entry{}, Answer{}, Start{}, Change{}, Fault{}, Samples{}, Drained{}} {
		typ := reflect.TypeOf(body)
		fieldsMatch(t, typ, at(t, doc, "components", "schemas", typ.Name()))
	}
	fieldsMatch(t, reflect.TypeOf(CoinConfig{}), at(t, doc, "components", "schemas", "Config", "properties", "coin"))
}

// fieldsMatch compares a body's JSON names with a schema's properties, both ways.
func fieldsMatch(t *testing.T, typ reflect.Type, schema map[string]any) {
	t.Helper()
	props := maps.Clone(at(t, schema, "properties"))
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if props[name] == nil {
			t.Errorf("%s: no property %s", typ.Name(), name)
		}
		delete(props, name)
	}
	for name := range props {
		t.Errorf("%s has no field for property %s", typ.Name(), name)
	}
}

// Every reference leads somewhere.
func TestOpenAPIReferences(t *testing.T) {
	doc := document(t)
	n := 0
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok {
				n++
				at(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			}
			for _, v := range node {
				walk(v)
			}
		case []any:
			for _, v := range node {
				walk(v)
			}
		}
	}
	walk(doc)
	if n < 40 {
		t.Errorf("only %d references", n)
	}
}

// An outcome survives the way through a reply's header.
func TestReplyCarriesTheOutcome(t *testing.T) {
	for _, name := range booking.Outcomes() {
		want, err := booking.ParseOutcome(name)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		Reply(w, want, 1500*time.Millisecond, true, Answer{Outcome: name})
		resp := w.Result()
		got, err := booking.ParseOutcome(resp.Header.Get(HeaderOutcome))
		if err != nil || got != want {
			t.Errorf("%v came as %v, %v", want, got, err)
		}
		if resp.StatusCode != StatusCode(want) || resp.StatusCode < 200 || resp.StatusCode > 599 {
			t.Errorf("%v: status %d", want, resp.StatusCode)
		}
		if resp.Header.Get("Retry-After") != "2" || resp.Header.Get(HeaderRetry) != "no" {
			t.Errorf("%v: headers %v", want, resp.Header)
		}
		var a Answer
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Outcome != name {
			t.Errorf("%v: body %+v, %v", want, a, err)
		}
	}
	w := httptest.NewRecorder()
	Reply(w, booking.OK, 0, false, nil)
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Retry-After") != "" || w.Header().Get(HeaderRetry) != "" {
		t.Errorf("bare reply: %d %v %q", w.Code, w.Header(), w.Body)
	}
}
