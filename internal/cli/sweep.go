package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"spillway/internal/record"
	"spillway/internal/sweep"
	"spillway/scenarios"
)

type sweepCmd struct {
	Scenario []string `arg:"" optional:"" default:"suikang-sweep" help:"Names or files; every one gets the whole grid."`
	Vary     []string `sep:";" placeholder:"KEY=VALUES" help:"KEY=a,b,c or KEY=lo..hi/n (/nlog: logarithmic); repeatable, the grid is their product."`
	Sample   int      `placeholder:"N" help:"Instead of the grid N points of a Latin hypercube over the ranges, KEY=lo..hi or KEY=lo..hi/log, drawn by --seed."`
	Cross    bool     `help:"Vary one key at a time instead of the whole grid."`
	Layers   bool     `help:"Also run with each layer switched off, one at a time."`
	Seeds    int      `placeholder:"N" help:"Seeds a point, from --seed on; the same ones at every point. By default 1 for the attack, 5 for the simulator."`
	Arm      string   `default:"attack" enum:"attack,sim" help:"attack: real requests, one run at a time; sim: simulated, as many as there are cores."`
	Window   string   `default:"opening" enum:"day,opening" help:"opening: the scenario's own window and scale; day: with --arm sim, every visit of its day, people 1:1 and time x 1. --scale, --time and --set win."`
	settings
	simulation
	output
}

// simSeeds is how many seeds a simulated point has unless told: with one there is
// no interval, and three are the fewest that say anything of a probability.
const simSeeds = 5

func (c *sweepCmd) Run(a *app, line *kong.Context) error {
	if slices.ContainsFunc(c.Scenario, scenarios.IsStation) {
		return c.stations(a, line)
	}
	if c.Seeds == 0 {
		if c.Seeds = 1; c.Arm == "sim" {
			c.Seeds = simSeeds
		}
	}
	if c.Seeds < 1 || c.Seeds > 1000 {
		return badInput(fmt.Errorf("--seeds %d: give 1 to 1000", c.Seeds))
	}
	if len(c.Vary) == 0 && !c.Layers {
		return badInput(errors.New("nothing to vary: give --vary KEY=VALUES, as in --vary queue.depth=1000..40000/8log, or --layers"))
	}
	if c.Sample != 0 && (c.Cross || c.Layers || len(c.Vary) == 0) {
		return badInput(errors.New("--sample goes with --vary KEY=lo..hi, and not with --cross or --layers"))
	}
	arm, err := c.arm()
	if err != nil {
		return err
	}
	points := make([][][]record.Setting, len(c.Scenario))
	for i, name := range c.Scenario {
		load := loader(name, c.settings, c.Window)
		var axes []sweep.Axis
		if c.Sample == 0 {
			if axes, err = axesOf(load, c.Vary); err != nil {
				return err
			}
		}
		switch {
		case c.Sample != 0:
			spec, err := load()
			if err != nil {
				return err
			}
			if points[i], err = sweep.Hypercube(spec, c.Vary, c.Sample, c.Seed); err != nil {
				return badInput(err)
			}
		case len(axes) == 0:
		case c.Cross:
			points[i] = sweep.Cross(axes)
		default:
			points[i] = sweep.Grid(axes)
		}
		if c.Layers {
			spec, err := load()
			if err != nil {
				return err
			}
			points[i] = append(points[i], nil) // the scenario as it stands
			for _, layer := range scenarios.LayerWords() {
				if spec.On(layer) {
					points[i] = append(points[i], []record.Setting{{Key: "layers." + layer, Value: "off"}})
				}
			}
		}
		// Refuse a point that cannot be run before the first one is.
		for _, p := range points[i] {
			spec, err := load()
			if err == nil {
				err = spec.SetAll(p...)
			}
			if err == nil {
				_, err = arm.scaled(spec, c.Seed)
			}
			if err != nil {
				return badInput(fmt.Errorf("%s with %s: %w", name, settingsText(p), err))
			}
		}
	}
	out := c.Out
	if out == "" {
		// A stable name, so that the same command goes on where it stopped.
		what := "sweep-"
		if c.Layers {
			what = "layers-"
		}
		out = filepath.Join("reports", "out", arm.prefix+what+scenarioName(c.Scenario[0]))
	}
	dir, err := newRunDir(out, "")
	if err != nil {
		return err
	}
	var seeds []uint64
	for i := range c.Seeds {
		seeds = append(seeds, c.Seed+uint64(i))
	}
	show := newProgress(a.stderr)
	set := reportSet{Command: c.command()}
	for i, name := range c.Scenario {
		if a.ctx.Err() != nil {
			break
		}
		show.say("[%d/%d] %s: %d points × %d seeds", i+1, len(c.Scenario), name, len(points[i]), len(seeds))
		recs, err := arm.plan(a, loader(name, c.settings, c.Window), points[i], seeds, filepath.Join(dir, pointsDir), show).Do(a.ctx)
		if err != nil && !errors.Is(err, errInterrupted) {
			return err
		}
		if c.Layers {
			set.Layers = append(set.Layers, recs)
		} else {
			set.Sweeps = append(set.Sweeps, recs)
		}
	}
	return finish(a, show, dir, c.JSON, set)
}

// arm is what runs the points of a sweep.
type arm struct {
	prefix string // of a default folder
	scaled func(*scenarios.Spec, uint64) (*scenarios.Scaled, error)
	plan   func(a *app, load func() (*scenarios.Spec, error), points [][]record.Setting, seeds []uint64, dir string, show *progress) *sweep.Plan
}

func (c *sweepCmd) arm() (arm, error) {
	if c.Arm != "sim" {
		if c.simulation != simulationDefaults {
			return arm{}, badInput(errors.New("--network, --overhead, --unscaled, --plain and --calibration are for --arm sim"))
		}
		if c.Window != windowOpening {
			return arm{}, badInput(fmt.Errorf("--window %s is for --arm sim: real requests cannot be sent for a whole day; leave it out or set window.from and window.to", c.Window))
		}
		return arm{"", scaledFor, sweepPlan}, nil
	}
	return c.simulation.arm()
}

// command is how to run a sweep on the simulator again; make does the others.
func (c *sweepCmd) command() string {
	if c.Arm != "sim" {
		return ""
	}
	args := append([]string{"spillway", "sweep"}, c.Scenario...)
	args = append(args, "--arm", "sim", "--seed", fmt.Sprint(c.Seed), "--seeds", fmt.Sprint(c.Seeds))
	for _, v := range c.Vary {
		args = append(args, "--vary", strings.ReplaceAll(v, " ", ""))
	}
	if c.Sample != 0 {
		args = append(args, "--sample", fmt.Sprint(c.Sample))
	}
	if c.Cross {
		args = append(args, "--cross")
	}
	if c.Layers {
		args = append(args, "--layers")
	}
	if c.Window != windowOpening {
		args = append(args, "--window", c.Window)
	}
	args = append(args, c.settings.args()...)
	return strings.Join(append(args, c.simulation.args()...), " ")
}

// loader loads a scenario with the flags' changes, afresh at every call.
func loader(name string, set settings, window string) func() (*scenarios.Spec, error) {
	return func() (*scenarios.Spec, error) {
		spec, err := scenarios.Load(name)
		if err == nil {
			err = set.within(window, spec)
		}
		return spec, badInput(err)
	}
}

// axesOf reads --vary arguments against a scenario.
func axesOf(load func() (*scenarios.Spec, error), vary []string) ([]sweep.Axis, error) {
	spec, err := load()
	if err != nil {
		return nil, err
	}
	axes, err := sweep.ParseAxes(spec, vary)
	return axes, badInput(err)
}
