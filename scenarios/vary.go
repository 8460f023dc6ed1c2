package scenarios

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
)

// Keys lists the keys that Set takes, in the order of the file: every single
// value but the texts, and each layer's switch.
func Keys() []string {
	var s Spec
	var out []string
	s.each(func(path, unit string, _ reflect.Value) {
		if unit == "text" {
			return
		}
		if path == "edge.config_life" { // the layers stand before the edge
			for _, w := range LayerWords() {
				out = append(out, "layers."+w)
			}
		}
		out = append(out, path)
	})
	return out
}

// Set changes one value and validates the whole again; on an error the spec
// stays as it was. Values are written as in a file, save that a number whose
// unit is a word ("entries") may stand alone; percentages, times and ratios
// always carry their unit. The value's provenance becomes "chosen".
func (s *Spec) Set(key, value string) error {
	return s.SetAll(record.Setting{Key: key, Value: value})
}

// SetAll is Set for several values that are valid only together.
func (s *Spec) SetAll(settings ...record.Setting) error {
	next := *s
	next.own()
	if next.Notes == nil {
		next.Notes = map[string]Note{}
	}
	for _, set := range settings {
		if err := next.set(set.Key, set.Value); err != nil {
			return err
		}
	}
	next.Text = next.render()
	if err := next.Validate(); err != nil {
		return err
	}
	*s = next
	return nil
}

func (s *Spec) set(key, value string) error {
	key = strings.TrimSpace(key)
	if word, ok := strings.CutPrefix(key, "layers."); ok && Layers[word] != "" {
		var on bool
		written, err := setLeaf(reflect.ValueOf(&on).Elem(), value, key, "on/off", false)
		if err != nil {
			return fmt.Errorf("%s=%s: %w", key, clip(value), err)
		}
		if s.Layers == nil {
			s.Layers = map[string]bool{}
		}
		s.Layers[word] = on
		s.Notes[key] = Note{Value: written}
		delete(s.at, key)
		return nil
	}
	err := fmt.Errorf("unknown key %q%s (a key is section.name, such as queue.depth)", clip(key), didYouMeanKey(key))
	s.each(func(path, unit string, v reflect.Value) {
		if path != key || unit == "text" {
			return
		}
		written, e := setLeaf(v, value, path, unit, true)
		if err = e; err != nil {
			err = fmt.Errorf("%s=%s: %w", key, clip(value), e)
			return
		}
		s.Notes[path] = Note{Value: written}
		delete(s.at, path)
	})
	return err
}

// didYouMeanKey knows whole paths and last words.
func didYouMeanKey(key string) string {
	keys := Keys()
	if n := nearest(key, keys); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	var tails []string
	for _, k := range keys {
		tails = append(tails, k[strings.LastIndexByte(k, '.')+1:])
	}
	if n := nearest(last, tails); n != "" {
		return fmt.Sprintf(": did you mean %q?", keys[slices.Index(tails, n)])
	}
	return ""
}

// gridMax bounds the values of one --vary.
const gridMax = 1000

// ParseVary reads "key=a,b,c", "key=lo..hi/n" (n values, evenly spaced, both ends
// in) or "key=lo..hi/nlog" (evenly spaced in the logarithm; lo > 0). Units stand
// in the values, and lo and hi have the same one. The values are texts for Set.
func ParseVary(arg string) (key string, values []string, err error) {
	bad := func(why string) (string, []string, error) {
		return "", nil, fmt.Errorf("vary %q: %s: write key=a,b,c or key=lo..hi/n or key=lo..hi/nlog", clip(arg), why)
	}
	key, rest, ok := strings.Cut(arg, "=")
	key, rest = strings.TrimSpace(key), strings.TrimSpace(rest)
	if !ok || key == "" || rest == "" {
		return bad("no key or no values")
	}
	lo, tail, isRange := strings.Cut(rest, "..")
	if !isRange {
		for _, v := range strings.Split(rest, ",") {
			if v = strings.TrimSpace(v); v == "" {
				return bad("an empty value")
			}
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		if len(values) > gridMax {
			return bad(fmt.Sprintf("over %d values", gridMax))
		}
		return key, values, nil
	}
	slash := strings.LastIndexByte(tail, '/')
	if slash < 0 {
		return bad("a range without a number of values")
	}
	count, log := strings.CutSuffix(strings.TrimSpace(tail[slash+1:]), "log")
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || n < 2 || n > gridMax {
		return bad(fmt.Sprintf("the number of values is not within 2 to %d", gridMax))
	}
	from, to, format, err := ends(strings.TrimSpace(lo), strings.TrimSpace(tail[:slash]))
	switch {
	case err != nil:
		return bad(err.Error())
	case from >= to:
		return bad("the range does not rise")
	case log && from <= 0:
		return bad("a logarithmic range starts above 0")
	}
	for i := range n {
		share := float64(i) / float64(n-1)
		v := from + float64((to-from)*share)
		if log {
			a, b := draw.Log(from), draw.Log(to)
			v = draw.Exponential(a + float64((b-a)*share))
		}
		switch i {
		case 0:
			v = from
		case n - 1:
			v = to
		}
		if text := format(v); !slices.Contains(values, text) {
			values = append(values, text)
		}
	}
	return key, values, nil
}

// ends reads both ends of a range; format writes a value between them.
func ends(lo, hi string) (from, to float64, format func(float64) string, err error) {
	if a, e := time.ParseDuration(lo); e == nil && lo != "0" {
		b, e := time.ParseDuration(hi)
		if e != nil {
			return 0, 0, nil, fmt.Errorf("%.40q is not a time like %.40q", hi, lo)
		}
		return float64(a), float64(b), func(v float64) string {
			return time.Duration(round4(v)).String()
		}, nil
	}
	a, unit := cutNumber(lo)
	b, unitB := cutNumber(hi)
	switch {
	case a == "" || b == "":
		return 0, 0, nil, fmt.Errorf("%.40q..%.40q is not a range of numbers", lo, hi)
	case unit != unitB:
		return 0, 0, nil, fmt.Errorf("the ends have the units %.20q and %.20q", unit, unitB)
	}
	from, e1 := strconv.ParseFloat(strings.ReplaceAll(a, "_", ""), 64)
	to, e2 := strconv.ParseFloat(strings.ReplaceAll(b, "_", ""), 64)
	if e1 != nil || e2 != nil {
		return 0, 0, nil, fmt.Errorf("%.40q..%.40q is not a range of finite numbers", lo, hi)
	}
	whole := from == math.Trunc(from) && to == math.Trunc(to) && unit != "%" && unit != "x"
	return from, to, func(v float64) string {
		if whole && math.Abs(v) >= 1 {
			v = math.Round(v)
		}
		return strings.TrimSpace(strconv.FormatFloat(round4(v), 'f', -1, 64) + " " + unit)
	}, nil
}

// round4 keeps four significant digits, so that a grid reads well, but all
// digits of a whole number.
func round4(v float64) float64 {
	if v == math.Trunc(v) && math.Abs(v) < 1e9 {
		return v
	}
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil { // it was written by the line above
		return v
	}
	return r
}

// Grid makes a --vary's values ones that this scenario can take: the original
// gate takes whole per cents only, so admission.probability is rounded to them
// and what then falls together is dropped. Other keys are returned unchanged.
func (s *Spec) Grid(key string, values []string) []string {
	if key != "admission.probability" || s.Admission.Gate != policy.GateOriginal {
		return values
	}
	var out []string
	for _, v := range values {
		if p, _, err := parseNumber(v, "%", false); err == nil {
			v = strconv.Itoa(int(p*100+0.5)) + " %"
		} // what does not parse is for Set to refuse
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
