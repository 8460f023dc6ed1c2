package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spillway/internal/deploy"
	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/reports"
	"spillway/scenarios"
)

type chaosCmd struct {
	Scenario string        `arg:"" optional:"" default:"chaos" help:"Name or file; without faults of its own."`
	Fault    []string      `placeholder:"KIND[:TARGET]" help:"Only this fault; repeatable. Default: every fault of spillway scenario faults."`
	At       time.Duration `default:"12s" help:"Moment of the fault, after the opening (scenario time)."`
	For      time.Duration `default:"16s" help:"Length of the fault (scenario time)."`
	settings
	target
	output
}

// strength is what a fault's amount is in a chaos run, written as a scenario has it,
// by its unit. Seconds are scenario time: 200 ms of the run at the scenario's scale.
var strength = map[string]string{fault.Seconds: "800ms", fault.Share: "20 %", fault.Instances: "8 instances",
	fault.Messages: "2_000 messages", fault.Entries: "20_000 entries"}

// strengthOf are the exceptions.
var strengthOf = map[string]string{fault.ClockStep: "4h"}

func (c *chaosCmd) Run(a *app) error {
	names, err := c.names()
	if err != nil {
		return badInput(err)
	}
	spec, err := c.load()
	if err != nil {
		return err
	}
	if len(spec.Faults) > 0 {
		return badInput(fmt.Errorf("scenario %s has faults of its own; choose one without", c.Scenario))
	}
	// Everything that can be refused is refused before the first minute is spent.
	can := func(context.Context, wire.Fault) (bool, error) { return true, nil }
	if c.Deployment != "" {
		d, err := deploy.Open(a.ctx, c.Deployment)
		if err != nil {
			return environment(err)
		}
		can = d.Inject // with a For of 0 it only says whether it would
	}
	var length time.Duration
	for _, name := range names {
		sc, err := c.under(name)
		if err != nil {
			return err
		}
		for _, f := range sc.FaultsWithin() {
			if _, err := can(a.ctx, wire.Fault{Kind: f.Kind, Amount: f.Amount, Target: f.Target}); err != nil {
				return badInput(err)
			}
		}
		length += sc.Length + c.betweenRuns()
	}
	dir, err := newRunDir(c.Out, scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	points := filepath.Join(dir, pointsDir)
	if err := os.MkdirAll(points, 0o755); err != nil {
		return environment(fmt.Errorf("cannot make the folder of the points: %w", err))
	}
	var recs []*record.Record
	var failed error
	for i, name := range names {
		if a.ctx.Err() != nil {
			break
		}
		sc, err := c.under(name)
		if err != nil {
			return err
		}
		show.say("[%d/%d] %s (about %v left)", i+1, len(names), name, length.Round(time.Second))
		length -= sc.Length + c.betweenRuns()
		rec, err := c.measure(a, sc, name, dir, fmt.Sprintf("%02d-", i), show)
		if err != nil {
			failed = fmt.Errorf("%s: %w", name, err)
			break // what was measured is worth a report
		}
		recs = append(recs, rec)
		show.say("      %s", recoveryLine(reports.Recover(recs[0], rec)))
	}
	set := reportSet{Sweeps: [][]*record.Record{recs}, Command: c.command()}
	if len(recs) == 0 {
		if failed != nil {
			return failed
		}
		set.Sweeps = nil
	}
	err = finish(a, show, dir, c.JSON, set)
	return cmp.Or(failed, err) // the first tells why there is no more
}

// betweenRuns is what starting, draining and checking a backend takes, about; a
// deployment's two dozen containers are started anew.
func (c *chaosCmd) betweenRuns() time.Duration {
	if c.Deployment != "" {
		return 12 * time.Second
	}
	return 2 * time.Second
}

// names are the faults to run, the calm run first.
func (c *chaosCmd) names() (names []string, err error) {
	names = []string{reports.NoFault}
	for _, want := range c.Fault {
		kind, target, _ := strings.Cut(want, ":")
		targets := []string{target}
		if target == "" && len(fault.Targets(kind)) > 0 {
			targets = fault.Targets(kind) // all it may hit
		}
		for _, target := range targets {
			if _, err := fault.Find(kind, target); err != nil {
				return nil, fmt.Errorf("--fault %s: %w%s", want, err, scenarios.DidYouMean(kind, fault.Kinds()))
			}
			names = append(names, fault.Name(kind, target))
		}
	}
	if len(c.Fault) > 0 {
		return names, nil
	}
	for _, row := range fault.Table {
		targets := row.Targets
		if len(targets) == 0 {
			targets = []string{""}
		}
		for _, target := range targets {
			names = append(names, fault.Name(row.Kind, target))
		}
	}
	return names, nil
}

// load reads the scenario and puts the flags on it.
func (c *chaosCmd) load() (*scenarios.Spec, error) {
	spec, err := scenarios.Load(c.Scenario)
	if err != nil {
		return nil, badInput(err)
	}
	if err := c.apply(spec); err != nil {
		return nil, badInput(err)
	}
	return spec, nil
}

// under is the scenario with one fault in it. It is written into the text, so that the
// record's scenario can be run again.
func (c *chaosCmd) under(name string) (*scenarios.Scaled, error) {
	spec, err := c.load()
	if err != nil {
		return nil, err
	}
	if name == reports.NoFault {
		return scaledFor(spec, c.Seed)
	}
	kind, target, _ := strings.Cut(name, ":")
	row, err := fault.Find(kind, target)
	if err != nil {
		return nil, badInput(err)
	}
	line := fmt.Sprintf("{at: %v, kind: %s, for: %v", c.At, kind, c.For)
	if target != "" {
		line += ", target: " + target
	}
	if amount := strengthOf[kind]; amount != "" {
		line += fmt.Sprintf(", amount: %s", amount)
	} else if row.Unit != "" {
		line += fmt.Sprintf(", amount: %s", strength[row.Unit])
	}
	again, err := scenarios.Parse([]byte(spec.Text+"\nfaults:\n  - "+line+"}\n"), c.Scenario)
	if err != nil {
		return nil, badInput(err)
	}
	return scaledFor(again, c.Seed)
}

// measure runs the scenario once and notes in the record which fault it was under, and
// when.
func (c *chaosCmd) measure(a *app, sc *scenarios.Scaled, name, dir, number string, show *progress) (*record.Record, error) {
	file := strings.ReplaceAll(name, ":", "-")
	if c.Deployment != "" {
		if err := fresh(a.ctx, c.target); err != nil {
			return nil, environment(err)
		}
	}
	rec, err := runOne(a.ctx, sc, c.target, dir, file, show)
	if rec == nil {
		return nil, err
	}
	rec.Header.Commit = version()
	rec.Header.Vary = []record.Setting{{Key: reports.VaryFault, Value: name}}
	for _, f := range sc.FaultsWithin() {
		rec.Marks[record.MarkFault], rec.Marks[record.MarkFaultEnd] = f.At, f.At+f.For
	}
	// What was measured is kept even when its backend did not end well.
	return rec, errors.Join(keep(dir, filepath.Join(pointsDir, number+file+".rec"), rec), err)
}

func recoveryLine(r reports.Recovery) string {
	broken := int64(0)
	for _, n := range r.Broken {
		broken += n
	}
	took := "back after " + r.Took.Text(reports.Seconds)
	switch {
	case r.Fault == reports.NoFault:
		took = "the run that the others are held against"
	case r.Took.Unsure:
		took = "not back within the run"
	}
	return fmt.Sprintf("invariants broken %d, unknown %d, no answer %d, dead letters %s, %s", broken, r.Unknown, r.Failed, r.Dead.Text(reports.Count), took)
}

// command is how to make the report again.
func (c *chaosCmd) command() string {
	args := []string{"spillway", "chaos", c.Scenario, "--seed", fmt.Sprint(c.Seed)}
	for _, f := range c.Fault {
		args = append(args, "--fault", f)
	}
	return strings.Join(append(args, c.settings.args()...), " ")
}
