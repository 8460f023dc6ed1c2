package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"spillway/internal/record"
	"spillway/internal/sweep"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
	"spillway/scenarios"
	"spillway/sim/station"
)

// stationPoint is one point of a sweep over a station.
type stationPoint struct {
	Settings []record.Setting `json:"settings"`
	Result   *reports.Station `json:"result"`    // null: not run
	Unstable bool             `json:"no_steady"` // it has no steady state
	cfg      station.Config
	spec     *scenarios.Station
}

// stationColumns are the figures of a sweep's table and curves.
var stationColumns = []struct{ key, title string }{{"wait.mean", "wait mean"}, {"wait.p99", "wait p99"}, {"sojourn.p99", "sojourn p99"},
	{"utilisation", "utilisation"}, {"lost", "lost"}, {"abandoned", "abandoned"}, {"attempts", "attempts"}}

// stations runs one station over a grid.
func (c *sweepCmd) stations(a *app, line *kong.Context) error {
	name := c.Scenario[0]
	for _, f := range []struct {
		given bool
		why   string
	}{
		{len(c.Scenario) > 1, "a station is swept alone: name one"},
		{c.Arm != "sim", "a bare station is simulated only: add --arm sim"},
		{c.Seeds != 0, "--seeds is for evenings: a station has replications, set station.measure.blocks"},
	} {
		if f.given {
			return badInput(fmt.Errorf("%s: %s", name, f.why))
		}
	}
	if err := onlyForStations(name, line, "arm", "vary", "set", "seed", "out", "json"); err != nil {
		return err
	}
	if len(c.Vary) == 0 {
		return badInput(fmt.Errorf("%s: nothing to vary: give --vary KEY=VALUES, as in --vary station.servers=15..20/6", name))
	}
	base, err := loadStation(name, c.settings)
	if err != nil {
		return err
	}
	var axes []sweep.Axis
	for _, v := range c.Vary {
		key, values, err := scenarios.ParseVary(v)
		if err != nil {
			return badInput(err)
		}
		if slices.ContainsFunc(axes, func(x sweep.Axis) bool { return x.Key == key }) {
			return badInput(fmt.Errorf("--vary %s: the key is there twice", key))
		}
		axes = append(axes, sweep.Axis{Key: key, Values: values})
	}
	var points []stationPoint
	for _, settings := range sweep.Grid(axes) {
		p := stationPoint{Settings: settings}
		spec, err := loadStation(name, c.settings)
		if err == nil {
			err = badInput(spec.SetAll(settings...))
		}
		if err == nil {
			p.spec = spec
			p.cfg, err = stationConfig(spec, c.Seed)
		}
		if p.Unstable = errors.Is(err, station.ErrUnstable); err != nil && !p.Unstable {
			return badInput(fmt.Errorf("%s with %s: %w", name, settingsText(settings), err))
		}
		points = append(points, p)
	}
	if !slices.ContainsFunc(points, func(p stationPoint) bool { return !p.Unstable }) {
		return badInput(fmt.Errorf("%s: no point has a steady state: lower the rate, add servers, or bound places or patience", name))
	}
	out := c.Out
	if out == "" {
		out = filepath.Join("reports", "out", "sim-sweep-"+scenarioName(name))
	}
	dir, err := newRunDir(out, "")
	if err != nil {
		return err
	}
	show, began := newProgress(a.stderr), time.Now()
	for i := range points {
		p := &points[i]
		if p.Unstable {
			continue
		}
		res, err := station.Run(a.ctx, p.cfg)
		if a.ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		s := stationResult(p.spec, p.cfg, res)
		p.Result = &s
		if spent := time.Since(began); spent > 2*time.Second {
			left := spent / time.Duration(i+1) * time.Duration(len(points)-i-1)
			show.update(func() string {
				return fmt.Sprintf("      %s %d of %d points, about %v left", bar(float64(i+1)/float64(len(points)), 12), i+1, len(points), left.Round(time.Second))
			})
		}
	}
	return c.stationReport(a, show, dir, base, axes, points)
}

// stationReport prints the table of a sweep and writes its folder.
func (c *sweepCmd) stationReport(a *app, show *progress, dir string, base *scenarios.Station, axes []sweep.Axis, points []stationPoint) error {
	done := slices.DeleteFunc(slices.Clone(points), func(p stationPoint) bool { return p.Result == nil })
	if len(done) == 0 {
		show.clear()
		return marked(gate.ExitInterrupted, errors.New("interrupted before the first point was complete: there is nothing to keep"))
	}
	first := done[0].Result
	level := levelWords(first.Confidence)
	table, differs := stationSweepTable(first.Title, level, axes, points)
	drawings, err := stationCourses(level, axes, done)
	if err != nil {
		return err
	}
	js, err := json.MarshalIndent(points, "", "  ")
	if err != nil {
		return err
	}
	js = append(js, '\n')
	args := append([]string{"spillway", "sweep", c.Scenario[0], "--arm", "sim", "--seed", fmt.Sprint(c.Seed)}, c.settings.args()...)
	for _, v := range c.Vary {
		args = append(args, "--vary", "'"+strings.ReplaceAll(v, "'", "")+"'")
	}
	sheet := page.Sheet{Kicker: fmt.Sprintf("%s · bare service station · sweep · seed %d", first.Name, c.Seed), Title: first.Title,
		Answer: []string{strings.Join(stationWords(base), "; ") + "; but for what is varied.", strings.TrimSpace(base.About)}, Tables: []reports.Table{table},
		Commands: []string{"git checkout " + strings.TrimSuffix(version(), "-dirty"), strings.Join(args, " ")},
		Facts:    []page.Fact{{Name: "commit", What: first.Commit}, {Name: "seed", What: fmt.Sprint(c.Seed)}, {Name: "machine", What: machine()}},
		Files:    []page.File{{Name: stationSweep, What: "every point for machines"}, {Name: "sweep.md", What: "the table as Markdown"}}, Text: base.Text}
	if err := writeSheet(dir, sheet, drawings, file{stationSweep, js}, file{"sweep.md", []byte(table.Markdown())}); err != nil {
		return err
	}
	show.clear()
	if c.JSON {
		if _, err := a.stdout.Write(js); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "%s\nreport: %s\n", table.Text(), filepath.Join(dir, "index.html"))
	}
	switch {
	case a.ctx.Err() != nil:
		return verdictOf(gate.ExitInterrupted)
	case differs:
		return verdictOf(gate.ExitObjectiveMissed)
	}
	return nil
}

// stationSweepTable is a row a point; differs tells whether one differs from theory.
func stationSweepTable(title, level string, axes []sweep.Axis, points []stationPoint) (t reports.Table, differs bool) {
	t.Title = title + ": every point with its " + level + " intervals"
	for _, x := range axes {
		t.Columns = append(t.Columns, x.Key)
	}
	t.Columns = append(t.Columns, "load")
	shown := slices.DeleteFunc(slices.Clone(stationColumns), func(col struct{ key, title string }) bool {
		return !slices.ContainsFunc(points, func(p stationPoint) bool { return p.Result != nil && p.Result.Moves(col.key) })
	})
	for _, col := range shown {
		t.Columns = append(t.Columns, col.title)
	}
	t.Columns = append(t.Columns, "inside")
	var (
		notes []string
		warm  []int
	)
	for _, p := range points {
		var row []string
		for _, s := range p.Settings {
			row = append(row, s.Value)
		}
		switch {
		case p.Unstable:
			row = append(row, "≥ 1", "no steady state")
		case p.Result == nil:
			row = append(row, "", "not run")
		default:
			warm = append(warm, p.Result.WarmUp)
			row = append(row, fmt.Sprintf("%.3g", p.Result.Load))
			for _, col := range shown {
				row = append(row, p.Result.Interval(col.key))
			}
			known, inside, _ := p.Result.Agreement()
			row = append(row, fmt.Sprintf("%d of %d", inside, known))
			_, _, off := p.Result.Verdict()
			differs = differs || off
			for _, n := range p.Result.Notes {
				notes = append(notes, settingsText(p.Settings)+": "+n+".")
			}
		}
		for len(row) < len(t.Columns) {
			row = append(row, "")
		}
		t.Rows = append(t.Rows, row)
	}
	if len(warm) > 0 {
		first := points[slices.IndexFunc(points, func(p stationPoint) bool { return p.Result != nil })].Result
		t.Notes = append(t.Notes, fmt.Sprintf("Each point: %d %s of %s customers; the first %s to %s customers of each run discarded as warm-up; %s intervals, Student's t.",
			first.Blocks, first.Method, count(first.Customers), count(slices.Min(warm)), count(slices.Max(warm)), level))
	}
	t.Notes = append(t.Notes, "“inside”: figures of theory that lie inside their intervals; about one in twenty lies outside by luck at 95 %, and those of one point move together.")
	t.Notes = append(t.Notes, notes...)
	if differs {
		t.Notes = append(t.Notes, "A point differs from theory beyond luck: run it alone with spillway sim and --set to see which figure.")
	}
	return t, differs
}

// stationCourses draws what each varied key moves where it alone is varied.
func stationCourses(level string, axes []sweep.Axis, points []stationPoint) ([]drawing, error) {
	if len(axes) != 1 {
		return nil, nil
	}
	axis := axes[0].Key
	type at struct {
		x float64
		s *reports.Station
	}
	var list []at
	for _, p := range points {
		if x, ok := (plot.RunPoint{Settings: p.Settings}).X(axis); ok {
			list = append(list, at{x, p.Result})
		}
	}
	slices.SortStableFunc(list, func(a, b at) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	var xs []float64
	xUnit := ""
	if v := points[0].Settings[0].Value; strings.HasSuffix(v, "%") {
		xUnit = "%"
	} else if _, err := time.ParseDuration(v); err == nil && strings.HasSuffix(v, "s") {
		xUnit = "s"
	}
	for _, p := range list {
		xs = append(xs, p.x)
	}
	var courses []plot.Course
	for _, col := range stationColumns {
		c := plot.Course{Title: col.title}
		factor := 0.0
		for _, p := range list { // one unit for all points
			_, k, unit, ok := p.s.Figure(col.key)
			if ok && (factor == 0 || k < factor) {
				factor, c.Unit = k, " ("+strings.TrimSpace(unit)+")"
				if strings.TrimSpace(unit) == "" {
					c.Unit = " per customer"
				}
			}
		}
		for _, p := range list {
			v, half, theory := math.NaN(), math.NaN(), math.NaN()
			if f, _, _, ok := p.s.Figure(col.key); ok {
				v, half = f.Value.V*factor, f.Half.V*factor
				if f.Theory.OK {
					theory = f.Theory.V * factor
				}
			}
			c.Value, c.Half, c.Theory = append(c.Value, v), append(c.Half, half), append(c.Theory, theory)
		}
		if slices.ContainsFunc(list, func(p at) bool { return p.s.Moves(col.key) }) {
			courses = append(courses, c)
		}
	}
	s := points[0].Result
	f, err := plot.StationCourses(fmt.Sprintf("%s · seed %d · %d %s of %s customers a point", s.Name, s.Seed, s.Blocks, s.Method, count(s.Customers)), level, axis, xUnit, xs, courses)
	if errors.Is(err, plot.ErrNoData) {
		return nil, nil
	}
	return []drawing{{"What " + axis + " moves", f}}, err
}
