package sim

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"spillway/internal/draw"
	"spillway/internal/record"
	"spillway/scenarios"
)

// scaled loads a scenario and scales it; people and k of 0 are the scenario's own.
func scaled(t testing.TB, name string, people, k float64, seed draw.Seed, settings ...string) *scenarios.Scaled {
	t.Helper()
	spec, err := scenarios.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(settings); i += 2 {
		if err := spec.Set(settings[i], settings[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	sc, err := scenarios.ScaleWithin(spec, people, k, scenarios.Unbounded)
	if err != nil {
		t.Fatal(err)
	}
	return sc.WithSeed(seed)
}

func run(t testing.TB, sc *scenarios.Scaled, opt Options) *record.Record {
	t.Helper()
	rec, err := Run(context.Background(), sc, opt)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// The same seed gives the same bytes, whatever the number of cores.
func TestDeterminism(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want string
	for _, procs := range []int{1, 2, 8, 1} {
		runtime.GOMAXPROCS(procs)
		got := run(t, scaled(t, "suikang-2020-01-31", 1.0/1000, 1, 7), Options{}).Digest()
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("at %d cores the digest is %.8s, first it was %.8s", procs, got, want)
		}
	}
	if other := run(t, scaled(t, "suikang-2020-01-31", 1.0/1000, 1, 8), Options{}).Digest(); other == want {
		t.Error("another seed gives the same digest")
	}
}

// The record is what the attack writes: label, funnel, windows, the objectives that
// apply, every invariant proved, and nothing that only a generator has.
func TestRecord(t *testing.T) {
	rec := run(t, scaled(t, "suikang-2020-01-31", 0, 0, 1), Options{})
	h := &rec.Header
	if h.Label != "sim" || h.Scenario != "suikang-2020-01-31" || h.Seed != 1 || len(h.Windows) != 4 || h.Partial {
		t.Errorf("header %+v", h)
	}
	if slices.ContainsFunc(h.Objectives, func(s string) bool { return len(s) > 6 && s[:6] == "attack" }) {
		t.Errorf("objectives about the generator: %v", h.Objectives)
	}
	for k := range rec.Hists {
		if k.Span == record.SpanLateness {
			t.Fatal("a simulation has no lateness")
		}
	}
	var names []string
	for _, x := range rec.Invariants {
		names = append(names, x.Name)
		if x.Broken != 0 {
			t.Errorf("invariant %s is broken %d times: %s", x.Name, x.Broken, x.Detail)
		}
	}
	if !slices.Equal(names, record.InvariantNames()) {
		t.Errorf("invariants %v, want %v", names, record.InvariantNames())
	}
	if len(rec.Deciles) != 10 || rec.Stage(record.StageConfirmed, false) != 756 {
		t.Errorf("%d deciles, %d confirmed of 756", len(rec.Deciles), rec.Stage(record.StageConfirmed, false))
	}
	if len(rec.Samples[record.SampleGatewayLoad]) != 500 {
		t.Errorf("%d samples of 50 s", len(rec.Samples[record.SampleGatewayLoad]))
	}
}

// Interrupted, a run keeps what it has and says so.
func TestPartial(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sc := scaled(t, "suikang-2020-01-31", 0, 0, 1)
	var at time.Duration
	rec, err := Run(ctx, sc, Options{Progress: func(p Progress) {
		if p.Elapsed > 20*time.Second {
			at = p.Elapsed
			cancel()
		}
	}})
	if err != nil || !rec.Header.Partial {
		t.Fatalf("partial %v, error %v", rec != nil && rec.Header.Partial, err)
	}
	if n := len(rec.Counters[record.CountVisits]); n < 20 || n > 25 || at == 0 {
		t.Errorf("%d seconds of visits, interrupted at %v", n, at)
	}
	// What was counted ahead of time is not of a run that ended before.
	for _, name := range []string{record.CountPresses, record.CountCoinLost, record.CountFirst} {
		if n := len(rec.Counters[name]); n < 20 || n > 25 {
			t.Errorf("%d seconds of %s, interrupted at %v", n, name, at)
		}
	}
}

// The estimate follows the scale, and the window; what it says of a run that was
// measured is within a factor of two.
func TestEstimate(t *testing.T) {
	at := func(people float64, settings ...string) Cost {
		return Estimate(scaled(t, "suikang-2020-01-31", people, 1, 1, settings...))
	}
	whole, tenth := at(1), at(0.1)
	if r := float64(whole.Time) / float64(tenth.Time); r < 8 || r > 12 {
		t.Errorf("%v at 1:1, %v at 1:10", whole, tenth)
	}
	// Measured with two cores: 4.0 s and 224 MB, 17 s and 264 MB, 0.57 s and 110 MB.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	hours := []string{"window.from", "-2h", "window.to", "4h"}
	for _, x := range []struct {
		got       Cost
		time, mem float64
	}{{whole, 4, 224e6}, {at(1, hours...), 17, 264e6}, {at(0.01, hours...), 0.57, 110e6}} {
		if r := x.got.Time.Seconds() / x.time; r < 0.5 || r > 2 {
			t.Errorf("%v, measured %v s", x.got, x.time)
		}
		if r := x.got.Memory / x.mem; r < 0.5 || r > 2 {
			t.Errorf("%v, measured %v MB", x.got, x.mem/1e6)
		}
	}
}
