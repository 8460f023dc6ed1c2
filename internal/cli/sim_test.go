package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"spillway/internal/record"
)

func TestSimLeavesAReport(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, out, stderr := spillway("sim", tiny(t, ""), "--seed", "3", "--out", dir)
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
	// The same command gives the same record, but for wall time.
	again := t.TempDir()
	if code, _, stderr := spillway("sim", tiny(t, ""), "--seed", "3", "--out", again); code != 0 {
		t.Fatal(stderr)
	}
	twin, err := record.ReadFile(filepath.Join(again, mainRecord))
	if err != nil || twin.Digest() != rec.Digest() {
		t.Errorf("digests differ, or %v", err)
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
