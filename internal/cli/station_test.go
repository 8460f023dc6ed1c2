package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/reports"
	"spillway/scenarios"
	"spillway/sim/station"
)

// runStation runs a shipped station as the command does, without the report.
func runStation(t *testing.T, name string, customers string, change func(*station.Config)) reports.Station {
	t.Helper()
	spec, err := loadStation(name, settings{Set: []string{"station.measure.customers=" + customers}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := stationConfig(spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	run := cfg
	if change != nil {
		change(&run)
	}
	res, err := station.Run(context.Background(), run)
	if err != nil {
		t.Fatal(err)
	}
	return stationResult(spec, cfg, res)
}

// Every shipped station agrees with theory, in short form. Each may fail by luck
// once in 1,000 seeds, so all nine once in 111; the seed is fixed.
func TestShippedStationsAgree(t *testing.T) {
	whole(t)
	for _, name := range scenarios.StationNames() {
		s := runStation(t, name, "40000", nil)
		if len(s.Notes) > 0 {
			t.Errorf("%s: %q", name, s.Notes)
		}
		known, inside, jointly := s.Agreement()
		if word, why, differs := s.Verdict(); differs || known < 5 {
			t.Errorf("%s %s: %s\n%s", name, word, why, s.Text())
		}
		t.Logf("%-24s %d figures known, %d inside, %d jointly", name, known, inside, jointly)
	}
}

// A simulator whose services take four per cent longer is found out.
func TestShippedStationsNotice(t *testing.T) {
	whole(t)
	for _, name := range scenarios.StationNames() {
		s := runStation(t, name, "20000", func(c *station.Config) {
			c.Service.Mean += c.Service.Mean / 25
			c.Service.Values = slices.Clone(c.Service.Values) // theory's are others
			for i := range c.Service.Values {
				c.Service.Values[i] += c.Service.Values[i] / 25
			}
		})
		if _, _, differs := s.Verdict(); !differs {
			t.Errorf("%s: services four per cent too long go unnoticed\n%s", name, s.Text())
		}
	}
}

func TestSimStation(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, out, stderr := spillway("sim", "station-mm16", "--set", "station.measure.customers=5000", "--seed", "3", "--out", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, stderr)
	}
	for _, want := range []string{"load 0.9", "20 independent replications of 5,000 customers, the first", "discarded as\nwarm-up (by the rule)", "95 % intervals",
		"wait p99", "Erlang C: Kleinrock", "agrees with theory", "customers/s on", "report: "} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
	for _, line := range strings.Split(out, "\n") {
		if len([]rune(line)) > 110 && !strings.HasPrefix(line, "report") {
			t.Errorf("wider than a screen: %s", line)
		}
	}
	for _, f := range []string{"index.html", "station.md", "station.json", "figures/station-theory.svg", "figures/station-theory.png", "figures/station-tails.svg", "figures/station-tails.png"} {
		if !exists(filepath.Join(dir, f)) {
			t.Errorf("%s is missing", f)
		}
	}
	// As JSON the same bytes as the file, run after run.
	again := t.TempDir()
	code, out, stderr = spillway("sim", "station-mm16", "--set", "station.measure.customers=5000", "--seed", "3", "--json", "--out", again)
	if code != 0 {
		t.Fatal(stderr)
	}
	for _, d := range []string{dir, again} {
		text, err := os.ReadFile(filepath.Join(d, "station.json"))
		if err != nil || !bytes.Equal(text, []byte(out)) {
			t.Errorf("%s: not the same bytes as --json, or %v", d, err)
		}
	}
	var s reports.Station
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	if s.Blocks != 20 || s.Customers != 5000 || s.WarmUp < 1000 || s.Seed != 3 || len(s.Figures) != 20 || s.Digest == "" {
		t.Errorf("%+v", s)
	}
}

func TestSimStationRefuses(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "mine.yaml")
	write := func(text string) {
		if err := os.WriteFile(mine, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("extends: station-mm16\nname: mine\nstation:\n  servers: 14 servers\n")
	for what, c := range map[string]struct {
		args []string
		says string
	}{
		"overload":      {[]string{"sim", mine}, "no steady state"},
		"by set":        {[]string{"sim", "station-md1", "--set", "station.arrivals.rate=100"}, "no steady state"},
		"orbit":         {[]string{"sim", "station-retrial", "--set", "station.arrivals.rate=300"}, "the orbit would grow"},
		"validate":      {[]string{"scenario", "validate", mine}, "no steady state"},
		"explain":       {[]string{"scenario", "explain", mine}, "no steady state"},
		"scale":         {[]string{"sim", "station-mm16", "--scale", "1:2"}, "--scale is for evenings"},
		"time":          {[]string{"sim", "station-mm16", "--time", "2"}, "--time is for evenings"},
		"off":           {[]string{"sim", "station-mm16", "--off", "edge"}, "--off is for evenings"},
		"network":       {[]string{"sim", "station-mm16", "--network", "1ms"}, "--network is for evenings"},
		"unscaled":      {[]string{"sim", "station-mm16", "--unscaled"}, "--unscaled is for evenings"},
		"calibration":   {[]string{"sim", "station-mm16", "--calibration", "x.json"}, "--calibration is for evenings"},
		"window":        {[]string{"sim", "station-mm16", "--window", "opening"}, "--window is for evenings"},
		"window day":    {[]string{"sim", "station-mm16", "--window", "day"}, "--window is for evenings"},
		"plain":         {[]string{"sim", "station-mm16", "--plain"}, "it takes --set, --seed, --out and --json"},
		"sweep window":  {[]string{"sweep", "station-mm16", "--arm", "sim", "--window", "opening", "--vary", "station.servers=15,16"}, "--window is for evenings"},
		"sweep scale":   {[]string{"sweep", "station-mm16", "--arm", "sim", "--scale", "1:2", "--vary", "station.servers=15,16"}, "--scale is for evenings"},
		"explain off":   {[]string{"scenario", "explain", "station-mm16", "--off", "edge"}, "it takes --set and --seed"},
		"max time":      {[]string{"sim", "station-mm16", "--max-time", "1s"}, "--max-time is for evenings"},
		"set":           {[]string{"sim", "station-mm16", "--set", "queue.depth=5"}, "unknown key"},
		"no value":      {[]string{"sim", "station-mm16", "--set", "station.servers"}, "KEY=VALUE"},
		"name":          {[]string{"sim", "station-mm61"}, `did you mean "station-mm16"?`},
		"attack":        {[]string{"attack", "station-mm16"}, "spillway sim runs it"},
		"sweep":         {[]string{"sweep", "station-mm16", "--arm", "sim", "--vary", "queue.depth=1,2"}, "unknown key"},
		"sweep attack":  {[]string{"sweep", "station-mm16", "--vary", "station.servers=15,16"}, "add --arm sim"},
		"sweep two":     {[]string{"sweep", "station-mm16", "smoke", "--arm", "sim", "--vary", "station.servers=15,16"}, "name one"},
		"sweep seeds":   {[]string{"sweep", "station-mm16", "--arm", "sim", "--seeds", "3", "--vary", "station.servers=15,16"}, "replications"},
		"sweep layers":  {[]string{"sweep", "station-mm16", "--arm", "sim", "--layers"}, "--layers is for evenings"},
		"sweep nothing": {[]string{"sweep", "station-mm16", "--arm", "sim"}, "nothing to vary"},
		"sweep hopes":   {[]string{"sweep", "station-mm16", "--arm", "sim", "--vary", "station.servers=10,11"}, "no point has a steady state"},
		"plan":          {[]string{"plan", mine, "--find", "servers"}, "spillway sim runs it"},
	} {
		dir := t.TempDir()
		if c.args[0] == "sim" {
			c.args = append(c.args, "--out", dir)
		}
		code, out, stderr := spillway(c.args...)
		if code != 2 || !strings.Contains(stderr, c.says) || out != "" {
			t.Errorf("%s: exit code %d: %s%s", what, code, out, stderr)
		}
		oneClearLine(t, stderr)
		if exists(filepath.Join(dir, "station.json")) {
			t.Errorf("%s: a result was written", what)
		}
	}
	for text, says := range map[string]string{
		"name: mine\nstation: {servers: 3}\n":                                      "mine.yaml:2:20: station.servers",
		"extends: station-mm16\nname: mine\nstation: {placez: 3 places}\n":         "mine.yaml:3:11: unknown key",
		"extends: station-mm17\nname: mine\nstation: {servers: 3 servers}\n":       "mine.yaml:1:10: extends",
		"extends: smoke\nname: mine\nstation: {servers: 3 servers}\n":              "unknown key",
		"extends: station-mm16\nname: mine\nstation:\n  places: 3 places\n  - x\n": "mine.yaml:5:",
	} {
		write(text)
		for _, args := range [][]string{{"sim", mine, "--out", t.TempDir()}, {"scenario", "show", mine}, {"scenario", "validate", mine}} {
			code, _, stderr := spillway(args...)
			if code != 2 || !strings.Contains(stderr, says) {
				t.Errorf("%q: exit code %d: %s", text, code, stderr)
			}
			oneClearLine(t, stderr)
		}
	}
}

func TestScenarioCommandsKnowStations(t *testing.T) {
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"show", "station-erlang-a"}, {"explain", "station-erlang-a"}, {"validate", "station-erlang-a", "smoke"}} {
		code, out, stderr := spillway(append([]string{"scenario"}, args...)...)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
		want := map[string]string{"list": "station-erlang-a", "show": "patience:", "explain": "Erlang A", "validate": "station, load 1.2"}[args[0]]
		if !strings.Contains(out, want) {
			t.Errorf("%v does not say %q:\n%s", args, want, out)
		}
	}
}

// An interrupt ends a run of hours at once.
func TestSimStationInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	var out, errs bytes.Buffer
	a := &app{ctx, strings.NewReader(""), &out, &errs}
	time.AfterFunc(100*time.Millisecond, func() { cancel(errInterrupted) })
	began := time.Now()
	err := run(a, []string{"sim", "station-retrial", "--set", "station.measure.customers=1e9", "--out", t.TempDir()})
	if code := codeOf(err); code != 130 || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d after %v: %v", code, time.Since(began), err)
	}
}

// Blocks too short for the station are said to be.
func TestShortBlocksAreSaid(t *testing.T) {
	if s := runStation(t, "station-mm16", "5000", nil); len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "short for this station") {
		t.Errorf("%q", s.Notes)
	}
}

// A sweep goes on over points without a steady state, and theory lies on the curve.
func TestSweepStation(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, out, stderr := spillway("sweep", "station-mm16", "--arm", "sim", "--vary", "station.servers=14..18/5", "--set", "station.measure.customers=40000", "--out", dir)
	if code != 0 || !strings.Contains(out, "no steady state") || strings.Count(out, " of 15") != 4 {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	for _, f := range []string{"index.html", "sweep.json", "sweep.md", "figures/station-sweep-station-servers.svg"} {
		if !exists(filepath.Join(dir, f)) {
			t.Errorf("%s is missing", f)
		}
	}
	for _, args := range [][]string{{"report", dir}, {"report", filepath.Join(dir, "sweep.json")}, {"gate", dir}, {"compare", dir, dir}} {
		code, out, stderr := spillway(args...)
		if code != 2 || out != "" || !strings.Contains(stderr, "run its spillway sweep with --out "+dir) {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, stderr)
		}
		oneClearLine(t, stderr)
	}
}

// What is not known is said to be, and a partial result says that it is one.
func TestStationWithoutTheory(t *testing.T) {
	spec, err := scenarios.LoadStation("station-mm16")
	if err != nil {
		t.Fatal(err)
	}
	// Three servers, log-normal services and bounded places: no formula.
	for _, set := range [][2]string{{"station.service.law", "log-normal"}} {
		if err := spec.SetAll(record.Setting{Key: set[0], Value: set[1]}, record.Setting{Key: "station.service.cv", Value: "1 x"},
			record.Setting{Key: "station.places", Value: "20"}, record.Setting{Key: "station.measure.customers", Value: "2000"}); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := stationConfig(spec, 1)
	if err != nil {
		t.Fatal(err)
	}
	res, err := station.Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	res.Partial = true
	s := stationResult(spec, cfg, res)
	if word, _, differs := s.Verdict(); word != "no closed form" || differs {
		t.Errorf("%s, %v", word, differs)
	}
	if text := s.Text(); !strings.Contains(text, "PARTIAL") {
		t.Error(text)
	}
	for _, f := range s.Figures {
		if f.Inside != nil || f.Theory.OK || math.IsNaN(f.Value.V) {
			t.Errorf("%+v", f)
		}
	}
}

// Every key of a file reaches the simulator. Theory is told of the same
// configuration, so it would not notice.
func TestStationConfig(t *testing.T) {
	spec, err := scenarios.ParseStation([]byte(`name: all
station:
  servers: 3 servers
  places: 9 places
  arrivals: {rate: 100 customers/s, process: regular}
  service: {law: log-normal, mean: 10ms, cv: 2 x}
  patience: {law: deterministic, mean: 50ms}
  retry: {probability: 80 %, delay: {law: empirical, values: [1s, 2s]}, attempts: 4 attempts}
  order: lifo
  classes: [25 %, 75 %]
  measure: {method: batch-means, blocks: 30 blocks, customers: 1000 customers, warm_up: 500 customers, confidence: 99 %}
`), "all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := stationConfig(spec, 7)
	want := station.Config{Servers: 3, Places: 9, Rate: 100, Regular: true, Service: station.LogNormal(10*time.Millisecond, 2),
		Patience: station.Constant(50 * time.Millisecond), Order: station.LIFO, Classes: []float64{0.25, 0.75},
		Retry: station.Retry{Probability: 0.8, Delay: station.Empirical([]time.Duration{time.Second, 2 * time.Second}), Attempts: 4},
		Seed:  7, Method: station.BatchMeans, Blocks: 30, Customers: 1000, WarmUp: 500, Confidence: 0.99}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v; %v", got, want, err)
	}
	if err := spec.SetAll(record.Setting{Key: "station.measure.warm_up", Value: "0"}, record.Setting{Key: "station.patience.law", Value: "none"},
		record.Setting{Key: "station.service.law", Value: "exponential"}); err != nil {
		t.Fatal(err)
	}
	got, err = stationConfig(spec, 7)
	want.WarmUp, want.Patience, want.Service = -1, station.Law{}, station.Exponential(10*time.Millisecond)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v; %v", got, want, err)
	}
}
