package reference

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"spillway/internal/booking"
	"spillway/internal/wire"
)

// Redis is emptied while accepted submits wait: each is confirmed all the same
// under the ticket it was given, nobody books twice, and no more is sold than
// there is.
func TestRedisEmptied(t *testing.T) {
	for _, twice := range []bool{false, true} {
		t.Run(fmt.Sprint("twice ", twice), func(t *testing.T) {
			m := miniredis.RunT(t)
			c := sale()
			c.Redis = "redis://" + m.Addr() + "/0"
			c.Stock.Items, c.Stock.Grace = []int{6, 4}, 200*time.Millisecond
			c.Ledger.Rate, c.Ledger.Every = 4, 100*time.Millisecond // some are written, most wait
			s := serve(t, c)
			tickets := map[int]string{}
			for user := range 6 {
				r := s.submitAs(t, user, fmt.Sprint("k", user), user%2)
				want(t, "a submit", r, booking.Queued)
				tickets[user] = r.answer.Ticket
			}
			until(t, "a first row", func() bool { return s.writer.Stats().Rows > 0 })
			m.FlushAll()
			if twice {
				until(t, "the rebuild begins", func() bool { return m.Exists("{test}:rebuild") })
				m.FlushAll()
			}
			r := s.submitAs(t, 50, "early", 0)
			if r.outcome != booking.Unknown.String() && r.outcome != booking.Queued.String() {
				t.Errorf("a submit while the sale is rebuilt: %q, want unknown or, once it is, queued", r.outcome)
			}
			until(t, "the sale runs again", func() bool {
				r = s.submitAs(t, 50, "early", 0)
				return r.outcome == booking.Queued.String()
			})
			tickets[50] = r.answer.Ticket
			for user, ticket := range tickets {
				again := s.submitAs(t, user, fmt.Sprint("k", user), user%2)
				if user == 50 {
					again = s.submitAs(t, user, "early", 0)
				}
				want(t, "the same submit again", again, booking.Queued)
				if again.answer.Ticket != ticket {
					t.Errorf("user %d: ticket %s, and after the loss %s", user, ticket, again.answer.Ticket)
				}
				want(t, "the same user, another key", s.submitAs(t, user, "other", 0), booking.Duplicate)
			}
			var given []AcceptedTicket
			for _, ticket := range tickets {
				until(t, "a confirmed result", func() bool { return s.pollFor(t, ticket).outcome == booking.Confirmed.String() })
				tk, err := booking.ParseTicket(ticket)
				if err != nil {
					t.Fatal(err)
				}
				given = append(given, AcceptedTicket{Ticket: tk, Told: booking.Confirmed})
			}
			for user := 60; user < 70; user++ {
				s.submitAs(t, user, fmt.Sprint("late", user), user%2)
			}
			until(t, "closed", func() bool { return s.submitAs(t, 80, "too-late", 1).outcome == booking.Closed.String() })
			rep, err := Reconcile(context.Background(), s.Ready(), c, Reconciling{Accepted: given, Drained: drained(t, s), DemandLeft: true})
			if err != nil || !rep.OK() || rep.Sold != 10 {
				t.Errorf("sold %d of 10, %v\n%v", rep.Sold, err, rep)
			}
			until(t, "an empty outbox", func() bool { return s.store.Unsettled() == 0 })
		})
	}
}

// A sale that was sold out when Redis lost its memory is closed again, not open
// and not unknown for ever.
func TestRedisEmptiedWhenSoldOut(t *testing.T) {
	m := miniredis.RunT(t)
	c := sale()
	c.Redis, c.Stock.Items, c.Stock.Grace = "redis://"+m.Addr()+"/0", []int{1}, 100*time.Millisecond
	s := serve(t, c)
	r := s.submitAs(t, 1, "a", 0)
	until(t, "the row", func() bool { return s.pollFor(t, r.answer.Ticket).outcome == booking.Confirmed.String() })
	m.FlushAll()
	until(t, "closed", func() bool { return s.submitAs(t, 2, "b", 0).outcome == booking.Closed.String() })
	want(t, "the winner's poll", s.pollFor(t, r.answer.Ticket), booking.Confirmed)
	if r := s.adminCall(t, "POST", wire.PathAdminDrain+"?within=5s", nil); r.code != 200 {
		t.Errorf("draining: %d", r.code)
	}
}

func TestCrashRefused(t *testing.T) {
	for _, crash := range []string{"stock.take", "stock.take.before:0", "stock.take.before:x", "nowhere.after"} {
		c := sale()
		c.Crash = crash
		if err := c.defaults().check(); err == nil {
			t.Errorf("crash %q was accepted", crash)
		}
	}
	for _, point := range CrashPoints() {
		c := sale()
		c.Crash = point + ":3"
		if err := c.defaults().check(); err != nil {
			t.Errorf("crash %q: %v", c.Crash, err)
		}
	}
}
