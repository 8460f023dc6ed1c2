package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spillway/internal/record"
	"spillway/reports/gate"
)

// rush is a rush far from the tipping line, with objectives that a record of it can
// tell.
func rush(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rush.yaml")
	text := `extends: smoke
name: rush
title: A rush to plan for
scale: {people: "1:500", time: 1 x}
window: {from: -5s, to: 20s, peak: 6s, recovery: 15s}
objectives: ["status.p95 < 100ms", "invariant.oversell == 0", "attack.lateness.p90 < 2s"]
`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func planned(t *testing.T, want int, args ...string) (f found) {
	t.Helper()
	code, stdout, stderr := spillway(append([]string{"plan"}, args...)...)
	if code != want {
		t.Fatalf("exit %d, want %d\n%s\n%s", code, want, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &f); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	return f
}

// The answer holds, its neighbour does not, what breaks is named; asked again the
// same comes back, from the points that are there.
func TestPlanServers(t *testing.T) {
	whole(t)
	dir, file := filepath.Join(t.TempDir(), "plan"), rush(t)
	f := planned(t, gate.ExitOK, file, "--find", "servers", "--seeds", "3", "--json", "--out", dir)
	if f.Answer == nil || f.Answer.Held != 3 || f.Beyond == nil || f.Beyond.Held == 3 || f.Breaks == nil || f.Breaks.Breaks == "" {
		t.Fatalf("%+v", f)
	}
	if f.Answer.Low < 0.4 || f.Answer.High != 1 {
		t.Errorf("interval of 3 of 3: %v to %v", f.Answer.Low, f.Answer.High)
	}
	n := len(pointsOf(t, dir))
	again := planned(t, gate.ExitOK, file, "--find", "servers", "--seeds", "3", "--json", "--out", dir)
	if again.Answer.Value != f.Answer.Value || len(pointsOf(t, dir)) != n {
		t.Errorf("again: %+v", again.Answer)
	}
	code, stdout, _ := spillway("plan", file, "--find", "servers", "--seeds", "3", "--out", dir)
	if !exists(filepath.Join(dir, "index.html")) || !exists(filepath.Join(dir, figuresDir, "sweep-gateway-instances.png")) {
		t.Error("no page of the plan")
	}
	for _, want := range []string{"servers would do", "; the first thing to break is status.p95, at", "breaks   first", "3 of 3 [44 … 100 %]"} {
		if code != gate.ExitOK || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stdout)
		}
	}
}

// A percentile that the scenario's own crowd cannot carry makes the crowd larger,
// unless the scale was given; and what one asks for may hold where the rest does not.
func TestPlanEnlarges(t *testing.T) {
	whole(t)
	file := rush(t)
	args := []string{file, "--find", "servers", "--seeds", "1", "--json", "--objective", "submit.queued.peak.p99 < 10s"}
	f := planned(t, gate.ExitOK, append(args, "--out", t.TempDir())...)
	if f.Answer == nil || f.Scale == "1:500 people, 1 x time" {
		t.Errorf("%s: %+v", f.Scale, f.Answer)
	}
	if f.Answer.Beside == nil || f.Answer.Beside.mark() != "fails" {
		t.Errorf("the scenario's own objectives hold on %s servers: %+v", f.Answer.Value, f.Answer.Beside)
	}
	for _, given := range [][]string{{"--scale", "1:500"}, {"--set", "scale.people=1:500"}} {
		f := planned(t, gate.ExitInconclusive, append(append(args, "--out", t.TempDir()), given...)...)
		if f.Answer != nil || f.Scale != "1:500 people, 1 x time" {
			t.Errorf("%v: %s: %+v", given, f.Scale, f.Answer)
		}
	}
}

// What no value can meet is a missed objective, not an answer.
func TestPlanWithoutAnAnswer(t *testing.T) {
	f := planned(t, gate.ExitObjectiveMissed, rush(t), "--find", "admission", "--seeds", "2", "--json", "--out", t.TempDir(),
		"--objective", "status.p50 < 1us")
	if f.Answer != nil || len(f.Tried) < 5 {
		t.Errorf("%+v", f)
	}
}

// A tornado of one seed: the figure, the page and the table are there, and what
// decides the length of the queue moves its depth.
func TestPlanTornado(t *testing.T) {
	whole(t)
	dir := filepath.Join(t.TempDir(), "tornado")
	code, stdout, stderr := spillway("plan", rush(t), "--tornado", "depth-at-risk", "--seeds", "1", "--out", dir)
	if code != gate.ExitOK {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	for _, file := range []string{"index.html", filepath.Join(figuresDir, "tornado.svg"), filepath.Join(figuresDir, "tornado.png")} {
		if !exists(filepath.Join(dir, file)) {
			t.Errorf("no %s", file)
		}
	}
	depth, attempts := strings.Index(stdout, "\nqueue.depth"), strings.Index(stdout, "\nqueue.attempts")
	for _, want := range []string{"Does not move it: ", "the items of a list are not moved alone: population.classes."} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "unknown key") {
		t.Error("an item of a list is called an unknown key")
	}
	if depth < 0 || attempts >= 0 && attempts < depth {
		t.Errorf("the queue's bound moves its depth less than deliveries do:\n%s", stdout)
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no question":      {},
		"two questions":    {"--find", "servers", "--tornado", "submit.p99"},
		"what":             {"--find", "luck"},
		"objective":        {"--find", "servers", "--objective", "sumbit.p99 < 1s"},
		"a late simulator": {"--find", "servers", "--objective", "attack.lateness.p99 < 1ms"},
		"seeds":            {"--find", "servers", "--seeds", "0"},
		"no queue":         {"--find", "queue", "--off", "queue"},
		"no gate":          {"--find", "admission", "--off", "admission"},
		"metric":           {"--tornado", "happiness"},
	} {
		code, _, stderr := spillway(append([]string{"plan", "smoke", "--out", t.TempDir()}, args...)...)
		if code != gate.ExitBadInput {
			t.Errorf("%s: exit %d: %s", name, code, stderr)
		}
		oneClearLine(t, stderr)
	}
}

// The margin is what is left to the limit, as a share of it.
func TestMargin(t *testing.T) {
	for _, c := range []struct {
		objective string
		measured  float64
		want      float64
	}{{"submit.p99 < 800ms", 0.2, 0.75}, {"submit.p99 < 800ms", 1.6, -1}, {"confirmed.share > 90 %", 0.95, 0.5}, {"sold-out.at < 30s", 27, 0.1}} {
		o, err := record.ParseObjective(c.objective)
		if err != nil {
			t.Fatal(err)
		}
		l := gate.Line{Objective: c.objective, Limit: o.Value}
		l.Measured.V, l.Measured.OK = c.measured, true
		if m, ok := margin(l); !ok || m < c.want-1e-9 || m > c.want+1e-9 {
			t.Errorf("%s at %g: %g, want %g", c.objective, c.measured, m, c.want)
		}
	}
	if _, ok := margin(gate.Line{Objective: "invariant.lost == 0"}); ok {
		t.Error("an invariant has no margin")
	}
}
