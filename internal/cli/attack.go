package cli

import (
	"fmt"
	"path/filepath"

	"spillway/internal/record"
	"spillway/scenarios"
)

type attackCmd struct {
	choice
	target
	output
}

// output is where a command writes and how it answers.
type output struct {
	Out  string `placeholder:"DIR" help:"Folder of the run; a new one below reports/out by default."`
	JSON bool   `help:"Print the summary as JSON instead of text."`
}

func (c *attackCmd) Run(a *app) error {
	if c.InFlight < 1 {
		return badInput(fmt.Errorf("--in-flight %d: want at least 1", c.InFlight))
	}
	sc, err := c.scaled()
	if err != nil {
		return err
	}
	dir, err := newRunDir(c.Out, scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	announce(show, sc)
	rec, err := measure(a, sc, c.target, dir, "run", mainRecord, show)
	if err != nil {
		return err
	}
	return finish(a, show, dir, c.JSON, reportSet{Main: rec})
}

// File names in a run's folder.
const (
	mainRecord     = "record.rec"
	baselineRecord = "baseline.rec"
	pointsDir      = "points"
	figuresDir     = "figures"
)

// keep writes a record into the run's folder as soon as it is there: whatever
// happens later, the measurement stays.
func keep(dir, name string, rec *record.Record) error {
	return environment(record.WriteFile(filepath.Join(dir, name), rec))
}

// measure runs a scenario once and keeps its record. When the backend failed
// after the run, what was measured is kept all the same.
func measure(a *app, sc *scenarios.Scaled, to target, dir, name, file string, show *progress) (*record.Record, error) {
	rec, err := runOne(a.ctx, sc, to, dir, name, show)
	if err != nil {
		show.clear()
		if rec != nil && keep(dir, file, rec) == nil { // else the first error is the one that tells
			show.say("      the record is kept: spillway report %s", dir)
		}
		return nil, err
	}
	return rec, keep(dir, file, rec)
}
