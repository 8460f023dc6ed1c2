package cli

import (
	"errors"
	"fmt"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/plot"
)

type compareCmd struct {
	Record     []string `arg:"" help:"Records or runs' folders, the first one to the left."`
	Prediction bool     `help:"Hold the first record, a simulation, against the second, a measurement: errors and intervals."`
	Figure     string   `placeholder:"FILE" help:"With --prediction: draw both over time into this SVG file."`
	JSON       bool     `help:"Print the summaries, or the prediction, as JSON."`
	Markdown   bool     `help:"Print Markdown."`
}

func (c *compareCmd) Run(a *app) error {
	var recs []*record.Record
	var summaries []reports.Summary
	for _, name := range c.Record {
		rec, err := readRecord(name)
		if err != nil {
			return err
		}
		recs, summaries = append(recs, rec), append(summaries, reports.Summarize(rec))
	}
	switch {
	case c.Prediction:
		return c.predict(a, recs)
	case c.Figure != "":
		return badInput(errors.New("--figure goes with --prediction: spillway compare SIM_RECORD ATTACK_RECORD --prediction --figure FILE"))
	case c.JSON:
		return writeJSON(a, summaries)
	}
	return c.print(a, reports.Compare(nil, recs...))
}

func (c *compareCmd) predict(a *app, recs []*record.Record) error {
	if len(recs) != 2 {
		return badInput(fmt.Errorf("--prediction takes two records, got %d: spillway compare SIM_RECORD ATTACK_RECORD --prediction", len(recs)))
	}
	p, err := reports.Predict("", recs[0], recs[1])
	if err != nil {
		return badInput(err)
	}
	if c.Figure != "" {
		f, err := plot.Predicted(recs[0], recs[1])
		if err != nil {
			return badInput(err)
		}
		if err := writeWhole(c.Figure, f.SVG); err != nil {
			return environment(fmt.Errorf("cannot write %s: %w", c.Figure, err))
		}
	}
	if c.JSON {
		return writeJSON(a, p)
	}
	return c.print(a, p.Table())
}

func (c *compareCmd) print(a *app, t reports.Table) error {
	text := t.Text
	if c.Markdown {
		text = t.Markdown
	}
	_, err := fmt.Fprintln(a.stdout, text())
	return err
}
