package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
	"spillway/scenarios"
)

type lotteryVersusCmd struct {
	Rush    string `default:"versus-rush" placeholder:"NAME" help:"Scenario of the grab evening."`
	Lottery string `default:"versus-lottery" placeholder:"NAME" help:"Scenario of the lottery day: the same people and goods."`
	Seed    uint64 `default:"1" help:"Seed of every draw."`
	Scale   string `default:"1:1" placeholder:"1:N" help:"Thin the simulated people to this ratio."`
	Seeds   int    `default:"5" help:"Seeds by which a number of servers is judged; 0 = do not ask for servers."`
	Attack  bool   `default:"true" negatable:"" help:"Measure both against the bundled backend too, about a minute each."`
	output
}

// rushOpens is when the booking of the first evening opened (press).
const rushOpens = 20 * time.Hour

// sideNames are what the page calls the two.
var sideNames = [2]string{"rush", "lottery"}

// versus is a comparison under way.
type versus struct {
	*lotteryVersusCmd
	a     *app
	show  *progress
	dir   string
	step  int
	steps int

	day, own [2]*scenarios.Scaled // the whole day as it is simulated; the window as it is attacked
	sims     [2]*record.Record
	attacks  [2]*record.Record // nil = none
	found    [2]*searched      // nil = not asked
	reports.Versus
}

func (c *lotteryVersusCmd) Run(a *app) error {
	if c.Seeds < 0 || c.Seeds > 1000 {
		return badInput(fmt.Errorf("--seeds %d: give 0 to 1000", c.Seeds))
	}
	v := versus{lotteryVersusCmd: c, a: a, show: newProgress(a.stderr), steps: 3}
	if err := v.load(); err != nil {
		return err
	}
	var err error
	if v.dir, err = newRunDir(c.Out, "versus"); err != nil {
		return err
	}
	if c.Seeds > 0 {
		v.steps += 2
	}
	if c.Attack {
		v.steps += 2
	}
	for _, do := range []func() error{v.simulate, v.count, v.servers, v.measure} {
		if err := do(); err != nil {
			return err
		}
		if a.ctx.Err() != nil {
			return marked(gate.ExitInterrupted, errors.New("interrupted: a comparison wants both sides whole, so there is no page; the records that are whole are kept"))
		}
	}
	v.judge()
	return v.report()
}

// say tells which step begins.
func (v *versus) say(format string, args ...any) {
	v.step++
	v.show.say("[%d/%d] %s", v.step, v.steps, fmt.Sprintf(format, args...))
}

// load reads both scenarios. Everything that can be refused is refused before the
// first minute is spent.
func (v *versus) load() error {
	for i, name := range []string{v.Rush, v.lotteryVersusCmd.Lottery} {
		c := choice{Scenario: name, settings: settings{Seed: v.lotteryVersusCmd.Seed, Scale: v.Scale}}
		var err error
		if v.day[i], err = c.simulated(windowDay); err != nil {
			return err
		}
		c.Scale = ""
		if v.own[i], err = c.scaled(); err != nil {
			return err
		}
	}
	return badInput(samePeople(&v.own[0].Full, &v.own[1].Full))
}

// samePeople says why two scenarios are not the same goods for the same people.
func samePeople(rush, lots *scenarios.Spec) error {
	differ := func(what string) error {
		return fmt.Errorf("scenarios %s and %s differ in %s: a comparison wants the same people and the same goods on both sides", rush.Name, lots.Name, what)
	}
	type class struct {
		name  string
		share float64
	}
	classes := func(s *scenarios.Spec) (out []class) {
		for _, c := range s.Population.Classes {
			out = append(out, class{c.Name, c.Share})
		}
		return out
	}
	switch {
	case rush.Mode != booking.ModeQueued && rush.Mode != booking.ModeTimedWriter:
		return fmt.Errorf("scenario %s is of the mode %v: the rush's is queued or timed-writer", rush.Name, rush.Mode)
	case lots.Mode != booking.ModeLottery:
		return fmt.Errorf("scenario %s is of the mode %v, not lottery", lots.Name, lots.Mode)
	case rush.Population.Users != lots.Population.Users:
		return differ("population.users")
	case !slices.Equal(classes(rush), classes(lots)):
		return differ("population.classes")
	case rush.Bots.Count != lots.Bots.Count:
		return differ("bots.count")
	case rush.Stock.Reservations != lots.Stock.Reservations, rush.Stock.Shops != lots.Stock.Shops, rush.Stock.ExpressShare != lots.Stock.ExpressShare:
		return differ("stock")
	}
	return nil
}

// simulate simulates both days.
func (v *versus) simulate() error {
	opt, err := simulationDefaults.options()
	if err != nil {
		return err
	}
	for i, sc := range v.day {
		v.say("%s", heading(sc))
		began := time.Now()
		rec, err := simulate(v.a, v.show, sc, opt)
		if err != nil {
			return err
		}
		h := &rec.Header
		h.Commit, h.Machine, h.WallStart, h.WallSeconds = version(), machine(), began, time.Since(began).Seconds()
		if v.a.ctx.Err() != nil {
			return nil
		}
		if err := keep(v.dir, sideNames[i]+"-sim.rec", rec); err != nil {
			return err
		}
		v.sims[i] = rec
		v.show.say("      %s", oneLine(rec))
	}
	return nil
}

// count says who wins on either side, at the simulation's scale.
func (v *versus) count() error {
	v.say("the draw, over every person")
	odds, err := v.odds(v.day[1], v.sims[0])
	if err != nil {
		return err
	}
	for i := range v.Sides {
		sc := v.day[i]
		v.Sides[i] = reports.Side{Name: sideNames[i], Scenario: sc.Name, Title: sc.Full.Title, Simulated: reports.LoadOf(v.sims[i]), Odds: odds[i]}
	}
	return nil
}

// odds are the rush's by its record, and the lottery's by a draw over the same people.
func (v *versus) odds(lots *scenarios.Scaled, rush *record.Record) (out [2]reports.Odds, err error) {
	r, err := newRoll(lots)
	if err != nil {
		return out, err
	}
	if out[1], err = r.odds(v.a.ctx); err != nil {
		return out, err
	}
	persons := map[string]uint64{}
	for _, g := range out[1].Groups {
		persons[g.Name] = g.Of
	}
	out[0], err = reports.OddsOf(rush, persons)
	return out, err
}

// servers finds the fewest servers that hold on either side; the lottery's in its
// busiest hour.
func (v *versus) servers() error {
	if v.Seeds == 0 {
		return nil
	}
	simulated, err := simulationDefaults.arm()
	if err != nil {
		return err
	}
	busiest, _ := busiestHour()
	for i, sc := range v.own {
		times := 1.0
		if i == 1 {
			times = busiest
		}
		name := sc.Name
		if i == 0 {
			name = v.Rush
		} else {
			name = v.lotteryVersusCmd.Lottery
		}
		load := func() (*scenarios.Spec, error) {
			spec, err := loader(name, settings{}, windowOpening)()
			if err == nil && times != 1 {
				err = badInput(spec.Set("arrivals.visits", fmt.Sprintf("%.0f visits", times*spec.Arrivals.Visits)))
			}
			return spec, err
		}
		spec, err := load()
		if err != nil {
			return err
		}
		own, err := simulatedFor(spec, v.lotteryVersusCmd.Seed)
		if err != nil {
			return err
		}
		v.say("the fewest servers that hold the %s", sideNames[i])
		dir, err := newRunDir(filepath.Join(v.dir, "servers-"+sideNames[i]), "")
		if err != nil {
			return err
		}
		p := planning{planCmd: &planCmd{Find: "servers", Seeds: v.Seeds}, a: v.a, load: load, sc: own, arm: simulated, dir: dir, show: v.show}
		for s := range v.Seeds {
			p.seeds = append(p.seeds, v.lotteryVersusCmd.Seed+uint64(s))
		}
		found, err := p.search()
		if err != nil {
			return err
		}
		v.found[i] = &found
		v.Sides[i].Servers = serversOf(found, times, v.Sides[i].Simulated.Work)
		v.show.say("      %s", found.headline(found.l))
	}
	return nil
}

// serversOf is a plan's answer in short; load is that of all servers as they stand, in
// the busiest second.
func serversOf(f searched, times float64, load reports.Value) *reports.Servers {
	own, _ := strconv.Atoi(f.l.values[f.l.start])
	s := reports.Servers{Own: own, Times: times, Scale: f.Scale, Seeds: f.Own.Seeds, Work: load}
	s.Work.V *= float64(own)
	if f.Answer != nil {
		s.Fewest, _ = strconv.Atoi(f.Answer.Value) // the ladder's own numbers, as above
		s.Held, s.Low, s.High = f.Answer.share(), f.Answer.Low, f.Answer.High
	}
	if b := f.Beyond; b != nil && b.Breaks != "" {
		s.Breaks = fmt.Sprintf("%s: %s in %d of %d seeds", b.Breaks, map[bool]string{true: "undecided", false: "not met"}[b.mark() == "cannot tell"], b.BreaksIn, b.Seeds)
	}
	return &s
}

// measure attacks the bundled backend with both.
func (v *versus) measure() error {
	if !v.Attack {
		return nil
	}
	for i, sc := range v.own {
		v.say("%s", heading(sc))
		announce(v.show, sc)
		rec, err := measure(v.a, sc, target{InFlight: defaultInFlight}, v.dir, sideNames[i], sideNames[i]+"-attack.rec", v.show)
		if err != nil {
			return err
		}
		if v.a.ctx.Err() != nil {
			return nil
		}
		v.attacks[i] = rec
		v.show.say("      %s", oneLine(rec))
	}
	return v.measured()
}

// measured puts what was measured on both sides. The rush's people are thinned, so the
// lottery's draw at scale is over as many.
func (v *versus) measured() error {
	rush := v.attacks[0].Header.People
	lots, err := scenarios.ScaleWithin(&v.own[1].Full, rush, 1, scenarios.Unbounded)
	if err != nil {
		return badInput(err)
	}
	odds, err := v.odds(lots.WithSeed(v.own[1].Seed), v.attacks[0])
	if err != nil {
		return err
	}
	for i, rec := range v.attacks {
		s, l, verdict := &v.Sides[i], reports.LoadOf(rec), gate.Judge(rec)
		s.Measured, s.Scaled, s.Taken = &l, &odds[i], reports.Taken(rec)
		s.Valid = strings.ToUpper(string(verdict.Result))
		if verdict.Result != gate.ResultHeld {
			s.Valid += ": " + verdict.Reason
		}
	}
	return nil
}

// judge sums up. Invariants of every run count, and a generator that lagged; a missed
// objective is a finding, said but not counted.
func (v *versus) judge() {
	v.Schema, v.Versus.Seed, v.Commit = 1, v.lotteryVersusCmd.Seed, version()
	lots := &v.day[1].Spec
	v.Persons, v.Bots, v.Stock = uint64(lots.Population.Users+lots.Bots.Count), uint64(lots.Bots.Count), uint64(lots.Stock.Reservations)
	odds := v.Sides[1].Odds
	v.Even, v.Versus.Groups = reports.Even(odds.Tenths), reports.Even(odds.Groups)
	v.Busiest, _ = busiestHour()
	v.Notes = []string{}
	for i, name := range sideNames {
		for j, rec := range []*record.Record{v.sims[i], v.attacks[i]} {
			if rec == nil {
				continue
			}
			what := []string{"simulated", "measured"}[j]
			verdict := gate.Judge(rec)
			switch verdict.Result {
			case gate.ResultBroken:
				v.Code = gate.Worst(v.Code, gate.ExitInvariantBroken)
			case gate.ResultInvalid:
				v.Code = gate.Worst(v.Code, gate.ExitLagged)
			case gate.ResultHeld:
				continue
			}
			v.Notes = append(v.Notes, fmt.Sprintf("the %s as %s: %s. %s", name, what, strings.ToUpper(string(verdict.Result)), verdict.Reason))
		}
	}
}

// report writes the folder and prints what it says.
func (v *versus) report() error {
	v.show.say("      drawing the report")
	sheet := v.sheet()
	drawings, err := v.drawings()
	if err != nil {
		return err
	}
	var md bytes.Buffer
	for _, t := range slices.Concat(sheet.Tables, sheet.Details) {
		md.WriteString(t.Markdown() + "\n")
	}
	for _, l := range sheet.Limits {
		md.WriteString("- " + reports.Escape(l) + "\n")
	}
	js, err := json.MarshalIndent(v.Versus, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSheet(v.dir, sheet, drawings, file{"summary.md", md.Bytes()}, file{"summary.json", append(js, '\n')}); err != nil {
		return err
	}
	v.show.clear()
	if v.JSON {
		if err := writeJSON(v.a, v.Versus); err != nil {
			return err
		}
		return verdictOf(v.Code)
	}
	fmt.Fprintf(v.a.stdout, "%s\nreport: %s\n", v.Versus.Text(), filepath.Join(v.dir, "index.html"))
	return verdictOf(v.Code)
}

// sheet is the page.
func (v *versus) sheet() page.Sheet {
	a, b := v.Sides[0], v.Sides[1]
	s := page.Sheet{Kicker: fmt.Sprintf("%s and %s · seed %d", a.Scenario, b.Scenario, v.Versus.Seed), Title: "Against the rush: the grab evening beside the lottery day",
		Warnings: v.Notes, Answer: v.answer(), Tiles: v.tiles(), Note: v.people(),
		Tables: []reports.Table{v.LoadTable()}, Limits: v.limits(),
		Commands: []string{"git checkout " + strings.TrimSuffix(version(), "-dirty"), v.command()},
		Facts: []page.Fact{{Name: "commit", What: v.Commit}, {Name: "seed", What: fmt.Sprint(v.Versus.Seed)},
			{Name: "rush, scenario digest", What: v.sims[0].Header.Digest}, {Name: "lottery, scenario digest", What: v.sims[1].Header.Digest},
			{Name: "simulated in", What: fmt.Sprintf("%.0f s and %.0f s", v.sims[0].Header.WallSeconds, v.sims[1].Header.WallSeconds)}, {Name: "machine", What: machine()}},
		Files: []page.File{{Name: "summary.json", What: "every figure for machines"}, {Name: "summary.md", What: "the tables as Markdown"}},
		Text:  v.own[0].Full.Text + "\n---\n" + v.own[1].Full.Text}
	for _, name := range sideNames {
		s.Files = append(s.Files, page.File{Name: name + "-sim.rec", What: "the record of the simulated " + name})
		if v.Attack {
			s.Files = append(s.Files, page.File{Name: name + "-attack.rec", What: "the record of the measured " + name})
		}
	}
	t := v.OddsTable(false)
	t.Title = "Who wins: " + v.how(false)
	s.Details = append(s.Details, t)
	if v.attacks[0] != nil {
		s.Details = append(s.Details, v.MeasuredTable())
		t := v.OddsTable(true)
		t.Title = "Who wins: " + v.how(true)
		s.Details = append(s.Details, t)
	}
	s.Details = append(s.Details, assumed(v.sims[0], v.sims[1]))
	return s
}

// how says where the odds come from.
func (v *versus) how(scaled bool) string {
	if scaled {
		return fmt.Sprintf("the rush measured at %s, the lottery drawn over as many", reports.Thinning(v.attacks[0].Header.People))
	}
	return fmt.Sprintf("the rush simulated at %s, the lottery drawn over the same persons", reports.Thinning(v.sims[0].Header.People))
}

// drawings are the figures of the page.
func (v *versus) drawings() (out []drawing, err error) {
	add := func(section string, f plot.Figure, e error) {
		switch {
		case errors.Is(e, plot.ErrNoData) || err != nil:
		case e != nil:
			err = e
		default:
			out = append(out, drawing{section, f})
		}
	}
	_, hours := busiestHour()
	seal := lotteryRules().Seal
	f, e := plot.Loads(fmt.Sprintf("simulated, people %s, seed %d", reports.Thinning(v.sims[0].Header.People), v.Versus.Seed),
		[2]plot.LoadSide{{Name: "the rush", Record: v.sims[0], Opens: rushOpens}, {Name: "the lottery", Record: v.sims[1], Opens: seal, Hours: hours}})
	add("The load over time", f, e)
	f, e = plot.Winners("winners", v.how(false)+fmt.Sprintf(" · seed %d", v.Versus.Seed),
		[2]plot.OddsSide{{Name: "the rush", Odds: v.Sides[0].Odds}, {Name: "the lottery", Odds: v.Sides[1].Odds}})
	add("Who wins", f, e)
	if v.Sides[0].Scaled != nil {
		f, e = plot.Winners("winners-at-scale", v.how(true)+fmt.Sprintf(" · seed %d", v.Versus.Seed),
			[2]plot.OddsSide{{Name: "the rush, measured", Odds: *v.Sides[0].Scaled}, {Name: "the lottery", Odds: *v.Sides[1].Scaled}})
		add("Who wins, at the attack's scale", f, e)
	}
	if a, b := v.Sides[0].Servers, v.Sides[1].Servers; a != nil && b != nil {
		note := func(s *reports.Servers) string {
			if s.Fewest == 0 {
				return ""
			}
			return fmt.Sprintf("in %s seeds", s.Held)
		}
		f, e = plot.ServersNeeded(fmt.Sprintf("simulated · the lottery in its busiest hour, %.2f times the mean · seeds %d to %d", v.Busiest, v.Versus.Seed, v.Versus.Seed+uint64(v.Seeds)-1), a.Own,
			[2]plot.ServerSide{{Name: "the rush", Fewest: a.Fewest, Work: a.Work.V, Note: note(a)}, {Name: "the lottery", Fewest: b.Fewest, Work: b.Work.V, Note: note(b)}})
		add("Servers", f, e)
	}
	return out, err
}

// botsOf is the chance of the bots' owners.
func botsOf(o reports.Odds) reports.Chance { return o.Groups[len(o.Groups)-1] }

// answer is what the comparison says, in sentences made of its numbers.
func (v *versus) answer() (out []string) {
	a, b := v.Sides[0], v.Sides[1]
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	n := func(f float64) string { return reports.Count.Format(f) }
	add("The same %s persons, %s of them with a bot, want the same %s reservations. First come first served, the busiest second brings %s requests, %s times the evening's mean; the lottery's brings %s, %s times its mean.",
		count(v.Persons), count(v.Bots), count(v.Stock), n(a.Simulated.PeakS), reports.Factor.Format(a.Simulated.PeakMean), n(b.Simulated.PeakS), reports.Factor.Format(b.Simulated.PeakMean))
	if a.Servers != nil && b.Servers != nil {
		add("Servers: the rush takes %s, the lottery %s in its busiest hour.", a.Servers.Text(), b.Servers.Text())
	}
	bot, fair := botsOf(a.Odds), a.Odds.All
	add("In the rush %s of the bots win, against %s of everybody: a bot multiplies its owner's chance by %s, and %s of the persons take %s of the goods. In the lottery it wins %s, for its owner has one entry like anybody.",
		bot.Share.Text(reports.Share), fair.Share.Text(reports.Share), reports.Factor.Format(bot.Share.V/fair.Share.V),
		reports.Share.Format(float64(bot.Of)/float64(fair.Of)), reports.Share.Format(float64(bot.Won)/math.Max(float64(fair.Won), 1)), botsOf(b.Odds).Text())
	late := a.Odds.Late
	won := uint64(0)
	for _, t := range a.Odds.Tenths {
		won += t.Won
	}
	first, entered := a.Odds.Tenths[0], b.Odds.Tenths
	add("The tenth of the people who came first take %s of what people win in the rush; %s people never got as far as the button. In the lottery the first tenth to enter wins %s and the last %s: the hour does not matter (%s).",
		reports.Share.Format(float64(first.Won)/math.Max(float64(won), 1)), count(late.Of), entered[0].Text(), entered[9].Text(), v.Even.Text())
	return out
}

// tiles are the numbers at the top.
func (v *versus) tiles() []page.Tile {
	a, b := v.Sides[0], v.Sides[1]
	pair := func(x, y string) string { return x + " | " + y }
	servers := "not asked"
	if a.Servers != nil && b.Servers != nil {
		servers = pair(fmt.Sprint(a.Servers.Fewest), fmt.Sprint(b.Servers.Fewest))
	}
	return []page.Tile{
		{Value: pair(reports.Count.Format(a.Simulated.PeakS), reports.Count.Format(b.Simulated.PeakS)), Label: "requests/s in the busiest second, rush | lottery"},
		{Value: pair(reports.Factor.Format(a.Simulated.PeakMean), reports.Factor.Format(b.Simulated.PeakMean)), Label: "peak to mean"},
		{Value: servers, Label: "servers: the fewest that hold"},
		{Value: pair(botsOf(a.Odds).Share.Text(reports.Share), botsOf(b.Odds).Share.Text(reports.Share)), Label: "chance of a bot's owner; fair is " + a.Odds.All.Share.Text(reports.Share)},
	}
}

// people says why these people.
func (v *versus) people() string {
	return fmt.Sprintf("Both sides are the first evening's people and goods (%s and what it extends): the rush is the side with the most published about it, and a lottery over them needs no number of its own save the hours of entering. Simulated people: %s.",
		v.Sides[0].Scenario, reports.Thinning(v.sims[0].Header.People))
}

// limits is what the comparison cannot tell.
func (v *versus) limits() []string {
	b := v.Sides[1]
	entered := uint64(0)
	for _, g := range v.sims[1].Groups {
		entered += g.Stages[record.StageAccepted]
	}
	fair := b.Odds.All.Share.V
	return []string{
		fmt.Sprintf("When people enter: no hours were published. The simulator spreads the day's visits evenly over 24 hours; the draw's list has the hours that the made-up day of spillway lottery sample has, by which the busiest hour carries %.2f times the mean. Servers are planned for that hour.", v.Busiest),
		fmt.Sprintf("One crowded day: in the simulated day %s of the %s persons enter, each visit's person being left to chance. Entries stand for ten days, so the list of the draw has everybody, the others from a day before. A real day, with a tenth of them, is lighter.", count(entered), count(v.Persons)),
		"The hour of publication, 18:00: everybody who entered may look at once. That is a rush to read, not to win; its figures are not modelled. A static list at the edge, or a proof that one checks alone, is what it asks for.",
		fmt.Sprintf("The lottery's own abuse: one person with many identities, or who gathers those of relatives and strangers. Haste gains nothing, names do: at the fair chance of %.2f %% ten entries win with %.0f %%. Nothing here tells persons from identities; that is the work of identity numbers, phones and the counter where masks are handed out.", 100*fair, 100*(1-math.Pow(1-fair, 10))),
		"How many want to: entering costs a minute and no luck, so a lottery may draw people whom the rush kept away, which lowers everybody's chance. Both sides have the same people here.",
		"How many bots there were: never counted (low 500, high 50,000 for the whole city). Bots here skip the gate, as public scripts did; where the server checks the coin (scenario suikang-coin) they gain less.",
		"Who pressed twice: the tenths of the rush count visits that pressed as persons; whoever pressed in two visits counts twice among those in time.",
		"Whether a draw is honest: this one has a fixed seed and no seal. What makes a draw checkable is spillway lottery seal, draw and verify.",
		"One evening: intervals tell the luck of so many persons, not of another evening; capacity, service times and shares that were never published are assumptions (the table above).",
		"A scale model of the rush shows neither memory and connections at full size nor hot keys, and near the tipping line nothing at all. The lottery's minute is measured at full size and is a minute, not a day.",
	}
}

// assumed lists what both sides assume; where they differ, both.
func assumed(rush, lots *record.Record) reports.Table {
	t := reports.Table{Title: "Assumptions", Columns: []string{"key", "side", "low", "base", "high", "why"}, Words: true}
	of := map[string]record.Assumption{}
	for _, x := range lots.Header.Assumptions {
		of[x.Key] = x
	}
	add := func(side string, x record.Assumption) {
		t.Rows = append(t.Rows, []string{x.Key, side, x.Low, x.Base, x.High, x.Why})
	}
	seen := map[string]bool{}
	for _, x := range rush.Header.Assumptions {
		seen[x.Key] = true
		y, both := of[x.Key]
		switch {
		case both && x == y:
			add("both", x)
		case both:
			add(sideNames[0], x)
			add(sideNames[1], y)
		default:
			add(sideNames[0], x)
		}
	}
	for _, y := range lots.Header.Assumptions {
		if !seen[y.Key] {
			add(sideNames[1], y)
		}
	}
	return t
}

// command is how to make the report again.
func (v *versus) command() string {
	c := v.lotteryVersusCmd
	args := []string{"spillway", "lottery", "versus", "--seed", fmt.Sprint(c.Seed)}
	if c.Rush != "versus-rush" {
		args = append(args, "--rush", c.Rush)
	}
	if c.Lottery != "versus-lottery" {
		args = append(args, "--lottery", c.Lottery)
	}
	if c.Scale != "1:1" {
		args = append(args, "--scale", c.Scale)
	}
	if c.Seeds != 5 {
		args = append(args, "--seeds", fmt.Sprint(c.Seeds))
	}
	if !c.Attack {
		args = append(args, "--no-attack")
	}
	return strings.Join(args, " ")
}
