package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/policy"
)

// arrival is one request of a test and what the oracle says of it.
type arrival struct {
	at       time.Duration
	units    float64
	priority int
	deadline time.Duration
}

type fate struct {
	outcome     booking.Outcome
	began, ends time.Duration
}

// oracle is a second, plain implementation of the station: it scans all slots and
// the whole room at every event. Constant service only.
func oracle(jobs []arrival, slots int, unit, room float64, noRoom, noDrop, plain bool, dropAfter time.Duration) []fate {
	free := make([]time.Duration, slots)
	for i := range free {
		free[i] = math.MinInt64
	}
	out := make([]fate, len(jobs))
	var waiting []int
	earliest := func() int {
		best := 0
		for i := range free {
			if free[i] < free[best] {
				best = i
			}
		}
		return best
	}
	start := func(i int, at time.Duration) {
		s := earliest()
		free[s] = at + time.Duration(math.Round(jobs[i].units*unit))
		out[i] = fate{booking.OK, at, free[s]}
	}
	dequeue := func(until time.Duration) {
		for len(waiting) > 0 && free[earliest()] <= until {
			at := free[earliest()]
			pick := 0
			for k, i := range waiting {
				if !plain && jobs[i].priority < jobs[waiting[pick]].priority {
					pick = k
				}
			}
			i := waiting[pick]
			waiting = append(waiting[:pick], waiting[pick+1:]...)
			late := jobs[i].deadline > 0 && at >= jobs[i].deadline || dropAfter > 0 && at-jobs[i].at > dropAfter
			if late && !noDrop {
				out[i] = fate{outcome: booking.Expired}
				continue
			}
			start(i, at)
		}
	}
	for i, j := range jobs {
		dequeue(j.at)
		units := 0.0
		for _, k := range waiting {
			units += jobs[k].units
		}
		switch {
		case len(waiting) == 0 && free[earliest()] <= j.at:
			start(i, j.at)
		case !noRoom && units+j.units > room:
			out[i] = fate{outcome: booking.Shed}
		default:
			waiting = append(waiting, i)
		}
	}
	dequeue(math.MaxInt64)
	return out
}

// play runs the jobs against a station in virtual time.
func play(t *testing.T, s *Station, jobs []arrival) []fate {
	t.Helper()
	out := make([]fate, len(jobs))
	var wg sync.WaitGroup
	begin := time.Now()
	for i, j := range jobs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			time.Sleep(j.at)
			p, o := s.Enter(Job{Step: booking.StepSubmit, Units: j.units, Priority: j.priority, Deadline: j.deadline, Key: uint64(i)})
			out[i] = fate{o, p.Began, p.Ends}
			if o == booking.OK {
				s.Leave(p)
				if left := time.Since(begin); left < p.Ends {
					t.Errorf("job %d left at %v, before its service ended at %v", i, left, p.Ends)
				}
			}
		}()
	}
	wg.Wait()
	return out
}

// load draws jobs that offer the given multiple of the capacity.
func load(seed draw.Seed, n int, rate float64) []arrival {
	jobs := make([]arrival, n)
	at := time.Duration(0)
	for i := range jobs {
		id := uint64(i)
		at += 1 + time.Duration(draw.Exp(seed.U64(1, id, 0))/rate*1e9)
		units := []float64{1, 1, 3, 0.5}[seed.U64(2, id, 0)%4]
		jobs[i] = arrival{at: at, units: units, priority: 1 + int(seed.U64(3, id, 0)%3)}
		if seed.U64(4, id, 0)%2 == 0 {
			jobs[i].deadline = at + 1 + time.Duration(seed.U64(5, id, 0)%uint64(400*time.Millisecond))
		}
	}
	return jobs
}

func TestStationAgreesWithOracle(t *testing.T) {
	seen := map[booking.Outcome]int{}
	for seed := range draw.Seed(60) {
		synctest.Test(t, func(t *testing.T) {
			slots := 1 + int(seed.U64(9, 0, 0)%5)
			rate := 0.5 + 2*seed.Uniform(9, 1, 0) // times capacity
			o := Options{
				Clock: clock.NewWall(), Capacity: 100, UnitTime: time.Duration(slots) * 10 * time.Millisecond,
				Room: float64(seed.U64(9, 2, 0) % 30), Lowest: 3,
				NoRoom: seed%5 == 1, NoDrop: seed%5 == 2, Plain: seed%4 == 3,
				Drop: policy.Drop{After: time.Duration(seed.U64(9, 3, 0)%3) * 100 * time.Millisecond},
			}
			s := New(o)
			jobs := load(seed, 400, rate*100/1.375) // mean units 1.375
			got := play(t, s, jobs)
			want := oracle(jobs, slots, s.unit, o.Room, o.NoRoom, o.NoDrop, o.Plain, o.Drop.After)
			for i := range jobs {
				if got[i] != want[i] {
					t.Fatalf("seed %d, job %d %+v: %+v, want %+v", seed, i, jobs[i], got[i], want[i])
				}
				seen[got[i].outcome]++
			}
			conserved(t, s, len(jobs))
		})
	}
	for _, o := range []booking.Outcome{booking.OK, booking.Shed, booking.Expired} {
		if seen[o] < 100 {
			t.Errorf("only %d requests ended %v: the test shows too little", seen[o], o)
		}
	}
}

func conserved(t *testing.T, s *Station, entered int) {
	t.Helper()
	c, _, _ := s.State()
	sum := c.Served + c.Shed + c.Expired + c.Limited + c.Degraded + c.OverBudget + c.Off + uint64(c.Inside)
	if c.Entered != uint64(entered) || sum != c.Entered || c.Inside != 0 || c.WaitingUnits != 0 {
		t.Errorf("%d entered, counts %+v: some ended in no way or in two", entered, c)
	}
}

// A burst of far more work than the slots hold is served at exactly the capacity,
// even when every timer is late.
func TestCapacityIsExactUnderBurst(t *testing.T) {
	for _, late := range []time.Duration{0, 3 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Clock: lateClock{clock.NewWall(), late}, Capacity: 1600, UnitTime: 5 * time.Millisecond, NoRoom: true})
			var mu sync.Mutex
			var last time.Duration
			var wg sync.WaitGroup
			const n = 3200
			for range n {
				wg.Go(func() {
					p, o := s.Enter(Job{Units: 1})
					if o != booking.OK {
						t.Errorf("refused: %v", o)
						return
					}
					mu.Lock()
					last = max(last, p.Ends)
					mu.Unlock()
					s.Leave(p)
				})
			}
			wg.Wait()
			if last != 2*time.Second {
				t.Errorf("timers %v late: 3200 units at 1600/s end at %v, want 2s", late, last)
			}
			conserved(t, s, n)
		})
	}
}

// lateClock calls back late, as a loaded machine does.
type lateClock struct {
	clock.Clock
	by time.Duration
}

func (c lateClock) AfterFunc(d time.Duration, f func()) func() bool {
	return c.Clock.AfterFunc(d+c.by, f)
}

// M/D/1 waiting times have a closed form: mean wait = rho·S / (2·(1-rho))
// (Pollaczek–Khinchine; Kleinrock, Queueing Systems vol. 1, eq. 5.70 with C²=0).
// Fixed seed; the bound of 5 % is about four standard errors of 60,000 correlated
// waits at rho = 0.7, seen by batch means.
func TestMeanWaitIsPollaczekKhinchine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, rho, service = 60000, 0.7, 10 * time.Millisecond
		s := New(Options{Clock: clock.NewWall(), Capacity: 100, UnitTime: service, NoRoom: true})
		var sum time.Duration
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range uint64(n) {
			time.Sleep(time.Duration(draw.Exp(draw.Seed(1).U64(1, i, 0)) / (rho * 100) * 1e9))
			wg.Go(func() {
				p, _ := s.Enter(Job{Units: 1})
				mu.Lock()
				sum += p.Began - p.Entered
				mu.Unlock()
				s.Leave(p)
			})
		}
		wg.Wait()
		got, want := (sum / n).Seconds(), rho*service.Seconds()/(2*(1-rho))
		if math.Abs(got/want-1) > 0.05 {
			t.Errorf("mean wait %.5f s, want %.5f s", got, want)
		}
	})
}

// Log-normal service keeps its mean, and depends on the key alone.
func TestServiceTimesAreKeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(order []int) map[int]time.Duration {
			s := New(Options{Clock: clock.NewWall(), Seed: 3, Capacity: 4e6, UnitTime: time.Millisecond, ServiceCV: 0.5, NoRoom: true})
			out := map[int]time.Duration{}
			for _, k := range order {
				p, _ := s.Enter(Job{Step: booking.StepStatus, Units: 2, Key: uint64(k), Attempt: 1})
				out[k] = p.Ends - p.Began
				s.Leave(p)
			}
			return out
		}
		var up, down []int
		for k := range 2000 {
			up, down = append(up, k), append(down, 1999-k)
		}
		a, b := run(up), run(down)
		sum := time.Duration(0)
		for k := range 2000 {
			if a[k] != b[k] {
				t.Fatalf("key %d: %v in one order, %v in the other", k, a[k], b[k])
			}
			sum += a[k]
		}
		// Standard error 1 ms / sqrt(2000) = 22 µs; six of them.
		if mean := sum / 2000; mean < 2*time.Millisecond-135*time.Microsecond || mean > 2*time.Millisecond+135*time.Microsecond {
			t.Errorf("mean service %v, want 2ms", mean)
		}
	})
}

func TestPrioritiesAreServedInOrder(t *testing.T) {
	for _, plain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Clock: clock.NewWall(), Capacity: 10, UnitTime: 100 * time.Millisecond, NoRoom: true, Lowest: 3, Plain: plain})
			var mu sync.Mutex
			type served struct {
				at       time.Duration
				priority int
				seq      int
			}
			var order []served
			var wg sync.WaitGroup
			for i, p := range []int{3, 3, 1, 2, 9, 1, 2, 0} {
				wg.Go(func() {
					pass, _ := s.Enter(Job{Units: 1, Priority: p})
					mu.Lock()
					order = append(order, served{pass.Began, p, i})
					mu.Unlock()
					s.Leave(pass)
				})
				time.Sleep(time.Millisecond)
			}
			wg.Wait()
			sort.Slice(order, func(i, j int) bool { return order[i].at < order[j].at })
			var got []int
			for _, o := range order {
				got = append(got, o.seq)
			}
			// The first is in service when the others come. 9 counts as the
			// lowest, 0 as the first.
			want := []int{0, 2, 5, 7, 3, 6, 1, 4}
			if plain {
				want = []int{0, 1, 2, 3, 4, 5, 6, 7}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("plain %v: served in order %v, want %v", plain, got, want)
			}
		})
	}
}

// enter takes one request in and out at once, without its modelled service.
func try(s *Station, j Job) booking.Outcome {
	p, o := s.Enter(j)
	if o == booking.OK {
		s.Leave(p)
	}
	return o
}

func TestDoorRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Clock: clock.NewWall(), Capacity: 10, UnitTime: 100 * time.Millisecond, Room: 1,
			Limiter: policy.StaticLimit(2), Budget: policy.Budget{Ratio: 0.5, Cap: 10}})
		submit := Job{Step: booking.StepSubmit, Units: 1}
		s.Kill(true)
		if o := try(s, submit); o != booking.Off {
			t.Errorf("killed: %v", o)
		}
		if o := try(s, Job{Step: booking.StepStatus, Units: 1}); o != booking.OK {
			t.Errorf("a status call while submits are killed: %v", o)
		}
		s.Kill(false)
		retry := submit
		retry.Attempt = 2
		if o := try(s, retry); o != booking.OverBudget {
			t.Errorf("a retry with half a token: %v", o)
		}
		if o := try(s, submit); o != booking.OK {
			t.Errorf("a first attempt: %v", o)
		}
		if o := try(s, retry); o != booking.OK {
			t.Errorf("a retry with one token: %v", o)
		}
		if o := try(s, Job{Step: booking.StepPoll, Units: 1, Attempt: 7}); o != booking.OK {
			t.Errorf("a seventh poll: %v", o)
		}
		// One in service, one in the room, and no more inside.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { try(s, submit) })
		}
		synctest.Wait()
		if o := try(s, submit); o != booking.Limited {
			t.Errorf("a third inside: %v", o)
		}
		if o := try(s, Job{Step: booking.StepConfig, Units: 1, Exempt: true}); o != booking.Shed {
			t.Errorf("an exempt request with the room full: %v", o)
		}
		wg.Wait()
		conserved(t, s, 10)
	})
}

func TestLadderClimbsAtOnceAndComesDownSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Clock: clock.NewWall(), Capacity: 10, UnitTime: 100 * time.Millisecond, Room: 10, Lowest: 2,
			Ladder: policy.Ladder{NoResults: 0.3, NoLow: 0.6, TopOnly: 2, Hold: time.Second}})
		var wg sync.WaitGroup
		for range 7 { // one in service, six in the room
			wg.Go(func() { try(s, Job{Step: booking.StepSubmit, Units: 1, Priority: 1}) })
		}
		synctest.Wait()
		if _, fill, rung := s.State(); rung != booking.RungNoLow || fill != 0.6 {
			t.Errorf("fill %v, rung %v", fill, rung)
		}
		if o := try(s, Job{Step: booking.StepPoll, Units: 1, Priority: 1}); o != booking.Degraded {
			t.Errorf("a poll: %v", o)
		}
		if o := try(s, Job{Step: booking.StepSubmit, Units: 1, Priority: 2}); o != booking.Degraded {
			t.Errorf("the low class: %v", o)
		}
		wg.Wait()
		// The room emptied; each rung takes its Hold, seen by whoever looks.
		var rungs []booking.Rung
		for range 25 {
			time.Sleep(100 * time.Millisecond)
			_, _, r := s.State()
			if len(rungs) == 0 || rungs[len(rungs)-1] != r {
				rungs = append(rungs, r)
			}
		}
		if want := []booking.Rung{booking.RungNoLow, booking.RungNoResults, booking.RungFull}; fmt.Sprint(rungs) != fmt.Sprint(want) {
			t.Errorf("came down by %v, want %v", rungs, want)
		}
		conserved(t, s, 9)
	})
}

// Losing half of the instances halves the capacity from then on, and their return
// brings it back.
func TestInstanceLossTakesCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Clock: clock.NewWall(), Capacity: 100, UnitTime: 80 * time.Millisecond, Instances: 16, NoRoom: true})
		var wg sync.WaitGroup
		for range 600 {
			wg.Go(func() { try(s, Job{Units: 1}) })
		}
		at := func(d time.Duration) float64 {
			time.Sleep(d)
			c, _, _ := s.State()
			return c.WorkSum
		}
		a := at(2*time.Second + time.Millisecond)
		s.SetUp(8)
		b := at(2 * time.Second)
		s.SetUp(16)
		c := at(2 * time.Second)
		if a != 208 || math.Abs(b-a-100) > 4 || math.Abs(c-b-200) > 8 {
			t.Errorf("began %v units in 2 s whole (8 in the slots), %v by half, %v whole again", a, b-a, c-b)
		}
		// A number that does not divide: the capacity is exact all the same.
		s.SetUp(11)
		if got := float64(len(s.slots)) / s.unit * 1e9; math.Abs(got-100*11.0/16) > 1e-9 {
			t.Errorf("11 of 16 instances do %v units/s", got)
		}
		s.SetUp(16)
		wg.Wait()
		conserved(t, s, 600)
	})
}

func TestNativeHasNoModelledTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		s := New(Options{Clock: c, Native: true, Instances: 4})
		for range 1000 {
			if o := try(s, Job{Units: 1e9}); o != booking.OK {
				t.Fatal(o)
			}
		}
		if c.Now() != 0 {
			t.Errorf("native service took %v", c.Now())
		}
		s.SetUp(2)
		conserved(t, s, 1000)
	})
}

// stub is stock that counts how often it is asked.
type stub struct {
	asked   int
	soldOut bool
	err     error
}

func (s *stub) SoldOut(context.Context) (bool, error) { s.asked++; return s.soldOut, s.err }

func TestClosedFlagLivesItsLife(t *testing.T) {
	stock := &stub{}
	in := NewInstance(0, policy.ClosedCheck{OpenAt: 10 * time.Second, CloseAt: 60 * time.Second, Life: time.Second}, stock)
	ctx := context.Background()
	ask := func(at time.Duration, want booking.State, asked int) {
		t.Helper()
		// The process clock is five seconds ahead of the run.
		if got := in.State(ctx, at+5*time.Second, at); got != want || stock.asked != asked {
			t.Errorf("at %v: %v with stock asked %d times, want %v and %d", at, got, stock.asked, want, asked)
		}
	}
	ask(9*time.Second, booking.StateWait, 0)
	ask(10*time.Second, booking.StatePreorder, 1)
	stock.soldOut = true
	ask(11*time.Second-1, booking.StatePreorder, 1)
	ask(11*time.Second, booking.StateFinish, 2)
	stock.soldOut, stock.err = false, errors.New("gone")
	ask(12*time.Second, booking.StateFinish, 3)
	ask(12*time.Second+500*time.Millisecond, booking.StateFinish, 3)
	if age, ok := in.FlagAge(17500 * time.Millisecond); !ok || age != 1500*time.Millisecond || in.FlagErrors() != 1 {
		t.Errorf("flag age %v, errors %d", age, in.FlagErrors())
	}
	stock.err = nil
	ask(13*time.Second, booking.StatePreorder, 4)
	ask(60*time.Second, booking.StateFinish, 4)
}

func BenchmarkEnterLeave(b *testing.B) {
	s := New(Options{Clock: clock.NewWall(), Capacity: 1e9, UnitTime: time.Microsecond, Room: 1e6, Lowest: 3})
	b.ReportAllocs()
	for b.Loop() {
		try(s, Job{Step: booking.StepStatus, Units: 1e-6, Priority: 2})
	}
}
