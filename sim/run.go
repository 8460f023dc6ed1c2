package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"spillway/internal/record"
	"spillway/scenarios"
	"spillway/sim/model"
)

// Options say what a scenario does not; see the model's. The zero value has the
// defaults.
type Options = model.Options

// Progress is the state of a run under way.
type Progress = model.Progress

// Errors of Run, to be told apart with errors.Is.
var (
	// ErrNative says that the scenario's gateways run at the code's own capacity.
	ErrNative = model.ErrNative
	// ErrFault says that the scenario names a fault that a simulation cannot do.
	ErrFault = model.ErrFault
	// ErrBooks says that something was not conserved: a defect of the simulator.
	ErrBooks = model.ErrBooks
)

// Run simulates a scaled scenario, every visit by itself, and returns its record:
// what the attack would have written, with the label "sim", save for what only a
// generator has (lateness). Objectives about the generator are left out, with a
// note. When ctx ends the record is partial and there is no error.
func Run(ctx context.Context, sc *scenarios.Scaled, opt Options) (*record.Record, error) {
	rec, err := model.Run(ctx, sc, opt)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	h := &rec.Header
	h.Label = "sim"
	h.Objectives = slices.DeleteFunc(h.Objectives, func(text string) bool {
		o, err := record.ParseObjective(text)
		return err == nil && o.Kind == record.KindLateness
	})
	if n := len(sc.Full.Objectives) - len(h.Objectives); n > 0 {
		what := "1 objective about the generator's lateness does"
		if n > 1 {
			what = fmt.Sprintf("%d objectives about the generator's lateness do", n)
		}
		h.Notes = append(h.Notes, what+" not apply: nothing was sent")
	}
	shown := func(d, otherwise time.Duration) string {
		switch {
		case d == 0:
			return otherwise.String()
		case d < 0:
			return "0s"
		}
		return d.String()
	}
	h.Assumptions = append(h.Assumptions,
		record.Assumption{Key: "sim.network", Low: "0s", Base: shown(opt.Network, model.DefaultNetwork), High: "100ms",
			Why: "round trip without service, constant; measured between attack and backend on one machine, a phone network takes 20 to 100 ms"},
		record.Assumption{Key: "sim.overhead", Low: "0s", Base: shown(opt.Overhead, model.DefaultOverhead), High: "2ms",
			Why: "what a gateway adds to a request beyond its modelled service, constant; measured on the bundled backend"})
	return rec, nil
}
