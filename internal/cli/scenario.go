package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"spillway/internal/draw"
	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/scenarios"
)

type scenarioCmd struct {
	List     scenarioListCmd     `cmd:"" help:"The scenarios that come with the program."`
	Show     scenarioShowCmd     `cmd:"" help:"Print a scenario with all it extends merged in."`
	Explain  scenarioExplainCmd  `cmd:"" help:"What the similarity law makes of a scenario, and what it predicts."`
	Validate scenarioValidateCmd `cmd:"" help:"Check a scenario file."`
	Faults   scenarioFaultsCmd   `cmd:"" help:"The faults that a scenario can name, and what each arm makes of them."`
}

type scenarioListCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *scenarioListCmd) Run(a *app) error {
	type row struct{ Name, Mode, Title string }
	var rows []row
	for _, name := range scenarios.Names() {
		s, err := scenarios.Load(name)
		if err != nil {
			return err
		}
		rows = append(rows, row{name, s.Mode.String(), s.Title})
	}
	for _, name := range scenarios.StationNames() {
		s, err := scenarios.LoadStation(name)
		if err != nil {
			return err
		}
		rows = append(rows, row{name, "station", s.Title})
	}
	if c.JSON {
		return writeJSON(a, rows)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Name, r.Mode, r.Title)
	}
	return w.Flush()
}

type scenarioShowCmd struct {
	Scenario string `arg:"" help:"Name or file."`
}

func (c *scenarioShowCmd) Run(a *app) error {
	var text string
	if scenarios.IsStation(c.Scenario) {
		s, err := scenarios.LoadStation(c.Scenario)
		if err != nil {
			return badInput(err)
		}
		text = s.Text
	} else {
		s, err := scenarios.Load(c.Scenario)
		if err != nil {
			return badInput(err)
		}
		text = s.Text
	}
	_, err := fmt.Fprintln(a.stdout, strings.TrimRight(text, "\n"))
	return err
}

type scenarioExplainCmd struct {
	choice
}

func (c *scenarioExplainCmd) Run(a *app, line *kong.Context) error {
	if scenarios.IsStation(c.Scenario) {
		return explainStation(a, c.choice, line)
	}
	sc, err := c.scaled()
	if err != nil {
		return err
	}
	return sc.Explain(a.stdout)
}

type scenarioValidateCmd struct {
	Scenario []string `arg:"" help:"Names or files."`
}

func (c *scenarioValidateCmd) Run(a *app) error {
	for _, name := range c.Scenario {
		if scenarios.IsStation(name) {
			s, err := loadStation(name, settings{})
			if err != nil {
				return err
			}
			cfg, err := stationConfig(s, 1)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: ok (station, load %.4g, %d figures known to theory)\n", name, cfg.Load(), len(cfg.Theory().Exact))
			continue
		}
		s, err := scenarios.Load(name)
		if err != nil {
			return badInput(err)
		}
		fmt.Fprintf(a.stdout, "%s: ok (%s, %d objectives)\n", name, s.Mode, len(s.Objectives))
	}
	return nil
}

type scenarioFaultsCmd struct {
	JSON bool `help:"Print JSON."`
}

func (c *scenarioFaultsCmd) Run(a *app) error {
	if c.JSON {
		return writeJSON(a, fault.Table)
	}
	for _, r := range fault.Table {
		fmt.Fprintf(a.stdout, "%s: %s\n", r.Kind, r.Does)
		sim := cmp.Or(r.Simulator, "cannot: "+r.Why)
		for _, l := range [][2]string{{"target", strings.Join(r.Targets, ", ")}, {"amount", r.Amounts()},
			{"embedded", r.Embedded}, {"deployment", r.Deployment}, {"simulator", sim}} {
			if l[1] != "" {
				fmt.Fprintf(a.stdout, "  %-11s %s\n", l[0], l[1])
			}
		}
	}
	return nil
}

// choice is how every command that runs a scenario names it.
type choice struct {
	Scenario string `arg:"" optional:"" default:"suikang-2020-01-31" help:"Name or file."`
	settings
}

// settings are the flags that change a scenario.
type settings struct {
	Seed  uint64   `default:"1" help:"Seed of every draw."`
	Set   []string `placeholder:"KEY=VALUE" help:"Set a key of the scenario; repeatable."`
	Off   []string `placeholder:"LAYER" help:"Switch a layer off; repeatable."`
	Scale string   `placeholder:"1:N" help:"Thin people to this ratio instead of the scenario's own."`
	Time  *float64 `placeholder:"K" help:"Quicken time by this factor instead of the scenario's own."`
}

// apply puts the flags on a spec.
func (c *settings) apply(spec *scenarios.Spec) error {
	for _, kv := range c.Set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return fmt.Errorf("--set %q: write KEY=VALUE, as in --set queue.depth=5000", kv)
		}
		if err := spec.Set(key, value); err != nil {
			return fmt.Errorf("--set %s: %w", kv, err)
		}
	}
	for _, layer := range c.Off {
		if err := spec.Set("layers."+layer, "off"); err != nil {
			return fmt.Errorf("--off %s: %w", layer, err)
		}
	}
	if c.Scale != "" {
		if err := spec.Set("scale.people", c.Scale); err != nil {
			return fmt.Errorf("--scale %s: %w", c.Scale, err)
		}
	}
	if c.Time != nil {
		if err := spec.Set("scale.time", fmt.Sprintf("%v x", *c.Time)); err != nil {
			return fmt.Errorf("--time %v: %w", *c.Time, err)
		}
	}
	return nil
}

// Words of --window, the same in every command that has it.
const (
	windowDay     = "day"
	windowOpening = "opening"
)

// within is apply for a chosen window: the whole day, every visit of it, or what
// the scenario says itself. What the other flags say of window and scale wins.
func (c *settings) within(window string, spec *scenarios.Spec) error {
	if window != windowDay {
		return c.apply(spec)
	}
	given := map[string]bool{}
	for _, kv := range c.Set {
		key, _, _ := strings.Cut(kv, "=")
		given[strings.TrimSpace(key)] = true
	}
	// --set may move the day itself, which the window must follow.
	day := spec.Arrivals
	if given["arrivals.day_from"] || given["arrivals.day_to"] {
		moved := *spec
		if err := c.apply(&moved); err != nil {
			return err
		}
		day = moved.Arrivals
	}
	whole := []record.Setting{{Key: "scale.people", Value: "1:1"}, {Key: "scale.time", Value: "1 x"}}
	for _, e := range []struct {
		end      string
		day, own time.Duration
	}{{"from", day.DayFrom, spec.Arrivals.DayFrom}, {"to", day.DayTo, spec.Arrivals.DayTo}} {
		if e.day != e.own {
			whole = append(whole, record.Setting{Key: "arrivals.day_" + e.end, Value: e.day.String()})
		}
		whole = append(whole, record.Setting{Key: "window." + e.end, Value: e.day.String()})
	}
	if err := spec.SetAll(whole...); err != nil {
		return fmt.Errorf("--window %s: %w", window, err)
	}
	return c.apply(spec)
}

// scaled loads, changes and scales the chosen scenario.
func (c *choice) scaled() (*scenarios.Scaled, error) {
	spec, err := scenarios.Load(c.Scenario)
	if err != nil {
		return nil, badInput(err)
	}
	if err := c.apply(spec); err != nil {
		return nil, badInput(err)
	}
	return scaledFor(spec, c.Seed)
}

// args is the flags as they were given, for a command that can be typed again.
func (c *settings) args() []string {
	var out []string
	for _, kv := range c.Set {
		out = append(out, "--set", "'"+strings.ReplaceAll(kv, "'", "")+"'")
	}
	for _, layer := range c.Off {
		out = append(out, "--off", layer)
	}
	if c.Scale != "" {
		out = append(out, "--scale", c.Scale)
	}
	if c.Time != nil {
		out = append(out, "--time", fmt.Sprint(*c.Time))
	}
	return out
}

func scaledFor(spec *scenarios.Spec, seed uint64) (*scenarios.Scaled, error) {
	sc, err := scenarios.Scale(spec, 0, 0)
	if err != nil {
		return nil, badInput(err)
	}
	sc.Seed = draw.Seed(seed)
	return sc, nil
}

func writeJSON(a *app, v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
