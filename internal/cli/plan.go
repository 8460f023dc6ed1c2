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
	"spillway/reports/page"
	"spillway/reports/plot"
	"spillway/scenarios"
	"spillway/sim"
)

type planCmd struct {
	choice
	simulation
	Find      string   `enum:",servers,admission,queue" default:"" placeholder:"WHAT" help:"servers: the fewest; admission: the largest probability; queue: the shortest that meets the objectives. Without --scale the crowd grows until its samples carry them."`
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
		return badInput(errors.New("nothing to plan: give --find servers, admission or queue, or --tornado METRIC"))
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
	var own []string // the scenario's objectives, where others are asked for
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
	if len(c.Objective) > 0 {
		was, err := loader(c.Scenario, c.settings, c.Window)()
		if err != nil {
			return err
		}
		own = was.Objectives
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
	p := planning{planCmd: c, a: a, load: load, sc: sc, own: own, arm: arm, dir: dir, show: newProgress(a.stderr)}
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
	own   []string          // its objectives, where others are asked for
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
	case "admission":
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
	// Beside is what the scenario's own objectives say where others were asked for:
	// what one asks for may hold because something else gave way.
	Beside *trial `json:"beside,omitempty"`
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

// judged sums up a value's runs, by the objectives asked for and by the scenario's.
func (p *planning) judged(value string, recs []*record.Record) trial {
	t := judged(value, recs)
	if len(p.own) == 0 {
		return t
	}
	var beside []*record.Record
	for _, rec := range recs {
		other := *rec
		other.Header.Objectives = slices.DeleteFunc(slices.Clone(p.own), func(text string) bool {
			o, err := record.ParseObjective(text)
			return err == nil && o.Kind == record.KindLateness
		})
		beside = append(beside, &other)
	}
	b := judged(value, beside)
	t.Beside = &b
	return t
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

// searched is a search that came to an end: its answer, what was climbed, every
// record, and the first of the scenario as it stands.
type searched struct {
	found
	l   ladder
	all []*record.Record
	own *record.Record
}

func (p *planning) search() (s searched, err error) {
	if len(p.sc.Full.Objectives) == 0 {
		return s, badInput(fmt.Errorf("scenario %s has no objectives: give --objective 'submit.queued.peak.p99 < 800ms'", p.sc.Name))
	}
	if err := p.enlarge(); err != nil {
		return s, err
	}
	l, err := p.ladder()
	if err != nil {
		return s, err
	}
	p.show.say("      %s", heading(p.sc))
	each := sim.Estimate(p.sc).Time * time.Duration(len(p.seeds)) / time.Duration(min(runtime.GOMAXPROCS(0), len(p.seeds)))
	p.show.say("      looking for %s that holds in all of %d seeds; about %v a value, some %d values", l.key, len(p.seeds),
		each.Round(100*time.Millisecond), 2+int(math.Ceil(math.Log2(float64(len(l.values))))))
	trials, runs := map[int]trial{}, map[int][]*record.Record{}
	first, ok, err := sim.Search(len(l.values), l.start, func(level int) (bool, error) {
		point := []record.Setting{{Key: l.key, Value: l.values[level]}}
		recs, err := p.arm.plan(p.a, p.load, [][]record.Setting{point}, p.seeds, filepath.Join(p.dir, pointsDir), p.show).Do(p.a.ctx)
		if err != nil {
			return false, err
		}
		t := p.judged(l.values[level], recs)
		trials[level], runs[level] = t, recs
		p.show.say("      %s = %s: %s, %s", l.key, t.Value, t.mark(), t.share())
		return t.Held == t.Seeds, nil
	})
	if err != nil {
		return s, err
	}
	p.show.clear()
	own := trials[l.start]
	f := found{Scenario: p.sc.Name, Scale: fmt.Sprintf("1:%.4g people, %g x time", 1/p.sc.S, p.sc.K), Key: l.key, Own: &own, Code: gate.ExitOK}
	f.Objectives = p.sc.Full.Objectives
	var all []*record.Record
	for i := range l.values {
		if t, tried := trials[i]; tried {
			f.Tried, all = append(f.Tried, t), append(all, runs[i]...)
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
	return searched{f, l, all, runs[l.start][0]}, nil
}

func (p *planning) find() error {
	f, err := p.search()
	if err != nil {
		return err
	}
	text := f.text(f.l, p.seeds)
	if err := writeWhole(filepath.Join(p.dir, "plan.txt"), []byte(text)); err != nil {
		return environment(fmt.Errorf("cannot write the plan: %w", err))
	}
	drawings, err := f.drawings(f.l, f.all)
	if err != nil {
		return err
	}
	if err := p.page(f.own, drawings, f.table(f.l)); err != nil {
		return err
	}
	if p.JSON {
		if err := writeJSON(p.a, f.found); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.a.stdout, "%s\nreport: %s\n", text, filepath.Join(p.dir, "index.html"))
	}
	return verdictOf(f.Code)
}

// longestTrial bounds what one run of a plan may take for the sake of its samples.
const longestTrial = 10 * time.Second

// enlarge takes a larger crowd than the scenario's own where that one's samples do not
// carry the objectives, unless the scale was given: an answer that cannot tell is none.
func (p *planning) enlarge() error {
	for _, kv := range p.Set {
		if key, _, _ := strings.Cut(kv, "="); strings.TrimSpace(key) == "scale.people" {
			return nil
		}
	}
	if p.Scale != "" {
		return nil
	}
	load, own := p.load, p.sc
	for _, n := range []float64{0, 50, 20, 10, 5, 2, 1} {
		if n > 0 && n >= 1/p.sc.S-1e-9 {
			continue
		}
		if n > 0 {
			p.load = func() (*scenarios.Spec, error) {
				spec, err := load()
				if err == nil {
					err = badInput(spec.Set("scale.people", fmt.Sprintf("1:%g", n)))
				}
				return spec, err
			}
			spec, err := p.load()
			if err != nil {
				return err
			}
			sc, err := simulatedFor(spec, p.Seed)
			if err != nil {
				return err
			}
			if sim.Estimate(sc).Time > longestTrial {
				break
			}
			p.sc = sc
		}
		// The point that the search begins with: nothing is run in vain.
		l, err := p.ladder()
		if err != nil {
			return err
		}
		point := []record.Setting{{Key: l.key, Value: l.values[l.start]}}
		recs, err := p.arm.plan(p.a, p.load, [][]record.Setting{point}, p.seeds, filepath.Join(p.dir, pointsDir), p.show).Do(p.a.ctx)
		if err != nil {
			return err
		}
		why := unsure(recs)
		if why == "" {
			return nil
		}
		p.show.say("      at 1:%g %s", 1/p.sc.S, why)
	}
	// No crowd that can be run in time is large enough: then the cheapest will do.
	p.load, p.sc = load, own
	return nil
}

// unsure names an objective that a larger crowd might tell; "" when there is none.
func unsure(recs []*record.Record) string {
	for _, rec := range recs {
		for _, l := range gate.Judge(rec).Objectives {
			if l.Status == gate.TooClose || l.Status == gate.CannotTell && l.Samples > 0 {
				return fmt.Sprintf("%s cannot be told: %s", l.Objective, l.Why)
			}
		}
	}
	return ""
}

// drawings are what the tried values do to everything that is measured.
func (f *found) drawings(l ladder, recs []*record.Record) ([]drawing, error) {
	fig, err := plot.Curves(plot.Points(recs), l.key)
	switch {
	case errors.Is(err, plot.ErrNoData): // a single value was tried
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []drawing{{"What " + l.key + " moves", fig}}, nil
}

// table is the answer for the page.
func (f *found) table(l ladder) reports.Table {
	t := reports.Table{Title: "The plan: " + f.headline(l), Columns: []string{l.key, "verdict", "holds in [95 %]", "closest objective", "margin", "what breaks", "in seeds"}}
	for _, x := range f.Tried {
		row := []string{x.Value, x.mark(), x.share(), x.Closest, "", x.Breaks, ""}
		if x.Closest != "" {
			row[4] = fmt.Sprintf("%.0f %%", 100*x.Margin)
		}
		if x.Breaks != "" {
			row[6] = fmt.Sprintf("%d of %d", x.BreaksIn, x.Seeds)
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = []string{"A value holds when every objective and invariant does in every seed; every value met the same seeds. The margin is what is left to the limit in the worst seed, as a share of the limit."}
	return t
}

// firstBeside is the value nearest to the safe end at which the scenario's own
// objectives fail; nil when they hold or were the ones asked for.
func (f *found) firstBeside() *trial {
	for i := len(f.Tried) - 1; i >= 0; i-- {
		if t := &f.Tried[i]; t.Beside != nil && t.Beside.mark() == "fails" {
			return t
		}
	}
	return nil
}

// headline is the answer in one sentence.
func (f *found) headline(l ladder) string {
	var parts []string
	own := l.what(f.Own.Value)
	switch f.Own.mark() {
	case "holds":
		text := own + " hold" + plural(f.Own.Value)
		if f.Own.Closest != "" {
			text += fmt.Sprintf(" with a margin of %.0f %%", 100*f.Own.Margin)
		}
		parts = append(parts, text)
	case "fails":
		parts = append(parts, own+": not enough")
	default:
		parts = append(parts, own+": too close to call")
	}
	switch {
	case f.Answer == nil:
		parts = append(parts, "nothing that was tried holds")
	case f.Answer.Value != f.Own.Value:
		parts = append(parts, l.what(f.Answer.Value)+" would do")
	default:
		parts = append(parts, "nothing less would do")
	}
	if b := f.Breaks; b != nil && (b.Beside == nil || b.Beside.mark() != "fails" || f.firstBeside() == b) {
		parts = append(parts, fmt.Sprintf("the first thing to break is %s, at %s", strings.Fields(b.Breaks)[0], l.what(b.Value)))
	} else if b := f.firstBeside(); b != nil {
		parts = append(parts, fmt.Sprintf("the first thing to break is %s, at %s", strings.Fields(b.Beside.Breaks)[0], l.what(b.Value)))
	}
	return strings.Join(parts, "; ")
}

func (l ladder) what(value string) string {
	if value == "1" {
		return value + " " + l.one
	}
	return value + " " + l.many
}

// page writes the report of a plan around the scenario as it stands.
func (p *planning) page(main *record.Record, drawings []drawing, tables ...reports.Table) error {
	pg := page.Page{Record: main, Name: main.Header.Scenario, Tables: tables,
		Commands: []string{"git checkout " + strings.TrimSuffix(main.Header.Commit, "-dirty"), p.command()}}
	if err := writeFigures(p.dir, drawings, &pg); err != nil {
		return environment(err)
	}
	if err := writeTexts(p.dir, pg, reports.Summarize(main), gate.Judge(main), tables); err != nil {
		return environment(err)
	}
	link(p.dir)
	p.show.clear()
	return nil
}

// text is the page for a planner.
func (f *found) text(l ladder, seeds []uint64) string {
	var b strings.Builder
	line := func(head, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", head, fmt.Sprintf(format, args...))
	}
	what := l.what
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
	line("in short", "%s", f.headline(l))
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
		if b := f.Answer.Beside; b != nil && b.mark() == "fails" {
			line("but", "what else the scenario asks for does not hold there: %s", b.breaksText())
			for _, t := range f.Tried {
				if t.Beside.mark() == "holds" {
					line("", "of what was tried %s would do for that too", what(t.Value))
					break
				}
			}
		}
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
		"share of evenings that would (Wilson). Every value met the same seeds. Bisection: values that were not\ntried are taken to be like their neighbours. Which assumption the answer hangs on: spillway plan --tornado METRIC.\n")
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
