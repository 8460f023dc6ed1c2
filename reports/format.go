package reports

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is a measured number that may be missing. The zero value is "n/a".
// JSON has the number, or null.
type Value struct {
	V      float64
	OK     bool // V is measured
	Unsure bool // there are samples, but too few for what is asked: "cannot tell"
}

// Got is a measured value; NaN and infinities are "n/a".
func Got(v float64) Value {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Value{}
	}
	return Value{V: v, OK: true}
}

// MarshalJSON writes the number or null.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.OK {
		return []byte("null"), nil
	}
	return json.Marshal(v.V)
}

// UnmarshalJSON reads a number or null.
func (v *Value) UnmarshalJSON(b []byte) error {
	*v = Value{}
	if string(b) == "null" {
		return nil
	}
	v.OK = true
	return json.Unmarshal(b, &v.V)
}

// Text shows the value in its unit, or "n/a" or "cannot tell".
func (v Value) Text(u Unit) string {
	switch {
	case v.OK:
		return u.Format(v.V)
	case v.Unsure:
		return "cannot tell"
	}
	return "n/a"
}

// Unit says how a number is written.
type Unit uint8

// The units.
const (
	Seconds Unit = iota + 1 // a duration in seconds
	Moment                  // seconds after the opening
	Share                   // 0..1, written in %
	Count                   // a whole number
	Factor                  // a plain factor
)

// Format writes a number with about three figures and its unit.
func (u Unit) Format(v float64) string {
	switch u {
	case Seconds:
		return duration(v)
	case Moment:
		if v < 0 {
			return figures(-v) + " s before"
		}
		return figures(v) + " s after"
	case Share:
		return share(v)
	case Count:
		return count(v)
	}
	return figures(v)
}

func duration(s float64) string {
	switch a := math.Abs(s); {
	case a == 0:
		return "0 s"
	case a < 1e-6:
		return figures(s*1e9) + " ns"
	case a < 1e-3:
		return figures(s*1e6) + " µs"
	case a < 0.9995:
		return figures(s*1e3) + " ms"
	case a < 600, a >= 1e8: // beyond three years nobody reads hours
		return figures(s) + " s"
	}
	return time.Duration(s * 1e9).Round(time.Second).String()
}

func share(v float64) string {
	p := v * 100
	switch {
	case p != 0 && math.Abs(p) < 0.1:
		return "< 0.1 %"
	case p > 99.9 && p < 100:
		return "> 99.9 %"
	case p == math.Trunc(p), math.Abs(p) >= 10 && p < 99:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + " %"
}

// figures writes three significant figures, without an exponent.
func figures(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 1000:
		return count(v)
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func count(v float64) string {
	if math.Abs(v) >= 1e15 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	s := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if v < 0 && s != "0" {
		s = "-" + s
	}
	return s
}

// Thinning writes a scale as "1:100"; 1 is "1:1".
func Thinning(people float64) string {
	if !(people > 1e-12) { // nobody thins a billion people to nothing
		return "1:?"
	}
	return "1:" + strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(1/people, 'f', 2, 64), "0"), ".")
}

// Table is a table ready to be shown: all cells are text.
type Table struct {
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
	Notes   []string   `json:"notes,omitempty"` // below the table, one line each
	Words   bool       `json:"-"`               // the cells are words rather than figures: a page sets them to the left
}

// Text renders the table for a terminal: aligned, first column to the left,
// the others to the right.
func (t Table) Text() string {
	widths := make([]int, len(t.Columns))
	all := append([][]string{t.Columns}, t.Rows...)
	for _, row := range all {
		for i := range t.Columns {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell(row, i)))
		}
	}
	var b strings.Builder
	if t.Title != "" {
		b.WriteString(oneLine(t.Title) + "\n")
	}
	for _, row := range all {
		var line strings.Builder
		for i, w := range widths {
			c := cell(row, i)
			pad := strings.Repeat(" ", w-utf8.RuneCountInString(c))
			if i == 0 {
				line.WriteString(c + pad)
			} else {
				line.WriteString("  " + pad + c)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	for _, n := range t.Notes {
		b.WriteString(oneLine(n) + "\n")
	}
	return b.String()
}

// Markdown renders the table; what could be taken for markup is escaped.
func (t Table) Markdown() string {
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "### %s\n\n", Escape(t.Title))
	}
	b.WriteString("|")
	for _, c := range t.Columns {
		b.WriteString(" " + Escape(c) + " |")
	}
	b.WriteString("\n|")
	for i := range t.Columns {
		if i == 0 {
			b.WriteString(" --- |")
		} else {
			b.WriteString(" ---: |")
		}
	}
	b.WriteString("\n")
	for _, row := range t.Rows {
		b.WriteString("|")
		for i := range t.Columns {
			b.WriteString(" " + Escape(cell(row, i)) + " |")
		}
		b.WriteString("\n")
	}
	for _, n := range t.Notes {
		b.WriteString("\n" + Escape(n) + "\n")
	}
	return b.String()
}

func cell(row []string, i int) string {
	if i < len(row) {
		return oneLine(row[i])
	}
	return ""
}

// oneLine takes out what would break a line or steer a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 ||
			r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 { // bidirectional overrides
			return ' '
		}
		return r
	}, s)
}

var markdown = strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_",
	"`", "\\`", "[", "\\[", "]", "\\]", "#", "\\#", "~", "\\~")

// Escape makes text from outside safe in one line of Markdown.
func Escape(s string) string { return markdown.Replace(oneLine(s)) }

// short cuts a text for a terminal to n characters.
func short(s string, n int) string {
	s = oneLine(s)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}
