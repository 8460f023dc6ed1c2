package sweep

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"spillway/internal/draw"
	"spillway/internal/record"
	"spillway/scenarios"
)

// Axis is one key and the values it takes, in order.
type Axis struct {
	Key    string
	Values []string
}

// ParseAxes reads --vary arguments against a scenario.
func ParseAxes(spec *scenarios.Spec, vary []string) ([]Axis, error) {
	var axes []Axis
	for _, v := range vary {
		key, values, err := scenarios.ParseVary(v)
		if err != nil {
			return nil, err
		}
		values = spec.Grid(key, values)
		for _, a := range axes {
			if a.Key == key {
				return nil, fmt.Errorf("--vary %s is given twice: list all its values in one", key)
			}
		}
		axes = append(axes, Axis{key, values})
	}
	return axes, nil
}

// Grid is the full product of the axes, the last one fastest. No axes give one
// point with no settings.
func Grid(axes []Axis) [][]record.Setting {
	points := [][]record.Setting{nil}
	for _, a := range axes {
		var next [][]record.Setting
		for _, p := range points {
			for _, v := range a.Values {
				next = append(next, append(p[:len(p):len(p)], record.Setting{Key: a.Key, Value: v}))
			}
		}
		points = next
	}
	return points
}

// Cross varies one axis at a time and leaves the others as the scenario has them.
func Cross(axes []Axis) [][]record.Setting {
	var points [][]record.Setting
	for _, a := range axes {
		points = append(points, Grid([]Axis{a})...)
	}
	return points
}

// Hypercube is a Latin hypercube of n points: cut into n steps, every range has a
// point in each of its steps, and which steps meet is drawn by the seed. An argument
// is "key=lo..hi" or "key=lo..hi/log", its n values evenly spaced with both ends in,
// or a list, whose values then come equally often to within one.
func Hypercube(spec *scenarios.Spec, vary []string, n int, seed uint64) ([][]record.Setting, error) {
	if n < 2 || n > 1000 {
		return nil, fmt.Errorf("a sample of %d points: want 2 to 1000", n)
	}
	var full []string
	for _, v := range vary {
		if _, values, _ := strings.Cut(v, "="); strings.Contains(values, "..") {
			// A unit may have a slash of its own, as in rows/s.
			body, log := strings.CutSuffix(strings.TrimSpace(v), "/log")
			tail := strings.TrimSuffix(body[strings.LastIndexByte(body, '/')+1:], "log")
			if _, err := strconv.Atoi(strings.TrimSpace(tail)); err == nil && strings.Contains(body, "/") {
				return nil, fmt.Errorf("vary %.60q: a sample has its own number of values: write key=lo..hi or key=lo..hi/log", v)
			}
			v = fmt.Sprintf("%s/%d", body, n)
			if log {
				v += "log"
			}
		}
		full = append(full, v)
	}
	axes, err := ParseAxes(spec, full)
	if err != nil {
		return nil, err
	}
	points := make([][]record.Setting, n)
	for a, axis := range axes {
		for at, rank := range shuffled(n, draw.Seed(seed), uint32(a)) {
			points[at] = append(points[at], record.Setting{Key: axis.Key, Value: axis.Values[rank*len(axis.Values)/n]})
		}
	}
	return points, nil
}

// shuffled is the numbers 0 to n-1 in an order drawn by the seed, another one for
// every axis.
func shuffled(n int, seed draw.Seed, axis uint32) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(a, b int) int {
		return cmp.Or(cmp.Compare(seed.U64(purposeSample, uint64(a), axis), seed.U64(purposeSample, uint64(b), axis)), a-b)
	})
	return out
}

// purposeSample is apart from the purposes of visitors in package booking, whose
// draws start from zero.
const purposeSample = 0xe0

// Plan is what a sweep does.
type Plan struct {
	Load    func() (*scenarios.Spec, error) // the scenario, afresh for every point
	Points  [][]record.Setting              // settings of each point
	Seeds   []uint64                        // the same at every point: common random numbers
	Commit  string                          // part of a point's name
	Arm     string                          // what runs the points and how, part of their names too; "" = the attack
	Dir     string                          // where finished points are kept
	Workers int                             // points run side by side; Load, Run and Step must then bear it; 0 = 1
	// Run runs one point. An error ends the sweep; a partial record (interrupted
	// run) is not kept.
	Run func(ctx context.Context, spec *scenarios.Spec, seed uint64, settings []record.Setting) (*record.Record, error)
	// Step, if set, is called before each point, one call at a time: its index, how
	// many there are, and whether it was found finished.
	Step func(i, n int, settings []record.Setting, seed uint64, found bool)
}

// Do runs what is missing and returns the records of all points, settings first,
// then seeds, whatever the order in which they were finished. After an error it
// returns the points finished so far with it.
func (p *Plan) Do(ctx context.Context) ([]*record.Record, error) {
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the sweep's folder: %w", err)
	}
	n := len(p.Points) * len(p.Seeds)
	recs, errs := make([]*record.Record, n), make([]error, n)
	var next, failed atomic.Int64
	var step sync.Mutex
	var all sync.WaitGroup
	for range max(min(p.Workers, n), 1) {
		all.Go(func() {
			for failed.Load() == 0 {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if recs[i], errs[i] = p.point(ctx, i, n, &step); errs[i] != nil {
					failed.Store(1)
				}
			}
		})
	}
	all.Wait()
	recs = slices.DeleteFunc(recs, func(r *record.Record) bool { return r == nil })
	return recs, cmp.Or(errs...)
}

// point finds or runs one point.
func (p *Plan) point(ctx context.Context, i, n int, step *sync.Mutex) (*record.Record, error) {
	settings, seed := p.Points[i/len(p.Seeds)], p.Seeds[i%len(p.Seeds)]
	spec, err := p.Load()
	if err != nil {
		return nil, err
	}
	if err := spec.SetAll(settings...); err != nil {
		return nil, err
	}
	file := filepath.Join(p.Dir, p.name(spec, settings, seed))
	rec, err := record.ReadFile(file)
	found := err == nil && !rec.Header.Partial
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (delete the file to run the point again)", err)
	}
	if p.Step != nil {
		step.Lock()
		p.Step(i, n, settings, seed, found)
		step.Unlock()
	}
	if found {
		return rec, nil
	}
	if rec, err = p.Run(ctx, spec, seed, settings); err != nil {
		return nil, fmt.Errorf("point %d of %d %v: %w", i+1, n, settings, err)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if rec.Header.Partial {
		return nil, fmt.Errorf("point %d of %d %v: the run was cut short", i+1, n, settings)
	}
	if err := record.WriteFile(file, rec); err != nil {
		return nil, err
	}
	return rec, nil
}

func (p *Plan) name(spec *scenarios.Spec, settings []record.Setting, seed uint64) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%d\n", spec.Text, p.Commit, seed)
	if p.Arm != "" {
		fmt.Fprintf(h, "%s\n", p.Arm)
	}
	for _, s := range settings {
		fmt.Fprintf(h, "%s=%s\n", s.Key, s.Value)
	}
	return fmt.Sprintf("%x.rec", h.Sum(nil)[:8])
}
