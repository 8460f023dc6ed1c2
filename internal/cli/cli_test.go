package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
	"spillway/reports/gate"
)

// asProgram makes the test binary behave as the program itself: the backend is a
// child process of the same executable.
const asProgram = "SPILLWAY_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	// A fuzzing worker is a child too, and stays a test.
	if os.Getenv(asProgram) != "" && !strings.HasPrefix(strings.Join(os.Args[1:], ""), "-test.") {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err := os.Setenv(asProgram, "1"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// spillway runs a command line in this process.
func spillway(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// tiny is a scenario of three seconds of run, so small that any machine holds it.
func tiny(t *testing.T, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.yaml")
	text := `extends: smoke
name: tiny
title: Three seconds of everything
window: {from: -2s, to: 10s, peak: 4s, recovery: 8s}
visitor: {notice: 500ms, form: 1s}
objectives: ["invariant.oversell == 0", "invariant.lost == 0", "attack.lateness.p90 < 2s"]
` + more
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// whole leaves a test to the full suite: under the race detector drawing reports and
// simulating take minutes. It has TestAttackLeavesAReport and TestSweepResumes for the
// former, TestPlanWithoutAnAnswer for points simulated side by side, and the tests of
// package station for its runs.
func whole(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs in the full suite, make test")
	}
}

// oneClearLine holds an error to the house rule: one line, what to do, no trace.
func oneClearLine(t *testing.T, stderr string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "spillway: ") || len(last) > 500 || strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, "panic") ||
		strings.Contains(stderr, "Secret1") {
		t.Errorf("not one clear line:\n%s", stderr)
	}
}

func TestExitBadInput(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.rec")
	if err := os.WriteFile(garbage, []byte("not a record"), 0o644); err != nil {
		t.Fatal(err)
	}
	yaml := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte("extends: smoke\nname: x\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		name string
		args []string
		want string // in the message
	}{
		{"unknown command", []string{"spke"}, "spike"},
		{"unknown flag", []string{"attack", "--sede", "2"}, "--seed"},
		{"unknown scenario", []string{"scenario", "show", "suikang-loseless"}, "suikang-lossless"},
		{"unknown key", []string{"scenario", "validate", yaml("a.yaml", "queue: {dept: 5 entries}")}, "depth"},
		{"wrong unit", []string{"scenario", "validate", yaml("b.yaml", "queue: {depth: 5 rows}")}, "entries"},
		{"no unit", []string{"scenario", "validate", yaml("c.yaml", "queue: {depth: 5}")}, "entries"},
		{"negative", []string{"scenario", "validate", yaml("d.yaml", "queue: {depth: -5 entries}")}, ":3:16:"},
		{"NaN", []string{"scenario", "validate", yaml("e.yaml", "visitor: {give_up: NaN %}")}, "give_up"},
		{"probability over 100", []string{"attack", "smoke", "--set", "admission.probability=120 %"}, "100"},
		{"no stock", []string{"scenario", "validate", yaml("f.yaml", "stock: {reservations: 0 reservations}")}, "reservations"},
		{"objective of no step", []string{"scenario", "validate", yaml("g.yaml", "objectives: [sumbit.p99 < 1s]")}, "submit"},
		{"unknown layer", []string{"attack", "smoke", "--off", "egde"}, "edge"},
		{"--set without value", []string{"attack", "smoke", "--set", "queue.depth"}, "KEY=VALUE"},
		{"time scale that is not credible", []string{"scenario", "explain", "--time", "100"}, "timeout"},
		{"too much for a machine", []string{"scenario", "explain", "--scale", "1:10"}, "requests/s"},
		{"nothing to vary", []string{"sweep", "smoke"}, "--vary"},
		{"grid that cannot be read", []string{"sweep", "smoke", "--vary", "queue.depth=1..x/3"}, "queue.depth"},
		{"not a record", []string{"gate", garbage}, "record"},
		{"no such record", []string{"gate", filepath.Join(dir, "none.rec")}, "none.rec"},
		{"objective that cannot be read", []string{"gate", garbage, "--objective", "x"}, "record"},
		{"empty folder", []string{"report", dir}, "record"},
		{"serve without configuration", []string{"serve", "--config", "-"}, "JSON"},
		{"target that is no URL", []string{"attack", "smoke", "--target", "ftp://x", "--out", dir}, "http://HOST:PORT"},
		{"admin part that is no URL", []string{"attack", "smoke", "--target", "http://127.0.0.1:1", "--admin-url", "x", "--out", dir}, "http://HOST:PORT"},
		{"fault without admin part", []string{"attack", "suikang-writer-stop", "--target", "http://127.0.0.1:1", "--out", dir}, "admin part"},
		{"nothing in flight", []string{"attack", "smoke", "--in-flight=-5", "--out", dir}, "at least 1"},
		{"more users than fit", []string{"attack", "smoke", "--set", "population.users=1e12 users", "--out", dir}, "people scale"},
		{"negative number of items", []string{"dlq", "list", "--redis", "redis://127.0.0.1:1", "--items=-1"}, "--items"},
		{"health of no URL", []string{"health", "--url", "127.0.0.1:8080"}, "http://HOST:PORT"},
		{"address that is none", []string{"serve", "smoke", "--listen", "nonsense"}, "HOST:PORT"},
		{"port that is none", []string{"serve", "smoke", "--listen", "127.0.0.1:99999"}, "HOST:PORT"},
		{"database that is none", []string{"serve", "smoke", "--db", "mysql://localhost/x", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, "postgres://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := spillway(c.args...)
			if code != gate.ExitBadInput || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d, want %d and %q in:\n%s", code, gate.ExitBadInput, c.want, stderr)
			}
			oneClearLine(t, stderr)
		})
	}
}

func TestExitEnvironment(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + refused.Addr().String()
	deadDB := strings.Replace(dead, "http://", "postgres://u:Secret1@", 1) + "/x"
	refused.Close()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"port in use", []string{"serve", "smoke", "--listen", busy.Addr().String(), "--admin-listen", "127.0.0.1:0"}, "in use"},
		{"target refuses", []string{"attack", "smoke", "--target", dead, "--out", t.TempDir()}, "refused"},
		{"unwritable folder", []string{"attack", "smoke", "--out", filepath.Join(file, "run")}, "folder"},
		{"nobody to be healthy", []string{"health", "--url", dead}, "refused"},
		{"no such Redis", []string{"dlq", "list", "--redis", strings.Replace(dead, "http", "redis", 1)}, "refused"},
		{"no such cluster", []string{"dlq", "list", "--redis", strings.Replace(dead, "http", "redis", 1) + "?addr=127.0.0.1:1"}, "refused"},
		{"no such PostgreSQL", []string{"serve", "smoke", "--db", deadDB, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, "refused"},
		{"nothing to reconcile", []string{"reconcile", "smoke", "--db", deadDB}, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := spillway(c.args...)
			if code != gate.ExitEnvironment || !strings.Contains(stderr, c.want) {
				t.Errorf("exit %d, want %d and %q in:\n%s", code, gate.ExitEnvironment, c.want, stderr)
			}
			oneClearLine(t, stderr)
		})
	}
}

// An answer that could not be written is no success, whatever it said.
func TestExitWhenOutputIsLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	for _, args := range [][]string{{"version"}, {"scenario", "list"}, {"scenario", "validate", "smoke"}, {"scenario", "explain", "smoke"}} {
		var errs bytes.Buffer
		if code := Main(args, strings.NewReader(""), full, &errs); code != gate.ExitEnvironment {
			t.Errorf("%v: exit %d, %s", args, code, errs.String())
		}
		oneClearLine(t, errs.String())
	}
}

// On a full disk the child's log stays empty: why it failed, and whose fault it
// is, must come through all the same.
func TestChildOnAFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	in, out := io.Pipe()
	defer in.Close()
	b := &backend{cmd: exec.Command("sh", "-c", "echo first >&2; echo 'spillway: disk is full' >&2; exit 7"),
		stdin: out, log: &childLog{file: full}, done: make(chan error, 1)}
	b.cmd.Stderr = b.log
	b.done <- b.cmd.Run()
	err = b.stop()
	if codeOf(err) != gate.ExitEnvironment || !strings.Contains(fmt.Sprint(err), ": disk is full") {
		t.Errorf("exit %d, %v", codeOf(err), err)
	}
}

// The codes of a verdict, each from a record that deserves it.
func TestExitOfVerdicts(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	for _, c := range []struct {
		name   string
		change func(*record.Record)
		want   int
	}{
		{"held", func(r *record.Record) { r.Header.Objectives = []string{"confirmed.share > 1 %"} }, gate.ExitOK},
		{"missed", func(r *record.Record) { r.Header.Objectives = []string{"status.p50 < 1ns"} }, gate.ExitObjectiveMissed},
		{"lagged", func(r *record.Record) { r.Header.Objectives = []string{"status.p50 < 1ns"}; r.Header.Saturated = true }, gate.ExitLagged},
		{"broken", func(r *record.Record) {
			r.Header.Saturated = true
			r.Invariants = []record.Invariant{{Name: "oversell", Broken: 1, Detail: "one too many"}}
		}, gate.ExitInvariantBroken},
		{"too close", func(r *record.Record) {
			r.Header.Margin = 1
			r.Header.Objectives = []string{"status.p50 < 1h"}
		}, gate.ExitInconclusive},
		{"baseline", func(r *record.Record) { r.Header.Objectives = []string{"status.p50 < 1ns"}; r.Header.Baseline = true }, gate.ExitOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := recordtest.Evening(1)
			rec.Invariants, rec.Header.Margin, rec.Header.Saturated = nil, 6, false
			c.change(rec)
			file := filepath.Join(dir, c.name+".rec")
			if err := record.WriteFile(file, rec); err != nil {
				t.Fatal(err)
			}
			junit := filepath.Join(dir, c.name+".xml")
			if code, stdout, stderr := spillway("gate", file, "--junit", junit); code != c.want {
				t.Errorf("exit %d, want %d:\n%s%s", code, c.want, stdout, stderr)
			}
			text, err := os.ReadFile(junit)
			if err != nil || xml.Unmarshal(text, new(struct{})) != nil {
				t.Errorf("JUnit: %v\n%s", err, text)
			}
			// An objective on the command line takes the place of the record's own.
			if c.name == "held" {
				if code, _, _ := spillway("gate", file, "--objective", "status.p50 < 1ns"); code != gate.ExitObjectiveMissed {
					t.Errorf("with an objective of its own: exit %d", code)
				}
			}
		})
	}
}

// A whole run: child backend, attack, reconciliation, report, and the report made
// again from its folder.
func TestAttackLeavesAReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, stdout, stderr := spillway("attack", tiny(t, ""), "--out", dir, "--seed", "3")
	if code != gate.ExitOK {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	for _, want := range []string{"verdict: HELD", "invariant lost", "report: " + filepath.Join(dir, "index.html")} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in:\n%s", want, stdout)
		}
	}
	for _, f := range []string{"index.html", "summary.json", "summary.md", "junit.xml", "record.rec", "figures/flow.svg", "figures/flow.png"} {
		if info, err := os.Stat(filepath.Join(dir, f)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "backend*"))
	if err != nil || len(left) > 0 {
		t.Errorf("the backend left %v behind", left)
	}
	html, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?:src|href)="(https?:[^"]*)"`).FindSubmatch(html); m != nil {
		t.Errorf("the page needs the network: %s", m[1])
	}
	rec, err := record.ReadFile(filepath.Join(dir, "record.rec"))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Header.Seed != 3 || rec.Header.Requested != rec.Header.Achieved || len(rec.Invariants) != len(record.InvariantNames()) {
		t.Errorf("seed %d, %d of %d sent, %d invariants", rec.Header.Seed, rec.Header.Achieved, rec.Header.Requested, len(rec.Invariants))
	}
	code, stdout, _ = spillway("report", dir, "--json")
	var again struct {
		Code int `json:"exit_code"`
	}
	if err := json.Unmarshal([]byte(stdout), &again); err != nil || code != again.Code || code != gate.ExitOK {
		t.Errorf("report --json: exit %d, %v", code, err)
	}
	if code, stdout, _ := spillway("compare", dir, dir); code != gate.ExitOK || !strings.Contains(stdout, "tiny") {
		t.Errorf("compare: exit %d\n%s", code, stdout)
	}
}

// A sweep resumes: the second time every point is found finished.
func TestSweepResumes(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "sweep"), tiny(t, "")
	args := []string{"sweep", file, "--vary", "queue.depth=2000,20000", "--out", dir}
	if code, stdout, stderr := spillway(args...); code != gate.ExitOK {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	began := time.Now()
	code, stdout, stderr := spillway(args...)
	if code != gate.ExitOK || strings.Count(stderr, "found finished") != 2 {
		t.Errorf("exit %d after %v\n%s\n%s", code, time.Since(began), stdout, stderr)
	}
	points, err := filepath.Glob(filepath.Join(dir, "points", "*.rec"))
	if err != nil || len(points) != 2 {
		t.Errorf("%d points, %v", len(points), err)
	}
}

// Ctrl-C in mid-run: exit 130, a partial record that says so, a report of it, and
// no child left behind.
func TestInterrupt(t *testing.T) {
	whole(t)
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "attack", tiny(t, "scale: {people: \"1:2000\", time: 1 x}\n"), "--out", dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The folder's backend log appears when the run begins.
	for !exists(filepath.Join(dir, "backend-run.log")) {
		if ctx.Err() != nil {
			t.Fatalf("the run did not begin:\n%s", errs.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(4 * time.Second)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the code below tells
	if code := cmd.ProcessState.ExitCode(); code != gate.ExitInterrupted {
		t.Fatalf("exit %d\n%s\n%s", code, out.String(), errs.String())
	}
	rec, err := record.ReadFile(filepath.Join(dir, "record.rec"))
	if err != nil || !rec.Header.Partial || rec.Header.Achieved == 0 {
		t.Fatalf("%v, partial %v, %d sent", err, rec != nil && rec.Header.Partial, rec.Header.Achieved)
	}
	if code, stdout, _ := spillway("report", dir); code != gate.ExitInconclusive || !strings.Contains(stdout, "interrupted") {
		t.Errorf("the report of a partial record: exit %d\n%s", code, stdout)
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// What people read first must work as it is printed.
func TestHelpAndVersion(t *testing.T) {
	if code, stdout, _ := spillway(); code != gate.ExitOK || !strings.Contains(stdout, "Exit codes") {
		t.Errorf("no arguments: exit %d\n%s", code, stdout)
	}
	if code, stdout, _ := spillway("version"); code != gate.ExitOK || !strings.HasPrefix(stdout, "spillway ") {
		t.Errorf("version: exit %d, %s", code, stdout)
	}
	if code, stdout, _ := spillway("scenario", "list", "--json"); code != gate.ExitOK || !json.Valid([]byte(stdout)) {
		t.Errorf("list: exit %d, %s", code, stdout)
	}
}

func Example() {
	code := Main([]string{"scenario", "validate", "smoke", "suikang-2020-01-31"}, strings.NewReader(""), os.Stdout, os.Stdout)
	fmt.Println("exit code", code)
	// Output:
	// smoke: ok (queued, 6 objectives)
	// suikang-2020-01-31: ok (queued, 12 objectives)
	// exit code 0
}

// A configuration of any bytes is read or refused, never more.
func FuzzDecodeConfig(f *testing.F) {
	sc, err := loadScaled("smoke", 1)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(backendConfig(sc))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"mode":3,"oops":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := decodeConfig(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(cfg)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := decodeConfig(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}

func TestHealth(t *testing.T) {
	status := http.StatusOK
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(status)
	}))
	defer backend.Close()
	if code, _, stderr := spillway("health", "--url", backend.URL+"/"); code != gate.ExitOK || stderr != "" {
		t.Errorf("ready: exit %d, %s", code, stderr)
	}
	status = http.StatusServiceUnavailable
	code, _, stderr := spillway("health", "--url", backend.URL)
	if code != gate.ExitEnvironment {
		t.Errorf("not ready: exit %d", code)
	}
	oneClearLine(t, stderr)
}
