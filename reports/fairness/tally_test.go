package fairness

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A tally counts what a plain second count finds, whether it keeps tickets or bins them.
func TestTally(t *testing.T) {
	const n = 5000
	rng := rand.New(rand.NewPCG(1, 9))
	plan := Plan{Name: "t", Pools: []string{"a", "b"}, Dimensions: []Axis{{"x", []string{"0", "1", "2"}, true}, {"y", []string{"0", "1"}, false}}, Entries: n, Tickets: true}
	kept, err := NewTally(plan)
	if err != nil {
		t.Fatal(err)
	}
	plan.Entries, plan.Span = ExactRanks+1, n
	binned, err := NewTally(plan)
	if err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	for i := range uint64(n) {
		e := Entry{Pool: rng.IntN(2), Levels: []int{rng.IntN(3), rng.IntN(2)}, Won: rng.IntN(9) == 0, Order: i, Ticket: rng.Uint64()}
		entries = append(entries, e)
		if i%50 == 0 { // a second chance in the other pool
			e.Pool, e.Won, e.Second = 1-e.Pool, false, true
			entries = append(entries, e)
		}
	}
	for _, e := range entries {
		if err := errors.Join(kept.Add(e), binned.Add(e)); err != nil {
			t.Fatal(err)
		}
	}
	d, b := kept.Draw(), binned.Draw()
	if err := errors.Join(d.Validate(), b.Validate()); err != nil {
		t.Fatal(err)
	}
	for p := range d.Pools {
		var all, won, blocks int64
		before := false
		byX, byY, wonX := make([]int64, 3), make([]int64, 2), make([]int64, 3)
		for _, e := range entries {
			if e.Pool != p {
				continue
			}
			all++
			byX[e.Levels[0]]++
			byY[e.Levels[1]]++
			if e.Won {
				won++
				wonX[e.Levels[0]]++
				if !before {
					blocks++
				}
			}
			before = e.Won
		}
		if got := d.Pools[p]; got.Entries != all || got.Winners != won || got.Blocks != blocks || got != b.Pools[p] {
			t.Errorf("pool %d: %+v and %+v, want %d of %d in %d blocks", p, got, b.Pools[p], won, all, blocks)
		}
		if !slices.Equal(d.Dimensions[0].Entries[p], byX) || !slices.Equal(d.Dimensions[1].Entries[p], byY) || !slices.Equal(d.Dimensions[0].Winners[p], wonX) {
			t.Errorf("pool %d: levels %v, winners %v", p, d.Dimensions[0].Entries[p], d.Dimensions[0].Winners[p])
		}
	}
	tickets := int64(0)
	for _, row := range d.Dimensions[1].Classes {
		for _, c := range row {
			tickets += c
		}
	}
	if tickets != n || d.Ranks.Count != n || b.Ranks.Count != n || !d.Ranks.Exact || b.Ranks.Exact {
		t.Errorf("%d tickets in classes, %d and %d ranked", tickets, d.Ranks.Count, b.Ranks.Count)
	}
	if math.Abs(d.Ranks.Rho-b.Ranks.Rho) > 3e-3 || b.Ranks.D > d.Ranks.D || d.Ranks.D-b.Ranks.D > 1.0/ksBins {
		t.Errorf("ranks %g, %g; in bins %g, %g", d.Ranks.Rho, d.Ranks.D, b.Ranks.Rho, b.Ranks.D)
	}

	// Out of order: everything but the runs test stands.
	if err := kept.Add(Entry{Levels: []int{0, 0}, Order: 3, Second: true}); err != nil {
		t.Fatal(err)
	}
	r := mustJudge(t, kept.Draw(), Options{})
	if slices.ContainsFunc(r.Tests, func(t Test) bool { return t.Kind == KindRuns }) {
		t.Error("runs are tested out of order")
	}
	find(t, r, KindSpearman, "", "")
}

func TestTallyRefuses(t *testing.T) {
	axis := []Axis{{"x", []string{"0", "1"}, false}}
	for name, p := range map[string]Plan{
		"no pool":     {Dimensions: axis},
		"no level":    {Pools: []string{"a"}, Dimensions: []Axis{{Name: "x"}}},
		"many levels": {Pools: []string{"a"}, Dimensions: []Axis{{Name: "x", Levels: make([]string, maxLevels+1)}}},
		"too large":   {Pools: make([]string, 1<<26), Dimensions: axis},
		"no count":    {Pools: []string{"a"}, Tickets: true},
	} {
		if _, err := NewTally(p); !errors.Is(err, ErrDraw) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tally, err := NewTally(Plan{Pools: []string{"a"}, Dimensions: axis, Entries: 1, Tickets: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := tally.Add(Entry{Levels: []int{1}}); err != nil {
		t.Fatal(err)
	}
	was := tally.Draw()
	for name, e := range map[string]Entry{
		"pool":     {Pool: 1, Levels: []int{0}},
		"levels":   {Levels: nil},
		"level":    {Levels: []int{2}},
		"order":    {Levels: []int{0}, Order: 1},
		"too many": {Levels: []int{0}},
	} {
		if err := tally.Add(e); !errors.Is(err, ErrDraw) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now := tally.Draw(); now.Pools[0] != was.Pools[0] || now.Ranks.Count != 1 {
		t.Errorf("refused entries were counted: %+v", now)
	}
}

// small is a draw by hand that holds together.
func small() Draw {
	return Draw{Name: "small", Pools: []Pool{{"a", 10, 4, 2, false}, {"b", 6, 1, 1, false}},
		Dimensions: []Dimension{{Name: "x", Levels: []string{"0", "1"}, Entries: [][]int64{{4, 6}, {6, 0}}, Winners: [][]int64{{1, 3}, {1, 0}}, Classes: [][]int64{{5, 5}, {3, 3}}}},
		Ranks:      &Ranks{Count: 16, Rho: 0.1, D: 0.2}}
}

func TestDrawRefused(t *testing.T) {
	if d := small(); d.Validate() != nil {
		t.Fatal(d.Validate())
	}
	for name, break_ := range map[string]func(*Draw){
		"no pools":        func(d *Draw) { d.Pools = nil },
		"winners":         func(d *Draw) { d.Pools[0].Winners = 11 },
		"negative":        func(d *Draw) { d.Pools[0].Entries = -1 },
		"entries":         func(d *Draw) { d.Pools[0].Entries, d.Pools[1].Entries = maxCount, maxCount },
		"blocks":          func(d *Draw) { d.Pools[0].Blocks = 5 },
		"gaps":            func(d *Draw) { d.Pools, d.Dimensions = []Pool{{"a", 10, 8, 4, false}}, nil },
		"levels":          func(d *Draw) { d.Dimensions[0].Levels = nil },
		"pools of levels": func(d *Draw) { d.Dimensions[0].Winners = d.Dimensions[0].Winners[:1] },
		"short row":       func(d *Draw) { d.Dimensions[0].Entries[0] = []int64{10} },
		"level winners":   func(d *Draw) { d.Dimensions[0].Winners[0] = []int64{5, -1} },
		"sum":             func(d *Draw) { d.Dimensions[0].Winners[0] = []int64{1, 2} },
		"overflow":        func(d *Draw) { d.Dimensions[0].Entries[0] = []int64{math.MaxInt64, math.MaxInt64} },
		"class rows":      func(d *Draw) { d.Dimensions[0].Classes = [][]int64{{1}} },
		"class columns":   func(d *Draw) { d.Dimensions[0].Classes[1] = []int64{1} },
		"class count":     func(d *Draw) { d.Dimensions[0].Classes[1][0] = -1 },
		"rho":             func(d *Draw) { d.Ranks.Rho = math.NaN() },
		"distance":        func(d *Draw) { d.Ranks.D = 2 },
		"seed":            func(d *Draw) { d.Process.SeedBits = math.Inf(1) },
	} {
		d := small()
		break_(&d)
		if r, err := Judge(d, Options{}); !errors.Is(err, ErrDraw) || r != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, o := range []Options{{FamilyError: 2}, {Confidence: -1}, {Power: math.NaN()}} {
		if _, err := Judge(small(), o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// Names from outside cannot break a line of the text or steer a terminal.
func TestTextOfNames(t *testing.T) {
	d := small()
	d.Name, d.Dimensions[0].Name, d.Dimensions[0].Levels[0] = "a\nb", "x\x1b[31m", "y\u202e\nz"
	text := mustJudge(t, d, Options{}).Text()
	for _, bad := range []string{"\x1b", "\u202e", "a\nb", "\nz"} {
		if strings.Contains(text, bad) {
			t.Errorf("the text holds %q", bad)
		}
	}
}

// Whatever numbers a JSON draw has: an error, or a report whose p values are some.
func FuzzJudge(f *testing.F) {
	for _, d := range []Draw{small(), draftDraw(f, 1969, called1969), {Pools: []Pool{{"a", 5, 5, 1, false}}}} {
		b, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Draw
		if json.Unmarshal(b, &d) != nil {
			return
		}
		r, err := Judge(d, Options{})
		if err != nil {
			return
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		for _, test := range r.Tests {
			if !(test.P >= leastP && test.P <= 1 && test.Holm >= test.P && test.Holm <= 1) {
				t.Fatalf("%+v", test)
			}
		}
		for _, l := range r.Dimensions {
			for _, s := range l.Strata {
				if !(s.RateLo <= s.Rate+1e-9 && s.Rate <= s.RateHi+1e-9 && s.RateLo >= 0 && s.RateHi <= 1+1e-9) {
					t.Fatalf("%+v", s)
				}
			}
		}
		_ = r.Text()
	})
}

// city is a day at full size in counts alone: 30 million entries, 193 pools, 300,000
// winners, five dimensions, drawn so evenly that nothing can be held against it.
func city() Draw {
	d := Draw{Name: "city", Process: sound}
	const pools, entries, winners = 193, 30_000_000, 300_000
	weight := func(p int) float64 { return 1 / float64(p+2) }
	all := 0.0
	for p := range pools {
		all += weight(p)
	}
	for p := range pools {
		share := weight(p) / all
		d.Pools = append(d.Pools, Pool{Entries: int64(share * entries), Winners: int64(winners) / pools})
	}
	for _, levels := range []int{24, 12, 10, 10, 5} {
		dim := Dimension{Name: "x", Ordered: true, Levels: make([]string, levels)}
		for _, pool := range d.Pools {
			es, ws := make([]int64, levels), make([]int64, levels)
			var e, w int64
			for g := range levels {
				to := int64(g + 1)
				es[g] = pool.Entries*to/int64(levels) - e
				ws[g] = pool.Winners*to/int64(levels) - w
				e, w = e+es[g], w+ws[g]
			}
			dim.Entries, dim.Winners = append(dim.Entries, es), append(dim.Winners, ws)
		}
		d.Dimensions = append(d.Dimensions, dim)
	}
	return d
}

// Every level of such a day, and one of half of all entries, is within exactWork.
func TestCityIsExact(t *testing.T) {
	d := city()
	for _, dim := range d.Dimensions {
		for g := range dim.Levels {
			var level, half []hyper
			for p, pool := range d.Pools {
				level = append(level, hyper{pool.Entries, pool.Winners, dim.Entries[p][g]})
				half = append(half, hyper{pool.Entries, pool.Winners, pool.Entries / 2})
			}
			if !totalOf(level).exact() || !totalOf(half).exact() {
				t.Fatalf("level %d of %d is not exact", g, len(dim.Levels))
			}
		}
	}
	if far := totalOf([]hyper{{1 << 40, 1 << 38, 1 << 39}, {1 << 40, 1 << 38, 1 << 39}}); far.exact() {
		t.Error("no limit to the work")
	}
}

func BenchmarkJudgeCity(b *testing.B) {
	d := city()
	for b.Loop() {
		if _, err := Judge(d, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTallyAdd(b *testing.B) {
	const n = 1 << 22
	t, err := NewTally(Plan{Pools: make([]string, 193), Dimensions: axes, Entries: n, Tickets: true})
	if err != nil {
		b.Fatal(err)
	}
	levels := []int{0, 0, 0}
	i := uint64(0)
	for b.Loop() {
		x := mix(1, i)
		levels[0], levels[1], levels[2] = int(x%24), int(x>>8%6), int(x>>16%4)
		if i%n == 0 {
			t.ranked = 0
		}
		if err := t.Add(Entry{Pool: int(x >> 32 % 193), Levels: levels, Won: x>>40%100 == 0, Order: i % n, Ticket: x}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
