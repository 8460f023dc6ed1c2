package attack

import (
	"context"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/scenarios"
)

// stub is a backend without a network: what it answers, and after how long, hangs
// on the request alone, so that it is the same in any order.
type stub struct {
	seed   draw.Seed
	delay  func(key uint64) time.Duration
	answer func(step booking.Step, key uint64) (booking.Outcome, http.Header)
}

var stubTicket = strings.Repeat("ab", 16)

func (s *stub) RoundTrip(r *http.Request) (*http.Response, error) {
	step := booking.StepStatus
	switch {
	case r.URL.Path == wire.PathConfig:
		step = booking.StepConfig
	case strings.HasPrefix(r.URL.Path, wire.PathCatalogue):
		step = booking.StepCatalogue
	case r.Method == http.MethodPost:
		step = booking.StepSubmit
	case strings.HasPrefix(r.URL.Path, wire.PathBookings):
		step = booking.StepPoll
	}
	user, err := strconv.ParseUint(r.Header.Get(wire.HeaderUser), 10, 64)
	if err != nil {
		return nil, err
	}
	attempt, err := strconv.ParseUint(r.Header.Get(wire.HeaderAttempt), 10, 32)
	if err != nil {
		return nil, err
	}
	key := s.seed.U64(uint8(step), user, uint32(attempt))
	select {
	case <-time.After(s.delay(key)):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	o, h := s.answer(step, bits.RotateLeft64(key, 17))
	if h == nil {
		h = http.Header{}
	}
	h.Set(wire.HeaderOutcome, o.String())
	body := `{"outcome":"` + o.String() + `","ticket":"` + stubTicket + `"}`
	if step == booking.StepConfig {
		body = `{"version":7,"gate":"original","probability":0.2,"results":true,"life_ms":600000}`
	}
	return &http.Response{StatusCode: wire.StatusCode(o), Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// busyEvening answers like a backend in the rush: mostly yes, sometimes no.
func busyEvening(step booking.Step, key uint64) (booking.Outcome, http.Header) {
	pick := func(os ...booking.Outcome) booking.Outcome { return os[key%uint64(len(os))] }
	switch step {
	case booking.StepConfig, booking.StepCatalogue:
		return pick(booking.OK, booking.OK, booking.OK, booking.Shed), nil
	case booking.StepSubmit:
		return pick(booking.Queued, booking.Queued, booking.Busy, booking.SoldOut, booking.Confirmed, booking.Duplicate), nil
	case booking.StepPoll:
		return pick(booking.Pending, booking.Confirmed, booking.Refused, booking.Unknown), nil
	}
	return pick(booking.Open, booking.Open, booking.Open, booking.Wait, booking.Limited, booking.Closed), nil
}

func testProgram() policy.Program {
	return policy.Program{BookingShare: 0.8, Notice: time.Second, Form: 2 * time.Second, ThinkCV: 0.6, Lock: 2 * time.Second,
		HumanMin: 100 * time.Millisecond, HumanMax: time.Second, GiveUp: 0.2, Timeout: 3 * time.Second, ConfigLife: 20 * time.Second,
		PollEvery: time.Second, PollJitter: 200 * time.Millisecond, Items: 7, ExpressShare: 0.285, English: 0.1, BotEvery: 2 * time.Second}
}

// testPlan is visits of few users, several of them at moments that they share.
func testPlan(seed draw.Seed, visits, users, bots int, gap time.Duration) plan {
	p := plan{program: testProgram(), luck: seed,
		classes: []booking.Class{{Name: "near", Share: 0.6, Priority: 1}, {Name: "far", Share: 0.4, Priority: 2}},
		arrivals: func(yield func(booking.VisitID, time.Duration) bool) {
			for i := range visits {
				if !yield(booking.VisitID(i), time.Duration(i)*gap) {
					return
				}
			}
		},
		userOf: func(v booking.VisitID) booking.UserID {
			return booking.UserID(seed.U64(booking.DrawUser, uint64(v), 0) % uint64(users))
		},
	}
	for i := range bots {
		p.bots = append(p.bots, scenarios.BotArrival{Visit: scenarios.BotVisits + booking.VisitID(i), User: booking.UserID(users + i), At: time.Duration(i%3) * time.Second})
	}
	return p
}

// quietSleeper waits until a moment and then until every other goroutine of the
// bubble is blocked: all that happens at that moment has been posted.
type quietSleeper struct{ *timerSleeper }

func (s quietSleeper) sleep(d time.Duration) {
	s.timerSleeper.sleep(d)
	synctest.Wait()
}

// play runs a plan against a backend on the bubble's clock and returns the record
// and every visit's trace.
func play(t *testing.T, p plan, backend http.RoundTripper, workers int, length time.Duration) (*record.Record, map[booking.VisitID]string) {
	t.Helper()
	traces := map[booking.VisitID]string{}
	rec := record.New(record.Header{TimeScale: 1})
	synctest.Test(t, func(t *testing.T) {
		s, err := newSessions(p, rec)
		if err != nil {
			t.Fatal(err)
		}
		s.trace = func(v *policy.Visitor, now time.Duration, kind eventKind, r policy.Reply, m policy.Move) {
			traces[v.Visit] += fmt.Sprintf("%v %d %+v -> %+v phase %d final %v\n", now, kind, r, m, v.Phase, v.Final)
		}
		tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(clock.NewWall(), quietSleeper{newTimerSleeper()}, s, tgt, backend, workers, length, Grace)
		if err := e.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		conclude(rec, s.tally)
		checkConserved(t, rec)
	})
	return rec, traces
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// checkConserved asserts that nothing got lost: visits and requests add up.
func checkConserved(t fataler, rec *record.Record) {
	t.Helper()
	var visitors, ends uint64
	for _, g := range rec.Groups {
		visitors += g.Visitors
		for _, n := range g.Finals {
			ends += n
		}
	}
	total := func(name string) (n uint64) {
		for _, c := range rec.Counters[name] {
			n += c
		}
		return n
	}
	if visitors != ends || visitors != total(record.CountVisits) {
		t.Fatalf("%d visitors, %d finals, %d counted", visitors, ends, total(record.CountVisits))
	}
	var answered, served, unsent uint64
	for _, step := range booking.Steps() {
		all := rec.Merged(record.Select{Span: step, Clock: record.Response}).Count()
		u := rec.OutcomeCount(step, booking.Unsent.String())
		answered, unsent = answered+all-u, unsent+u
		served += rec.Merged(record.Select{Span: step, Clock: record.Service}).Count()
	}
	sent := total(record.CountRequests) + total(record.CountPolls)
	if answered != served || sent != answered+total(record.CountCut) || sent != rec.Header.Achieved || sent+unsent != rec.Header.Requested {
		t.Fatalf("due %d = sent %d + unsent %d; sent = answered %d (%d with service) + cut %d",
			rec.Header.Requested, sent, unsent, answered, served, total(record.CountCut))
	}
	if late := rec.Merged(record.Select{Span: record.SpanLateness}).Count(); late != sent {
		t.Fatalf("%d sent, %d of them with a lateness", sent, late)
	}
	if (unsent > 0) && !rec.Header.Saturated {
		t.Fatalf("%d unsent and not saturated", unsent)
	}
}

// One seed gives one trace for each visit, whatever the number of cores and
// however the scheduler orders what happens at one moment. Moments are rounded so
// that many things do: visits of one user too, which share a client.
func TestTracesDependOnNothingElse(t *testing.T) {
	round := func(key uint64) time.Duration { return time.Duration(1+key%3) * time.Second / 4 }
	p := testPlan(11, 3000, 400, 5, 10*time.Millisecond)
	p.program.Notice, p.program.Form, p.program.ThinkCV = time.Second, time.Second, 0
	p.program.HumanMin, p.program.HumanMax, p.program.PollJitter = 0, 0, 0
	var first map[booking.VisitID]string
	var firstRec *record.Record
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, cores := range []int{1, 2, 8, 2, 8} {
		runtime.GOMAXPROCS(cores)
		rec, traces := play(t, p, &stub{seed: 5, delay: round, answer: busyEvening}, 10_000, 40*time.Second)
		if first == nil {
			first, firstRec = traces, rec
			continue
		}
		if len(traces) != len(first) {
			t.Fatalf("%d cores: %d visits, %d before", cores, len(traces), len(first))
		}
		for v, want := range first {
			if traces[v] != want {
				t.Fatalf("%d cores: visit %d went\n%sbefore it went\n%s", cores, v, traces[v], want)
			}
		}
		if !slices.Equal(rec.Keys(), firstRec.Keys()) {
			t.Fatalf("%d cores: other histograms", cores)
		}
	}
	finals := map[string]uint64{}
	for _, g := range firstRec.Groups {
		for f, n := range g.Finals {
			finals[f] += n
		}
	}
	for _, f := range []policy.Final{policy.Superseded, policy.GotConfirmed, policy.GaveUpAtGate, policy.Resumed, policy.Left} {
		if finals[f.String()] == 0 {
			t.Errorf("no visit ended as %v: the test does not reach far enough: %v", f, finals)
		}
	}
}

// Equal moments are taken in the order of visits, whatever the order of entry.
func TestAgendaOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		events := make([]event, n)
		for i := range events {
			events[i] = event{due: time.Duration(rapid.IntRange(0, 20).Draw(t, "due")), visit: booking.VisitID(i)}
		}
		var a agenda
		for _, e := range rapid.Permutation(events).Draw(t, "order") {
			a.push(e)
		}
		limit := time.Duration(rapid.IntRange(-1, 21).Draw(t, "limit"))
		want := 0
		for _, e := range events {
			if e.due <= limit {
				want++
			}
		}
		if got := a.dueBy(limit, n+1); got != want {
			t.Fatalf("%d due by %v, want %d", got, limit, want)
		}
		slices.SortFunc(events, func(x, y event) int {
			if x.before(y) {
				return -1
			}
			return 1
		})
		for i, want := range events {
			if got := a.pop(); got != want {
				t.Fatalf("event %d is %+v, want %+v", i, got, want)
			}
		}
	})
}

// Whatever a backend answers, and whenever, nothing is lost.
func TestConservation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := draw.Seed(rapid.Uint64().Draw(rt, "seed"))
		slow := time.Duration(rapid.IntRange(1, 5000).Draw(rt, "slowest, ms")) * time.Millisecond
		workers := rapid.SampledFrom([]int{1, 3, 50, 2000}).Draw(rt, "workers")
		p := testPlan(seed, rapid.IntRange(0, 200).Draw(rt, "visits"), rapid.IntRange(1, 100).Draw(rt, "users"),
			rapid.IntRange(0, 4).Draw(rt, "bots"), time.Duration(rapid.IntRange(1, 100).Draw(rt, "gap, ms"))*time.Millisecond)
		p.program.HonoursRetryAfter = rapid.Bool().Draw(rt, "polite")
		backend := &stub{seed: seed, delay: func(key uint64) time.Duration { return time.Duration(key % uint64(slow)) },
			answer: func(step booking.Step, key uint64) (booking.Outcome, http.Header) {
				if key%5 != 0 {
					return busyEvening(step, key)
				}
				h := http.Header{"Retry-After": {strconv.Itoa(int(key % 7))}}
				if key%2 == 0 {
					h.Set(wire.HeaderRetry, "no")
				}
				return booking.Outcome(1 + key%24), h
			}}
		play(t, p, backend, workers, 10*time.Second)
	})
}

// Far more than can be carried: the run ends on time, what was not sent is
// counted, and the record says so.
func TestOverload(t *testing.T) {
	p := testPlan(3, 5000, 5000, 0, time.Millisecond)
	backend := &stub{delay: func(uint64) time.Duration { return time.Second }, answer: busyEvening}
	var took time.Duration
	rec := record.New(record.Header{TimeScale: 1})
	synctest.Test(t, func(t *testing.T) {
		s, err := newSessions(p, rec)
		if err != nil {
			t.Fatal(err)
		}
		tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
		if err != nil {
			t.Fatal(err)
		}
		clk := clock.NewWall()
		e := newEngine(clk, newTimerSleeper(), s, tgt, backend, 20, 5*time.Second, Grace)
		if err := e.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		took = clk.Now()
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		conclude(rec, s.tally)
	})
	checkConserved(t, rec)
	if took > 5*time.Second+Grace+time.Millisecond {
		t.Errorf("took %v", took)
	}
	h := rec.Header
	// 20 workers, a second each, for 7 s.
	if h.Achieved < 100 || h.Achieved > 160 || h.Requested < 4500 || !h.Saturated || len(h.Notes) == 0 {
		t.Errorf("sent %d of %d, saturated %v, notes %q", h.Achieved, h.Requested, h.Saturated, h.Notes)
	}
	if n := rec.OutcomeCount("config", "unsent"); n < 4500 {
		t.Errorf("%d config fetches unsent", n)
	}
}

// A hundred thousand visitors who wait cost bytes, not goroutines.
func TestWaitingIsCheap(t *testing.T) {
	const visitors = 100_000
	p := testPlan(1, visitors, visitors, 0, time.Microsecond)
	p.program.Notice, p.program.ThinkCV, p.program.BookingShare = time.Hour, 0, 1
	p.held = func(booking.UserID) (policy.Runtime, time.Duration, bool) { return defaultRuntime, 0, true }
	s, err := newSessions(p, record.New(record.Header{}))
	if err != nil {
		t.Fatal(err)
	}
	tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	goroutines := runtime.NumGoroutine()
	e := newEngine(clock.NewWall(), newTimerSleeper(), s, tgt, nil, 10, time.Hour, Grace)
	for {
		ev, fromAgenda, ok := e.earliest()
		if !ok || ev.due >= time.Minute {
			break
		}
		if e.step(ev, fromAgenda) {
			t.Fatal("a visitor does not wait")
		}
	}
	after := heap()
	if e.agenda.len() != visitors || s.alive != visitors {
		t.Fatalf("%d wait", e.agenda.len())
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more", n-goroutines)
	}
	each := float64(after-before) / visitors
	t.Logf("%.0f bytes for each of %d waiting visitors", each, visitors)
	if each >= 200 {
		t.Errorf("%.0f bytes each", each)
	}
	e.cancel()
	runtime.KeepAlive(s)
}
