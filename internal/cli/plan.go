package cli

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/scenarios"
	"spillway/sim"
)

type planCmd struct {
	choice
	simulation
	Find      string   `enum:",servers,probability,depth" default:"" placeholder:"WHAT" help:"servers: the fewest; probability: the largest; depth: the smallest queue that meets the objectives."`
	Objective []string `sep:"none" placeholder:"TEXT" help:"An objective, as in 'submit.queued.peak.p99 < 800ms'; repeatable; instead of the scenario's own."`
	Tornado   string   `placeholder:"METRIC" help:"Instead: run low and high of every assumption and show which moves this metric most, as in submit.p99."`
	Seeds     int      `default:"5" help:"Seeds of every point, from --seed on."`
	Window    string   `default:"opening" enum:"day,opening" help:"opening: the scenario's own window and scale; day: every visit of its day, people 1:1 and time x 1. --scale, --time and --set win."`
	output
}

func (c *planCmd) Run(a *app) error {
	switch {
	case c.Seeds < 1 || c.Seeds > 1000:
		return badInput(fmt.Errorf("--seeds %d: give 1 to 1000", c.Seeds))
	case c.Find == "" && c.Tornado == "":
		return badInput(errors.New("nothing to plan: give --find servers, probability or depth, or --tornado METRIC"))
	case c.Find != "" && c.Tornado != "":
		return badInput(errors.New("--find and --tornado are two questions: ask one at a time"))
	}
	for _, text := range c.Objective {
		o, err := record.ParseObjective(text)
		if err != nil {
			return badInput(err)
		}
		if o.Kind == record.KindLateness {
			return badInput(fmt.Errorf("objective %.80q: a simulation sends nothing, so nothing can be late; leave it out", text))
		}
	}
	load := func() (*scenarios.Spec, error) {
		spec, err := loader(c.Scenario, c.settings, c.Window)()
		if err == nil && len(c.Objective) > 0 {
			spec.Objectives = c.Objective
			err = badInput(spec.SetAll()) // writes the text anew
		}
		return spec, err
	}
	spec, err := load()
	if err != nil {
		return err
	}
	sc, err := simulatedFor(spec, c.Seed)
	if err != nil {
		return err
	}
	arm, err := c.simulation.arm()
	if err != nil {
		return err
	}
	out := c.Out
	if out == "" { // stable, so that the same command goes on where it stopped
		out = filepath.Join("reports", "out", "plan-"+scenarioName(c.Scenario))
	}
	dir, err := newRunDir(out, "")
	if err != nil {
		return err
	}
	p := planning{planCmd: c, a: a, load: load, sc: sc, arm: arm, dir: dir, show: newProgress(a.stderr)}
	for i := range c.Seeds {
		p.seeds = append(p.seeds, c.Seed+uint64(i))
	}
	if c.Tornado != "" {
		return p.tornado()
	}
	return p.find()
}

// planning is one question under way.
type planning struct {
	*planCmd
	a     *app
	load  func() (*scenarios.Spec, error)
	sc    *scenarios.Scaled // the scenario as it stands
	arm   arm
	dir   string
	seeds []uint64
	show  *progress
}

// ladder is what a search climbs: the values of a key, safer upwards.
type ladder struct {
	key, one, many string
	values         []string
	start          int // the scenario's own
}

func (p *planning) ladder() (ladder, error) {
	sc := p.sc
	switch p.Find {
	case "servers":
		own := int(sc.Full.Gateway.Instances)
		l := ladder{key: "gateway.instances", one: "server", many: "servers", start: own - 1}
		for n := 1; n <= max(4*own, 64); n++ {
			l.values = append(l.values, fmt.Sprint(n))
		}
		return l, nil
	case "probability":
		if sc.Admission.Gate == policy.GateOff {
			return ladder{}, badInput(fmt.Errorf("scenario %s admits everybody: there is no probability to find; switch admission on", sc.Name))
		}
		l := ladder{key: "admission.probability", one: "of the visits admitted", many: "of the visits admitted",
			start: 100 - int(math.Round(100*sc.Full.Admission.Probability))}
		for percent := 100; percent >= 1; percent-- {
			l.values = append(l.values, fmt.Sprint(percent, " %"))
		}
		return l, nil
	}
	if !sc.On("queue") || sc.Mode == booking.ModeLossless {
		return ladder{}, badInput(fmt.Errorf("scenario %s has no bounded queue: there is no depth to find", sc.Name))
	}
	own := int(sc.Full.Queue.Depth)
	depths := []int{own}
	const (
		perDecade   = 24 // steps of a tenth
		leastPlaces = 10 // of the run: a shorter queue is mostly the rounding of its length
	)
	for i := range 4*perDecade + 1 {
		d := 100 * math.Pow(10, float64(i)/perDecade)
		if d*sc.S < leastPlaces {
			continue
		}
		digit := math.Pow(10, math.Floor(math.Log10(d))-1)
		depths = append(depths, int(math.Round(d/digit)*digit))
	}
	slices.Sort(depths)
	depths = slices.Compact(depths)
	l := ladder{key: "queue.depth", one: "place in the queue", many: "places in the queue", start: slices.Index(depths, own)}
	for _, d := range depths {
		l.values = append(l.values, fmt.Sprint(d))
	}
	return l, nil
}

// trial is what the seeds say of one value.
type trial struct {
	Value     string  `json:"value"`
	Held      int     `json:"held"`      // seeds that meet every objective
	Undecided int     `json:"undecided"` // seeds that cannot tell
	Seeds     int     `json:"seeds"`
	Low       float64 `json:"low"` // of the share that holds, 95 % interval (Wilson)
	High      float64 `json:"high"`
	// Closest is the objective nearest to its limit in the worst seed, and Margin how
	// far it is from it, as a share of the limit; negative when missed.
	Closest string  `json:"closest,omitempty"`
	Margin  float64 `json:"margin"`
	// Breaks is the objective that most seeds do not meet.
	Breaks   string `json:"breaks,omitempty"`
	BreaksIn int    `json:"breaks_in,omitempty"`
	Shown    string `json:"shown,omitempty"` // what it came to, in the first of those seeds
}

func (t *trial) share() string { return reports.OfRuns(uint64(t.Held), uint64(t.Seeds)) }

// mark says in one sign what became of a trial.
func (t *trial) mark() string {
	switch {
	case t.Held == t.Seeds:
		return "holds"
	case t.Held+t.Undecided == t.Seeds:
		return "cannot tell"
	}
	return "fails"
}

// judged sums up the verdicts of a value's runs.
func judged(value string, recs []*record.Record) trial {
	t := trial{Value: value, Seeds: len(recs), Margin: math.Inf(1)}
	type miss struct {
		text, shown string
		n, hard     int
	}
	var missed []miss
	note := func(text, shown string, hard bool) {
		i := slices.IndexFunc(missed, func(m miss) bool { return m.text == text })
		if i < 0 {
			i = len(missed)
			missed = append(missed, miss{text: text, shown: shown})
		}
		missed[i].n++
		if hard {
			missed[i].hard++
		}
	}
	for _, rec := range recs {
		v := gate.Judge(rec)
		switch v.Result {
		case gate.ResultHeld:
			t.Held++
		case gate.ResultInconclusive:
			t.Undecided++
		}
		for _, l := range v.Objectives {
			if l.Status != gate.Held {
				shown := l.Shown
				if l.Why != "" {
					shown += " (" + l.Why + ")"
				}
				note(l.Objective, shown, l.Status == gate.Missed || l.Status == gate.Broken)
			}
			if m, ok := margin(l); ok && m < t.Margin {
				t.Closest, t.Margin = l.Objective, m
			}
		}
		for _, i := range v.Invariants {
			if i.Status == gate.Broken {
				note("invariant."+i.Name+" == 0", i.Detail, true)
			}
		}
	}
	t.Low, t.High = reports.Wilson(uint64(t.Held), uint64(t.Seeds))
	if t.Closest == "" {
		t.Margin = 0
	}
	if len(missed) > 0 {
		worst := slices.MaxFunc(missed, func(a, b miss) int { return cmp.Or(a.hard-b.hard, a.n-b.n) })
		t.Breaks, t.BreaksIn, t.Shown = worst.text, worst.n, worst.shown
	}
	return t
}

// margin is how far a measured value is from its limit, as a share of it; for a share
// that must be large, of what is missing to the whole.
func margin(l gate.Line) (m float64, ok bool) {
	o, err := record.ParseObjective(l.Objective)
	if err != nil || !l.Measured.OK || o.Kind == record.KindInvariant {
		return 0, false
	}
	room := l.Limit
	up := strings.HasPrefix(o.Op, ">")
	if up && o.Unit == record.UnitShare {
		room = 1 - l.Limit
	}
	switch {
	case !(room > 0) || o.Op == "==" || o.Op == "!=":
		return 0, false
	case up:
		return (l.Measured.V - l.Limit) / room, true
	}
	return (l.Limit - l.Measured.V) / room, true
}

// found is a plan's answer.
type found struct {
	Scenario   string   `json:"scenario"`
	Scale      string   `json:"scale"`
	Key        string   `json:"key"`
	Objectives []string `json:"objectives"`
	Own        *trial   `json:"own"`    // the scenario as it stands
	Answer     *trial   `json:"answer"` // null when nothing holds
	Beyond     *trial   `json:"beyond"` // its neighbour that does not hold; null at the end of the range
	Breaks     *trial   `json:"breaks"` // the nearest value beyond that fails and is not just too close to call
	Tried      []trial  `json:"tried"`  // in the order of the range
	Code       int      `json:"exit_code"`
}

func (p *planning) find() error {
	if len(p.sc.Full.Objectives) == 0 {
		return badInput(fmt.Errorf("scenario %s has no objectives: give --objective 'submit.queued.peak.p99 < 800ms'", p.sc.Name))
	}
	l, err := p.ladder()
	if err != nil {
		return err
	}
	p.show.say("      %s", heading(p.sc))
	each := sim.Estimate(p.sc).Time * time.Duration(len(p.seeds)) / time.Duration(min(runtime.GOMAXPROCS(0), len(p.seeds)))
	p.show.say("      looking for %s that holds in all of %d seeds; about %v a value, some %d values", l.key, len(p.seeds),
		each.Round(100*time.Millisecond), 2+int(math.Ceil(math.Log2(float64(len(l.values))))))
	trials := map[int]trial{}
	first, ok, err := sim.Search(len(l.values), l.start, func(level int) (bool, error) {
		point := []record.Setting{{Key: l.key, Value: l.values[level]}}
		recs, err := p.arm.plan(p.a, p.load, [][]record.Setting{point}, p.seeds, filepath.Join(p.dir, pointsDir), p.show).Do(p.a.ctx)
		if err != nil {
			return false, err
		}
		t := judged(l.values[level], recs)
		trials[level] = t
		p.show.say("      %s = %s: %s, %s", l.key, t.Value, t.mark(), t.share())
		return t.Held == t.Seeds, nil
	})
	if err != nil {
		return err
	}
	p.show.clear()
	own := trials[l.start]
	f := found{Scenario: p.sc.Name, Scale: fmt.Sprintf("1:%.4g people, %g x time", 1/p.sc.S, p.sc.K), Key: l.key, Own: &own, Code: gate.ExitOK}
	f.Objectives = p.sc.Full.Objectives
	for i := range l.values {
		if t, tried := trials[i]; tried {
			f.Tried = append(f.Tried, t)
		}
	}
	switch {
	case ok:
		answer := trials[first]
		f.Answer = &answer
		if beyond, tried := trials[first-1]; tried {
			f.Beyond = &beyond
		}
		for i := first - 1; i >= 0 && f.Breaks == nil; i-- {
			if t, tried := trials[i]; tried && t.mark() == "fails" {
				f.Breaks = &t
			}
		}
	case slices.ContainsFunc(f.Tried, func(t trial) bool { return t.Held+t.Undecided == t.Seeds }):
		f.Code = gate.ExitInconclusive
	default:
		f.Code = gate.ExitObjectiveMissed
	}
	text := f.text(l, p.seeds)
	if err := writeWhole(filepath.Join(p.dir, "plan.txt"), []byte(text)); err != nil {
		return environment(fmt.Errorf("cannot write the plan: %w", err))
	}
	if p.JSON {
		if err := writeJSON(p.a, f); err != nil {
			return err
		}
	} else {
		fmt.Fprint(p.a.stdout, text)
	}
	return verdictOf(f.Code)
}

// text is the page for a planner.
func (f *found) text(l ladder, seeds []uint64) string {
	var b strings.Builder
	line := func(head, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", head, fmt.Sprintf(format, args...))
	}
	what := func(value string) string {
		if value == "1" {
			return value + " " + l.one
		}
		return value + " " + l.many
	}
	line("plan", "%s, simulated, %s, seeds %d to %d", f.Scenario, f.Scale, seeds[0], seeds[len(seeds)-1])
	for i, o := range f.Objectives {
		head := ""
		if i == 0 {
			head = "holds if"
		}
		if parsed, err := record.ParseObjective(o); err == nil && parsed.Kind != record.KindLateness {
			line(head, "%s", o)
		}
	}
	b.WriteByte('\n')
	switch f.Own.mark() {
	case "holds":
		line("now", "%s hold%s%s", what(f.Own.Value), plural(f.Own.Value), f.Own.marginText())
	default:
		line("now", "%s: %s; %s", what(f.Own.Value), f.Own.mark(), f.Own.breaksText())
	}
	if f.Answer == nil {
		line("answer", "none: nothing that was tried, from %s to %s, holds in all %d seeds", f.Tried[0].Value, f.Tried[len(f.Tried)-1].Value, len(seeds))
	} else {
		line("answer", "%s would do%s", what(f.Answer.Value), f.Answer.marginText())
		line("", "holds in %s of the seeds", f.Answer.share())
		if f.Beyond != nil {
			line("beyond", "%s: %s, holds in %s of the seeds", what(f.Beyond.Value), f.Beyond.mark(), f.Beyond.share())
			if f.Beyond.mark() != "fails" {
				line("", "%s", f.Beyond.breaksText())
			}
		} else {
			line("beyond", "%s is the end of what is tried at this scale: nothing breaks before it", what(f.Answer.Value))
		}
		if f.Breaks != nil {
			line("breaks", "first, at %s: %s", what(f.Breaks.Value), f.Breaks.breaksText())
		}
	}
	b.WriteByte('\n')
	for i, t := range f.Tried {
		head := ""
		if i == 0 {
			head = "tried"
		}
		line(head, "%-8s %-12s %s", t.Value, t.mark(), t.share())
	}
	fmt.Fprintf(&b, "\nA value holds when every objective and invariant does in every seed; in brackets the 95 %% interval of the\n"+
		"share of evenings that would (Wilson). Every value met the same seeds. Bisection: values that were not\ntried are taken to be like their neighbours.\n")
	return b.String()
}

func plural(value string) string {
	if value == "1" || strings.HasSuffix(value, "%") {
		return "s"
	}
	return ""
}

func (t *trial) marginText() string {
	if t.Closest == "" {
		return ""
	}
	return fmt.Sprintf("; closest to its limit: %s, with a margin of %.0f %% of it in the worst seed", t.Closest, 100*t.Margin)
}

func (t *trial) breaksText() string {
	if t.Breaks == "" {
		return "no objective failed"
	}
	word := "not met"
	if t.mark() == "cannot tell" {
		word = "undecided"
	}
	return fmt.Sprintf("%s, %s in %d of %d seeds (%s)", t.Breaks, word, t.BreaksIn, t.Seeds, t.Shown)
}
