package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/record"
	"spillway/scenarios"
)

// measured rewrites testdata/measured.json from records of the attack:
//
//	go test ./sim -run Measured -measured 'DIR/*.rec'
var measured = flag.String("measured", "", "glob of the attack's records to take testdata/measured.json from")

const measuredFile = "testdata/measured.json"

// point is one run of the attack against the bundled backend, in figures.
type point struct {
	Scenario string
	Faults   []scenarios.Fault `json:",omitempty"` // in place of the scenario's own
	Settings []string          `json:",omitempty"`
	Seed     uint64
	Figures  map[string]float64
}

// figures of a record: what a planner asks for, in run time.
func figures(r *record.Record) map[string]float64 {
	f := map[string]float64{}
	count := func(o booking.Outcome) (n float64) {
		for _, s := range booking.Steps() {
			n += float64(r.OutcomeCount(s, o.String()))
		}
		return n
	}
	for _, o := range []booking.Outcome{booking.Busy, booking.SoldOut, booking.Shed, booking.Degraded, booking.Expired, booking.Timeout, booking.BadCoin, booking.Closed} {
		if n := count(o); n > 0 {
			f["count."+o.String()] = n
		}
	}
	f["count.requests"] = float64(r.Header.Requested)
	f["count.pressed"] = float64(r.Stage(record.StagePressed, true))
	f["count.confirmed"] = float64(r.Stage(record.StageConfirmed, true))
	if at, ok := r.Marks[record.MarkSoldOut]; ok {
		f["moment.sold-out"] = at.Seconds()
		f["moment.last-confirmed"] = r.Marks[record.MarkLastConfirmed].Seconds()
	}
	if d, ok := r.MaxSample(record.SampleQueueDepth); ok {
		f["max.depth"] = d
	}
	if d, ok := r.MaxSample(record.SampleDatabaseWait); ok {
		f["max.backlog"] = d
	}
	load := 0.0
	for _, p := range r.Samples[record.SampleGatewayLoad] {
		load += p.Value
	}
	f["mean.load"] = load / float64(max(len(r.Samples[record.SampleGatewayLoad]), 1))
	for _, x := range []struct{ span, outcome string }{{"ledger", "confirmed"}, {"booking", "confirmed"}, {"submit", "queued"}, {"status", "open"}} {
		h := r.Merged(record.Select{Span: x.span, Clock: record.Response, Outcomes: []string{x.outcome}})
		for name, q := range map[string]float64{"p50": 0.5, "p95": 0.95, "p99": 0.99} {
			if x.span == "booking" && q == 0.5 {
				// Bookings end at a poll, so their median may fall into the gap between
				// two polls and jump by seconds; the mean does not.
				f["mean.booking"] = h.Mean().Seconds()
				continue
			}
			if record.Carries(q, h.Count()) {
				f[name+"."+x.span] = h.Quantile(q).Seconds()
			}
		}
	}
	return f
}

// transaction is about what one of the writer's takes on the embedded database.
const transaction = 1500 * time.Microsecond

// TestMeasured holds predictions against what the attack measured on the bundled
// backend: the same scenario, seed and scale. Nothing is fitted but the two constants
// of the network; the phase of the writer's beat is read off each run.
func TestMeasured(t *testing.T) {
	if *measured != "" {
		take(t, *measured)
	}
	text, err := os.ReadFile(measuredFile)
	if err != nil {
		t.Fatal(err)
	}
	var points []point
	if err := json.Unmarshal(text, &points); err != nil {
		t.Fatal(err)
	}
	if len(points) == 0 {
		t.Fatal("nothing was measured")
	}
	var all []float64
	for _, p := range points {
		spec, err := scenarios.Load(p.Scenario)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(p.Settings); i += 2 {
			if err := spec.Set(p.Settings[i], p.Settings[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if p.Faults != nil {
			spec.Faults = p.Faults
		}
		sc, err := scenarios.ScaleWithin(spec, 0, 0, scenarios.Unbounded)
		if err != nil {
			t.Fatal(err)
		}
		// The last row was written on a beat, which tells where the beat stands.
		opt, beat := Options{Unscaled: true}, sc.Ledger.Every
		if sc.Mode == booking.ModeTimedWriter {
			beat = sc.Ledger.FlushEvery
		}
		if last := time.Duration(1e9 * p.Figures["moment.last-confirmed"]); last > 0 {
			opt.Phase = (last-transaction)%beat + 1
		}
		got := figures(run(t, sc.WithSeed(draw.Seed(p.Seed)), opt))
		name := strings.TrimSpace(fmt.Sprint(p.Scenario, " ", strings.Join(p.Settings, "=")))
		t.Logf("%s (margin %+.1f σ)", name, sc.Prediction.Margin)
		for _, key := range sortedKeys(p.Figures) {
			want := p.Figures[key]
			off := (got[key] - want) / want
			allowed := 0.10
			switch kind, _, _ := strings.Cut(key, "."); kind {
			case "count":
				// Few events, and a race at a bound that milliseconds decide.
				allowed = 0.05 + 4/math.Sqrt(want)
			case "moment":
				off, allowed = got[key]-want, 0.5 // seconds
			case "p50":
				allowed += 0.0007 / want
			case "p95", "p99":
				// The tails of the code itself are not modelled: collections of garbage,
				// the scheduler, the generator's lateness.
				allowed = 0.25 + 0.005/want
			}
			if math.Abs(sc.Prediction.Margin) < 2 {
				allowed *= 2 // too close to the tipping line to call
			}
			t.Logf("  %-22s predicted %10.4g measured %10.4g  %+6.1f %%", key, got[key], want, 100*(got[key]/want-1))
			if math.Abs(off) > allowed {
				t.Errorf("%s: %s: predicted %.4g, measured %.4g", name, key, got[key], want)
			}
			all = append(all, math.Abs(got[key]/want-1))
		}
	}
	slices.Sort(all)
	t.Logf("%d figures of %d runs: median error %.1f %%, 90 %% within %.1f %%, worst %.1f %%",
		len(all), len(points), 100*all[len(all)/2], 100*all[len(all)*9/10], 100*all[len(all)-1])
	if all[len(all)/2] > 0.03 {
		t.Errorf("the median error is %.1f %%", 100*all[len(all)/2])
	}
}

func sortedKeys(m map[string]float64) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// take writes the figures of the attack's records.
func take(t *testing.T, glob string) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil {
		t.Fatal(err)
	}
	var points []point
	for _, f := range files {
		r, err := record.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// A baseline is meant to collapse, and counts in seconds.
		if late := r.Merged(record.Select{Span: record.SpanLateness}).Quantile(0.99); late > 5*time.Millisecond && !r.Header.Baseline {
			t.Logf("%s left out: the generator was %v late at p99, so the run proves nothing", f, late)
			continue
		}
		p := point{Scenario: r.Header.Scenario, Seed: r.Header.Seed, Figures: figures(r)}
		for _, v := range r.Header.Vary {
			p.Settings = append(p.Settings, v.Key, v.Value)
		}
		if !slices.Contains(scenarios.Names(), p.Scenario) {
			// One of the shipped scenarios with faults of its own.
			spec, err := scenarios.Parse([]byte(r.Header.Text), f)
			if err != nil {
				t.Fatal(err)
			}
			p.Scenario, p.Faults = "suikang-2020-01-31", spec.Faults
		}
		for k, v := range p.Figures {
			p.Figures[k] = math.Round(v*1e6) / 1e6
		}
		points = append(points, p)
	}
	text, err := json.MarshalIndent(points, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(measuredFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
