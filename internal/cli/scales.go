package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"spillway/internal/draw"
	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
	"spillway/scenarios"
	"spillway/sim"
)

type scalesCmd struct {
	Scenario string `arg:"" optional:"" default:"suikang-sweep" help:"Name or file."`
	settings
	simulation
	Within time.Duration `default:"30s" placeholder:"D" help:"What the largest scale may take to simulate; beyond it a smaller one stands for 1:1."`
	output
}

func (c *scalesCmd) Run(a *app) error {
	opt, err := c.options()
	if err != nil {
		return err
	}
	spec, err := loader(c.Scenario, c.settings, windowOpening)()
	if err != nil {
		return err
	}
	list, err := scalesWithin(spec, c.Seed, c.Within)
	if err != nil {
		return err
	}
	dir, err := newRunDir(c.Out, "scales-"+scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	recs, err := atScales(a, show, list, opt)
	if errors.Is(err, errInterrupted) {
		return marked(gate.ExitInterrupted, errors.New("interrupted: a comparison wants all its scales, so nothing is kept"))
	}
	if err != nil {
		return err
	}
	for _, rec := range recs {
		rec.Header.Commit, rec.Header.Machine = version(), machine()
	}
	drawings, err := scaleDrawings(recs)
	if err != nil {
		return err
	}
	table := plot.ScaleTable(recs)
	args := append([]string{"spillway", "scales", c.Scenario, "--seed", fmt.Sprint(c.Seed)}, c.settings.args()...)
	largest := recs[0]
	p := page.Page{Record: largest, Name: largest.Header.Scenario, Tables: []reports.Table{table},
		Commands: []string{"git checkout " + strings.TrimSuffix(version(), "-dirty"), strings.Join(append(args, c.simulation.args()...), " ")}}
	if err := writeFigures(dir, drawings, &p); err != nil {
		return environment(err)
	}
	if err := writeTexts(dir, p, reports.Summarize(largest), gate.Judge(largest), p.Tables); err != nil {
		return environment(err)
	}
	link(dir)
	show.clear()
	if c.JSON {
		return writeJSON(a, table)
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n\nreport: %s\n", table.Text(), filepath.Join(dir, "index.html"))
	return err
}

// scalesWithin are the scales of a comparison: the largest that can be simulated in
// time, 1:100, 1:1000 and last the scenario's own, at which the attack runs.
func scalesWithin(spec *scenarios.Spec, seed uint64, within time.Duration) ([]*scenarios.Scaled, error) {
	var out []*scenarios.Scaled
	at := func(n, k float64) (*scenarios.Scaled, error) {
		people := 1 / n
		if n == 0 {
			people = 0
		}
		sc, err := scenarios.ScaleWithin(spec, people, k, scenarios.Unbounded)
		if err != nil {
			return nil, badInput(err)
		}
		return sc.WithSeed(draw.Seed(seed)), nil
	}
	own, err := at(0, 0)
	if err != nil {
		return nil, err
	}
	largest := 0.0
	for _, n := range []float64{1, 2, 5, 10, 20, 50} {
		sc, err := at(n, 1)
		if err != nil {
			return nil, err
		}
		if sim.Estimate(sc).Time <= within {
			largest, out = n, append(out, sc)
			break
		}
	}
	for _, n := range []float64{100, 1000} {
		if n == largest || own.K == 1 && sameScale(n, 1/own.S) {
			continue // the scenario's own comes last
		}
		sc, err := at(n, 1)
		if err != nil {
			return nil, err
		}
		out = append(out, sc)
	}
	return append(out, own), nil
}

func sameScale(a, b float64) bool { return a/b < 1+1e-9 && b/a < 1+1e-9 }

// atScales simulates a scenario at several scales; at the last as the attack has to,
// with service times that no time scale shrinks.
func atScales(a *app, show *progress, list []*scenarios.Scaled, opt sim.Options) ([]*record.Record, error) {
	var out []*record.Record
	for i, sc := range list {
		opt.Unscaled = i == len(list)-1
		show.say("      simulating at 1:%g, time ×%g: %v", 1/sc.S, sc.K, sim.Estimate(sc))
		began := time.Now()
		opt.Progress = func(p sim.Progress) {
			if time.Since(began) > 2*time.Second {
				show.update(func() string { return simLine(sc, p, time.Since(began)) })
			}
		}
		rec, err := sim.Run(a.ctx, sc, opt)
		switch {
		case errors.Is(err, sim.ErrNative), errors.Is(err, sim.ErrFault):
			return nil, badInput(err)
		case err != nil:
			return nil, err
		case a.ctx.Err() != nil:
			return nil, errInterrupted
		}
		out = append(out, rec)
	}
	return out, nil
}

// scaleDrawings is the figure of all scales on axes of full size.
func scaleDrawings(recs []*record.Record) ([]drawing, error) {
	f, err := plot.Scales(recs)
	switch {
	case errors.Is(err, plot.ErrNoData):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []drawing{{"What the scale model distorts", f}}, nil
}
