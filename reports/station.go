package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Station is what a run of a bare service station came to, beside what theory says
// of it. It is plain data: whoever ran the station fills it.
type Station struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Seed    uint64   `json:"seed"`
	Commit  string   `json:"commit"`
	Digest  string   `json:"digest"`  // of the scenario
	Setting []string `json:"station"` // the station in words

	Load       float64 `json:"load"`
	Method     string  `json:"method"`
	Blocks     int     `json:"blocks"`
	Customers  int     `json:"customers_per_block"`
	WarmUp     int     `json:"warm_up_discarded"` // customers at the start of each run
	Chosen     bool    `json:"warm_up_chosen"`    // by the simulator's rule
	Runs       int     `json:"runs"`              // that began empty
	Confidence float64 `json:"confidence"`
	Engine     string  `json:"engine"`
	Partial    bool    `json:"partial"`

	Figures []StationFigure `json:"figures"`
	// Wider is how many times as wide intervals must be to hold all the figures that
	// theory knows at once, save with probability Luck.
	Wider float64  `json:"joint_widening"`
	Luck  float64  `json:"joint_luck"`
	Notes []string `json:"notes"`
}

// StationFigure is one figure with its interval and the value that theory has for it.
// Times are in seconds, shares 0..1.
type StationFigure struct {
	Key     string `json:"key"`
	Name    string `json:"name"`
	Unit    string `json:"unit"` // "s", "share", "number" or "per s"
	Value   Value  `json:"value"`
	Half    Value  `json:"half_width"`
	Theory  Value  `json:"theory"`
	Inside  *bool  `json:"inside"` // null without theory or without a value
	Formula string `json:"formula,omitempty"`
	Book    string `json:"book,omitempty"`
}

// The units of a StationFigure.
const (
	StationSeconds = "s"
	StationShare   = "share"
	StationNumber  = "number"
	StationRate    = "per s"
)

// Off is how far theory lies from the simulated value, in half widths of the
// interval; ok is false when one of the two is missing.
func (f StationFigure) Off() (off float64, ok bool) {
	if !f.Value.OK || !f.Theory.OK {
		return 0, false
	}
	d := f.Theory.V - f.Value.V
	// The same in every block, as a constant service is: equal but for rounding.
	if math.Abs(d) <= 1e-9*math.Max(math.Abs(f.Theory.V), 1e-3) {
		return 0, true
	}
	if f.Half.V == 0 {
		return math.Copysign(math.Inf(1), d), true
	}
	return d / f.Half.V, true
}

// Judge fills Inside from the numbers.
func (s *Station) Judge() {
	for i := range s.Figures {
		s.Figures[i].Inside = nil
		if off, ok := s.Figures[i].Off(); ok {
			in := math.Abs(off) <= 1
			s.Figures[i].Inside = &in
		}
	}
}

// Agreement counts the figures that theory knows, those inside their intervals and
// those inside the wider ones that hold together.
func (s *Station) Agreement() (known, inside, jointly int) {
	for _, f := range s.Figures {
		off, ok := f.Off()
		if !ok {
			continue
		}
		known++
		if math.Abs(off) <= 1 {
			inside++
		}
		if math.Abs(off) <= s.Wider {
			jointly++
		}
	}
	return known, inside, jointly
}

// stationBlocks is how few blocks are too few to judge: the width of an
// interval from 2 is luck itself.
const stationBlocks = 5

// Verdict is the comparison with theory in a word and in a sentence. differs is true
// when luck does not explain it.
func (s *Station) Verdict() (word, why string, differs bool) {
	known, inside, jointly := s.Agreement()
	level := levelText(s.Confidence)
	switch {
	case known == 0:
		return "no closed form", "Theory has no closed form for this station: the intervals stand alone.", false
	case s.Blocks < stationBlocks:
		return "cannot tell", fmt.Sprintf("%d of the %d figures that theory knows lie inside their %s intervals; an interval from %d %s says little: give at least %d.",
			inside, known, level, s.Blocks, s.Method, stationBlocks), false
	case jointly < known:
		return "differs from theory", fmt.Sprintf("%d of the %d figures that theory knows lie outside even the intervals, %.2g times as wide, that hold all of them with %s: "+
			"warm-up or blocks are too short for this station, or the simulator is wrong.", known-jointly, known, s.Wider, levelText(1-s.Luck)), true
	case inside == known:
		return "agrees with theory", fmt.Sprintf("All %d figures that theory knows lie inside their %s intervals.", known, level), false
	}
	return "agrees with theory", fmt.Sprintf("%d of the %d figures that theory knows lie inside their %s intervals, and all in those, %.2g times as wide, that hold all of them with %s: "+
		"what is outside is no more than luck.", inside, known, level, s.Wider, levelText(1-s.Luck)), false
}

// Measured says how the figures were measured, warm-up included.
func (s *Station) Measured() string {
	how := "given"
	if s.Chosen {
		how = "by the rule"
	}
	began := "each replication"
	if s.Runs == 1 {
		began = "the one run"
	}
	discarded := fmt.Sprintf("the first %s of %s discarded as warm-up (%s)", count(float64(s.WarmUp)), began, how)
	if s.WarmUp == 0 {
		discarded = "no warm-up discarded"
	}
	return fmt.Sprintf("%d %s of %s customers, %s; %s intervals, Student's t", s.Blocks, s.Method, count(float64(s.Customers)), discarded, levelText(s.Confidence))
}

// levelText writes a level of confidence with all its figures.
func levelText(v float64) string {
	return strconv.FormatFloat(math.Round(v*1e8)/1e6, 'f', -1, 64) + " %"
}

// timeUnit is the unit that all times of the station are written in.
func (s *Station) timeUnit() (factor float64, unit string) {
	for _, f := range s.Figures {
		if f.Key == "sojourn.mean" && f.Value.OK {
			switch {
			case f.Value.V < 1e-3:
				return 1e6, "µs"
			case f.Value.V < 1:
				return 1e3, "ms"
			}
		}
	}
	return 1, "s"
}

// scale is what a figure is multiplied by to be shown, and the unit that follows it.
func (s *Station) scale(f StationFigure) (factor float64, unit string) {
	switch f.Unit {
	case StationSeconds:
		factor, unit = s.timeUnit()
		return factor, " " + unit
	case StationShare:
		return 100, " %"
	case StationRate:
		return 1, "/s"
	}
	return 1, ""
}

// Shown is a figure's value in its unit, "n/a" when it was not measured.
func (s *Station) Shown(key string) string {
	f, factor, unit, ok := s.Figure(key)
	if !ok {
		return "n/a"
	}
	v := f.Value.V * factor
	if v == math.Trunc(v) || math.Abs(v) >= 1000 {
		return count(v) + unit
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + unit
}

// Figure is a measured figure with what its value is multiplied by to be shown, and
// the unit that follows it; ok is false when it was not measured.
func (s *Station) Figure(key string) (f StationFigure, factor float64, unit string, ok bool) {
	for _, f := range s.Figures {
		if f.Key == key && f.Value.OK {
			factor, unit := s.scale(f)
			return f, factor, unit, true
		}
	}
	return StationFigure{}, 1, "", false
}

// Moves reports whether a figure is more than a constant of the station: nobody is
// lost where nobody can be.
func (s *Station) Moves(key string) bool {
	f, _, _, ok := s.Figure(key)
	return ok && (f.Half.V > 0 || f.Value.V != 0 && key != "attempts")
}

// Interval is a figure as it stands in tables, "n/a" when it was not measured.
func (s *Station) Interval(key string) string {
	f, factor, unit, ok := s.Figure(key)
	if !ok {
		return "n/a"
	}
	places := decimals(f.Value.V*factor, f.Half.V*factor)
	if f.Half.V > 0 {
		return fmt.Sprintf("%.*f ± %.*f%s", places, f.Value.V*factor, places, f.Half.V*factor, unit)
	}
	return strconv.FormatFloat(f.Value.V*factor, 'f', places, 64) + unit
}

// Table is every figure with its interval, beside it theory.
func (s *Station) Table() Table {
	t := Table{Columns: []string{"figure", "simulated", "theory", "inside", "formula"}}
	var books []string
	for _, f := range s.Figures {
		factor, unit := s.scale(f)
		row := []string{f.Name, "too few samples", "", "", f.Formula}
		places := 4
		if f.Value.OK {
			places = decimals(f.Value.V*factor, f.Half.V*factor)
			row[1] = s.Interval(f.Key)
		}
		if f.Theory.OK {
			row[2] = strconv.FormatFloat(f.Theory.V*factor, 'f', places, 64) + unit
			if line := f.Formula + ": " + f.Book + "."; !slices.Contains(books, line) {
				books = append(books, line)
			}
		}
		if off, ok := f.Off(); ok {
			row[3] = "yes"
			if math.Abs(off) > 1 {
				row[3] = fmt.Sprintf("no, %.1f", math.Abs(off))
				if math.IsInf(off, 0) {
					row[3] = "no"
				}
			}
		}
		t.Rows = append(t.Rows, row)
	}
	if known, inside, _ := s.Agreement(); known > inside {
		t.Notes = append(t.Notes, fmt.Sprintf("“no, 1.2”: theory lies 1.2 half widths away. Each interval holds with %s by itself, so of %d about %.2g lie outside by luck, and those of one run move together.",
			levelText(s.Confidence), known, float64(known)*(1-s.Confidence)))
	}
	t.Notes = append(t.Notes, books...)
	return t
}

// decimals shows the half width to two figures, and a value without one to four.
func decimals(value, half float64) int {
	if half <= 0 {
		if value == math.Trunc(value) {
			return 0
		}
		return max(0, min(9, 3-int(math.Floor(math.Log10(math.Abs(value))))))
	}
	return max(0, min(9, 1-int(math.Floor(math.Log10(half)))))
}

// Text is the station on a screen.
func (s *Station) Text() string {
	var b strings.Builder
	title := s.Title
	if title == "" {
		title = s.Name
	}
	add := func(line string) {
		for _, l := range wrap(oneLine(line), screenColumns, 6) {
			b.WriteString(l + "\n")
		}
	}
	add(fmt.Sprintf("%s · %s · seed %d · load %.4g", title, s.Name, s.Seed, s.Load))
	for _, l := range s.Setting {
		add(l)
	}
	add(s.Measured())
	t := s.Table()
	notes := t.Notes
	t.Notes = nil
	b.WriteString("\n" + t.Text())
	for _, n := range notes {
		add(n)
	}
	b.WriteString("\n")
	word, why, _ := s.Verdict()
	add(word + ": " + why)
	for _, n := range s.Notes {
		add("note: " + n)
	}
	return b.String()
}
