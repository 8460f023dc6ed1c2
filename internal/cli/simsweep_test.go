package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"spillway/internal/record"
	"spillway/reports/gate"
)

// points are the records of a sweep's folder, by file name.
func pointsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pointsDir, "*.rec"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = string(data)
	}
	return out
}

// A simulated sweep gives the same bytes on one core and on four, resumes, and
// never takes the attack's points for its own.
func TestSimSweep(t *testing.T) {
	whole(t)
	file := tiny(t, "")
	args := []string{"sweep", file, "--arm", "sim", "--vary", "queue.depth=2000,20000", "--vary", "admission.probability=20%,100%", "--seeds", "3", "--out"}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var dirs []string
	for _, procs := range []int{1, 4} {
		runtime.GOMAXPROCS(procs)
		dirs = append(dirs, filepath.Join(t.TempDir(), "sweep"))
		code, stdout, stderr := spillway(append(args, dirs[len(dirs)-1])...)
		if code != gate.ExitOK || !strings.Contains(stdout, "the same at every point") {
			t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
		}
	}
	a, b := pointsOf(t, dirs[0]), pointsOf(t, dirs[1])
	if len(a) != 12 {
		t.Fatalf("%d points, want 12", len(a))
	}
	for name, data := range a {
		if b[name] != data {
			t.Errorf("%s differs between one core and four", name)
		}
	}
	// Resumed: one point is missing, the others are not touched.
	gone := slices.Sorted(func(yield func(string) bool) {
		for n := range a {
			if !yield(n) {
				return
			}
		}
	})[5]
	rec, err := record.ReadFile(filepath.Join(dirs[0], pointsDir, gone))
	if err != nil || rec.Header.Label != "sim" || len(rec.Header.Vary) != 2 {
		t.Fatalf("%v, %+v", err, rec.Header)
	}
	if err := os.Remove(filepath.Join(dirs[0], pointsDir, gone)); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := spillway(append(args, dirs[0])...); code != gate.ExitOK {
		t.Fatal(stderr)
	}
	if pointsOf(t, dirs[0])[gone] != a[gone] {
		t.Error("the point run again is not the same")
	}
	// Other options of the simulation are other points.
	if code, _, stderr := spillway(append(args, dirs[0], "--network", "30ms")...); code != gate.ExitOK {
		t.Fatal(stderr)
	}
	if n := len(pointsOf(t, dirs[0])); n != 24 {
		t.Errorf("%d points, want 24", n)
	}
}

func TestSimSweepRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"the other arm's window":   {"--vary", "queue.depth=1000,2000", "--window", "day"},
		"options of the other arm": {"--vary", "queue.depth=1000,2000", "--network", "1ms"},
		"native":                   {"--vary", "queue.depth=1000,2000", "--arm", "sim", "--set", "gateway.native=on"},
		"a sample of a grid":       {"--vary", "queue.depth=1000..2000/3", "--sample", "4"},
		"a sample of nothing":      {"--sample", "4"},
		"arm":                      {"--vary", "queue.depth=1000,2000", "--arm", "leg"},
	} {
		code, _, stderr := spillway(append([]string{"sweep", "smoke", "--out", t.TempDir()}, args...)...)
		if code != gate.ExitBadInput {
			t.Errorf("%s: exit %d: %s", name, code, stderr)
		}
	}
}

// A simulated point has five seeds unless told, and a table that no screen bears is
// summed up.
func TestSimSweepSeedsAndScreen(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, stdout, stderr := spillway("sweep", tiny(t, ""), "--arm", "sim", "--vary", "queue.depth=2000,20000", "--out", dir)
	if n := len(pointsOf(t, dir)); code != gate.ExitOK || n != 2*simSeeds {
		t.Errorf("exit %d, %d records\n%s", code, n, stderr)
	}
	if !strings.Contains(stdout, "Sweep: ") {
		t.Errorf("two points are not shown as a table:\n%s", stdout)
	}
	dir = t.TempDir()
	code, stdout, stderr = spillway("sweep", tiny(t, ""), "--arm", "sim", "--vary", "queue.depth=1000..40000/31", "--seeds", "1", "--out", dir)
	if code != gate.ExitOK || strings.Contains(stdout, "Sweep: ") || !strings.Contains(stdout, "The ends of 31 points") || !strings.Contains(stdout, "at  ") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	if md, err := os.ReadFile(filepath.Join(dir, "summary.md")); err != nil || strings.Count(string(md), "\n| 1000 ") != 1 {
		t.Errorf("summary.md has not every point: %v", err)
	}
}

// The link to the latest run never points at itself.
func TestLatest(t *testing.T) {
	t.Chdir(t.TempDir())
	run := filepath.Join("reports", "out", "a-run")
	if err := os.MkdirAll(run, 0o755); err != nil {
		t.Fatal(err)
	}
	link(run)
	link(filepath.Join("reports", "out", "latest")) // spillway report reports/out/latest
	if to, err := os.Readlink(filepath.Join("reports", "out", "latest")); to != "a-run" {
		t.Errorf("latest is %q, %v", to, err)
	}
}
