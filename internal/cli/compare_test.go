package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"spillway/reports"
)

func TestComparePrediction(t *testing.T) {
	whole(t)
	attack := measuredLike(t, "smoke")
	sim := t.TempDir()
	if code, _, stderr := spillway("sim", "smoke", "--window", "opening", "--unscaled", "--out", sim); code != 0 {
		t.Fatal(stderr)
	}
	svg := filepath.Join(t.TempDir(), "both.svg")
	code, out, stderr := spillway("compare", sim, attack, "--prediction", "--figure", svg)
	if code != 0 || !strings.Contains(out, "Median error 0.0 %") || !exists(svg) {
		t.Fatalf("exit code %d:\n%s%s", code, out, stderr)
	}
	if _, out, _ := spillway("compare", sim, attack, "--prediction", "--markdown"); !strings.Contains(out, "| ---: |") {
		t.Errorf("no Markdown:\n%s", out)
	}
	code, out, _ = spillway("compare", sim, attack, "--prediction", "--json")
	var p reports.Prediction
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 0 || p.Errors.N == 0 || p.Errors.Worst.V != 0 {
		t.Errorf("exit code %d, %v: %+v", code, err, p.Errors)
	}
	other := t.TempDir()
	if code, _, stderr := spillway("sim", "smoke", "--window", "opening", "--unscaled", "--set", "queue.depth=3000", "--out", other); code != 0 {
		t.Fatal(stderr)
	}
	// Without a word a simulation and a measurement are a prediction, in any order; what
	// is not of one run is put side by side, and told apart.
	dir := filepath.Join(t.TempDir(), "both")
	for _, args := range [][]string{{sim, attack}, {attack, sim, "--out", dir}} {
		if code, out, stderr := spillway(append([]string{"compare"}, args...)...); code != 0 || !strings.Contains(out, "Median error 0.0 %") {
			t.Errorf("%v: exit code %d:\n%s%s", args, code, out, stderr)
		}
	}
	if code, out, _ := spillway("compare", sim, sim, sim, attack); code != 0 || !strings.Contains(out, "the mean of 3 simulated evenings") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if !exists(filepath.Join(dir, "index.html")) || !exists(filepath.Join(dir, figuresDir, "prediction.svg")) {
		t.Error("no page of the prediction")
	}
	if code, out, _ := spillway("compare", other, attack); code != 0 || !strings.Contains(out, "smoke, sim") || !strings.Contains(out, "Not held against each other: ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	for name, args := range map[string][]string{
		"one":      {"compare", sim, "--prediction"},
		"settings": {"compare", other, attack, "--prediction"},
		"figure":   {"compare", other, attack, "--figure", svg},
	} {
		code, _, stderr := spillway(args...)
		if code != 2 {
			t.Errorf("%s: exit code %d", name, code)
		}
		oneClearLine(t, stderr)
	}
}
