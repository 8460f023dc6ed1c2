package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"spillway/internal/record"
)

func TestSimLeavesAReport(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, out, stderr := spillway("sim", tiny(t, ""), "--window", "opening", "--seed", "3", "--out", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, stderr)
	}
	rec, err := record.ReadFile(filepath.Join(dir, mainRecord))
	if err != nil {
		t.Fatal(err)
	}
	if h := rec.Header; h.Label != "sim" || h.Seed != 3 || h.Machine == "" || len(rec.Invariants) != 6 {
		t.Errorf("label %q, seed %d, machine %q, %d invariants", h.Label, h.Seed, h.Machine, len(rec.Invariants))
	}
	for _, f := range []string{"index.html", "summary.md", "junit.xml"} {
		if !exists(filepath.Join(dir, f)) {
			t.Errorf("%s is missing", f)
		}
	}
	if !strings.Contains(out, "verdict: HELD") || !strings.Contains(stderr, "to simulate") {
		t.Errorf("said:\n%s%s", out, stderr)
	}
	// The same command gives the same record, but for wall time, and so does the plain
	// engine.
	for _, more := range [][]string{nil, {"--plain"}} {
		again := t.TempDir()
		args := append([]string{"sim", tiny(t, ""), "--window", "opening", "--seed", "3", "--out", again}, more...)
		if code, _, stderr := spillway(args...); code != 0 {
			t.Fatal(stderr)
		}
		twin, err := record.ReadFile(filepath.Join(again, mainRecord))
		if err != nil || twin.Digest() != rec.Digest() {
			t.Errorf("%v: digests differ, or %v", more, err)
		}
	}
}

func TestSimRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"native":   {"--set", "gateway.native=on"},
		"time":     {"--scale", "1:1", "--max-time", "1ms"},
		"memory":   {"--scale", "1:1", "--max-memory", "1MiB"},
		"size":     {"--max-memory", "much"},
		"network":  {"--network=-1s"},
		"layer":    {"--off", "moat"},
		"too many": {"--scale", "2:1"},
	} {
		dir := t.TempDir()
		code, _, stderr := spillway(append([]string{"sim", "smoke", "--out", dir}, args...)...)
		if code != 2 {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		oneClearLine(t, stderr)
		if exists(filepath.Join(dir, mainRecord)) {
			t.Errorf("%s: a record was written", name)
		}
	}
}

// A scenario in its window: sim takes the day at 1:1, the word opening or another
// command what the scenario says, and the flags win over both.
func TestWindow(t *testing.T) {
	for name, c := range map[string]struct {
		window string
		set    settings
		from   time.Duration
		to     time.Duration
		people float64
		quick  float64
	}{
		"the whole day":      {windowDay, settings{}, -2 * time.Hour, 4 * time.Hour, 1, 1},
		"the opening":        {windowOpening, settings{}, -8 * time.Second, 32 * time.Second, 1. / 2000, 4},
		"a thinned day":      {windowDay, settings{Scale: "1:100"}, -2 * time.Hour, 4 * time.Hour, 0.01, 1},
		"a window by hand":   {windowDay, settings{Set: []string{"window.from=-9s", "window.to = 40s"}}, -9 * time.Second, 40 * time.Second, 1, 1},
		"one end by hand":    {windowDay, settings{Set: []string{"window.to=1h"}}, -2 * time.Hour, time.Hour, 1, 1},
		"a shorter day":      {windowDay, settings{Set: []string{"arrivals.day_from=-1h", "arrivals.day_to=2h"}}, -time.Hour, 2 * time.Hour, 1, 1},
		"a longer day":       {windowDay, settings{Set: []string{"arrivals.day_from=-20h"}}, -20 * time.Hour, 4 * time.Hour, 1, 1},
		"a scale by its key": {windowDay, settings{Set: []string{"scale.people=1:500", "scale.time=2 x"}}, -2 * time.Hour, 4 * time.Hour, 1. / 500, 2},
	} {
		spec, err := loader("smoke", c.set, c.window)()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if w := spec.Window; w.From != c.from || w.To != c.to || w.Peak != 8*time.Second || w.Recovery != 25*time.Second {
			t.Errorf("%s: window %+v", name, w)
		}
		if s := spec.Scale; s.People != c.people || s.Time != c.quick {
			t.Errorf("%s: scale %+v", name, s)
		}
	}
	var cmd command
	if k, err := kong.New(&cmd); err != nil {
		t.Fatal(err)
	} else if _, err := k.Parse([]string{"sim"}); err != nil || cmd.Sim.Window != windowDay || cmd.Sweep.Window != windowOpening || cmd.Plan.Window != windowOpening {
		t.Errorf("%v, defaults %q, %q, %q", err, cmd.Sim.Window, cmd.Sweep.Window, cmd.Plan.Window)
	}
}

// A moment of hours reads as one.
func TestSigned(t *testing.T) {
	for d, want := range map[time.Duration]string{-8 * time.Second: "-8s", 40 * time.Second: "+40s", -2 * time.Hour: "-2h0m0s", 5123400 * time.Millisecond: "+1h25m23s"} {
		if got := signed(d); got != want {
			t.Errorf("%v = %q, want %q", d, got, want)
		}
	}
}
