package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"spillway/reference/lottery"
	"spillway/reference/lottery/console"
	"spillway/reports"
	"spillway/reports/fairness"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
)

type lotteryFairnessCmd struct {
	bundleAt
	output
}

func (c *lotteryFairnessCmd) Run(a *app) error {
	if err := c.there(); err != nil {
		return err
	}
	show := newStages(a)
	v, err := lottery.Verify(a.ctx, c.Bundle, lottery.VerifyOptions{Progress: show.tell})
	show.over()
	if err != nil {
		return marked(gate.ExitInvariantBroken, err)
	}
	b, err := c.open()
	if err != nil {
		return err
	}
	defer b.Close() // only read
	if v.Drawn == nil {
		return badInput(fmt.Errorf("bundle %s is not drawn yet", c.Bundle))
	}
	r, err := judgeDraw(a.ctx, b, *v.Drawn, v.Outcome)
	if err != nil {
		return err
	}
	dir, err := newRunDir(c.Out, "lottery-"+b.Seal.Day)
	if err != nil {
		return err
	}
	if err := writeLotteryPage(dir, lotteryPage{bundle: b, drawn: *v.Drawn, report: r, verified: v,
		commands: []string{"spillway lottery verify --bundle " + c.Bundle, "spillway lottery fairness --bundle " + c.Bundle}}); err != nil {
		return err
	}
	return showFairness(a, r, dir, c.JSON)
}

// showFairness prints the report and turns its verdict into the command's.
func showFairness(a *app, r *fairness.Report, dir string, asJSON bool) error {
	if asJSON {
		if err := writeJSON(a, r); err != nil {
			return err
		}
	} else {
		fmt.Fprint(a.stdout, r.Text())
		fmt.Fprintf(a.stdout, "\nreport: %s\n", filepath.Join(dir, "index.html"))
	}
	switch r.Verdict {
	case fairness.DoesNotFit:
		return verdictOf(gate.ExitInvariantBroken)
	case fairness.CannotTell:
		return verdictOf(gate.ExitInconclusive)
	}
	return nil
}

// consoleFairness is the tests of a draw as the console shows them.
func consoleFairness(ctx context.Context, b *lottery.Bundle, d lottery.Drawn) ([]console.Test, error) {
	out, err := lottery.Draw(ctx, b.List(), b.Seal.Lines, d.Seed, nil)
	if err != nil {
		return nil, err
	}
	r, err := judgeDraw(ctx, b, d, out)
	if err != nil {
		return nil, err
	}
	var tests []console.Test
	for _, x := range r.Tests {
		t := console.Test{Name: x.Name(), Tested: fmt.Sprintf("%s = %.3g", x.Symbol, x.Statistic), P: x.P, Corrected: x.Holm, Verdict: "fits a fair draw", Fits: !x.Rejected}
		if x.Rejected {
			t.Verdict = "does not fit"
		}
		tests = append(tests, t)
	}
	return tests, nil
}

// sortedMost is up to how many entries are put in the order of entry, 40 bytes each,
// so that runs of winners can be told; beyond, the rest of the tests do.
const sortedMost = 8_000_000

// judgeDraw counts a draw by what is known of entries and judges it.
func judgeDraw(ctx context.Context, b *lottery.Bundle, d lottery.Drawn, out lottery.Outcome) (*fairness.Report, error) {
	c := newCut(b.Seal, out)
	tally, err := fairness.NewTally(c.plan())
	if err != nil {
		return nil, err
	}
	add := func(e lottery.Entry) error { return c.add(tally, d.Seed, e) }
	if b.Seal.Entries > sortedMost {
		var mu sync.Mutex
		err = b.List().Scan(ctx, func(_ int, e lottery.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			return add(e)
		})
	} else {
		err = inOrder(ctx, b.List(), add)
	}
	if err != nil {
		return nil, err
	}
	draw := tally.Draw()
	yes := true // Verify has shown it; in a rehearsal, by the day's own hours
	draw.Process = fairness.Process{SeedBits: min(256, b.Seal.Beacon.Bits()), Sealed: &yes, Public: &yes}
	return fairness.Judge(draw, fairness.Options{})
}

// inOrder calls f with every entry in the order of entry.
func inOrder(ctx context.Context, l lottery.List, f func(lottery.Entry) error) error {
	parts := make([][]lottery.Entry, lottery.Workers())
	if err := l.Scan(ctx, func(w int, e lottery.Entry) error {
		parts[w] = append(parts[w], e)
		return nil
	}); err != nil {
		return err
	}
	all := slices.Concat(parts...)
	slices.SortFunc(all, func(x, y lottery.Entry) int {
		return cmp.Or(cmp.Compare(x.Entered, y.Entered), bytes.Compare(x.ID[:], y.ID[:]))
	})
	for _, e := range all {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// cut is how a draw's entries are cut into pools and levels.
type cut struct {
	seal    lottery.Seal
	won     map[lottery.ID]int // round
	areas   map[string]int
	names   []string
	again   map[int]int // by the shop's first line: its second pool
	shopOf  []int       // by line: the shop's first line
	full    []bool      // by line: everybody won in round 1
	seconds []string
	zone    *time.Location
	oldest  time.Time
	next    uint64 // rank of the next entry, where they come in order
}

func newCut(s lottery.Seal, out lottery.Outcome) *cut {
	c := &cut{seal: s, won: map[lottery.ID]int{}, areas: map[string]int{}, again: map[int]int{}, zone: s.Cutoff.Location(), oldest: s.Oldest}
	first := map[[2]string]int{}
	for i, l := range s.Lines {
		if _, ok := c.areas[l.Area]; !ok {
			c.areas[l.Area] = len(c.names)
			c.names = append(c.names, l.Area)
		}
		key := [2]string{l.Area, l.Shop}
		if _, ok := first[key]; !ok {
			first[key] = i
		}
		c.shopOf = append(c.shopOf, first[key])
		c.full = append(c.full, out.Pools[i].Won == out.Pools[i].Entries)
	}
	for _, w := range out.Wins {
		c.won[w.Entry.ID] = w.Round
	}
	for _, shop := range out.Shops {
		c.again[shop.Line] = len(s.Lines) + len(c.seconds)
		c.seconds = append(c.seconds, shop.Shop+", round 2")
	}
	return c
}

// What entries are cut by.
var cutLost = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10 or more"}

func (c *cut) days() int { return int(c.seal.Cutoff.Sub(c.oldest)/(24*time.Hour)) + 1 }

func (c *cut) plan() fairness.Plan {
	p := fairness.Plan{Name: c.seal.Draw + ", draw of " + c.seal.Day, Entries: uint64(c.seal.Entries), Tickets: true,
		Span: uint64(c.seal.Cutoff.Sub(time.UnixMilli(0)).Milliseconds())}
	for _, l := range c.seal.Lines {
		p.Pools = append(p.Pools, l.Shop+", "+l.Type)
	}
	p.Pools = append(p.Pools, c.seconds...)
	hours, days := make([]string, 24), make([]string, c.days())
	for h := range hours {
		hours[h] = fmt.Sprintf("%02d:00", h)
	}
	for i := range days {
		days[i] = c.oldest.AddDate(0, 0, i).Format(time.DateOnly)
	}
	days[0] = "until " + days[0]
	p.Dimensions = []fairness.Axis{{Name: "hour of entry", Levels: hours}, {Name: "area", Levels: c.names},
		{Name: "day of entry", Levels: days, Ordered: true}, {Name: "draws lost before", Levels: cutLost, Ordered: true},
		{Name: "takes another type", Levels: []string{"no", "yes"}}, {Name: "65 or older", Levels: []string{"no", "yes"}},
		{Name: "edited", Levels: []string{"no", "yes"}}}
	if c.seal.Entries <= sortedMost {
		p.Span = uint64(c.seal.Entries)
	}
	return p
}

// add counts an entry in the pool of its line and, when it was drawn again, in its
// shop's second pool.
func (c *cut) add(t *fairness.Tally, seed lottery.Hash, e lottery.Entry) error {
	flag := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	at := e.At().In(c.zone)
	y, m, d := at.Date()
	oy, om, od := c.oldest.Date()
	day := int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Sub(time.Date(oy, om, od, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour))
	levels := []int{at.Hour(), c.areas[c.seal.Lines[e.Line].Area], min(max(0, day), c.days()-1), min(e.Lost, 10),
		flag(e.Other), flag(e.Senior), flag(e.Edited != 0)}
	ticket := lottery.Ticket(seed, e.ID)
	x := fairness.Entry{Pool: e.Line, Levels: levels, Won: c.won[e.ID] == 1, Order: c.order(e), Ticket: binary.BigEndian.Uint64(ticket[:])}
	if err := t.Add(x); err != nil {
		return err
	}
	second, ok := c.again[c.shopOf[e.Line]]
	if !ok || x.Won || !e.Other || c.full[e.Line] {
		return nil
	}
	x.Pool, x.Won, x.Second = second, c.won[e.ID] == 2, true
	return t.Add(x)
}

// order is an entry's place in the order of entry: its rank where all are in order,
// else its moment.
func (c *cut) order(e lottery.Entry) uint64 {
	if c.seal.Entries > sortedMost {
		return uint64(e.Entered)
	}
	c.next++
	return c.next - 1
}

// lotteryPage is what the page of a draw is made of.
type lotteryPage struct {
	bundle   *lottery.Bundle
	drawn    lottery.Drawn
	report   *fairness.Report
	controls []*fairness.Report
	verified lottery.Verified
	warnings []string
	facts    []page.Fact
	commands []string
	files    []page.File
}

// writeLotteryPage writes the page, its figures and the report as JSON into a folder.
func writeLotteryPage(dir string, l lotteryPage) error {
	figs, err := plot.Fairness(l.report)
	if err != nil {
		return err
	}
	if l.controls, err = fairness.Controls(); err != nil {
		return err
	}
	var drawings []drawing
	for i, f := range figs {
		section := ""
		if i == 0 {
			section = "Was it fair"
		}
		drawings = append(drawings, drawing{section, f})
	}
	doc, err := json.MarshalIndent(l.report, "", " ")
	if err != nil {
		return err
	}
	return writeSheet(dir, l.sheet(), drawings, file{"fairness.json", doc}, file{"fairness.txt", []byte(l.report.Text())})
}

func (l lotteryPage) sheet() page.Sheet {
	s, d := l.bundle.Seal, l.drawn
	second := int64(0)
	for _, x := range d.Shops {
		second += x.Won
	}
	sheet := page.Sheet{Kicker: "Lottery", Title: s.Draw + ": the draw of " + s.Day, Word: l.report.Verdict, Reason: l.report.Why, Warnings: l.warnings,
		Tiles: []page.Tile{{Value: count(s.Entries), Label: "entries"}, {Value: count(d.Won), Label: "winners"},
			{Value: fmt.Sprintf("%.2f %%", 100*float64(d.Won)/float64(max(1, s.Entries))), Label: "of the entries won"},
			{Value: count(second), Label: "of them in the second round"}, {Value: count(d.Reserve), Label: "in reserve, in order"}},
		Answer: []string{"Sealed before anybody could know the beacon's value, drawn by the smallest tickets, and done again from the bundle alone: " +
			"what follows is what was checked, who won, and whether luck would do the same."},
		Facts: []page.Fact{{Name: "root of the list", What: s.Root.String()}, {Name: "digest of the seal", What: l.bundle.Digest().String()},
			{Name: "commitment", What: s.Commitment.String()}, {Name: "beacon", What: s.Beacon.String()}, {Name: "randomness", What: d.Randomness.String()},
			{Name: "seed", What: d.Seed.String()}},
		Commands: l.commands,
		Files:    append([]page.File{{Name: "fairness.json", What: "all tests in figures"}, {Name: "fairness.txt", What: "the same as text"}}, l.files...),
		Text:     "",
	}
	sheet.Facts = append(sheet.Facts, l.facts...)
	switch l.report.Verdict {
	case fairness.Fits:
		sheet.Class = "held"
	case fairness.DoesNotFit:
		sheet.Class = "missed"
	default:
		sheet.Class = "inconclusive"
	}
	checked := reports.Table{Title: "What was checked", Columns: []string{"what", "what holds"}, Words: true}
	for _, step := range l.verified.Done {
		checked.Rows = append(checked.Rows, []string{step.What, step.Holds})
	}
	sheet.Tables = append(sheet.Tables, checked, l.pools(), l.tests(), rejected(l.controls))
	return sheet
}

// poolsShown is how many lines stand on the page; the bundle has all.
const poolsShown = 12

// pools are the largest lines, and those with a second round.
func (l lotteryPage) pools() reports.Table {
	t := reports.Table{Title: "Shops and types", Columns: []string{"shop", "type", "masks", "entries", "quota", "won", "second round", "chance", "cut-off"},
		Notes: []string{fmt.Sprintf("The %d with most entries, and all that had reservations left, of %d; the bundle has every one. Chance: of those who chose it first.", poolsShown, len(l.drawn.Pools))}}
	pools := slices.Clone(l.drawn.Pools)
	slices.SortStableFunc(pools, func(x, y lottery.Pool) int { return cmp.Compare(y.Entries, x.Entries) })
	for i, p := range pools {
		if i >= poolsShown && p.Second == 0 {
			continue
		}
		line := l.bundle.Seal.Lines[p.Line]
		chance := 0.0
		if p.Entries > 0 {
			chance = 100 * float64(p.Won) / float64(p.Entries)
		}
		cutoff := fmt.Sprintf("%.16s…", p.Cutoff)
		if p.Won == p.Entries {
			cutoff = "all won"
		}
		t.Rows = append(t.Rows, []string{line.Shop, line.Type, strconv.Itoa(line.Masks), count(p.Entries), count(p.Quota), count(p.Won), count(p.Second),
			fmt.Sprintf("%.2f %%", chance), cutoff})
	}
	return t
}

// testsShown is how many tests stand on the page.
const testsShown = 12

// tests are those that came nearest to an alarm.
func (l lotteryPage) tests() reports.Table {
	t := reports.Table{Title: "Tests of fairness", Columns: []string{"test", "statistic", "p", "p after Holm", "alarm"},
		Notes: []string{fmt.Sprintf("The %d of %d tests that came nearest to an alarm; fairness.txt has all, and what favour each would have noticed. All of them together are wrong about a fair draw once in %.0f.",
			testsShown, len(l.report.Tests), 1/l.report.FamilyError)}}
	tests := slices.Clone(l.report.Tests)
	slices.SortStableFunc(tests, func(x, y fairness.Test) int { return cmp.Compare(x.P, y.P) })
	for i, x := range tests {
		if i == testsShown {
			break
		}
		alarm := "no"
		if x.Rejected {
			alarm = "yes"
		}
		t.Rows = append(t.Rows, []string{x.Name(), fmt.Sprintf("%s = %.3g", x.Symbol, x.Statistic), fmt.Sprintf("%.3g", x.P), fmt.Sprintf("%.3g", x.Holm), alarm})
	}
	return t
}

// rejected shows that the same report tells draws that were not fair.
func rejected(controls []*fairness.Report) reports.Table {
	t := reports.Table{Title: "What the same tests say of draws that were not fair", Columns: []string{"draw", "verdict", "why"}, Words: true,
		Notes: []string{"Judged anew with every page. Statistics alone let the second pass: only how a draw was made tells that its seed could be chosen."}}
	for _, r := range controls {
		t.Rows = append(t.Rows, []string{r.Name, r.Verdict, r.Why})
	}
	return t
}
