package scenarios

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/policy"
)

// Layers are the words of the switches, each with what is done when it is off.
var Layers = map[string]string{
	"edge":      "config and catalogue are served by the gateways, a unit each",
	"admission": "every press passes",
	"closed":    "the closed check is not asked of stock: status says preorder from the opening on, every submit reaches stock",
	"room":      "the waiting room has no bound",
	"drop":      "expired work is served all the same",
	"inflight":  "no in-flight limit",
	"priority":  "first in, first out, all classes alike",
	"ladder":    "always on the first rung",
	"budget":    "retries are free",
	"batch":     "one script call a submit",
	"queue":     "synchronous write to the database at submit",
}

// LayerWords lists the words of Layers in the order of a request's way.
func LayerWords() []string {
	return []string{"edge", "admission", "closed", "room", "drop", "inflight", "priority", "ladder", "budget", "batch", "queue"}
}

// Words of a change's key.
const (
	ChangeProbability = "admission.probability"
	ChangeGate        = "admission.gate"
	ChangeResults     = "admission.results"
)

// words are the sets of the keys with unit "word" that are plain strings.
var words = map[string][]string{
	"edge.cache_key": {"path", "url"},
	"changes.key":    {ChangeProbability, ChangeGate, ChangeResults},
	"faults.kind":    fault.Kinds(),
	"faults.target":  fault.Targets(""),

	"station.arrivals.process": {Poisson, Regular},
	"station.service.law":      laws,
	"station.patience.law":     append([]string{LawNone}, laws...),
	"station.retry.delay.law":  laws,
	"station.order":            {OrderFIFO, OrderLIFO},
	"station.measure.method":   {MethodReplications, MethodBatchMeans},
}

var laws = []string{LawExponential, LawLogNormal, LawDeterministic, LawEmpirical}

// classSpec is booking.Class in the grammar of the file.
type classSpec struct {
	Name     string        `yaml:"name" unit:"text"`
	Province string        `yaml:"province" unit:"text"`
	Grade    string        `yaml:"grade" unit:"text"`
	Share    float64       `yaml:"share" unit:"%"`
	Priority int           `yaml:"priority" unit:"rank"`
	From     time.Duration `yaml:"from" unit:"moment"`
	Until    time.Duration `yaml:"until" unit:"moment"`
}

// decoder fills a Spec from the merged tree.
type decoder struct {
	notes map[string]Note
	at    map[string]string
}

// field is one key of a section.
type field struct {
	key, unit string
	index     int
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "" && key != "-" {
			out = append(out, field{key, f.Tag.Get("unit"), i})
		}
	}
	return out
}

func keysOf(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.key
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// section fills a struct from a mapping.
func (d *decoder) section(v reflect.Value, n *node, path string) error {
	if n.kind != mapping {
		return fmt.Errorf("%s: %s: want a mapping of keys to values", n.at, path)
	}
	if path != "" {
		d.at[path] = n.at
	}
	fields := fieldsOf(v.Type())
	for _, e := range n.entries {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == e.key })
		if i < 0 {
			return fmt.Errorf("%s: unknown key %q%s", e.at, clip(join(path, e.key)), didYouMean(e.key, keysOf(fields)))
		}
		f := fields[i]
		if err := d.value(v.Field(f.index), e.val, join(path, f.key), f.unit); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) value(v reflect.Value, n *node, path, unit string) error {
	if unit != "" {
		if v.Kind() == reflect.Slice {
			return d.leaves(v, n, path, unit)
		}
		return d.leaf(v, n, path, unit)
	}
	switch p := v.Addr().Interface().(type) {
	case *map[string]bool:
		return d.layers(p, n, path)
	case *[]string:
		return d.texts(p, n, path)
	case *[]booking.Class:
		var specs []classSpec
		if err := d.sections(reflect.ValueOf(&specs).Elem(), n, path); err != nil {
			return err
		}
		*p = nil
		for _, c := range specs {
			*p = append(*p, booking.Class(c))
		}
		return nil
	case *[]Change, *[]Fault:
		return d.sections(v, n, path)
	}
	return d.section(v, n, path)
}

func (d *decoder) sections(v reflect.Value, n *node, path string) error {
	if n.kind != list {
		return fmt.Errorf("%s: %s: want a list", n.at, path)
	}
	d.at[path] = n.at
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	if len(n.items) == 0 {
		v.SetZero()
	}
	for i, item := range n.items {
		if err := d.section(v.Index(i), item, join(path, strconv.Itoa(i))); err != nil {
			return err
		}
	}
	return nil
}

// leaves fills a list of plain values of one kind.
func (d *decoder) leaves(v reflect.Value, n *node, path, unit string) error {
	if n.kind != list {
		return fmt.Errorf("%s: %s: want a list in brackets", n.at, path)
	}
	d.at[path] = n.at
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		if item.kind != scalar {
			return fmt.Errorf("%s: %s: want a list of plain values", item.at, path)
		}
		if err := d.leaf(v.Index(i), item, join(path, strconv.Itoa(i)), unit); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) texts(p *[]string, n *node, path string) error {
	if n.kind != list {
		return fmt.Errorf("%s: %s: want a list", n.at, path)
	}
	*p = nil
	d.at[path] = n.at
	for i, item := range n.items {
		var s string
		if err := d.leaf(reflect.ValueOf(&s).Elem(), item, join(path, strconv.Itoa(i)), "text"); err != nil {
			return err
		}
		*p = append(*p, s)
	}
	return nil
}

func (d *decoder) layers(p *map[string]bool, n *node, path string) error {
	if n.kind != mapping {
		return fmt.Errorf("%s: %s: want a mapping of layers to on or off", n.at, path)
	}
	*p = map[string]bool{}
	for _, e := range n.entries {
		if _, ok := Layers[e.key]; !ok {
			return fmt.Errorf("%s: unknown layer %q%s (layers: %s)", e.at, clip(e.key),
				didYouMean(e.key, LayerWords()), strings.Join(LayerWords(), " "))
		}
		var on bool
		if err := d.leaf(reflect.ValueOf(&on).Elem(), e.val, join(path, e.key), "on/off"); err != nil {
			return err
		}
		(*p)[e.key] = on
	}
	return nil
}

// leaf fills one value and its note.
func (d *decoder) leaf(v reflect.Value, n *node, path, unit string) error {
	var note Note
	val := n
	if n.kind == mapping {
		var assumption *node
		for _, e := range n.entries {
			switch e.key {
			case "value":
				val = e.val
			case "source":
				if e.val.kind != scalar || strings.TrimSpace(e.val.text) == "" {
					return fmt.Errorf("%s: %s: source wants a text that says where the value was published", e.val.at, path)
				}
				note.Source = e.val.text
			case "assumption":
				assumption = e.val
			default:
				return fmt.Errorf("%s: unknown key %q%s", e.at, clip(join(path, e.key)),
					didYouMean(e.key, []string{"value", "source", "assumption"}))
			}
		}
		if val == n {
			return fmt.Errorf("%s: %s: has no \"value\"", n.at, path)
		}
		if note.Source != "" && assumption != nil {
			return fmt.Errorf("%s: %s: is either sourced or assumed, not both", n.at, path)
		}
		if assumption != nil {
			if err := d.assumption(&note, assumption, path); err != nil {
				return err
			}
		}
	}
	if val.kind != scalar {
		return fmt.Errorf("%s: %s: want one value, not a list or a mapping", val.at, path)
	}
	written, err := setLeaf(v, val.text, path, unit, false)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", val.at, path, err)
	}
	note.Value = written
	if note.Why != "" {
		if err := bracket(v, &note, path, unit); err != nil {
			return fmt.Errorf("%s: %s: assumption: %w", n.at, path, err)
		}
	}
	d.notes[path], d.at[path] = note, val.at
	return nil
}

func (d *decoder) assumption(note *Note, n *node, path string) error {
	if n.kind != mapping {
		return fmt.Errorf("%s: %s: assumption wants {low: …, high: …, why: …}", n.at, path)
	}
	for _, e := range n.entries {
		p := map[string]*string{"low": &note.Low, "high": &note.High, "why": &note.Why}[e.key]
		if p == nil {
			return fmt.Errorf("%s: unknown key %q%s", e.at, clip(path+".assumption."+e.key), didYouMean(e.key, []string{"low", "high", "why"}))
		}
		if e.val.kind != scalar || strings.TrimSpace(e.val.text) == "" {
			return fmt.Errorf("%s: %s: assumption: %s wants a value", e.val.at, path, e.key)
		}
		*p = e.val.text
	}
	if note.Low == "" || note.High == "" || note.Why == "" {
		return fmt.Errorf("%s: %s: an assumption has low, high and why", n.at, path)
	}
	return nil
}

// bracket checks that low and high are of the value's kind and enclose it.
func bracket(v reflect.Value, note *Note, path, unit string) error {
	lo, hi := reflect.New(v.Type()).Elem(), reflect.New(v.Type()).Elem()
	if _, err := setLeaf(lo, note.Low, path, unit, false); err != nil {
		return fmt.Errorf("low: %w", err)
	}
	if _, err := setLeaf(hi, note.High, path, unit, false); err != nil {
		return fmt.Errorf("high: %w", err)
	}
	ok := true
	switch {
	case v.CanFloat():
		ok = lo.Float() <= v.Float() && v.Float() <= hi.Float()
	case v.CanInt():
		ok = lo.Int() <= v.Int() && v.Int() <= hi.Int()
	}
	if !ok {
		return fmt.Errorf("%s … %s does not enclose %s", note.Low, note.High, note.Value)
	}
	return nil
}

// setLeaf parses a text into a value; written is the text with its unit.
func setLeaf(v reflect.Value, text, path, unit string, bare bool) (written string, err error) {
	written = strings.TrimSpace(text)
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = parseTime(text, unit == "moment")
	case *float64:
		*p, written, err = parseNumber(text, unit, bare)
	case *int:
		var f float64
		f, written, err = parseNumber(text, unit, bare)
		*p = int(f)
	case *WarmUp:
		*p, written, err = parseWarmUp(written, unit, bare)
	case *bool:
		switch written {
		case "on":
			*p = true
		case "off":
			*p = false
		default:
			err = fmt.Errorf("%.40q: want on or off", text)
		}
	case *booking.Mode:
		if *p, err = booking.ParseMode(written); err != nil {
			err = fmt.Errorf("%.40q%s: want one of %s", text, didYouMean(written, booking.Modes()), strings.Join(booking.Modes(), ", "))
		}
	case *policy.Gate:
		if *p, err = policy.ParseGate(written); err != nil {
			err = fmt.Errorf("%.40q%s: want one of off, original, coin", text, didYouMean(written, []string{"off", "original", "coin"}))
		}
	case *string:
		*p = written
		if unit == "word" {
			set := words[wordPath(path)]
			if !slices.Contains(set, written) {
				err = fmt.Errorf("%.40q%s: want one of %s", text, didYouMean(written, set), strings.Join(set, ", "))
			}
		} else if len(text) > 2000 || strings.ContainsFunc(text, unprintable) {
			err = fmt.Errorf("%.40q: want at most 2,000 printable characters", text)
		}
	default:
		err = fmt.Errorf("no such kind of value: %T", p)
	}
	if err != nil {
		v.SetZero()
	}
	return written, err
}

// unprintable finds what could steer a terminal or turn a line of a report around:
// controls, the eight-bit ones too, and formats such as the change of direction.
func unprintable(r rune) bool {
	return r != '\n' && !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) || r == unicode.ReplacementChar
}

// wordPath drops the index from the path of a list's item.
func wordPath(path string) string {
	parts := strings.Split(path, ".")
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s[0] >= '0' && s[0] <= '9' }), ".")
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// each visits every scalar leaf of the spec outside lists and layers, in order.
func (s *Spec) each(visit func(path, unit string, v reflect.Value)) {
	eachLeaf(reflect.ValueOf(s).Elem(), "", visit)
}

func eachLeaf(v reflect.Value, path string, visit func(path, unit string, v reflect.Value)) {
	for _, f := range fieldsOf(v.Type()) {
		p, fv := join(path, f.key), v.Field(f.index)
		switch {
		case fv.Kind() == reflect.Slice:
		case f.unit != "":
			visit(p, f.unit, fv)
		case fv.Kind() == reflect.Struct:
			eachLeaf(fv, p, visit)
		}
	}
}

// render writes the scenario as one file.
func (s *Spec) render() string { return notes(s.Notes).render(reflect.ValueOf(s).Elem()) }

// notes is the values as they are written in a file, by key path.
type notes map[string]Note

func (n notes) render(v reflect.Value) string {
	var b strings.Builder
	n.section(&b, v, "", "")
	return b.String()
}

func (n notes) section(b *strings.Builder, v reflect.Value, path, indent string) {
	for _, f := range fieldsOf(v.Type()) {
		p, fv := join(path, f.key), v.Field(f.index)
		head := indent + f.key + ":"
		switch {
		case f.unit != "" && fv.Kind() == reflect.Slice:
			if fv.Len() > 0 {
				b.WriteString(head + " [")
				for i := range fv.Len() {
					if i > 0 {
						b.WriteString(", ")
					}
					b.WriteString(quote(n[join(p, strconv.Itoa(i))].Value))
				}
				b.WriteString("]\n")
			}
		case f.unit != "":
			if note, ok := n[p]; ok {
				b.WriteString(head)
				renderLeaf(b, note, indent)
			}
		case f.key == "layers":
			if fv.Len() > 0 {
				b.WriteString(head + "\n")
				for _, w := range LayerWords() {
					if fv.MapIndex(reflect.ValueOf(w)).IsValid() {
						b.WriteString(indent + "  " + w + ":")
						renderLeaf(b, n[join(p, w)], indent+"  ")
					}
				}
			}
		case fv.Kind() == reflect.Slice:
			if fv.Len() > 0 {
				b.WriteString(head + "\n")
				n.list(b, fv, p, indent+"  ")
			}
		default:
			var inner strings.Builder
			n.section(&inner, fv, p, indent+"  ")
			if inner.Len() > 0 {
				b.WriteString(head + "\n" + inner.String())
			}
		}
	}
}

func (n notes) list(b *strings.Builder, v reflect.Value, path, indent string) {
	for i := range v.Len() {
		p := join(path, strconv.Itoa(i))
		item := v.Index(i)
		if item.Kind() == reflect.String {
			b.WriteString(indent + "-")
			renderLeaf(b, n[p], indent)
			continue
		}
		if c, ok := item.Interface().(booking.Class); ok {
			item = reflect.ValueOf(classSpec(c))
		}
		var inner strings.Builder
		n.section(&inner, item, p, indent+"  ")
		if inner.Len() == 0 {
			b.WriteString(indent + "- {}\n")
			continue
		}
		b.WriteString(indent + "- " + inner.String()[len(indent)+2:])
	}
}

func renderLeaf(b *strings.Builder, n Note, indent string) {
	switch {
	case n.Source != "":
		fmt.Fprintf(b, "\n%s  value: %s\n%s  source: %s\n", indent, quote(n.Value), indent, quote(n.Source))
	case n.Why != "":
		fmt.Fprintf(b, "\n%s  value: %s\n%s  assumption: {low: %s, high: %s, why: %s}\n",
			indent, quote(n.Value), indent, quote(n.Low), quote(n.High), quoted(n.Why))
	default:
		fmt.Fprintf(b, " %s\n", quote(n.Value))
	}
}

// quote writes a scalar plain where YAML cannot misread it, else in quotes.
func quote(s string) string {
	plain := s != "" && s == strings.TrimSpace(s)
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c), 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && (c == ' ' || c == '.' || c == '%' || c == '/'):
		case c == '-' && i+1 < len(s) && s[i+1] != ' ' && s[i+1] != '-':
		case c == ':' && i > 0 && i+1 < len(s) && isDigit(s[i+1]):
		default:
			plain = false
		}
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return quoted(s)
}

func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// own makes the maps and slices the spec's own, so that a copy may be changed.
func (s *Spec) own() {
	s.Layers, s.Notes, s.at = maps.Clone(s.Layers), maps.Clone(s.Notes), maps.Clone(s.at)
	s.Population.Classes = slices.Clone(s.Population.Classes)
	s.Changes, s.Faults = slices.Clone(s.Changes), slices.Clone(s.Faults)
	s.Objectives = slices.Clone(s.Objectives)
}
