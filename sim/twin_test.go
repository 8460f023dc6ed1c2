package sim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/scenarios"
	"spillway/sim/des"
)

// stub answers every request after a keyed delay with a keyed outcome, so that
// visitors meet everything: refusals, timeouts, tickets, closed doors.
func stub(seed draw.Seed, sc *scenarios.Scaled, v *policy.Visitor, m policy.Move) (policy.Reply, time.Duration) {
	id := uint64(v.Visit)<<4 | uint64(m.Step)
	u := seed.Uniform(booking.DrawService, id, uint32(m.Attempt))
	after := seed.Between(booking.DrawJitter, id, uint32(m.Attempt), time.Millisecond, 40*time.Millisecond)
	r := policy.Reply{Outcome: booking.OK}
	pick := func(outcomes ...booking.Outcome) { r.Outcome = outcomes[int(u*float64(len(outcomes)))] }
	switch m.Step {
	case booking.StepConfig:
		r.Config = sc.RuntimeAt(0).Version
	case booking.StepStatus:
		pick(booking.Wait, booking.Open, booking.Open, booking.Open, booking.Shed, booking.Closed)
	case booking.StepCheck:
		pick(booking.Open, booking.Open, booking.Open, booking.Timeout, booking.Closed)
	case booking.StepSubmit:
		pick(booking.Queued, booking.Queued, booking.Busy, booking.SoldOut, booking.Confirmed, booking.Duplicate, booking.Timeout)
		r.Ticket[0] = 1
	case booking.StepPoll:
		pick(booking.Pending, booking.Confirmed, booking.Degraded, booking.Refused)
	}
	if r.Outcome == booking.Timeout {
		after = m.Timeout
	}
	return r, after
}

// line is one event of a visitor and what it led to.
type line struct {
	at   time.Duration
	id   booking.VisitID
	text string
}

// live plays visitors of one program, each with a client of its own, on any clock,
// and returns everything that happened, in the order of (moment, visit). wait
// returns when nothing is left to happen.
func live(clk clock.Clock, sc *scenarios.Scaled, visitors int, wait func()) []byte {
	var mu sync.Mutex // of lines; a visitor's own steps never overlap
	var lines []line
	program := sc.Program()
	for id := range booking.VisitID(visitors) {
		v := program.New(id, booking.UserID(id), 0, sc.Seed)
		user := policy.User{}
		var next func(now time.Duration, e policy.Event, r policy.Reply)
		next = func(now time.Duration, e policy.Event, r policy.Reply) {
			m := program.Next(&v, &user, sc.RuntimeAt(0), now, e, r, sc.Seed)
			mu.Lock()
			lines = append(lines, line{now, v.Visit, fmt.Sprintf("%d %d %d %v %+v %+v\n", now, v.Visit, e, r.Outcome, v, m)})
			mu.Unlock()
			switch m.Kind {
			case policy.Wait:
				clk.AfterFunc(m.At-clk.Now(), func() { next(clk.Now(), policy.Wake, policy.Reply{}) })
			case policy.Send:
				reply, after := stub(sc.Seed, sc, &v, m)
				clk.AfterFunc(after, func() { next(clk.Now(), policy.Replied, reply) })
			}
		}
		clk.AfterFunc(sc.Seed.Between(booking.DrawArrival, uint64(id), 0, 0, 30*time.Second),
			func() { next(clk.Now(), policy.Arrive, policy.Reply{}) })
	}
	wait()
	mu.Lock()
	defer mu.Unlock()
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	var out bytes.Buffer
	for _, l := range lines {
		out.WriteString(l.text)
	}
	return out.Bytes()
}

// The twin test: visitors and policy on the simulator's kernel and on the wall
// clock, here in a bubble of fake time, leave byte-equal traces. On this rests that
// what the simulator predicts is what the attack would do.
func TestTwin(t *testing.T) {
	const visitors, until = 400, 10 * time.Minute
	for _, gate := range []string{"original", "coin"} {
		sc := scaled(t, "suikang-2020-01-31", 0, 0, 11, "admission.gate", gate, "visitor.jitter", "on", "visitor.booking_share", "90 %")
		k := des.New()
		simulated := live(k, sc, visitors, func() {
			if err := k.Run(until); err != nil {
				t.Fatal(err)
			}
		})
		var walled []byte
		synctest.Test(t, func(t *testing.T) {
			walled = live(clock.NewWall(), sc, visitors, func() { time.Sleep(until) })
		})
		if n := bytes.Count(simulated, []byte("\n")); n < 8*visitors {
			t.Errorf("%s: only %d events of %d visitors", gate, n, visitors)
		}
		if !bytes.Equal(simulated, walled) {
			a, b := bytes.Split(simulated, []byte("\n")), bytes.Split(walled, []byte("\n"))
			for i := range min(len(a), len(b)) {
				if !bytes.Equal(a[i], b[i]) {
					t.Fatalf("%s: event %d of %d and %d differs:\nkernel %s\nwall   %s", gate, i, len(a), len(b), a[i], b[i])
				}
			}
			t.Fatalf("%s: %d events on the kernel, %d on the wall clock", gate, len(a), len(b))
		}
	}
}
