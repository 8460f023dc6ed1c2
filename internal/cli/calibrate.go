package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/sim"
)

type calibrateCmd struct {
	Record []string `arg:"" help:"Measured records or runs' folders."`
	Out    string   `default:"calibration.json" placeholder:"FILE" help:"File for sim --calibration."`
	JSON   bool     `help:"Print the file instead of the tables."`
}

func (c *calibrateCmd) Run(a *app) error {
	var recs []*record.Record
	for _, name := range c.Record {
		rec, err := readRecord(name)
		if err != nil {
			return err
		}
		if err := fit(rec); err != nil {
			return badInput(fmt.Errorf("%s: %w", name, err))
		}
		recs = append(recs, rec)
	}
	cal, err := calibrated(a, recs...)
	if err != nil {
		return err
	}
	text, err := cal.Encode()
	if err != nil {
		return err
	}
	if err := writeWhole(c.Out, text); err != nil {
		return environment(fmt.Errorf("cannot write %s: %w; make room or name another with --out", c.Out, err))
	}
	if c.JSON {
		_, err = a.stdout.Write(text)
		return err
	}
	for _, t := range calibrationTables(cal) {
		fmt.Fprintln(a.stdout, t.Text())
	}
	_, err = fmt.Fprintf(a.stdout, "written: %s; use it with: spillway sim SCENARIO --calibration %s\n", c.Out, c.Out)
	return err
}

// calibrated calibrates; what the user gave and cannot be used is bad input.
func calibrated(a *app, recs ...*record.Record) (*sim.Calibration, error) {
	cal, err := sim.Calibrate(a.ctx, recs...)
	if errors.Is(err, sim.ErrUnfit) {
		return nil, badInput(err)
	}
	return cal, err
}

// fit refuses what sim.Fit refuses and what a verdict calls invalid.
func fit(rec *record.Record) error {
	if err := sim.Fit(rec); err != nil {
		return err
	}
	if v := gate.Judge(rec); v.Result == gate.ResultInvalid {
		return fmt.Errorf("run %s seed %d: %w: %s", rec.Header.Scenario, rec.Header.Seed, sim.ErrUnfit, strings.TrimSuffix(v.Reason, "."))
	}
	return nil
}

// calibrationTables show the constants and what is behind them.
func calibrationTables(c *sim.Calibration) []reports.Table {
	n := func(v uint64) string { return reports.Count.Format(float64(v)) }
	d := func(v time.Duration) string { return reports.Seconds.Format(v.Seconds()) }
	row := func(name string, e sim.Estimated) []string {
		return []string{name, d(e.Value), d(e.Low) + " to " + d(e.High), n(e.N), e.Of}
	}
	constants := reports.Table{Title: "Constants (wall time)", Columns: []string{"constant", "value", "95 %", "n", "of"},
		Rows:  [][]string{row("network, round trip", c.Network), row("overhead of a gateway", c.Overhead), row("lateness of the generator", c.Lateness)},
		Notes: []string{"Intervals of medians: order statistics n/2 ± 0.98 √n, and half a bucket of the histogram. Lateness is in measured response times and in no simulation."}}
	steps := reports.Table{Title: "Service by step (wall time, from the send)", Columns: []string{"step", "measured p50", "simulated p50", "overhead", "95 %", "n"}}
	for _, s := range c.Steps {
		steps.Rows = append(steps.Rows, []string{s.Step, d(s.Measured.Value), reports.Seconds.Format(s.Simulated), d(s.Overhead.Value),
			d(s.Overhead.Low) + " to " + d(s.Overhead.High), n(s.Measured.N)})
	}
	reached := reports.Table{Title: "Capacities reached (of the run, per second)", Columns: []string{"stage", "configured", "reached", "95 %", "n", "run", "of"}}
	for _, x := range c.Capacities {
		f := reports.Factor.Format
		value := f(x.Value)
		if x.LowerBound {
			value = "at least " + value
		}
		run := fmt.Sprintf("%s seed %d", x.Scenario, x.Seed)
		if x.Settings != "" {
			run += " " + x.Settings
		}
		reached.Rows = append(reached.Rows, []string{x.Name, f(x.Configured), value, f(x.Low) + " to " + f(x.High), n(x.N), run, x.Of})
	}
	reached.Notes = []string{"The simulator takes capacities from the scenario; these say whether the backend keeps to them."}
	return []reports.Table{constants, steps, reached}
}
