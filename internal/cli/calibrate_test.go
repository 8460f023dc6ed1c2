package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
)

// measuredLike simulates a scenario and gives it the lateness of an attack.
func measuredLike(t *testing.T, scenario string, args ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if code, _, stderr := spillway(append([]string{"sim", scenario, "--window", "opening", "--unscaled", "--out", dir}, args...)...); code != 0 {
		t.Fatal(stderr)
	}
	file := filepath.Join(dir, mainRecord)
	rec, err := record.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rec.Header.Label = "attack"
	rec.Hist(record.Key{Span: record.SpanLateness, Clock: record.Response}).AddN(100*time.Microsecond, 1000)
	if err := record.WriteFile(file, rec); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCalibrate(t *testing.T) {
	whole(t)
	run := measuredLike(t, "smoke", "--overhead", "1ms")
	file := filepath.Join(t.TempDir(), "calibration.json")
	code, out, stderr := spillway("calibrate", run, "--out", file)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"network, round trip", "overhead of a gateway", "order statistics", "ledger.rows/s"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	dir := t.TempDir()
	if code, _, stderr := spillway("sim", "smoke", "--window", "opening", "--calibration", file, "--out", dir); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if err := os.WriteFile(file, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = spillway("sim", "smoke", "--window", "opening", "--calibration", file, "--out", dir)
	if code != 2 {
		t.Errorf("a broken file: exit code %d", code)
	}
	oneClearLine(t, stderr)
	for name, spoil := range map[string]func(*record.Header){
		"partial": func(h *record.Header) { h.Partial = true },
		"lagged":  func(h *record.Header) { h.Saturated = true },
	} {
		rec, err := record.ReadFile(filepath.Join(run, mainRecord))
		if err != nil {
			t.Fatal(err)
		}
		spoil(&rec.Header)
		bad := filepath.Join(t.TempDir(), "bad.rec")
		if err := record.WriteFile(bad, rec); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := spillway("calibrate", bad, "--out", filepath.Join(t.TempDir(), "c.json"))
		if code != 2 || !strings.Contains(stderr, "not fit") {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		oneClearLine(t, stderr)
	}
}
