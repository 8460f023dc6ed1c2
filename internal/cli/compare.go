package cli

import (
	"fmt"

	"spillway/internal/record"
	"spillway/reports"
)

type compareCmd struct {
	Record   []string `arg:"" help:"Records or runs' folders, the first one to the left."`
	JSON     bool     `help:"Print the summaries as JSON."`
	Markdown bool     `help:"Print Markdown."`
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
	if c.JSON {
		return writeJSON(a, summaries)
	}
	t := reports.Compare(nil, recs...)
	if c.Markdown {
		fmt.Fprintln(a.stdout, t.Markdown())
		return nil
	}
	fmt.Fprintln(a.stdout, t.Text())
	return nil
}
