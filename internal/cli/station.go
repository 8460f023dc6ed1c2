package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/reports/gate"
	"spillway/reports/page"
	"spillway/reports/plot"
	"spillway/scenarios"
	"spillway/sim/station"
)

// stationRecord is what a station leaves in its folder for machines: the same bytes
// for the same file, seed and commit.
const stationRecord = "station.json"

// stationSweep is the same of a sweep over a station.
const stationSweep = "sweep.json"

// stationFolder is nil, or why a path that holds no record will not do: it is a bare
// station's folder, or what one keeps for machines.
func stationFolder(path string) error {
	dir := path
	if base := filepath.Base(path); base == stationRecord || base == stationSweep {
		dir = filepath.Dir(path)
	}
	for file, command := range map[string]string{stationRecord: "sim", stationSweep: "sweep"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err == nil && !info.IsDir() {
			return badInput(fmt.Errorf("%s is the folder of a bare station, which keeps no record: to draw it again run its spillway %s with --out %s; the command stands on its page, %s",
				dir, command, dir, filepath.Join(dir, "index.html")))
		}
	}
	return nil
}

// stationLuck is the chance that a station differs from theory, all figures taken
// together, by luck.
const stationLuck = 0.001

// loadStation is the station of a name or file with the flags' changes.
func loadStation(name string, set settings) (*scenarios.Station, error) {
	s, err := scenarios.LoadStation(name)
	if err != nil {
		return nil, badInput(err)
	}
	var all []record.Setting
	for _, kv := range set.Set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, badInput(fmt.Errorf("--set %q: write KEY=VALUE, as in --set station.servers=20", kv))
		}
		all = append(all, record.Setting{Key: key, Value: value})
	}
	if err := s.SetAll(all...); err != nil {
		return nil, badInput(fmt.Errorf("--set: %w", err))
	}
	return s, nil
}

// onlyForStations refuses the first flag of a command line that a station does not
// take, at its default too: whoever gives it expects it to do something.
func onlyForStations(name string, line *kong.Context, takes ...string) error {
	for _, p := range line.Path {
		if p.Flag == nil || slices.Contains(takes, p.Flag.Name) {
			continue
		}
		list := "--" + strings.Join(takes, ", --")
		if cut := strings.LastIndex(list, ", "); cut >= 0 {
			list = list[:cut] + " and " + list[cut+2:]
		}
		return badInput(fmt.Errorf("--%s is for evenings, and %s is a bare station: it takes %s", p.Flag.Name, name, list))
	}
	return nil
}

// station runs a bare service station.
func (c *simCmd) station(a *app, line *kong.Context) error {
	if err := onlyForStations(c.Scenario, line, "set", "seed", "out", "json"); err != nil {
		return err
	}
	spec, err := loadStation(c.Scenario, c.settings)
	if err != nil {
		return err
	}
	cfg, err := stationConfig(spec, c.Seed)
	if err != nil {
		return err
	}
	dir, err := newRunDir(c.Out, scenarioName(c.Scenario))
	if err != nil {
		return err
	}
	show := newProgress(a.stderr)
	began := time.Now()
	var watch sync.Mutex
	var came uint64
	cfg.Progress = func(n, all uint64) {
		watch.Lock()
		defer watch.Unlock()
		came = max(came, n)
		if spent := time.Since(began); spent > 2*time.Second {
			show.update(func() string { return stationLine(came, all, spent) })
		}
	}
	res, err := station.Run(a.ctx, cfg)
	spent := time.Since(began)
	if err != nil && (res == nil || !errors.Is(err, context.Canceled)) {
		show.clear()
		if errors.Is(err, context.Canceled) {
			if c.Out == "" {
				_ = os.Remove(dir) // empty, and of no use
			}
			return marked(gate.ExitInterrupted, errors.New("interrupted before two replications were complete: there is nothing to keep"))
		}
		return err
	}
	speed := fmt.Sprintf("%s customers, warm-up included, in %s: %s customers/s on %d cores, by the %s", count(came), short(spent),
		count(uint64(float64(came)/max(spent.Seconds(), 1e-6))), min(runtime.GOMAXPROCS(0), runsOf(cfg)), res.Engine)
	return stationReport(a, show, dir, c, spec, cfg, res, speed)
}

// stationLine is the state of a run.
func stationLine(came, all uint64, spent time.Duration) string {
	share := float64(came) / float64(max(all, 1))
	left := time.Duration(float64(spent) * (1 - share) / max(share, 1e-6))
	return fmt.Sprintf("      %s %s of %s customers, %.2g M/s, about %v left", bar(share, 12), count(came), count(all),
		float64(came)/spent.Seconds()/1e6, left.Round(time.Second))
}

// runsOf is how many runs begin empty.
func runsOf(cfg station.Config) int {
	switch {
	case cfg.Method == station.BatchMeans:
		return 1
	case cfg.Blocks == 0:
		return 20
	}
	return cfg.Blocks
}

// stationResult puts a result beside theory.
func stationResult(spec *scenarios.Station, cfg station.Config, res *station.Result) reports.Station {
	s := reports.Station{Name: spec.Name, Title: spec.Title, Seed: uint64(cfg.Seed), Commit: version(), Digest: spec.Digest(), Setting: stationWords(spec),
		Load: res.Load, Method: res.Method.String(), Blocks: res.Blocks, Customers: res.Customers, WarmUp: res.WarmUp, Chosen: cfg.WarmUp == 0,
		Runs: res.Blocks, Confidence: res.Confidence, Engine: res.Engine, Partial: res.Partial, Luck: stationLuck}
	if res.Method == station.BatchMeans {
		s.Runs = 1
	}
	units := map[station.Unit]string{station.Seconds: reports.StationSeconds, station.Share: reports.StationShare,
		station.Number: reports.StationNumber, station.Rate: reports.StationRate}
	theory := cfg.Theory()
	known := 0
	for _, f := range res.Figures() {
		row := reports.StationFigure{Key: f.Key, Name: f.Name, Unit: units[f.Unit], Value: reports.Got(f.Value), Half: reports.Got(f.Half)}
		if e := theory.Of(f.Key); e != nil {
			row.Theory, row.Formula, row.Book = reports.Got(e.Value), e.Formula, e.Book
			known++
		}
		s.Figures = append(s.Figures, row)
	}
	s.Wider = 1
	if known > 0 {
		s.Wider = max(1, res.Wider(known, stationLuck))
	}
	s.Judge()
	if res.Partial {
		s.Notes = append(s.Notes, fmt.Sprintf("PARTIAL: interrupted; the first %d of %d replications were complete and count", res.Blocks, runsOf(cfg)))
	}
	if res.Hasty {
		s.Notes = append(s.Notes, "so near to a load of 1 the rule asks for a longer warm-up than is affordable: the empty start may still show; give station.measure.warm_up and larger blocks")
	}
	if res.Customers < res.Enough {
		s.Notes = append(s.Notes, fmt.Sprintf("blocks of %s customers are short for this station: percentiles come out low and intervals narrow; give station.measure.customers of at least %s",
			count(res.Customers), count(res.Enough)))
	}
	if good := 2 / math.Sqrt(float64(res.Blocks)); res.Method == station.BatchMeans {
		s.Notes = append(s.Notes, fmt.Sprintf("correlation of neighbouring batches %.2f, good within ± %.2f", res.Lag, good))
		if math.Abs(res.Lag) > good {
			s.Notes = append(s.Notes, "neighbouring batches are not independent: the intervals are too narrow; give larger blocks, or replications")
		}
	}
	return s
}

// stationReport prints a result, writes its folder and returns the verdict's exit
// code.
func stationReport(a *app, show *progress, dir string, c *simCmd, spec *scenarios.Station, cfg station.Config, res *station.Result, speed string) error {
	s := stationResult(spec, cfg, res)
	js, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	js = append(js, '\n')
	if err := writeWhole(filepath.Join(dir, stationRecord), js); err != nil {
		return environment(fmt.Errorf("cannot write the result: %w; make room and run it again", err))
	}
	if err := c.stationPage(dir, spec, s, cfg.Theory(), speed); err != nil {
		return err
	}
	show.clear()
	if c.JSON {
		if _, err := a.stdout.Write(js); err != nil {
			return err
		}
	} else {
		fmt.Fprint(a.stdout, s.Text())
		fmt.Fprintf(a.stdout, "%s\n\nreport: %s\n", speed, filepath.Join(dir, "index.html"))
	}
	switch _, _, differs := s.Verdict(); {
	case s.Partial:
		return verdictOf(gate.ExitInterrupted)
	case differs:
		return verdictOf(gate.ExitObjectiveMissed)
	}
	return nil
}

// stationPage writes the page and its figures.
func (c *simCmd) stationPage(dir string, spec *scenarios.Station, s reports.Station, theory station.Theory, speed string) error {
	word, why, differs := s.Verdict()
	known, inside, _ := s.Agreement()
	level := levelWords(s.Confidence)
	tile := func(key, label string) page.Tile { return page.Tile{Value: s.Shown(key), Label: label} }
	sheet := page.Sheet{
		Kicker: fmt.Sprintf("%s · bare service station · seed %d", s.Name, s.Seed), Title: s.Title, Word: word, Reason: why,
		Class: "held", Warnings: s.Notes,
		Tiles: []page.Tile{{Value: fmt.Sprintf("%.4g", s.Load), Label: "load: rate × mean service ÷ servers"},
			tile("utilisation", "utilisation of the servers"), tile("wait.mean", "wait, mean"), tile("sojourn.p99", "sojourn, p99"),
			tile("lost", "of the customers never served"), tile("attempts", "attempts per customer"), tile("throughput", "customers served"),
			{Value: fmt.Sprintf("%d of %d", inside, known), Label: "figures of theory inside their " + level + " intervals"}},
		Note: s.Measured() + ". A wait is that of an attempt that was served; a sojourn is from the first attempt to the end of service.",
		Commands: []string{"git checkout " + strings.TrimSuffix(version(), "-dirty"),
			strings.Join(append([]string{"spillway", "sim", c.Scenario, "--seed", fmt.Sprint(c.Seed)}, c.args()...), " ")},
		Facts: []page.Fact{{Name: "commit", What: s.Commit}, {Name: "seed", What: fmt.Sprint(s.Seed)}, {Name: "scenario digest", What: s.Digest},
			{Name: "engine", What: s.Engine}, {Name: "speed", What: speed}, {Name: "machine", What: machine()}},
		Files: []page.File{{Name: stationRecord, What: "every figure for machines"}, {Name: "station.md", What: "the table as Markdown"}},
		Text:  spec.Text,
	}
	if sheet.Title == "" {
		sheet.Title = s.Name
	}
	switch {
	case differs:
		sheet.Class = "missed"
	case known == 0, word == "cannot tell":
		sheet.Class = "inconclusive"
	}
	if about := strings.TrimSpace(spec.About); about != "" {
		sheet.Answer = append(sheet.Answer, about)
	}
	sheet.Answer = append(sheet.Answer, strings.Join(s.Setting, "; ")+".")
	table := s.Table()
	table.Title = "Every figure with its " + level + " interval"
	sheet.Tables = []reports.Table{table}
	drawings, err := stationFigures(s, theory, level)
	if err != nil {
		return err
	}
	return writeSheet(dir, sheet, drawings, file{"station.md", []byte(table.Markdown())})
}

func levelWords(confidence float64) string {
	return fmt.Sprintf("%g %%", math.Round(confidence*1e6)/1e4)
}

// stationFigures draws the waits and sojourns, and where theory lies.
func stationFigures(s reports.Station, theory station.Theory, level string) ([]drawing, error) {
	tails := []plot.Tail{{Name: "wait", Beyond: theory.WaitBeyond}, {Name: "sojourn", Beyond: theory.SojournBeyond}}
	var held []plot.Held
	for _, f := range s.Figures {
		of, q, ok := strings.Cut(f.Key, ".p")
		for i := range tails {
			if v, err := strconv.ParseFloat(q, 64); ok && err == nil && tails[i].Name == of && f.Value.OK {
				tails[i].Points = append(tails[i].Points, plot.TailPoint{Q: v / 100, Value: f.Value.V, Half: f.Half.V})
			}
		}
		if off, ok := f.Off(); ok && f.Half.V > 0 {
			held = append(held, plot.Held{Name: f.Name, Off: off, Relative: f.Half.V / math.Abs(f.Value.V)})
		}
	}
	sub := fmt.Sprintf("%s · seed %d · load %.4g · %d %s of %s customers", s.Name, s.Seed, s.Load, s.Blocks, s.Method, count(s.Customers))
	var out []drawing
	for _, draw := range []func() (plot.Figure, error){
		func() (plot.Figure, error) { return plot.StationHeld(sub, level, s.Wider, held) },
		func() (plot.Figure, error) { return plot.StationTails(sub, level, tails...) },
	} {
		f, err := draw()
		switch {
		case errors.Is(err, plot.ErrNoData):
		case err != nil:
			return nil, err
		default:
			out = append(out, drawing{"The station", f})
		}
	}
	return out, nil
}
