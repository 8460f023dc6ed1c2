package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"spillway/internal/record"
	"spillway/internal/sweep"
	"spillway/scenarios"
	"spillway/sim"
)

// simulationDefaults are the flags' own.
var simulationDefaults = simulation{Network: 185 * time.Microsecond, Overhead: 415 * time.Microsecond}

// args is the flags that differ from their defaults.
func (s simulation) args() []string {
	var out []string
	if s.Network != simulationDefaults.Network {
		out = append(out, "--network", s.Network.String())
	}
	if s.Overhead != simulationDefaults.Overhead {
		out = append(out, "--overhead", s.Overhead.String())
	}
	if s.Unscaled {
		out = append(out, "--unscaled")
	}
	if s.Plain {
		out = append(out, "--plain")
	}
	if s.Calibration != "" {
		out = append(out, "--calibration", s.Calibration)
	}
	return out
}

// arm simulates points, one a core: a run has one thread and shares nothing.
func (s simulation) arm() (arm, error) {
	opt, err := s.options()
	if err != nil {
		return arm{}, err
	}
	key := fmt.Sprintf("sim %v %v %v", opt.Network, opt.Overhead, opt.Unscaled)
	if opt.Plain {
		key += " plain" // the oracle's points are its own: it must not find the fast one's
	}
	plan := func(a *app, load func() (*scenarios.Spec, error), points [][]record.Setting, seeds []uint64, dir string, show *progress) *sweep.Plan {
		p := &sweep.Plan{Load: load, Points: points, Seeds: seeds, Commit: version(), Dir: dir,
			Arm: key, Workers: runtime.GOMAXPROCS(0)}
		left := expected(load, points, seeds)
		total, done, ran, began := len(points)*len(seeds), 0, 0, time.Now()
		if about := left / time.Duration(min(p.Workers, max(total, 1))); about > 2*time.Second {
			show.say("      %d runs to simulate, about %v on %d cores", total, about.Round(time.Second), p.Workers)
		}
		var watch sync.Mutex
		finished := func(settings []record.Setting, seed uint64) { // with watch held
			done++
			show.update(func() string {
				// What was found finished took no time and tells nothing of the rest.
				text := fmt.Sprintf("      %s %d of %d", bar(float64(done)/float64(total), 12), done, total)
				if found := done - ran; found > 0 {
					text += fmt.Sprintf(", %d found finished", found)
				}
				if ran > 0 {
					text += fmt.Sprintf(", about %v left", (time.Since(began) / time.Duration(ran) * time.Duration(total-done)).Round(time.Second))
				}
				return text + fmt.Sprintf("; last %s, seed %d", settingsText(settings), seed)
			})
		}
		p.Step = func(_, _ int, settings []record.Setting, seed uint64, found bool) {
			if found {
				watch.Lock()
				defer watch.Unlock()
				finished(settings, seed)
			}
		}
		p.Run = func(ctx context.Context, spec *scenarios.Spec, seed uint64, settings []record.Setting) (*record.Record, error) {
			sc, err := simulatedFor(spec, seed)
			if err != nil {
				return nil, err
			}
			rec, err := sim.Run(ctx, sc, opt)
			if errors.Is(err, sim.ErrNative) || errors.Is(err, sim.ErrFault) {
				return nil, badInput(err)
			}
			if err != nil {
				return nil, err
			}
			// No wall time: a point is the same bytes whenever it is run.
			h := &rec.Header
			h.Commit, h.Machine, h.Baseline, h.Vary = version(), machine(), sc.Full.Baseline, settings
			watch.Lock()
			defer watch.Unlock()
			ran++
			finished(settings, seed)
			return rec, nil
		}
		return p
	}
	return arm{"sim-", simulatedFor, plan}, nil
}

// expected is the time that one core needs for all points; what cannot be run
// counts nothing, for it is refused elsewhere.
func expected(load func() (*scenarios.Spec, error), points [][]record.Setting, seeds []uint64) (sum time.Duration) {
	for _, p := range points {
		spec, err := load()
		if err == nil {
			err = spec.SetAll(p...)
		}
		if err != nil {
			continue
		}
		if sc, err := simulatedFor(spec, 1); err == nil {
			sum += sim.Estimate(sc).Time * time.Duration(len(seeds))
		}
	}
	return sum
}
