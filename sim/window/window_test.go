package window

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"spillway/internal/draw"
)

type event struct{ at, id uint32 }

// Random events, some for windows far beyond those kept at hand, come out in their
// window, in the order in which they were put, and none is lost.
func TestCalendarAgainstLists(t *testing.T) {
	for seed := range draw.Seed(20) {
		c := NewCalendar[event](16)
		want := map[int64][]event{}
		id := uint32(0)
		var out []event
		for now := int64(0); now < 400; now++ {
			for range seed.U64(1, uint64(now), 0) % 200 {
				id++
				u := seed.U64(2, uint64(id), 0)
				ahead := int64(u % 20)
				if u>>32%8 == 0 {
					ahead = int64(u >> 40 % 300)
				}
				e := event{uint32(u >> 20), id}
				c.Put(now+ahead, e)
				want[now+ahead] = append(want[now+ahead], e)
			}
			waiting := 0
			for _, w := range want {
				waiting += len(w)
			}
			seen := 0
			c.All(func(int64, *event) { seen++ })
			if c.Len() != waiting || seen != waiting {
				t.Fatalf("seed %d, window %d: %d wait, Len says %d, All saw %d", seed, now, waiting, c.Len(), seen)
			}
			out = c.Take(now, out[:0])
			// Far ones join when their stretch begins, behind those that were put since.
			byID := func(a, b event) int { return int(a.id) - int(b.id) }
			slices.SortFunc(out, byID)
			if !slices.Equal(out, want[now]) {
				t.Fatalf("seed %d, window %d: %v, want %v", seed, now, out, want[now])
			}
			delete(want, now)
		}
	}
}

func TestCalendarRefusesThePast(t *testing.T) {
	panics := func(f func()) (said string) {
		defer func() { said = fmt.Sprint(recover()) }()
		f()
		return ""
	}
	c := NewCalendar[event](4)
	c.Take(3, nil)
	if said := panics(func() { c.Put(3, event{}) }); said == "<nil>" {
		t.Error("an event was put into a window that was taken")
	}
	c.Put(5, event{})
	if said := panics(func() { c.Take(6, nil) }); said == "<nil>" {
		t.Error("a window with events was passed over")
	}
}

// Memory follows what waits, not what has ever waited.
func TestCalendarReusesItsChunks(t *testing.T) {
	c := NewCalendar[event](64)
	out := make([]event, 0, 4096)
	play := func(windows int) {
		for range windows {
			for i := range uint32(1000) {
				c.Put(c.now+int64(i%8), event{i, i})
			}
			out = c.Take(c.now, out[:0])
		}
	}
	play(100)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	play(1000)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("1,000 windows of 1,000 events took %d bytes more", n)
	}
}

func TestSortAgainstTheLibrary(t *testing.T) {
	var spare []uint64
	for _, n := range []int{0, 1, 2, 3, 100, 199, 200, 201, 1000, 20_000} {
		for _, bits := range []int{1, 11, 12, 22, 28, 32} {
			keys := make([]uint64, n)
			for i := range keys {
				keys[i] = Key(uint32(draw.Seed(n).U64(1, uint64(i), uint32(bits))>>(64-bits)), i)
			}
			want := slices.Clone(keys)
			slices.Sort(want)
			if keys, spare = Sort(keys, spare); !slices.Equal(keys, want) {
				t.Errorf("%d keys of %d bits are not sorted", n, bits)
			}
		}
	}
}

// Every task runs once a step, no step begins before the last has ended, what one
// wrote the next sees, and after Close nobody runs anything.
func TestCrew(t *testing.T) {
	for _, members := range []int{1, 2, 3, 8} {
		const tasks = 5
		var ran [tasks]int
		fs := make([]func(), tasks)
		var seen [tasks]int
		for i := range fs {
			fs[i] = func() {
				if seen[i] != ran[i] {
					panic(fmt.Sprintf("task %d ran %d times in %d steps", i, ran[i], seen[i]))
				}
				ran[i]++
			}
		}
		c := NewCrew(members, nil, fs...)
		for step := 1; step <= 3000; step++ {
			if step%7 == 0 {
				c.Alone()
			} else {
				c.Step()
			}
			for i, n := range ran {
				if n != step {
					t.Fatalf("%d members: after step %d task %d has run %d times", members, step, i, n)
				}
			}
			seen = ran
			if step%1000 == 0 {
				runtime.Gosched()
			}
		}
		c.Close()
		if ran != seen {
			t.Errorf("%d members: a task ran after the last step", members)
		}
	}
}

// Whoever waits for the others does what is to spare: the task ends only when that is done.
func TestCrewSpare(t *testing.T) {
	var done atomic.Int64
	idle := func() {}
	c := NewCrew(2, func() bool { return done.Add(1)%2 == 1 }, func() {
		for done.Load() == 0 {
			runtime.Gosched()
		}
	}, idle)
	c.Step()
	c.Close()
}

// BenchmarkHold puts an event a window or some ahead and takes it again, with five
// million waiting: the whole life of a wait. The plain kernel needs half a microsecond.
func BenchmarkHold(b *testing.B) {
	type wait struct { // 32 bytes, as the model's
		at, id uint32
		_      [24]byte
	}
	const windows, each = 100, 50_000
	c := NewCalendar[wait](256)
	var now int64
	put := func(i int) {
		u := draw.Seed(1).U64(1, uint64(i), 0)
		c.Put(now+1+int64(u%windows), wait{at: uint32(u >> 36), id: uint32(i)})
	}
	for i := range windows * each {
		put(i)
	}
	var out []wait
	var keys, spare []uint64
	var sum uint32
	done := 0
	for b.Loop() {
		// One iteration is one event: a window is played when the last one is used up.
		if done == 0 {
			now++
			out = c.Take(now, out[:0])
			keys = keys[:0]
			for i := range out {
				keys = append(keys, Key(out[i].at, i))
			}
			keys, spare = Sort(keys, spare)
			for i, k := range keys {
				sum += out[uint32(k)].id
				put(i)
			}
			done = len(out)
		}
		done--
	}
	b.ReportMetric(float64(c.Len()), "waiting")
	_ = sum
}
