package record

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/booking"
)

// ObjectiveKind says what an objective measures.
type ObjectiveKind uint8

// The kinds of objective.
const (
	KindSpan           ObjectiveKind = iota + 1 // SPAN[.OUTCOME][.WINDOW].STAT
	KindInvariant                               // invariant.NAME
	KindLateness                                // attack.lateness.PERCENTILE, wall time
	KindConfirmedShare                          // confirmed.share: confirmed reservations / stock
	KindGaveUpShare                             // gave-up.share: visits that gave up / visits that tried to book
	KindAmplification                           // amplification.peak: requests / first tries in the worst second
	KindSoldOut                                 // sold-out.at: scenario time of the last reservation
	KindQueueDepth                              // queue.depth.max: entries of the run, not scaled up
	KindGatewayLoad                             // gateway.load.max: offered work / capacity
	KindReturn                                  // SAMPLE.return: its level at the end / at the beginning, see ReturnSamples
)

// Unit is the unit of an objective's value.
type Unit uint8

// The units.
const (
	UnitSeconds Unit = iota + 1 // Value in seconds: scenario time, but wall time for KindLateness
	UnitShare                   // Value 0..1, written in %
	UnitCount                   // events of the run, not scaled up
	UnitRatio                   // a plain factor, 1 = equal; % is understood too
)

// Objective is one line of a scenario's objectives, read.
//
//	SPAN[.OUTCOME][.WINDOW].STAT OP VALUE
//
// SPAN is a step name, booking or ledger; OUTCOME narrows it to one outcome,
// WINDOW (before, rise, peak, recovery) to a part of the run; STAT is p50, p90,
// p95, p99, p99.9, max, mean or count. The other forms are listed at the kinds.
// OP is one of < <= > >= == !=. A duration is written 800ms, 60s or 1m30s and
// means full-size (scenario) time, save for attack.lateness; a share is written
// in %; a count is bare. Times are Response times: from the intended moment.
type Objective struct {
	Text    string // as written
	Kind    ObjectiveKind
	Span    string // KindSpan only
	Outcome string // "" = all outcomes
	Window  string // "" = the whole run
	Stat    string // p50 … p99.9, max, mean, count; KindInvariant: the invariant's name
	Op      string
	Value   float64 // see Unit
	Unit    Unit
}

// WindowNames lists the windows that an objective may name.
func WindowNames() []string { return []string{"before", "rise", "peak", "recovery"} }

// InvariantNames lists the invariants that a run is checked for.
func InvariantNames() []string {
	return []string{"oversell", "undersell", "balance", "lost", "duplicate", "contradiction"}
}

var (
	percentiles = []string{"p50", "p90", "p95", "p99", "p99.9"}
	statNames   = append(slices.Clone(percentiles), "max", "mean", "count")
	opNames     = []string{"<=", ">=", "==", "!=", "<", ">"} // two characters first: they are searched in this order
	fixedForms  = map[string]struct {
		kind ObjectiveKind
		unit Unit
	}{
		"confirmed.share":    {KindConfirmedShare, UnitShare},
		"gave-up.share":      {KindGaveUpShare, UnitShare},
		"amplification.peak": {KindAmplification, UnitRatio},
		"sold-out.at":        {KindSoldOut, UnitSeconds},
		"queue.depth.max":    {KindQueueDepth, UnitCount},
		"gateway.load.max":   {KindGatewayLoad, UnitRatio},
	}
	fixedNames = []string{"amplification.peak", "confirmed.share", "gateway.load.max", "gave-up.share", "queue.depth.max", "sold-out.at"}
)

// spanNames lists the spans an objective may name.
func spanNames() []string {
	return append(slices.Clone(booking.Steps()), SpanBooking, SpanLedger)
}

// ReturnSamples lists the samples of which an objective may say how far they must
// come back to where they were.
func ReturnSamples() []string {
	return []string{SampleQueueDepth, SampleMemory, SampleHeap, SampleGoroutines, SampleDescriptors}
}

// maxObjective bounds the text of an objective, in bytes.
const maxObjective = 200

// ParseObjective reads one objective. Its errors are one line that names the
// objective, the word at fault and, when one is near, the word that was meant.
func ParseObjective(text string) (Objective, error) {
	fail := func(format string, args ...any) (Objective, error) {
		return Objective{}, fmt.Errorf("objective %.80q: "+format, append([]any{text}, args...)...)
	}
	if len(text) > maxObjective {
		return fail("longer than %d bytes", maxObjective)
	}
	o := Objective{Text: strings.TrimSpace(text)}
	at := -1
	for _, op := range opNames {
		if i := strings.Index(o.Text, op); i >= 0 && (at < 0 || i < at) {
			at, o.Op = i, op
		}
	}
	if at < 0 {
		return fail("no comparison: write it as in \"submit.queued.p99 < 800ms\" with one of < <= > >= == !=")
	}
	left, right := strings.TrimSpace(o.Text[:at]), strings.TrimSpace(o.Text[at+len(o.Op):])
	if err := o.parseName(left); err != nil {
		return fail("%w", err)
	}
	if err := o.parseValue(right); err != nil {
		return fail("%w", err)
	}
	return o, nil
}

// ParseObjectives reads all lines; the first error ends it.
func ParseObjectives(texts []string) ([]Objective, error) {
	out := make([]Objective, 0, len(texts))
	for _, t := range texts {
		o, err := ParseObjective(t)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func (o *Objective) parseName(name string) error {
	if name == "" {
		return fmt.Errorf("nothing before %q", o.Op)
	}
	if f, ok := fixedForms[name]; ok {
		o.Kind, o.Unit = f.kind, f.unit
		return nil
	}
	words := strings.Split(name, ".")
	// The point of p99.9 is not a separator.
	if n := len(words); n >= 2 && len(words[n-2]) > 1 && words[n-2][0] == 'p' && isDigits(words[n-2][1:]) && isDigits(words[n-1]) {
		words = append(words[:n-2:n-2], words[n-2]+"."+words[n-1])
	}
	if sample, ok := strings.CutSuffix(name, ".return"); ok {
		o.Kind, o.Unit, o.Stat = KindReturn, UnitRatio, sample
		return known("sample", sample, ReturnSamples())
	}
	switch words[0] {
	case "invariant":
		if len(words) != 2 {
			return fmt.Errorf("want invariant.NAME with one of %s", strings.Join(InvariantNames(), ", "))
		}
		o.Kind, o.Unit, o.Stat = KindInvariant, UnitCount, words[1]
		return known("invariant", words[1], InvariantNames())
	case "attack":
		if len(words) != 3 || words[1] != "lateness" {
			return fmt.Errorf("want attack.lateness.p99 (any percentile)")
		}
		o.Kind, o.Unit, o.Stat = KindLateness, UnitSeconds, words[2]
		if _, ok := o.Quantile(); !ok {
			return fmt.Errorf("%.40q is no percentile: want p50, p99, p99.9 …", words[2])
		}
		return nil
	}
	if !slices.Contains(spanNames(), words[0]) {
		// The whole name may be one of the fixed forms, misspelt.
		if m := nearest(name, fixedNames); m != "" {
			return fmt.Errorf("unknown %.40q: did you mean %q?", name, m)
		}
		for _, f := range fixedNames {
			if first, _, _ := strings.Cut(f, "."); first == words[0] {
				return fmt.Errorf("unknown %.40q: %s goes on as in %q", name, first, f)
			}
		}
		return known("span", words[0], append(spanNames(), "invariant", "attack"))
	}
	o.Kind, o.Span = KindSpan, words[0]
	rest := words[1:]
	if len(rest) == 0 {
		return fmt.Errorf("no statistic after %q: one of %s", words[0], strings.Join(statNames, ", "))
	}
	o.Stat = rest[len(rest)-1]
	middle := rest[:len(rest)-1]
	if len(middle) > 0 && slices.Contains(booking.Outcomes(), middle[0]) {
		o.Outcome, middle = middle[0], middle[1:]
	}
	if len(middle) > 0 && slices.Contains(WindowNames(), middle[0]) {
		o.Window, middle = middle[0], middle[1:]
	}
	if len(middle) > 0 {
		w := middle[0]
		switch {
		case slices.Contains(booking.Outcomes(), w):
			return fmt.Errorf("outcome %q must stand once, before the window", w)
		case slices.Contains(WindowNames(), w):
			return fmt.Errorf("window %q stands twice", w)
		case slices.Contains(statNames, w):
			return fmt.Errorf("statistic %q must be the last word", w)
		}
		return known("outcome or window", w, append(slices.Clone(booking.Outcomes()), WindowNames()...))
	}
	if err := known("statistic", o.Stat, statNames); err != nil {
		return err
	}
	o.Unit = UnitSeconds
	if o.Stat == "count" {
		o.Unit = UnitCount
	}
	return nil
}

func (o *Objective) parseValue(s string) error {
	if s == "" {
		return fmt.Errorf("nothing after %q", o.Op)
	}
	if o.Unit == UnitSeconds {
		d, err := time.ParseDuration(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			return fmt.Errorf("value %.40q: want a duration such as 800ms or 60s", s)
		}
		o.Value = d.Seconds()
	} else {
		num, percent := strings.CutSuffix(s, "%")
		num = strings.TrimSpace(num)
		if o.Unit == UnitRatio && !percent {
			num = strings.TrimSpace(strings.TrimSuffix(num, "x"))
		}
		v, err := strconv.ParseFloat(num, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || strings.ContainsAny(num, "xXpP_") {
			want := map[Unit]string{UnitShare: "a share such as 90 %", UnitCount: "a bare number", UnitRatio: "a factor such as 1.5 or 150 %"}
			return fmt.Errorf("value %.40q: want %s", s, want[o.Unit])
		}
		switch {
		case o.Unit == UnitShare && !percent:
			return fmt.Errorf("value %.40q: a share needs its unit, such as 90 %%", s)
		case o.Unit == UnitCount && percent:
			return fmt.Errorf("value %.40q: want a bare number, not %%", s)
		case o.Unit == UnitCount && v != math.Trunc(v):
			return fmt.Errorf("value %.40q: want a whole number", s)
		}
		if percent {
			v /= 100
		}
		if o.Unit == UnitShare && v > 1 {
			return fmt.Errorf("value %.40q: a share is at most 100 %%", s)
		}
		o.Value = v
	}
	if o.Value < 0 || math.Signbit(o.Value) {
		return fmt.Errorf("value %.40q: must not be negative", s)
	}
	return nil
}

// Quantile is the share 0..1 that a percentile statistic asks for; ok is false
// for any other statistic.
func (o *Objective) Quantile() (q float64, ok bool) {
	if o.Kind != KindSpan && o.Kind != KindLateness {
		return 0, false
	}
	return percentileOf(o.Stat)
}

func percentileOf(stat string) (float64, bool) {
	digits, ok := strings.CutPrefix(stat, "p")
	whole, frac, dotted := strings.Cut(digits, ".")
	if !ok || !isDigits(whole) || len(whole) > 2 || dotted && (!isDigits(frac) || len(frac) > 3) {
		return 0, false
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || v <= 0 || v >= 100 {
		return 0, false
	}
	return v / 100, true
}

// Holds reports whether a measured value, in the objective's unit, meets it.
// NaN meets nothing.
func (o *Objective) Holds(v float64) bool {
	switch {
	case math.IsNaN(v):
		return false
	case o.Op == "<":
		return v < o.Value
	case o.Op == "<=":
		return v <= o.Value
	case o.Op == ">":
		return v > o.Value
	case o.Op == ">=":
		return v >= o.Value
	case o.Op == "==":
		return v == o.Value
	case o.Op == "!=":
		return v != o.Value
	}
	return false
}

// Name is the left side of the objective, in the form that ParseObjective reads.
func (o *Objective) Name() string {
	switch o.Kind {
	case KindInvariant:
		return "invariant." + o.Stat
	case KindLateness:
		return "attack.lateness." + o.Stat
	case KindReturn:
		return o.Stat + ".return"
	case KindSpan:
		name := o.Span
		for _, w := range []string{o.Outcome, o.Window, o.Stat} {
			if w != "" {
				name += "." + w
			}
		}
		return name
	}
	for _, n := range fixedNames {
		if fixedForms[n].kind == o.Kind {
			return n
		}
	}
	return "invalid"
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// known is nil when word is in the list, else an error with a suggestion.
func known(what, word string, list []string) error {
	if slices.Contains(list, word) {
		return nil
	}
	if m := nearest(word, list); m != "" {
		return fmt.Errorf("unknown %s %.40q: did you mean %q?", what, word, m)
	}
	return fmt.Errorf("unknown %s %.40q: one of %s", what, word, strings.Join(list, ", "))
}

// nearest is the word of the list that differs least from s, "" when none is
// within a third of its length.
func nearest(s string, list []string) string {
	best, bestAt := "", 1<<30
	if len(s) > 40 {
		return ""
	}
	for _, w := range list {
		if d := distance(s, w); d < bestAt && d <= max(1, len(w)/3) {
			best, bestAt = w, d
		}
	}
	return best
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
