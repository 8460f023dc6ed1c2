package cli

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/plot"
)

// tornado runs the scenario with every assumption at its low and at its high end, one
// at a time, and shows which moves the metric most.
func (p *planning) tornado() error {
	metric, ok := plot.MetricByName(p.Tornado)
	if !ok {
		var names []string
		for _, m := range plot.Metrics() {
			names = append(names, m.Name)
		}
		return badInput(fmt.Errorf("--tornado %.40q: no such metric: one of %s", p.Tornado, strings.Join(names, ", ")))
	}
	points := [][]record.Setting{nil} // the scenario as it stands
	var skipped, items []string
	var cost time.Duration
	for _, as := range p.sc.Full.Assumptions() {
		for _, end := range []string{as.Low, as.High} {
			if end == "" || end == as.Base {
				continue
			}
			point := []record.Setting{{Key: as.Key, Value: end}}
			spec, err := p.load()
			if err == nil {
				err = spec.SetAll(point...)
			}
			if err == nil {
				_, err = simulatedFor(spec, p.Seed)
			}
			if err != nil {
				// An item of a list has no key of its own: population.classes.0.share.
				if list := listOf(as.Key); list == "" {
					skipped = append(skipped, as.Key+" = "+end)
				} else if !slices.Contains(items, list) {
					items = append(items, list)
				}
				continue
			}
			points = append(points, point)
		}
	}
	if len(points) == 1 {
		return badInput(fmt.Errorf("scenario %s has no assumption that can be moved", p.sc.Name))
	}
	cost = expected(p.load, points, p.seeds) / time.Duration(runtime.GOMAXPROCS(0))
	p.show.say("      %s", heading(p.sc))
	p.show.say("      %d points × %d seeds, about %v", len(points), len(p.seeds), cost.Round(time.Second))
	recs, err := p.arm.plan(p.a, p.load, points, p.seeds, filepath.Join(p.dir, pointsDir), p.show).Do(p.a.ctx)
	if err != nil {
		return err
	}
	at := func(key, value string) plot.RunPoint {
		var settings []record.Setting
		if key != "" {
			settings = []record.Setting{{Key: key, Value: value}}
		}
		i := slices.IndexFunc(points, func(p []record.Setting) bool { return slices.Equal(p, settings) })
		if i < 0 {
			return plot.RunPoint{}
		}
		return plot.RunPoint{Settings: settings, Records: recs[i*len(p.seeds) : (i+1)*len(p.seeds)]}
	}
	base := at("", "")
	var bars []plot.Bar
	for _, as := range p.sc.Full.Assumptions() {
		if b := (plot.Bar{Key: as.Key, Low: at(as.Key, as.Low), High: at(as.Key, as.High)}); len(b.Low.Records)+len(b.High.Records) > 0 {
			bars = append(bars, b)
		}
	}
	fig, err := plot.Tornado(metric, base, bars)
	switch {
	case errors.Is(err, plot.ErrNoData):
		return badInput(fmt.Errorf("--tornado %s: the scenario as it stands cannot tell it: choose another metric or a larger --scale", metric.Name))
	case err != nil:
		return err
	}
	table := reports.Table{Title: "What moves “" + metric.Title() + "” most", Columns: []string{"assumption", "low", "metric there", "high", "metric there", "largest change"}}
	was, _ := base.Of(metric)
	var still []string
	for _, b := range plot.Sorted(metric, base, bars) {
		row := []string{b.Key}
		for _, end := range []plot.RunPoint{b.Low, b.High} {
			text := "cannot tell"
			if s, ok := end.Of(metric); ok {
				text = fmt.Sprintf("%.4g", s.Mean)
			}
			if len(end.Records) == 0 {
				text = "n/a"
			}
			row = append(row, end.Setting(b.Key), text)
		}
		if m := b.Moves(metric, base); m == 0 {
			still = append(still, b.Key)
			continue
		} else if !math.IsInf(m, -1) {
			row = append(row, fmt.Sprintf("%+.3g", m))
		} else {
			row = append(row, "cannot tell")
		}
		table.Rows = append(table.Rows, row)
	}
	table.Notes = append(table.Notes, fmt.Sprintf("As it stands: %.4g %s. One assumption at a time, the others at their base, means over the same %d seeds; simulated, %s.",
		was.Mean, metric.Unit, len(p.seeds), reports.Thinning(p.sc.S)))
	if len(still) > 0 {
		table.Notes = append(table.Notes, "Does not move it: "+strings.Join(still, ", ")+".")
	}
	if len(skipped) > 0 {
		table.Notes = append(table.Notes, "Not run, because it contradicts the other assumptions at their base: "+strings.Join(skipped, ", ")+".")
	}
	if len(items) > 0 {
		table.Notes = append(table.Notes, "Not run, because the items of a list are not moved alone: "+strings.Join(items, ", ")+".")
	}
	if err := p.page(base.Records[0], []drawing{{"Which assumption matters", fig}}, table); err != nil {
		return err
	}
	if p.JSON {
		return writeJSON(p.a, table)
	}
	fmt.Fprintf(p.a.stdout, "%s\n\nreport: %s\n", table.Text(), filepath.Join(p.dir, "index.html"))
	return nil
}

// listOf is the list that a key's value is in, or "".
func listOf(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		if _, err := strconv.Atoi(p); err == nil {
			return strings.Join(parts[:i], ".")
		}
	}
	return ""
}

// command is how to ask again.
func (c *planCmd) command() string {
	args := []string{"spillway", "plan", c.Scenario}
	if c.Tornado != "" {
		args = append(args, "--tornado", c.Tornado)
	} else {
		args = append(args, "--find", c.Find)
	}
	for _, o := range c.Objective {
		args = append(args, "--objective", "'"+strings.ReplaceAll(o, "'", "")+"'")
	}
	args = append(args, "--seed", fmt.Sprint(c.Seed), "--seeds", fmt.Sprint(c.Seeds))
	if c.Window != windowOpening {
		args = append(args, "--window", c.Window)
	}
	args = append(args, c.settings.args()...)
	return strings.Join(append(args, c.simulation.args()...), " ")
}
