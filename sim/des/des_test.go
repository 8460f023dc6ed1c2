package des

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/clock"
	"spillway/internal/draw"
)

func Example() {
	k := New()
	k.At(2*time.Second, func() { fmt.Println(k.Now(), "second") })
	k.At(time.Second, func() {
		fmt.Println(k.Now(), "first")
		k.After(0, func() { fmt.Println(k.Now(), "still the same moment") })
	})
	if err := k.Run(time.Minute); err != nil {
		fmt.Println(err)
	}
	fmt.Println(k.Now(), k.Counts())
	// Output:
	// 1s first
	// 1s still the same moment
	// 2s second
	// 1m0s {3 3 0 0}
}

// plain is the oracle: a list, searched for its smallest member at every step.
type plain struct {
	now  time.Duration
	list []plainEvent
	seq  int
}

type plainEvent struct {
	at       time.Duration
	priority int8
	seq, id  int
}

func (p *plain) step() (int, bool) {
	if len(p.list) == 0 {
		return 0, false
	}
	i := 0
	for j, e := range p.list {
		a := p.list[i]
		if e.at < a.at || e.at == a.at && (e.priority < a.priority || e.priority == a.priority && e.seq < a.seq) {
			i = j
		}
	}
	e := p.list[i]
	p.list = slices.Delete(p.list, i, i+1)
	p.now = e.at
	return e.id, true
}

func (p *plain) schedule(at time.Duration, priority int8, id int) {
	p.list = append(p.list, plainEvent{at, priority, p.seq, id})
	p.seq++
}

func (p *plain) stop(id int) bool {
	i := slices.IndexFunc(p.list, func(e plainEvent) bool { return e.id == id })
	if i >= 0 {
		p.list = slices.Delete(p.list, i, i+1)
	}
	return i >= 0
}

// Random programs of scheduling and stopping, many ties, run in the same order
// as on the oracle, and nothing is lost.
func TestOrderAgainstPlainList(t *testing.T) {
	for seed := range draw.Seed(60) {
		k, p := New(), &plain{}
		events := map[int]Event{}
		var onKernel, onList script
		onKernel = script{seed: seed, now: k.Now, stop: func(id int) bool { return events[id].Stop() },
			schedule: func(at time.Duration, priority int8, id int) {
				if id%2 == 0 {
					events[id] = k.AtPriority(at, priority, func() { onKernel.act(id) })
				} else {
					events[id] = k.AtArg(at, priority, func(a uint64) { onKernel.act(int(a)) }, uint64(id))
				}
			}}
		onList = script{seed: seed, now: func() time.Duration { return p.now }, stop: p.stop, schedule: p.schedule}
		onKernel.start()
		onList.start()
		if err := k.Run(Forever); err != nil {
			t.Fatal(err)
		}
		for {
			id, ok := p.step()
			if !ok {
				break
			}
			onList.act(id)
		}
		if !slices.Equal(onKernel.log, onList.log) {
			t.Fatalf("seed %d: the kernel ran\n%v\nthe oracle\n%v", seed, onKernel.log, onList.log)
		}
		c := k.Counts()
		if c.Scheduled != c.Ran+c.Stopped || c.Pending != 0 || c.Ran < 100 || c.Stopped < 10 {
			t.Fatalf("seed %d: lost events, or too few to mean anything: %+v", seed, c)
		}
	}
}

// script is a random program: each event schedules some and stops some, and logs
// what happened.
type script struct {
	seed     draw.Seed
	made     int
	log      []string
	now      func() time.Duration
	schedule func(at time.Duration, priority int8, id int)
	stop     func(id int) bool
}

func (s *script) start() {
	for range 40 {
		s.add(time.Duration(s.seed.U64(5, uint64(s.made), 0)%50), 0)
	}
}

func (s *script) add(at time.Duration, priority int8) {
	s.made++
	s.schedule(at, priority, s.made)
}

func (s *script) act(id int) {
	s.log = append(s.log, fmt.Sprint(s.now(), " ", id))
	for n := range uint32(s.seed.U64(1, uint64(id), 0) % 4) {
		if u := s.seed.U64(2, uint64(id), n); s.made < 600 {
			s.add(s.now()+time.Duration(u%8), int8(u>>8%3)-1)
		}
	}
	for n := range uint32(s.seed.U64(3, uint64(id), 0) % 3) {
		victim := s.made - int(s.seed.U64(4, uint64(id), n)%50)
		s.log = append(s.log, fmt.Sprint("stop ", victim, " ", s.stop(victim)))
	}
}

// Stopping nearly everything, as client timeouts are, must not make the heap grow.
func TestStoppedEventsAreForgotten(t *testing.T) {
	k := New()
	ran := 0
	var tick func()
	n := 0
	tick = func() {
		e := k.After(time.Hour, func() { ran++ })
		if n%1000 != 0 {
			if !e.Stop() || e.Stop() {
				t.Fatal("Stop must tell true once, then false")
			}
		}
		if n++; n < 100_000 {
			k.After(time.Millisecond, tick)
		}
	}
	k.At(0, tick)
	if err := k.Run(time.Minute * 2); err != nil {
		t.Fatal(err)
	}
	if len(k.heap) > 400 || len(k.slots) > 400 {
		t.Errorf("100 events are pending, the heap holds %d, the slab %d", len(k.heap), len(k.slots))
	}
	if err := k.Run(Forever); err != nil || ran != 100 {
		t.Errorf("%d of the 100 events left ran, error %v", ran, err)
	}
	if c := k.Counts(); c.Scheduled != c.Ran+c.Stopped {
		t.Errorf("lost events: %+v", c)
	}
}

func TestPastIsAnError(t *testing.T) {
	k := NewAt(-time.Second)
	after := false
	k.At(-500*time.Millisecond, func() { k.At(-600*time.Millisecond, func() { t.Error("an event of the past ran") }) })
	k.At(0, func() { after = true })
	err := k.Run(Forever)
	if !errors.Is(err, ErrPast) || !strings.Contains(err.Error(), "-600ms") || !strings.Contains(err.Error(), "-500ms") {
		t.Errorf("error %v, want ErrPast with both moments", err)
	}
	if after || k.Now() != -500*time.Millisecond || k.Err() == nil {
		t.Errorf("the run went on to %v", k.Now())
	}
	k = New()
	if err := k.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	if err := k.Run(time.Millisecond); !errors.Is(err, ErrPast) {
		t.Errorf("running back gave %v", err)
	}
}

func TestRunEndsInclusiveAndGoesOn(t *testing.T) {
	k := New()
	var at []time.Duration
	for _, d := range []time.Duration{3, 1, 2, 4} {
		k.After(d*time.Second, func() { at = append(at, k.Now()) })
	}
	for _, until := range []time.Duration{0, 2 * time.Second, 3500 * time.Millisecond} {
		if err := k.Run(until); err != nil || k.Now() != until {
			t.Fatalf("Run(%v) stands at %v, error %v", until, k.Now(), err)
		}
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("ran at %v, want %v", at, want)
	}
	if next, ok := k.Next(); !ok || next != 4*time.Second {
		t.Errorf("next is %v, %v", next, ok)
	}
	k.After(0, k.Halt)
	if err := k.Run(Forever); err != nil || k.Counts().Pending != 1 {
		t.Errorf("after Halt %d are pending, error %v", k.Counts().Pending, err)
	}
	if e := (Event{}); e.Stop() {
		t.Error("the zero event was stopped")
	}
	if k.later(Forever) != Forever {
		t.Error("a late moment overflows")
	}
}

// The twin: one program of callbacks, with timeouts, retries and stops, runs on
// the kernel and on the wall clock inside a bubble, and leaves the same trace.
func TestTwin(t *testing.T) {
	var onKernel, onWall string
	{
		k := New()
		trace := program(k)
		if err := k.Run(time.Hour); err != nil {
			t.Fatal(err)
		}
		onKernel = trace()
	}
	synctest.Test(t, func(*testing.T) {
		trace := program(clock.NewWall())
		time.Sleep(time.Hour)
		synctest.Wait()
		onWall = trace()
	})
	if onKernel != onWall {
		t.Errorf("on the kernel:\n%s\non the wall clock:\n%s", onKernel, onWall)
	}
	if strings.Count(onKernel, "timeout") < 20 || strings.Count(onKernel, "reply") < 20 {
		t.Errorf("the program did too little:\n%s", onKernel)
	}
}

// program sends requests whose reply races a timeout; every moment is distinct,
// for the wall clock promises no order of ties.
func program(c clock.Clock) (trace func() string) {
	// On the wall clock each callback has a goroutine of its own; that their moments
	// are distinct orders them for us, but not for the memory model.
	var mu sync.Mutex
	after := func(d time.Duration, f func()) func() bool {
		return c.AfterFunc(d, func() {
			mu.Lock()
			defer mu.Unlock()
			f()
		})
	}
	var b strings.Builder
	seed := draw.Seed(4)
	var send func(n int)
	send = func(n int) {
		if n == 60 {
			return
		}
		fmt.Fprintf(&b, "%v send %d\n", c.Now(), n)
		stop := after(50*time.Millisecond, func() {
			fmt.Fprintf(&b, "%v timeout %d\n", c.Now(), n)
			after(time.Duration(n)*time.Microsecond, func() { send(n + 1) })
		})
		after(seed.Between(1, uint64(n), 0, 0, 100*time.Millisecond), func() {
			ok := stop()
			fmt.Fprintf(&b, "%v reply %d in time %v\n", c.Now(), n, ok)
			if ok {
				after(time.Millisecond, func() { send(n + 1) })
			}
		})
	}
	after(time.Second, func() { send(0) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

// Hold: pop the earliest of n pending events and schedule it again, the classic
// measure of an event list (Jones, CACM 29, 1986, 300-311).
func BenchmarkHold(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := New()
			seed := draw.Seed(1)
			i := uint64(0)
			var again func(uint64)
			again = func(a uint64) {
				i++
				k.AtArg(k.Now()+time.Duration(seed.U64(1, i, 0)%uint64(2*n)), 0, again, a)
			}
			for j := range n {
				again(uint64(j))
			}
			runtime.GC()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				k.Step()
			}
		})
	}
}

// Events in lanes run in the order of all events, those that go back in time too,
// which a lane passes on to the heap; keyed ones come after the others of their
// moment and priority, by key.
func TestLanesKeepTheOrder(t *testing.T) {
	type place struct {
		at    time.Duration
		order uint64
		id    uint64
	}
	for seed := range draw.Seed(40) {
		k := New()
		lanes := []*Lane{k.NewLane(), k.NewLane(), k.NewLane()}
		var ran, want []place
		note := func(id uint64) {
			at := k.Now()
			ran = append(ran, place{at: at, id: id})
		}
		for id := range uint64(400) {
			u := seed.U64(1, id, 0)
			at := time.Duration(id/20 + u%8) // hardly ever back, with many ties
			priority := int8(u>>8%2) - 1
			p := place{at: at, order: uint64(uint8(priority)^0x80)<<56 | id, id: id}
			key := 1000 - id
			switch u >> 16 % 4 {
			case 0:
				k.AtArg(at, priority, note, id)
			case 1:
				lanes[u>>20%3].AtArg(at, priority, note, id)
			case 2:
				k.AtKey(at, priority, key, note, id)
				p.order = OrderOf(priority, key)
			default:
				lanes[u>>20%3].AtKey(at, priority, key, note, id)
				p.order = OrderOf(priority, key)
			}
			want = append(want, p)
		}
		slices.SortFunc(want, func(a, b place) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order))
		})
		if c := k.Counts(); c.Pending != len(want) {
			t.Fatalf("seed %d: %d events are pending, %+v", seed, len(want), c)
		}
		if err := k.Run(Forever); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if i >= len(ran) || ran[i].id != want[i].id || ran[i].at != want[i].at {
				t.Fatalf("seed %d: event %d is another than %+v", seed, i, want[i])
			}
		}
		if c := k.Counts(); c.Ran != uint64(len(want)) || c.Pending != 0 {
			t.Errorf("seed %d: %+v", seed, c)
		}
	}
	k := New()
	k.NewLane().AtKey(-1, 0, 1, func(uint64) {}, 0)
	if !errors.Is(k.Err(), ErrPast) {
		t.Errorf("a lane took an event of the past: %v", k.Err())
	}
	k = New()
	if k.NewLane().AtKey(1, 0, KeyMax+1, func(uint64) {}, 0); k.Err() == nil {
		t.Error("a lane took a key beyond the largest")
	}
}

// Events that have become pointless do not run, do not move the present moment and
// count as stopped; one that would go back is not taken.
func TestLaneForgets(t *testing.T) {
	k := New()
	l := k.NewLane()
	dead := map[uint64]bool{}
	l.Forget(func(arg uint64) bool { return dead[arg] })
	var ran []uint64
	note := func(arg uint64) { ran = append(ran, arg) }
	for i := range uint64(6) {
		if !l.TryKey(time.Duration(10*i), 0, i, note, i) {
			t.Errorf("event %d was not taken", i)
		}
	}
	if l.TryKey(49, 0, 9, note, 9) || l.TryKey(50, 0, 4, note, 9) || l.TryKey(60, 0, KeyMax+1, note, 9) {
		t.Error("an event was taken that does not fit behind the last")
	}
	dead[0], dead[3], dead[5] = true, true, true
	if err := k.Run(Forever); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{1, 2, 4}; !slices.Equal(ran, want) || k.Now() != 40 {
		t.Errorf("%v ran until %v, want %v until 40ns", ran, k.Now(), want)
	}
	if c := k.Counts(); c.Scheduled != 6 || c.Ran != 3 || c.Stopped != 3 || c.Pending != 0 {
		t.Errorf("%+v", c)
	}
}

// Whoever stands at a moment leaves no event behind.
func TestStand(t *testing.T) {
	k := New()
	k.At(10, func() {})
	if k.Stand(10); k.Now() != 10 || k.Err() != nil {
		t.Errorf("at %v, %v", k.Now(), k.Err())
	}
	if k.Stand(11); !errors.Is(k.Err(), ErrPast) {
		t.Errorf("it stood past an event: %v", k.Err())
	}
	k = NewAt(5)
	if k.Stand(4); !errors.Is(k.Err(), ErrPast) {
		t.Errorf("it went back: %v", k.Err())
	}
}
