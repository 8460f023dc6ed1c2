package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
)

type compareCmd struct {
	Record     []string `arg:"" help:"Records or runs' folders, the first one to the left. Simulations and a measurement of the same run are held against each other: several are evenings that differ in luck alone."`
	Prediction bool     `help:"Take the last record for a measurement and the others for its prediction, whatever made them; refuse where they are not of one run."`
	Out        string   `placeholder:"DIR" help:"Of a prediction: write the page with the figure of both curves there."`
	Figure     string   `placeholder:"FILE" help:"Of a prediction: draw both over time into this SVG file."`
	JSON       bool     `help:"Print the summaries, or the prediction, as JSON."`
	Markdown   bool     `help:"Print Markdown."`
}

func (c *compareCmd) Run(a *app) error {
	var recs []*record.Record
	for _, name := range c.Record {
		rec, err := readRecord(name)
		if err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	var sims, attacks []*record.Record
	for i, r := range recs {
		if c.Prediction && i < len(recs)-1 || !c.Prediction && r.Header.Label == "sim" {
			sims = append(sims, r)
		} else {
			attacks = append(attacks, r)
		}
	}
	var why error // there is no prediction
	if len(sims) > 0 && len(attacks) == 1 {
		p, err := reports.PredictBy("", sims, attacks[0])
		if err == nil {
			return c.predict(a, sims[0], attacks[0], p)
		}
		if why = err; c.Prediction {
			return badInput(err)
		}
	} else if c.Prediction {
		return badInput(fmt.Errorf("--prediction takes two records or more, got %d: spillway compare SIM_RECORD… ATTACK_RECORD --prediction", len(recs)))
	}
	switch {
	case c.Figure != "" || c.Out != "":
		if why == nil {
			why = errors.New("there is no simulation and measurement here")
		}
		return badInput(fmt.Errorf("--figure and --out go with a prediction: %w", why))
	case c.JSON:
		var summaries []reports.Summary
		for _, r := range recs {
			summaries = append(summaries, reports.Summarize(r))
		}
		return writeJSON(a, summaries)
	}
	t := reports.Compare(columns(recs, c.Record), recs...)
	if why != nil {
		t.Notes = append(t.Notes, "Not held against each other: "+why.Error()+".")
	}
	return c.print(a, t)
}

// columns names records so that no two are called the same; where nothing in them tells
// them apart, by their files.
func columns(recs []*record.Record, files []string) (names []string) {
	for _, of := range []func(h *record.Header) string{
		func(h *record.Header) string { return h.Scenario },
		func(h *record.Header) string { return h.Label },
		func(h *record.Header) string { return reports.Thinning(h.People) },
		func(h *record.Header) string { return fmt.Sprintf("%v to %v", h.From, h.To) },
		func(h *record.Header) string { return fmt.Sprint("seed ", h.Seed) },
		func(h *record.Header) string { return settingsText(h.Vary) },
	} {
		for i, r := range recs {
			switch {
			case len(names) < len(recs):
				names = append(names, of(&r.Header))
			default:
				names[i] += ", " + of(&r.Header)
			}
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(names))); len(distinct) == len(recs) {
			return names
		}
	}
	for i, r := range recs {
		names[i] = r.Header.Scenario + ", " + files[i]
	}
	return names
}

func (c *compareCmd) predict(a *app, sim, attack *record.Record, p reports.Prediction) error {
	if c.Figure != "" || c.Out != "" {
		f, err := plot.Predicted(sim, attack)
		if err != nil {
			return badInput(err)
		}
		if c.Figure != "" {
			if err := writeWhole(c.Figure, f.SVG); err != nil {
				return environment(fmt.Errorf("cannot write %s: %w", c.Figure, err))
			}
		}
		if c.Out != "" {
			if err := c.page(sim, attack, p, f); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		return writeJSON(a, p)
	}
	return c.print(a, p.Table())
}

// page is the report of a prediction: the measurement's, with the simulation beside.
func (c *compareCmd) page(sim, attack *record.Record, p reports.Prediction, f plot.Figure) error {
	dir, err := newRunDir(c.Out, "")
	if err != nil {
		return err
	}
	h := &attack.Header
	pg := page.Page{Record: attack, Name: h.Scenario + ", measured", Others: []page.Run{{Record: sim, Name: h.Scenario + ", predicted"}},
		Tables:   []reports.Table{p.Table()},
		Commands: []string{"git checkout " + strings.TrimSuffix(version(), "-dirty"), "spillway compare " + strings.Join(c.Record, " ") + " --out " + c.Out}}
	if err := writeFigures(dir, []drawing{{"Predicted and measured", f}}, &pg); err != nil {
		return environment(err)
	}
	return environment(writeTexts(dir, pg, reports.Summarize(attack), gate.Judge(attack), pg.Tables))
}

func (c *compareCmd) print(a *app, t reports.Table) error {
	text := t.Text
	if c.Markdown {
		text = t.Markdown
	}
	_, err := fmt.Fprintln(a.stdout, text())
	return err
}
