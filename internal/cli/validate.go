package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
	"spillway/scenarios"
	"spillway/sim"
)

type validateCmd struct {
	Scenario   string        `arg:"" optional:"" default:"suikang-sweep" help:"Short scenario to calibrate on and to predict around."`
	Seed       uint64        `default:"1" help:"Seed of the calibration run and of every measurement."`
	Blind      uint64        `placeholder:"SEED" help:"Predict with ten seeds from this one on instead: other visitors, so that their luck is part of the error."`
	Points     []string      `sep:";" default:"admission.probability=5%;admission.probability=50%;queue.depth=2000;visitor.booking_share=30%;admission.probability=5%,writer-stop" help:"What to predict and measure: settings KEY=VALUE, several joined by commas, or writer-stop."`
	ScalesTime time.Duration `default:"15s" placeholder:"D" help:"What the largest scale of the comparison of scales may take to simulate; 0s for no comparison."`
	output
}

// validationDir holds the pairs of records of a validation.
const validationDir = "pairs"

// stopAt and stopFor are the writer-stop's: while stock is being sold, in scenario
// time; the shipped suikang-writer-stop has the same.
const (
	stopAt  = 11 * time.Second
	stopFor = 10 * time.Second
)

// spec is the scenario at one of the points; "" is as it stands.
func (c *validateCmd) spec(point string) (*scenarios.Spec, []record.Setting, error) {
	spec, err := scenarios.Load(c.Scenario)
	if err != nil {
		return nil, nil, badInput(err)
	}
	var set []record.Setting
	for _, word := range strings.Split(point, ",") {
		word = strings.TrimSpace(word)
		key, value, ok := strings.Cut(word, "=")
		switch {
		case word == "":
		case word == "writer-stop":
			// Through the text, so that the record says what was run.
			if len(spec.Faults) > 0 {
				return nil, nil, badInput(fmt.Errorf("point %s: scenario %s has faults of its own; choose one without", word, c.Scenario))
			}
			stop := fmt.Sprintf("\nfaults:\n  - {at: %v, kind: %s, for: %v}\n", stopAt, fault.WriterStop, stopFor)
			again, err := scenarios.Parse([]byte(spec.Text+stop), c.Scenario)
			if err != nil {
				return nil, nil, badInput(fmt.Errorf("point %s: %w", word, err))
			}
			spec = again
		case !ok:
			return nil, nil, badInput(fmt.Errorf("point %.40q: want KEY=VALUE or writer-stop", word))
		default:
			if err := spec.Set(key, value); err != nil {
				return nil, nil, badInput(fmt.Errorf("point %s: %w", word, err))
			}
			set = append(set, record.Setting{Key: key, Value: value})
		}
	}
	return spec, set, nil
}

// pair is one point: predicted and measured.
type pair struct {
	name        string
	sim, attack *record.Record
	held        reports.Prediction
}

func (c *validateCmd) Run(a *app) error {
	// Everything that can be refused is refused before the first minute is spent.
	for _, p := range append([]string{""}, c.Points...) {
		spec, _, err := c.spec(p)
		if err != nil {
			return err
		}
		if _, err := scaledFor(spec, c.Seed); err != nil {
			return err
		}
	}
	dir, err := newRunDir(c.Out, "validate-"+scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	pairs := filepath.Join(dir, validationDir)
	if err := os.MkdirAll(pairs, 0o755); err != nil {
		return environment(fmt.Errorf("cannot make the folder of the records: %w", err))
	}
	show := newProgress(a.stderr)
	total := len(c.Points) + 1
	spec, _, err := c.spec("")
	if err != nil {
		return err
	}
	sc, err := scaledFor(spec, c.Seed)
	if err != nil {
		return err
	}
	show.say("[1/%d] calibrating: %s", total, heading(sc))
	base, err := measureFit(a, sc, dir, "calibration", mainRecord, show)
	if err != nil {
		return err
	}
	cal, err := calibrated(a, base)
	if err != nil {
		return err
	}
	text, err := cal.Encode()
	if err != nil {
		return err
	}
	if err := writeWhole(filepath.Join(dir, "calibration.json"), text); err != nil {
		return environment(fmt.Errorf("cannot write the calibration: %w", err))
	}
	var done []pair
	for i, point := range c.Points {
		p, err := c.point(a, show, fmt.Sprintf("[%d/%d]", i+2, total), pairs, i, point, cal)
		if err != nil {
			return err
		}
		done = append(done, p)
	}
	var scales []*record.Record
	if c.ScalesTime > 0 {
		list, err := scalesWithin(spec, c.Seed, c.ScalesTime)
		if err != nil {
			return err
		}
		if scales, err = atScales(a, show, list, cal.Options()); err != nil {
			return err
		}
	}
	return c.report(a, show, dir, base, cal, done, scales)
}

// triesToMeasure bounds the attempts at a run whose generator keeps up: what else
// the machine does lasts for seconds.
const triesToMeasure = 3

// measureFit measures until the generator kept up. What lagged is thrown away
// unlooked at: its figures are never compared, so there is no choosing among them.
func measureFit(a *app, sc *scenarios.Scaled, dir, name, file string, show *progress) (*record.Record, error) {
	for try := 1; ; try++ {
		rec, err := measure(a, sc, target{InFlight: defaultInFlight}, dir, name, file, show)
		if err != nil {
			return nil, err
		}
		if a.ctx.Err() != nil {
			return nil, errInterrupted
		}
		err = fit(rec)
		switch {
		case err == nil:
			return rec, nil
		case try == triesToMeasure:
			return nil, marked(gate.ExitLagged, fmt.Errorf("%d runs in a row: %w; run it on an idle machine", try, err))
		}
		show.say("      not to be trusted, once more: %v", err)
	}
}

// point predicts a point, measures it, and holds one against the other.
func (c *validateCmd) point(a *app, show *progress, step, dir string, i int, point string, cal *sim.Calibration) (pair, error) {
	spec, set, err := c.spec(point)
	if err != nil {
		return pair{}, err
	}
	guesses, err := c.evenings(spec)
	if err != nil {
		return pair{}, err
	}
	first := guesses[0].sc
	show.say("%s predicting %s from %d evenings, margin %+.1f σ", step, point, len(guesses), first.Prediction.Margin)
	p := pair{name: point}
	var sims []*record.Record
	for _, g := range guesses {
		opt := cal.Options()
		opt.Phase = g.phase
		rec, err := sim.Run(a.ctx, g.sc, opt)
		if err != nil {
			return pair{}, err
		}
		if a.ctx.Err() != nil {
			return pair{}, errInterrupted
		}
		cal.AsMeasured(rec)
		sims = append(sims, rec)
	}
	p.sim = sims[0]
	sc, err := scaledFor(spec, c.Seed)
	if err != nil {
		return pair{}, err
	}
	show.say("%s measuring", strings.Repeat(" ", len(step)))
	file := fmt.Sprintf("%02d", i+1)
	if p.attack, err = measureFit(a, sc, dir, "point", file+"-attack.rec", show); err != nil {
		return pair{}, err
	}
	for _, r := range []*record.Record{p.sim, p.attack} {
		r.Header.Vary, r.Header.Commit = set, version()
	}
	if err := errors.Join(keep(dir, file+"-sim.rec", p.sim), keep(dir, file+"-attack.rec", p.attack)); err != nil {
		return pair{}, err
	}
	if p.held, err = reports.PredictBy(point, sims, p.attack); err != nil {
		return pair{}, err
	}
	if p.held.Near {
		show.say("      too close to call")
	} else {
		show.say("      %s", p.held.Errors.Text())
	}
	return p, nil
}

// Evenings that a point is simulated in: one alone would be held to luck that nobody
// could have foretold.
const (
	evenings = 10 // with other visitors
	phases   = 8  // with the same ones: moments of the writer's beat
)

// guess is one evening to be simulated.
type guess struct {
	sc    *scenarios.Scaled
	phase time.Duration
}

// evenings are the simulations of a point. With the visitors of the measurement all
// that is unknown is when the writer's beat comes, which decides who meets a full
// queue; with --blind it is everything.
func (c *validateCmd) evenings(spec *scenarios.Spec) (out []guess, err error) {
	if c.Blind != 0 {
		for seed := c.Blind; len(out) < evenings; seed++ {
			if seed == c.Seed {
				continue // those visitors are the measured ones
			}
			sc, err := simulatedFor(spec, seed)
			if err != nil {
				return nil, err
			}
			out = append(out, guess{sc: sc})
		}
		return out, nil
	}
	sc, err := simulatedFor(spec, c.Seed)
	if err != nil {
		return nil, err
	}
	beat := spec.Ledger.Every
	switch spec.Mode {
	case booking.ModeTimedWriter:
		beat = spec.Ledger.FlushEvery
	case booking.ModeLossless:
		beat = 0
	}
	out = append(out, guess{sc: sc}) // the seed's own moment
	for i := 1; i < phases && beat > 0; i++ {
		out = append(out, guess{sc, time.Duration(float64(beat) * (float64(i) + 0.5) / phases)})
	}
	return out, nil
}

// report prints the tables, writes the page and returns the verdict.
func (c *validateCmd) report(a *app, show *progress, dir string, base *record.Record, cal *sim.Calibration, done []pair, scales []*record.Record) error {
	show.say("      drawing the report")
	var held []reports.Prediction
	var tables []reports.Table
	var drawings []drawing
	for i, p := range done {
		held = append(held, p.held)
		tables = append(tables, p.held.Table())
		f, err := plot.Predicted(p.sim, p.attack)
		if errors.Is(err, plot.ErrNoData) {
			continue
		}
		if err != nil {
			return err
		}
		f.ID = fmt.Sprintf("%s-%02d", f.ID, i+1)
		f.Title += ": " + p.name
		drawings = append(drawings, drawing{"Predicted and measured", f})
	}
	errs := reports.Summed(held...)
	overall := overallTable(held, errs)
	if len(scales) > 1 {
		d, err := scaleDrawings(scales)
		if err != nil {
			return err
		}
		drawings, tables = append(drawings, d...), append(tables, plot.ScaleTable(scales))
	}
	tables = append(append([]reports.Table{overall}, tables...), calibrationTables(cal)...)

	again := fmt.Sprintf("make validate SEED=%d", c.Seed)
	if c.Blind != 0 {
		again += fmt.Sprintf(" ARGS='--blind %d'", c.Blind)
	}
	p := page.Page{Record: base, Name: base.Header.Scenario, Tables: tables,
		Commands: []string{fmt.Sprintf("git checkout %s", strings.TrimSuffix(version(), "-dirty")), again},
		Files: []page.File{{Name: "calibration.json", What: "network and overhead, for spillway sim --calibration"}, {Name: "predictions.json", What: "every figure for machines"},
			{Name: "predictions.md", What: "the tables as Markdown"}, {Name: mainRecord, What: "the record of the calibration run"}}}
	if err := writeFigures(dir, drawings, &p); err != nil {
		return environment(err)
	}
	result := struct {
		Errors reports.Errors       `json:"errors"`
		Met    bool                 `json:"goal_met"`
		Points []reports.Prediction `json:"points"`
	}{errs, errs.Met(), held}
	js, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	var md, html bytes.Buffer
	for _, t := range tables {
		md.WriteString(t.Markdown() + "\n")
	}
	if err := page.Write(&html, p); err != nil {
		return err
	}
	for name, data := range map[string][]byte{"predictions.json": append(js, '\n'), "predictions.md": md.Bytes(), "index.html": html.Bytes()} {
		if err := writeWhole(filepath.Join(dir, name), data); err != nil {
			return environment(fmt.Errorf("cannot write the report: %w; make room and run it again", err))
		}
	}
	link(dir)
	show.clear()
	if c.JSON {
		if err := writeJSON(a, result); err != nil {
			return err
		}
	} else {
		for _, t := range tables[1:] {
			fmt.Fprintln(a.stdout, t.Text())
		}
		fmt.Fprintln(a.stdout, overall.Text())
		fmt.Fprintf(a.stdout, "report: %s\n", filepath.Join(dir, "index.html"))
	}
	if !errs.Met() {
		return verdictOf(gate.ExitObjectiveMissed)
	}
	return nil
}

// overallTable is one row a point, and the goal below.
func overallTable(held []reports.Prediction, errs reports.Errors) reports.Table {
	t := reports.Table{Title: "Predictions against the goal", Columns: []string{"point", "margin", "figures", "median error", "worst error", "worst of", "within chance"}}
	percent := func(v reports.Value) string {
		if !v.OK {
			return "–"
		}
		return fmt.Sprintf("%.1f %%", 100*v.V)
	}
	for _, p := range held {
		row := []string{p.Name, "n/a", fmt.Sprint(p.Errors.N), percent(p.Errors.Median), percent(p.Errors.Worst), p.Errors.WorstOf, fmt.Sprint(p.Errors.Within)}
		if p.Margin.OK {
			row[1] = fmt.Sprintf("%+.1f σ", p.Margin.V)
		}
		if p.Near {
			row[2], row[3], row[4], row[5], row[6] = "–", "too close to call", "–", "", "–"
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = []string{"Away from the tipping line: " + errs.Text() + ".",
		fmt.Sprintf("Within chance: figures whose sampling error, luck of the evening or noise of the machine exceeds %.0f %% by itself, and whose error is within three standard errors of it; one beyond counts as an error.", 100*reports.GoalWorst)}
	return t
}
