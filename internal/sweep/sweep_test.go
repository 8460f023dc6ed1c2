package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"spillway/internal/record"
	"spillway/scenarios"
)

func load() (*scenarios.Spec, error) { return scenarios.Load("smoke") }

func TestParseAxes(t *testing.T) {
	spec, err := load()
	if err != nil {
		t.Fatal(err)
	}
	axes, err := ParseAxes(spec, []string{"admission.probability=5%..20%/4", "queue.depth=1000,2000"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(axes); got != "[{admission.probability [5 % 10 % 15 % 20 %]} {queue.depth [1000 2000]}]" {
		t.Errorf("%s", got)
	}
	for _, bad := range [][]string{{"queue.depth"}, {"queue.depth=1", "queue.depth=2"}} {
		if _, err := ParseAxes(spec, bad); err == nil {
			t.Errorf("%v was read", bad)
		}
	}
}

// The grid is every combination once, the last axis fastest.
func TestGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var axes []Axis
		want := 1
		for i := range rapid.IntRange(0, 3).Draw(t, "axes") {
			a := Axis{Key: fmt.Sprint("k", i)}
			for j := range rapid.IntRange(1, 4).Draw(t, "values") {
				a.Values = append(a.Values, fmt.Sprint(j))
			}
			axes = append(axes, a)
			want *= len(a.Values)
		}
		grid := Grid(axes)
		var seen []string
		for _, p := range grid {
			if len(p) != len(axes) {
				t.Fatalf("a point sets %d of %d keys", len(p), len(axes))
			}
			seen = append(seen, fmt.Sprint(p))
		}
		if len(grid) != want || !slices.IsSorted(seen) || len(slices.Compact(seen)) != want {
			t.Fatalf("%d points, want %d different ones in order: %v", len(grid), want, seen)
		}
	})
	if got := Cross([]Axis{{"a", []string{"1", "2"}}, {"b", []string{"3"}}}); len(got) != 3 || len(got[2]) != 1 {
		t.Errorf("%v", got)
	}
}

// A Latin hypercube has every step of every range once, is drawn by its seed, and
// does not run along the diagonal.
func TestHypercube(t *testing.T) {
	spec, err := load()
	if err != nil {
		t.Fatal(err)
	}
	vary := []string{"queue.depth=1000..40000/log", "ledger.rate=1000 rows/s..16000 rows/s", "gateway.instances=8,16"}
	points, err := Hypercube(spec, vary, 20, 1)
	if err != nil || len(points) != 20 {
		t.Fatalf("%d points, %v", len(points), err)
	}
	for a, want := range []int{20, 20, 2} {
		seen := map[string]int{}
		for _, p := range points {
			seen[p[a].Value]++
		}
		if len(seen) != want {
			t.Errorf("%s has %d values, want %d: %v", points[0][a].Key, len(seen), want, seen)
		}
		for v, n := range seen {
			if n != 20/want {
				t.Errorf("%s has %s %d times", points[0][a].Key, v, n)
			}
		}
	}
	again, err := Hypercube(spec, vary, 20, 1)
	other, err2 := Hypercube(spec, vary, 20, 2)
	if err != nil || err2 != nil || fmt.Sprint(again) != fmt.Sprint(points) || fmt.Sprint(other) == fmt.Sprint(points) {
		t.Errorf("the same seed must give the same points, another one others: %v %v", err, err2)
	}
	// Spearman's rank correlation of two shuffles of 200; beyond 0.3 it would be
	// luck of 1 in 40,000, and the seed is fixed.
	x, y, sum := shuffled(200, 1, 0), shuffled(200, 1, 1), 0.0
	for i := range x {
		sum += float64((x[i] - y[i]) * (x[i] - y[i]))
	}
	if rho := 1 - 6*sum/(200*(200*200-1)); rho > 0.3 || rho < -0.3 {
		t.Errorf("two axes are correlated: %.2f", rho)
	}
	for _, bad := range [][]string{{"queue.depth=1000..2000/5"}, {"queue.depth=2000..1000"}, {"queue.depth=1000..2000/5log"}, {"queue.depth"}} {
		if _, err := Hypercube(spec, bad, 10, 1); err == nil {
			t.Errorf("%v was read", bad)
		}
	}
	if _, err := Hypercube(spec, vary, 1, 1); err == nil {
		t.Error("a sample of one point")
	}
}

// What is finished is not run again; what was interrupted, spoilt or belongs to
// another program is.
func TestResume(t *testing.T) {
	ran := 0
	plan := Plan{Load: load, Points: Grid([]Axis{{"queue.depth", []string{"1000", "2000"}}}), Seeds: []uint64{1, 2},
		Commit: "a", Dir: t.TempDir(),
		Run: func(_ context.Context, spec *scenarios.Spec, seed uint64, settings []record.Setting) (*record.Record, error) {
			ran++
			r := record.New(record.Header{Scenario: spec.Name, Seed: seed, Vary: settings, People: 1, TimeScale: 1})
			r.Header.Partial = ran == 3
			return r, nil
		}}
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("stopped")
	cancel(stopped)
	if recs, err := plan.Do(ctx); len(recs) != 0 || !errors.Is(err, stopped) {
		t.Fatalf("a cancelled sweep kept %d points, %v", len(recs), err)
	}
	ran = 0
	if recs, _ := plan.Do(context.Background()); len(recs) != 2 || ran != 3 {
		t.Fatalf("up to the partial point: %d kept of %d run", len(recs), ran)
	}
	if recs, err := plan.Do(context.Background()); err != nil || len(recs) != 4 || ran != 5 {
		t.Fatalf("resumed: %d points, %d runs, %v", len(recs), ran, err)
	}
	if recs, err := plan.Do(context.Background()); err != nil || len(recs) != 4 || ran != 5 {
		t.Fatalf("again: %d points, %d runs, %v", len(recs), ran, err)
	}
	plan.Commit = "b"
	if recs, err := plan.Do(context.Background()); err != nil || len(recs) != 4 || ran != 9 {
		t.Fatalf("another program: %d points, %d runs, %v", len(recs), ran, err)
	}
	files, err := filepath.Glob(filepath.Join(plan.Dir, "*.rec"))
	if err != nil || len(files) != 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("spoilt"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := plan.Do(context.Background()); err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("a spoilt point: %v", err)
	}
}
