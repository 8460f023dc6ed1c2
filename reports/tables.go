package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"spillway/internal/record"
)

// WindowTable is n, p50, p95, p99 and max of every step and outcome in every
// window.
func (s Summary) WindowTable() Table {
	t := Table{Title: "Response times by window", Columns: []string{"step", "outcome", "window", "n", "p50", "p95", "p99", "max", "service p99"},
		Notes: []string{unsureNote}}
	for _, x := range s.Spans {
		row := append([]string{x.Span, x.Outcome, "whole run"}, cells(x.All)...)
		t.Rows = append(t.Rows, append(row, known(x.Service.P99, x.Service.N)))
		for _, w := range x.Windows {
			if w.N > 0 {
				t.Rows = append(t.Rows, append([]string{x.Span, x.Outcome, w.Name}, append(cells(w.Timing), "")...))
			}
		}
	}
	return t
}

const unsureNote = "“? (n=…)”: cannot tell, fewer than ten samples lie beyond the percentile. People only; times are full size, from the moment a request was due."

// FunnelTable is the funnel of people's visits.
func (s Summary) FunnelTable() Table {
	t := Table{Title: "Funnel of visits (people)", Columns: []string{"reached", "visits", "of the stage before"}}
	for _, n := range s.Funnel {
		of := ""
		if n.Of != "" {
			of = n.Share.Text(Share)
		}
		t.Rows = append(t.Rows, []string{n.Name, Count.Format(float64(n.N)), of})
	}
	t.Rows = append(t.Rows, []string{"gave up", Count.Format(float64(s.GaveUp.N)), s.GaveUp.Share.Text(Share) + " of " + s.GaveUp.Of})
	return t
}

// EventTable is the counters of the run and the refusals by cause.
func (s Summary) EventTable() Table {
	t := Table{Title: "Events and refusals (people and bots)", Columns: []string{"event", "n", "share", "of"}}
	for _, list := range [][]Number{s.Events, s.Refusals} {
		for _, n := range list {
			row := []string{n.Name, Count.Format(float64(n.N)), "", ""}
			if n.Of != "" {
				row[2], row[3] = n.Share.Text(Share), Count.Format(float64(n.OfN))+" "+n.Of
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// GroupTable is the fate of each class of users and of the bots.
func (s Summary) GroupTable() Table {
	t := Table{Title: "Classes of users, and bots", Columns: []string{"group", "visits", "pressed", "accepted", "confirmed", "confirmed, of pressed", "gave up", "first press to confirmation, p50", "p95"}}
	for _, g := range s.Groups {
		t.Rows = append(t.Rows, []string{g.Name, Count.Format(float64(g.Visits)), Count.Format(float64(g.Pressed)), Count.Format(float64(g.Accepted)),
			Count.Format(float64(g.Confirmed)), g.Share.Text(Share), Count.Format(float64(g.GaveUp)), known(g.Booking.P50, g.Booking.N), known(g.Booking.P95, g.Booking.N)})
	}
	return t
}

// OutcomeTable is what the sale came to.
func (s Summary) OutcomeTable() Table {
	return Table{Title: "The sale", Columns: []string{"what", "value"}, Rows: [][]string{
		{"confirmed", fmt.Sprintf("%s of %s in stock (%s)", Count.Format(float64(s.Confirmed.N)), s.Stock.Text(Count), s.Confirmed.Share.Text(Share))},
		{"sold out", when(s.SoldOut)},
		{"last confirmed", when(s.LastRow)},
		{"wait for confirmation, p50", known(s.Wait.P50, s.Wait.N)},
		{"wait for confirmation, p95", known(s.Wait.P95, s.Wait.N)},
		{"wait for confirmation, p99", known(s.Wait.P99, s.Wait.N)},
		{"peak depth of the queue", s.QueueDepth.Text(Count)},
		{"oldest entry in the queue", s.QueueAge.Text(Seconds)},
		{"peak load of the gateways", s.GatewayLoad.Text(Factor)},
		{"peak backlog of the database", s.Backlog.Text(Seconds)},
		{"peak retry amplification", s.Amplified.Text(Factor)},
		{"won by the first 10 % of pressers", s.FirstTenth.Text(Share)},
		{"dead letters", s.Dead.Text(Count)},
	}}
}

// RunTable is how the run was made and whether the generator kept up.
func (s Summary) RunTable() Table {
	return Table{Title: "The run", Columns: []string{"what", "value"}, Rows: [][]string{
		{"scenario", s.Scenario}, {"mode", s.Mode}, {"made by", s.Label},
		{"scale", Thinning(s.People) + " people, " + figures(s.Time) + " x time"},
		{"window", signed(s.FromS) + " to " + signed(s.ToS) + " around the opening"},
		{"seed", fmt.Sprint(s.Seed)}, {"commit", s.Commit}, {"digest", s.Digest},
		{"planned actions", Count.Format(float64(s.Planned))},
		{"achieved", Count.Format(float64(s.Achieved)) + " (" + ratio(s.Achieved, s.Planned) + ")"},
		{"requests per wall second, mean", s.RateS.Text(Factor)},
		{"requests per wall second, peak", s.PeakS.Text(Factor)},
		{"generator lateness, p50 (wall)", known(s.Lateness.P50, s.Lateness.N)},
		{"generator lateness, p99 (wall)", known(s.Lateness.P99, s.Lateness.N)},
		{"generator lateness, max (wall)", known(s.Lateness.Max, s.Lateness.N)},
	}}
}

// Markdown is the whole summary as Markdown.
func (s Summary) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", Escape(s.Title))
	if s.Reason != "" {
		fmt.Fprintf(&b, "**Collapsed** by %s\n\n", Escape(s.Reason))
	}
	for _, w := range s.Warnings {
		fmt.Fprintf(&b, "> %s\n\n", Escape(w))
	}
	for _, t := range []Table{s.OutcomeTable(), s.RunTable(), s.FunnelTable(), s.EventTable(), s.GroupTable(), s.WindowTable()} {
		b.WriteString(t.Markdown() + "\n")
	}
	if len(s.CannotShow) > 0 {
		b.WriteString("### What this run cannot show\n\n")
		for _, c := range s.CannotShow {
			fmt.Fprintf(&b, "- %s\n", Escape(c))
		}
	}
	return b.String()
}

// Compare puts runs side by side, the first one to the left, one measure a row.
// The names head the columns; a missing name is the run's scenario.
func Compare(names []string, runs ...*record.Record) Table {
	t := Table{Title: "Side by side", Columns: []string{"measure"}}
	for i, r := range runs {
		name := r.Header.Scenario
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		t.Columns = append(t.Columns, name)
	}
	for _, m := range Measures() {
		row := []string{m.Label}
		for _, r := range runs {
			row = append(row, show(m, m.Of(r)))
		}
		t.Rows = append(t.Rows, row)
	}
	for i, r := range runs {
		if why := reason(r); why != "" {
			t.Notes = append(t.Notes, t.Columns[i+1]+" collapsed by "+why)
		}
	}
	return t
}

func show(m Measure, v Value) string {
	if m.Unit == Moment {
		if v.OK {
			return signed(v.V)
		}
		return v.Text(Moment)
	}
	return v.Text(m.Unit)
}

// Point is one point of a sweep: its settings and one record a seed.
type Point struct {
	Settings []record.Setting
	Records  []*record.Record
}

// Stat is a measure over the seeds of a point.
type Stat struct {
	N    int   `json:"n"` // seeds that have the measure
	Mean Value `json:"mean"`
	Low  Value `json:"low"` // extremes over the seeds
	High Value `json:"high"`
}

// Over takes a measure over several records; those that lack it are left out.
func (m Measure) Over(runs []*record.Record) Stat {
	var s Stat
	var sum float64
	for _, r := range runs {
		v := m.Of(r)
		if !v.OK {
			s.Mean.Unsure = s.Mean.Unsure || v.Unsure
			continue
		}
		if s.N == 0 || v.V < s.Low.V {
			s.Low = v
		}
		if s.N == 0 || v.V > s.High.V {
			s.High = v
		}
		s.N++
		sum += v.V
	}
	if s.N > 0 {
		s.Mean = Got(sum / float64(s.N))
	}
	return s
}

// Sweep is a table of points, one a row: the settings, then each measure as the
// mean over its seeds with the extremes behind it where there are several.
// Measures that no point has are left out.
func Sweep(points []Point) Table {
	t := Table{Title: "Sweep"}
	var keys []string
	for _, p := range points {
		for _, s := range p.Settings {
			if !slices.Contains(keys, s.Key) {
				keys = append(keys, s.Key)
			}
		}
	}
	t.Columns = append(t.Columns, keys...)
	t.Columns = append(t.Columns, "seeds")
	var use []Measure
	for _, m := range Measures() {
		for _, p := range points {
			if s := m.Over(p.Records); s.N > 0 || s.Mean.Unsure {
				use = append(use, m)
				t.Columns = append(t.Columns, m.Label)
				break
			}
		}
	}
	several, shares := false, slices.ContainsFunc(points, func(p Point) bool { return len(p.Records) >= leastSeeds })
	if shares {
		t.Columns = append(t.Columns, "collapsed")
	}
	for _, p := range points {
		var row []string
		for _, k := range keys {
			row = append(row, setting(p.Settings, k))
		}
		row = append(row, fmt.Sprint(len(p.Records)))
		for _, m := range use {
			s := m.Over(p.Records)
			several = several || s.N > 1
			row = append(row, over(m, s))
		}
		if shares {
			row = append(row, collapse(p.Records))
		}
		t.Rows = append(t.Rows, row)
	}
	if several {
		t.Notes = append(t.Notes, "Mean over the seeds, with the least and the greatest in brackets.")
	}
	if shares {
		t.Notes = append(t.Notes, "Collapsed: the share of the seeds, with its 95 % interval (Wilson); a run did when a tenth of a step's calls in a window had no answer or half of them were turned away as overload.")
	}
	if several && sameSeeds(points) {
		t.Notes = append(t.Notes, "The seeds are the same at every point (common random numbers): what differs between two points is not the luck of the draw.")
	}
	return t
}

// Ends is a sweep in a few lines, for a screen that its table does not fit: where
// each measure's mean is least and where greatest. Measures that move nowhere are
// left out.
func Ends(points []Point) Table {
	t := Table{Title: fmt.Sprintf("The ends of %d points", len(points)), Columns: []string{"measure, mean over the seeds", "least", "at", "greatest", "at"}}
	where := func(p Point) string {
		var words []string
		for _, s := range p.Settings {
			words = append(words, s.Key+"="+s.Value)
		}
		return strings.Join(words, " ")
	}
	for _, m := range Measures() {
		var least, most Stat
		var low, high Point
		for _, p := range points {
			s := m.Over(p.Records)
			if s.N == 0 {
				continue
			}
			if least.N == 0 || s.Mean.V < least.Mean.V {
				least, low = s, p
			}
			if most.N == 0 || s.Mean.V > most.Mean.V {
				most, high = s, p
			}
		}
		if least.N > 0 && show(m, least.Mean) != show(m, most.Mean) {
			t.Rows = append(t.Rows, []string{m.Label, show(m, least.Mean), where(low), show(m, most.Mean), where(high)})
		}
	}
	return t
}

// sameSeeds reports whether all points ran on the same seeds.
func sameSeeds(points []Point) bool {
	seeds := func(p Point) (out []uint64) {
		for _, r := range p.Records {
			out = append(out, r.Header.Seed)
		}
		slices.Sort(out)
		return out
	}
	return !slices.ContainsFunc(points, func(p Point) bool { return !slices.Equal(seeds(p), seeds(points[0])) })
}

func over(m Measure, s Stat) string {
	text := show(m, s.Mean)
	if s.N > 1 && s.Low.V != s.High.V {
		text += " [" + show(m, s.Low) + " … " + show(m, s.High) + "]"
	}
	return text
}

func setting(list []record.Setting, key string) string {
	for _, s := range list {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// Layers is what each layer is worth: the base run, then each run with a layer
// switched off, one a row, every measure beside its change from the base.
func Layers(base []*record.Record, off ...[]*record.Record) Table {
	t := Table{Title: "What each layer is worth", Columns: []string{"switched off"}}
	var use []Measure
	var from []Stat
	for _, m := range Measures() {
		if s := m.Over(base); s.N > 0 {
			use, from = append(use, m), append(from, s)
			t.Columns = append(t.Columns, m.Label)
		}
	}
	row := []string{"nothing"}
	for i, m := range use {
		row = append(row, show(m, from[i].Mean))
	}
	t.Rows = append(t.Rows, row)
	for _, runs := range off {
		if len(runs) == 0 {
			continue
		}
		row := []string{strings.Join(runs[0].Header.Switched, ", ")}
		for i, m := range use {
			s := m.Over(runs)
			text := show(m, s.Mean)
			if s.N > 0 && from[i].Mean.V != 0 && m.Unit != Moment && m.Unit != Share {
				if f := s.Mean.V / from[i].Mean.V; math.Abs(f-1) >= 0.05 {
					text += " (× " + figures(f) + ")"
				}
			}
			row = append(row, text)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
