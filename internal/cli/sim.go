package cli

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"spillway/internal/draw"
	"spillway/internal/record"
	"spillway/scenarios"
	"spillway/sim"
)

// garbagePercent is how much garbage a simulation may pile up, of what is in use.
const garbagePercent = 3

type simCmd struct {
	choice
	simulation
	Window    string        `default:"day" enum:"day,opening" help:"day: every visit of the scenario's day, people 1:1 and time x 1; opening: its own window and scale, as the attack runs it. --scale, --time and --set win."`
	MaxTime   time.Duration `placeholder:"D" help:"Refuse a run that is expected to take longer."`
	MaxMemory byteSize      `placeholder:"SIZE" help:"Refuse a run that is expected to need more memory, as in 512MiB."`
	output
}

// simulation is what a simulation needs and a scenario does not say.
type simulation struct {
	Network  time.Duration `default:"185us" help:"Round trip of a request without any service; 0s for none."`
	Overhead time.Duration `default:"415us" help:"What a gateway adds to a request it serves, beyond its modelled time; 0s for none."`
	Unscaled bool          `help:"Keep service times as they are at any time scale, as the attack has to."`
	Plain    bool          `help:"Use the plain sequential engine, the oracle of the fast one: the same record, many times slower at 1:1."`

	Calibration string `placeholder:"FILE" help:"Take network, overhead and the noise of measured response times from this file of spillway calibrate; service times unscaled."`
}

func (s simulation) options() (sim.Options, error) {
	if s.Calibration != "" {
		c, err := sim.ReadCalibration(s.Calibration)
		if err != nil {
			return sim.Options{}, badInput(err)
		}
		opt := c.Options()
		opt.Plain = s.Plain
		return opt, nil
	}
	// 0 is "none" here and "default" there.
	none := func(d time.Duration) time.Duration {
		if d == 0 {
			return -1
		}
		return d
	}
	if s.Network < 0 || s.Overhead < 0 {
		return sim.Options{}, badInput(errors.New("--network and --overhead: want 0 or more"))
	}
	return sim.Options{Network: none(s.Network), Overhead: none(s.Overhead), Unscaled: s.Unscaled, Plain: s.Plain}, nil
}

// byteSize is a number of bytes.
type byteSize float64

// UnmarshalText reads a size such as 512MiB, 2GB or 1000000.
func (b *byteSize) UnmarshalText(text []byte) error {
	number, factor := strings.TrimSpace(string(text)), 1.0
	for _, u := range []struct {
		word   string
		factor float64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}} {
		if n, ok := strings.CutSuffix(number, u.word); ok {
			number, factor = strings.TrimSpace(n), u.factor
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v > 0 && v < 1e18) {
		return fmt.Errorf("size %.40q: want a number with MiB, GiB, MB or GB", text)
	}
	*b = byteSize(v * factor)
	return nil
}

func (c *simCmd) Run(a *app, line *kong.Context) error {
	if scenarios.IsStation(c.Scenario) {
		return c.station(a, line)
	}
	opt, err := c.options()
	if err != nil {
		return err
	}
	sc, err := c.simulated(c.Window)
	if err != nil {
		return err
	}
	cost := sim.Estimate(sc)
	switch {
	case c.MaxTime > 0 && cost.Time > c.MaxTime:
		return badInput(fmt.Errorf("scenario %s at 1:%g is expected to take %v, over --max-time %v; thin people further with --scale, or take --window opening",
			sc.Name, 1/sc.S, cost.Time.Round(100*time.Millisecond), c.MaxTime))
	case c.MaxMemory > 0 && cost.Memory > float64(c.MaxMemory):
		return badInput(fmt.Errorf("scenario %s at 1:%g is expected to need %.0f MB, over --max-memory of %.0f MB; thin people further with --scale, or take --window opening",
			sc.Name, 1/sc.S, cost.Memory/1e6, float64(c.MaxMemory)/1e6))
	}
	dir, err := newRunDir(c.Out, scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	show.say("      %s", heading(sc))
	announce(show, sc)
	show.say("      to simulate: %v", cost)
	began := time.Now()
	rec, err := simulate(a, show, sc, opt)
	if err != nil {
		return err
	}
	if c.Calibration != "" {
		cal, err := sim.ReadCalibration(c.Calibration)
		if err != nil {
			return badInput(err)
		}
		cal.AsMeasured(rec)
	}
	h := &rec.Header
	h.Commit, h.Machine, h.Baseline = version(), machine(), sc.Full.Baseline
	h.WallStart, h.WallSeconds = began, time.Since(began).Seconds()
	return finish(a, show, dir, c.JSON, reportSet{Main: rec, Command: c.command()})
}

// simulate runs a simulation and shows how far it is.
func simulate(a *app, show *progress, sc *scenarios.Scaled, opt sim.Options) (*record.Record, error) {
	began := time.Now()
	opt.Progress = func(p sim.Progress) {
		if time.Since(began) > 2*time.Second {
			show.update(func() string { return simLine(sc, p, time.Since(began)) })
		}
	}
	// A simulation makes little garbage beside its tables: letting it grow to the size
	// of these would only double the memory.
	percent := debug.SetGCPercent(garbagePercent)
	rec, err := sim.Run(a.ctx, sc, opt)
	debug.SetGCPercent(percent)
	debug.FreeOSMemory() // the tables are done with; the report needs room of its own
	if errors.Is(err, sim.ErrNative) || errors.Is(err, sim.ErrFault) {
		err = badInput(err)
	}
	return rec, err
}

// command is how to run the simulation again.
func (c *simCmd) command() string {
	args := []string{"spillway", "sim", c.Scenario, "--seed", fmt.Sprint(c.Seed)}
	if c.Window != windowDay {
		args = append(args, "--window", c.Window)
	}
	args = append(args, c.settings.args()...)
	return strings.Join(append(args, c.simulation.args()...), " ")
}

// simulated is the chosen scenario in a window and at its scale, without the bounds
// of a machine that has to send the requests.
func (c *choice) simulated(window string) (*scenarios.Scaled, error) {
	spec, err := scenarios.Load(c.Scenario)
	if err != nil {
		return nil, badInput(err)
	}
	if err := c.within(window, spec); err != nil {
		return nil, badInput(err)
	}
	return simulatedFor(spec, c.Seed)
}

// simLine is the state of a simulation; the share of its visits that have begun
// tells how long it will take.
func simLine(sc *scenarios.Scaled, p sim.Progress, spent time.Duration) string {
	share := min(float64(p.Visits)/max(sc.Prediction.Visits, 1), 1)
	left := time.Duration(float64(spent) * (1 - share) / max(share, 1e-6))
	at := sc.Window.From + time.Duration(float64(p.Elapsed)*sc.K)
	return fmt.Sprintf("      %s %s visits %s under way %s, %.2g M events/s, about %v left",
		bar(share, 12), signed(at), count(p.Visits), count(p.Alive), float64(p.Events)/spent.Seconds()/1e6, left.Round(time.Second))
}

func simulatedFor(spec *scenarios.Spec, seed uint64) (*scenarios.Scaled, error) {
	sc, err := scenarios.ScaleWithin(spec, 0, 0, scenarios.Unbounded)
	if err != nil {
		return nil, badInput(err)
	}
	return sc.WithSeed(draw.Seed(seed)), nil
}
