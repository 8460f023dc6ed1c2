package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"spillway/internal/record"
	"spillway/reports/gate"
)

type gateCmd struct {
	Record    string   `arg:"" help:"A record, or a run's folder."`
	Objective []string `placeholder:"TEXT" sep:"none" help:"Judge by these instead of the record's own; repeatable."`
	JSON      bool     `help:"Print the verdict as JSON."`
	Markdown  bool     `help:"Print the verdict as Markdown."`
	JUnit     string   `name:"junit" placeholder:"FILE" help:"Also write JUnit XML."`
}

func (c *gateCmd) Run(a *app) error {
	rec, err := readRecord(c.Record)
	if err != nil {
		return err
	}
	if len(c.Objective) > 0 {
		rec.Header.Objectives = nil
		for _, text := range c.Objective {
			if _, err := record.ParseObjective(text); err != nil {
				return badInput(err)
			}
			rec.Header.Objectives = append(rec.Header.Objectives, text)
		}
	}
	v := gate.Judge(rec)
	if c.JUnit != "" {
		xml, err := v.JUnit()
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.JUnit, xml, 0o644); err != nil {
			return environment(fmt.Errorf("cannot write the JUnit file: %w", err))
		}
	}
	switch {
	case c.JSON:
		text, err := v.JSON()
		if err != nil {
			return err
		}
		fmt.Fprint(a.stdout, string(text))
	case c.Markdown:
		fmt.Fprintln(a.stdout, v.Markdown())
	default:
		fmt.Fprint(a.stdout, v.Text())
	}
	return verdictOf(v.Code)
}

// readRecord reads a record, or the main record of a run's folder.
func readRecord(path string) (*record.Record, error) {
	file := path
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file = filepath.Join(path, mainRecord)
	}
	rec, err := record.ReadFile(file)
	if err != nil {
		if err := stationFolder(path); err != nil {
			return nil, err
		}
	}
	return rec, badInput(err)
}
