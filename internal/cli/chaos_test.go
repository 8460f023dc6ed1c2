package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/reports"
)

// Every fault of the table can be written into the scenario, at its strength.
func TestChaosNamesEveryFault(t *testing.T) {
	c := chaosCmd{Scenario: "chaos", At: 12e9, For: 16e9, settings: settings{Seed: 1}}
	names, err := c.names()
	if err != nil || names[0] != reports.NoFault {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names[1:] {
		sc, err := c.under(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fs := sc.FaultsWithin()
		if len(fs) != 1 || fault.Name(fs[0].Kind, fs[0].Target) != name || fs[0].At != 4e9 || fs[0].For != 4e9 {
			t.Errorf("%s: %+v", name, fs)
		}
	}
	if want := 1 + len(fault.Table); len(names) < want {
		t.Errorf("%d names, want at least %d", len(names), want)
	}
	c.Fault = []string{"kill", "cut:writer-redis"}
	names, err = c.names()
	if want := []string{"none", "kill:gateway", "kill:writer", "kill:redis", "kill:database", "cut:writer-redis"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v; want %v", names, err, want)
	}
}

func TestChaosRefuses(t *testing.T) {
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"--fault", "kil:writer"}, `did you mean "kill"?`},
		{[]string{"--fault", "kill:edge"}, "one of gateway, writer, redis, database"},
		{[]string{"--fault", "outage:redis"}, "it has none"},
		{[]string{"suikang-writer-stop"}, "has faults of its own"},
		{[]string{"--at", "10m"}, "outside the window"},
	} {
		code, _, stderr := spillway(append([]string{"chaos", "--out", t.TempDir()}, x.args...)...)
		if code != 2 || !strings.Contains(stderr, x.want) {
			t.Errorf("%v: exit %d, %s", x.args, code, stderr)
		}
		oneClearLine(t, stderr)
	}
}

// A short one: two faults, one report, and the same table when it is made again.
func TestChaosLeavesAReport(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, out, stderr := spillway("chaos", "--fault", "outage", "--fault", "poison", "--set", "window.recovery=20s", "--set", "window.to=24s",
		"--at", "8s", "--for", "8s", "--scale", "1:2000", "--out", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, stderr)
	}
	for _, name := range []string{"none", "outage", "poison"} {
		if !strings.Contains(out, "\n"+name+" ") {
			t.Errorf("the table has no %s:\n%s", name, out)
		}
	}
	for _, f := range []string{"index.html", "figures/recovery-outage.svg", "figures/recovery-poison.png"} {
		if !exists(filepath.Join(dir, f)) {
			t.Errorf("%s is missing", f)
		}
	}
	_, text, _ := spillway("report", dir, "--json")
	var got struct{ Faults []reports.Recovery }
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got.Faults) != 3 {
		t.Fatalf("%v, %d faults in\n%.300s", err, len(got.Faults), text)
	}
	if o, p := got.Faults[1], got.Faults[2]; o.Failed == 0 || p.Dead.V < 1 || o.Dead.V != 0 {
		t.Errorf("outage %+v\npoison %+v", o, p)
	}

	// A broken invariant is exit code 5, whatever else holds.
	files, err := filepath.Glob(filepath.Join(dir, pointsDir, "*outage.rec"))
	if err != nil || len(files) != 1 {
		t.Fatal(err, files)
	}
	rec, err := record.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	rec.Invariants[0].Broken = 2
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := record.WriteFile(files[0], rec); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := spillway("report", dir); code != 5 || !strings.Contains(out, "fault=outage") {
		t.Errorf("with an invariant broken: exit %d\n%s", code, out)
	}
}

// What was measured before something failed is in a report all the same.
func TestChaosThatBreaksOffLeavesAReport(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, pointsDir, "01-poison.rec"), 0o755); err != nil { // in the record's way
		t.Fatal(err)
	}
	code, out, stderr := spillway("chaos", "--fault", "poison", "--set", "window.recovery=20s", "--set", "window.to=24s",
		"--at", "8s", "--for", "8s", "--scale", "1:2000", "--out", dir)
	if code == 0 || !strings.Contains(stderr, "spillway: poison: ") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if !strings.Contains(out, "\nnone ") || !exists(filepath.Join(dir, "index.html")) {
		t.Errorf("no report of the first run:\n%s", out)
	}
}
