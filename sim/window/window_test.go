package window

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"unsafe"

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

// Everyone plays every window once and in order, the leader after all followers and
// these after the leader's last but one; what one wrote the next sees. That holds for any
// number of members, wherever windows are small, not yet ready, or the run is cut short.
func TestCrew(t *testing.T) {
	const followers, windows = 3, 600
	for _, members := range []int{1, 2, 3, 8} {
		for _, last := range []int64{windows, 250} {
			var played [followers]int64 // each written by one follower, read by the leader
			var led [2]int64            // by parity of the window, written by the leader
			var small, ready atomic.Int64
			c := &Crew{
				Lead: func(n int64) bool {
					for i := range played {
						if at := atomic.LoadInt64(&played[i]); at != n+1 && at != n+2 {
							panic(fmt.Sprintf("the leader plays %d when follower %d has played %d windows", n, i, at))
						}
					}
					led[n&1] = n
					return n != last
				},
				Small: func(n int64) bool { small.Add(1); return n/100%3 == 1 },
				Ready: func(n int64) bool { return n < ready.Load() },
				Spare: func() bool {
					if ready.Load() >= windows {
						return false
					}
					ready.Add(5)
					return true
				},
			}
			for i := range followers {
				c.Follow = append(c.Follow, func(n int64) {
					if n >= 2 && led[n&1] != n-2 {
						panic(fmt.Sprintf("follower %d plays %d when the leader has played %d", i, n, led[n&1]))
					}
					if n >= ready.Load() {
						panic(fmt.Sprintf("follower %d plays %d, which is not ready", i, n))
					}
					if at := atomic.AddInt64(&played[i], 1); at != n+1 {
						panic(fmt.Sprintf("follower %d plays %d after %d windows", i, n, at-1))
					}
					if n%100 == int64(i) {
						runtime.Gosched()
					}
				})
			}
			got := c.Run(members, windows)
			if want := min(last+2, windows); got != want {
				t.Errorf("%d members, ended after %d: %d windows played, want %d", members, last, got, want)
			}
			for i := range played {
				if played[i] != got {
					t.Errorf("%d members: follower %d has played %d windows of %d", members, i, played[i], got)
				}
			}
			if at := max(led[0], led[1]); at != got-1 {
				t.Errorf("%d members: the leader ended at window %d of %d", members, at, got)
			}
			if small.Load() == 0 && members > 1 {
				t.Errorf("%d members: nobody asked what is small", members)
			}
		}
	}
}

// A follower goes on to the next window while another is still at the last one: the two
// of them would wait for each other for ever if they could not.
func TestCrewRunsAhead(t *testing.T) {
	next := make(chan bool)
	c := &Crew{Lead: func(int64) bool { return true }, Follow: []func(int64){
		func(n int64) {
			if n == 0 {
				<-next
			}
		},
		func(n int64) {
			if n == 1 {
				close(next)
			}
		},
	}}
	c.Run(2, 3)
}

// Whoever waits for the others does what is to spare: the window ends only when that is
// done.
func TestCrewSpare(t *testing.T) {
	var done atomic.Int64
	c := &Crew{
		Lead:  func(int64) bool { return true },
		Spare: func() bool { return done.Add(1)%2 == 1 },
		Follow: []func(int64){func(int64) {
			for done.Load() == 0 {
				runtime.Gosched()
			}
		}},
	}
	c.Run(2, 1)
}

// Lines that are fetched stay what they are, however many there are and wherever they lie;
// what was added for 0 is none.
func TestLines(t *testing.T) {
	table := make([]uint64, 1000)
	for i := range table {
		table[i] = uint64(i)
	}
	var l Lines
	l.Fetch()
	for i := range table {
		l.Add(unsafe.Pointer(&table[i]))
		l.AddIf(unsafe.Pointer(&table[999-i]), 0)
		if l.at[i%linesMax] != uintptr(unsafe.Pointer(&table[i])) && i < linesMax || l.n != i+1 {
			t.Fatalf("after %d lines there are %d", i+1, l.n)
		}
	}
	l.Add(nil) // where nothing is known there is nothing to fetch
	if l.Fetch(); l.n != 0 {
		t.Errorf("%d lines are left", l.n)
	}
	for i, n := range table {
		if n != uint64(i) {
			t.Fatalf("entry %d is %d", i, n)
		}
	}
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
