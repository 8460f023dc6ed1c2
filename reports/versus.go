package reports

import (
	"fmt"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Load is what a run asks of the service.
type Load struct {
	Label    string  `json:"label"` // how the run was made; for display
	Scale    string  `json:"scale"` // of people
	Digest   string  `json:"digest"`
	FromS    float64 `json:"from_s"` // of the part that was run, seconds after the opening
	ToS      float64 `json:"to_s"`
	Requests uint64  `json:"requests"` // polls included, edge and gateways together
	// MeanS and PeakS are requests a second of the run: of its busiest second, PeakAt,
	// with the 95 % intervals that so many requests leave (Poisson).
	MeanS    float64    `json:"requests_per_s_mean"`
	MeanIn   [2]float64 `json:"requests_per_s_mean_interval"`
	PeakS    float64    `json:"requests_per_s_peak"`
	PeakIn   [2]float64 `json:"requests_per_s_peak_interval"`
	PeakAtS  float64    `json:"peak_at_s"` // seconds after the opening
	PeakMean float64    `json:"peak_to_mean"`
	Work     Value      `json:"gateway_load_max"` // of all gateways' capacity, in the busiest second
	Submit   Timed      `json:"submit_p95"`       // accepted submits, from the due moment
	Status   Timed      `json:"status_p95"`
	Lateness Value      `json:"lateness_p99_s"` // the generator's own; null of a simulation
}

// Timed is a percentile in seconds with its 95 % interval (order statistics).
type Timed struct {
	Value Value  `json:"value"`
	Low   Value  `json:"low"`
	High  Value  `json:"high"`
	N     uint64 `json:"n"`
}

// Text is the percentile with its interval.
func (t Timed) Text() string {
	if !t.Value.OK || !t.Low.OK {
		return t.Value.Text(Seconds)
	}
	return fmt.Sprintf("%s [%s … %s]", Seconds.Format(t.Value.V), Seconds.Format(t.Low.V), Seconds.Format(t.High.V))
}

func timed(r *record.Record, h *record.Hist, q float64) Timed {
	t := Timed{Value: Quantile(r, h, q), N: h.Count()}
	if t.Value.OK {
		low, high := orderStatistics(h, q)
		t.Low, t.High = Got(r.Header.ScenarioSpan(low).Seconds()), Got(r.Header.ScenarioSpan(high).Seconds())
	}
	return t
}

// PerSecond is the requests of each second of a run, polls included.
func PerSecond(r *record.Record) []uint64 {
	a, b := r.Counters[record.CountRequests], r.Counters[record.CountPolls]
	out := make([]uint64, max(len(a), len(b)))
	for i := range out {
		if i < len(a) {
			out[i] += a[i]
		}
		if i < len(b) {
			out[i] += b[i]
		}
	}
	return out
}

// LoadOf is a run's load. Rates are those of the run, not of full size.
func LoadOf(r *record.Record) Load {
	h := &r.Header
	l := Load{Label: h.Label, Scale: Thinning(h.People), Digest: h.Digest, FromS: h.From.Seconds(), ToS: h.To.Seconds(), Work: GatewayLoad(r)}
	busiest := uint64(0)
	for i, n := range PerSecond(r) {
		l.Requests += n
		if n > busiest {
			busiest, l.PeakAtS = n, h.ScenarioTime(time.Duration(i)*time.Second).Seconds()
		}
	}
	interval := func(n, per float64) [2]float64 {
		low, high := poisson(n)
		return [2]float64{low / per, high / per}
	}
	if s := h.RunTime(h.To).Seconds(); s > 0 {
		l.MeanS, l.MeanIn = float64(l.Requests)/s, interval(float64(l.Requests), s)
	}
	l.PeakS, l.PeakIn = float64(busiest), interval(float64(busiest), 1)
	if l.MeanS > 0 {
		l.PeakMean = l.PeakS / l.MeanS
	}
	l.Submit = timed(r, Response(r, booking.StepSubmit.String(), []string{booking.Queued.String(), booking.Confirmed.String()}, nil), 0.95)
	l.Status = timed(r, Response(r, booking.StepStatus.String(), []string{booking.Open.String(), booking.Closed.String()}, nil), 0.95)
	l.Lateness = Quantile(r, r.Merged(record.Select{Span: record.SpanLateness, Clock: record.Response}), 0.99)
	if l.Lateness.OK { // wall time, at any scale
		l.Lateness.V /= h.TimeScale
	}
	return l
}

// Taken is how many of a group's submits were accepted.
func Taken(r *record.Record) (out []Chance) {
	for _, g := range r.Groups {
		out = append(out, NewChance(g.Name, g.Stages[record.StageAccepted], g.Stages[record.StageSubmitted]))
	}
	return out
}

// Side is one of two ways to give the same goods to the same people.
type Side struct {
	Name     string `json:"name"`
	Scenario string `json:"scenario"`
	Title    string `json:"title"`

	Simulated Load `json:"simulated"`
	Odds      Odds `json:"odds"` // at the simulation's scale
	// Measured and what follows it are of the attack; nil when there was none.
	Measured *Load    `json:"measured,omitempty"`
	Scaled   *Odds    `json:"odds_at_scale,omitempty"`       // at the rush's attack's scale
	Taken    []Chance `json:"accepted_of_submits,omitempty"` // by group, measured
	Valid    string   `json:"measured_verdict,omitempty"`

	Servers *Servers `json:"servers,omitempty"`
}

// Servers is how many servers a side needs.
type Servers struct {
	Fewest int     `json:"fewest"` // that hold in all seeds; 0 = nothing that was tried holds
	Held   string  `json:"held"`   // in how many of the seeds, with its interval
	Low    float64 `json:"low"`    // of the share of evenings that hold, 95 % (Wilson)
	High   float64 `json:"high"`
	Own    int     `json:"own"`    // as the scenario stands
	Breaks string  `json:"breaks"` // what breaks first with fewer; "" = nothing did
	Times  float64 `json:"times"`  // the load that was planned for, of the scenario's own
	Scale  string  `json:"scale"`
	Seeds  int     `json:"seeds"`
	// Work is the busiest second of the simulation in servers' worth of work.
	Work Value `json:"work"`
}

// Text is the answer in a few words.
func (s Servers) Text() string {
	if s.Fewest == 0 {
		return "nothing that was tried holds"
	}
	return fmt.Sprintf("%d (holds in %s seeds)", s.Fewest, s.Held)
}

// Versus is the grab evening beside the lottery day.
type Versus struct {
	Schema  int     `json:"schema"` // of this JSON: 1
	Seed    uint64  `json:"seed"`
	Commit  string  `json:"commit"`
	Persons uint64  `json:"persons"` // people and bots' owners
	Bots    uint64  `json:"bots"`
	Stock   uint64  `json:"stock"` // reservations, on either side
	Sides   [2]Side `json:"sides"` // rush, lottery
	// Even tests the lottery's tenths, Groups its groups, for equal chances.
	Even   Evenness `json:"lottery_tenths_even"`
	Groups Evenness `json:"lottery_groups_even"`
	// Busiest is the share of the day's mean that its busiest hour carries by the
	// assumed hours of entering.
	Busiest float64  `json:"busiest_hour"`
	Notes   []string `json:"notes"`
	Code    int      `json:"exit_code"`
}

// LoadTable sets both loads side by side.
func (v Versus) LoadTable() Table {
	t := Table{Title: "Load", Columns: []string{"", v.Sides[0].Name, v.Sides[1].Name}}
	row := func(name string, of func(l Load) string) {
		cells := []string{name}
		for _, s := range v.Sides {
			cells = append(cells, of(s.Simulated))
		}
		t.Rows = append(t.Rows, cells)
	}
	row("how", func(l Load) string { return l.Label + ", " + l.Scale })
	row("part of the day", func(l Load) string { return span(l.ToS - l.FromS) })
	row("requests", func(l Load) string { return Count.Format(float64(l.Requests)) })
	row("requests/s, busiest second", func(l Load) string { return Count.Format(l.PeakS) })
	row("requests/s, mean", func(l Load) string { return figures(l.MeanS) })
	row("peak to mean", func(l Load) string { return figures(l.PeakMean) })
	row("busiest second, of the gateways' capacity", func(l Load) string { return l.Work.Text(Share) })
	row("accepted submit, p95", func(l Load) string { return l.Submit.Text() })
	t.Rows = append(t.Rows, v.serversRow("servers: fewest that hold", func(s Servers) string { return s.Text() }),
		v.serversRow("servers' worth of work, busiest second", func(s Servers) string { return s.Work.Text(Factor) }),
		v.serversRow("planned for", func(s Servers) string {
			if s.Times == 1 {
				return "the opening as it stands"
			}
			return figures(s.Times) + " times the mean"
		}),
		v.serversRow("with one server fewer breaks", func(s Servers) string {
			if s.Breaks == "" {
				return "nothing: one is the least"
			}
			return s.Breaks
		}))
	t.Notes = []string{"Simulated: every visit by itself. Requests are those to edge and gateways together, polls included. In brackets the 95 % interval."}
	return t
}

func (v Versus) serversRow(name string, of func(Servers) string) []string {
	cells := []string{name}
	for _, s := range v.Sides {
		if s.Servers == nil {
			cells = append(cells, "not asked")
		} else {
			cells = append(cells, of(*s.Servers))
		}
	}
	return cells
}

// span is a length of time of hours or seconds.
func span(seconds float64) string {
	if seconds >= 3600 {
		return figures(seconds/3600) + " h"
	}
	return figures(seconds) + " s"
}

// OddsTable is who wins, at full size or at the attack's scale.
func (v Versus) OddsTable(scaled bool) Table {
	odds := func(i int) *Odds {
		if scaled {
			return v.Sides[i].Scaled
		}
		return &v.Sides[i].Odds
	}
	a, b := odds(0), odds(1)
	if a == nil || b == nil {
		return Table{}
	}
	t := Table{Title: "Who wins", Columns: []string{"who", "persons", v.Sides[0].Name + ": won", "chance [95 %]", v.Sides[1].Name + ": won", "chance [95 %]"}}
	add := func(name string, a, b Chance) {
		t.Rows = append(t.Rows, []string{name, Count.Format(float64(a.Of)), Count.Format(float64(a.Won)), a.Text(), Count.Format(float64(b.Won)), b.Text()})
	}
	add("everybody: the fair line", a.All, b.All)
	for i, g := range a.Groups {
		add(g.Name, g, b.Groups[i])
	}
	for i, d := range a.Tenths {
		add(fmt.Sprintf("people, tenth %d by arrival", i+1), d, b.Tenths[i])
	}
	for i, d := range a.Pressed {
		t.Rows = append(t.Rows, []string{fmt.Sprintf("pressed in time, tenth %d", i+1), Count.Format(float64(d.Of)), Count.Format(float64(d.Won)), d.Text(), "–", "–"})
	}
	t.Rows = append(t.Rows, []string{a.Late.Name, Count.Format(float64(a.Late.Of)), "0", a.Late.Text(), "–", "–"})
	t.Notes = []string{"Exact intervals (Clopper and Pearson): what the luck of so many persons leaves. Tenths are of people, without bots; in the rush by first press, and whoever never pressed comes last; in the lottery by the hour of entering."}
	return t
}

// MeasuredTable is what the attacks measured; no rows without attacks.
func (v Versus) MeasuredTable() Table {
	t := Table{Title: "Measured: the attack against the bundled backend", Columns: []string{"", v.Sides[0].Name, v.Sides[1].Name}}
	if v.Sides[0].Measured == nil || v.Sides[1].Measured == nil {
		return t
	}
	row := func(name string, of func(s Side) string) {
		t.Rows = append(t.Rows, []string{name, of(v.Sides[0]), of(v.Sides[1])})
	}
	row("verdict", func(s Side) string { return s.Valid })
	row("people", func(s Side) string { return s.Measured.Scale })
	row("part of the day", func(s Side) string { return span(s.Measured.ToS - s.Measured.FromS) })
	row("requests", func(s Side) string { return Count.Format(float64(s.Measured.Requests)) })
	row("requests/s of the run, busiest second", func(s Side) string {
		return fmt.Sprintf("%s [%s … %s]", Count.Format(s.Measured.PeakS), Count.Format(s.Measured.PeakIn[0]), Count.Format(s.Measured.PeakIn[1]))
	})
	row("requests/s of the run, mean", func(s Side) string {
		return fmt.Sprintf("%s [%s … %s]", figures(s.Measured.MeanS), figures(s.Measured.MeanIn[0]), figures(s.Measured.MeanIn[1]))
	})
	row("peak to mean", func(s Side) string { return figures(s.Measured.PeakMean) })
	row("busiest second, of the gateways' capacity", func(s Side) string { return s.Measured.Work.Text(Share) })
	row("accepted submit, p95", func(s Side) string { return s.Measured.Submit.Text() })
	row("status, p95", func(s Side) string { return s.Measured.Status.Text() })
	row("generator's lateness, p99", func(s Side) string { return s.Measured.Lateness.Text(Seconds) })
	for i, g := range v.Sides[0].Taken {
		row("accepted, of the visits that submitted: "+g.Name, func(s Side) string {
			c := s.Taken[i]
			if c.Of == 0 {
				return "nobody submitted"
			}
			return fmt.Sprintf("%s of %s: %s", Count.Format(float64(c.Won)), Count.Format(float64(c.Of)), c.Text())
		})
	}
	t.Notes = []string{"The 95 % intervals are Poisson for rates, order statistics for percentiles, exact for shares. The lottery's minute fits on this machine at full size, the rush only thinned."}
	return t
}

// Text is the comparison for a screen.
func (v Versus) Text() string {
	var b strings.Builder
	for _, t := range []Table{v.LoadTable(), v.OddsTable(false), v.MeasuredTable()} {
		if len(t.Rows) > 0 {
			b.WriteString(t.Text() + "\n")
		}
	}
	fmt.Fprintf(&b, "equal chances in the lottery: tenths %s; groups %s\n", v.Even.Text(), v.Groups.Text())
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}
