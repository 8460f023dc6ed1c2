package reference

import (
	"context"
	"fmt"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/wire"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
	"spillway/reference/stock"
)

// mode is what the shape of the service does with a request once a gateway
// serves it.
type mode interface {
	// state answers a status call; an error means that it cannot be told.
	state(ctx context.Context, v *visit) (booking.State, error)
	// submit books. An error comes only with the outcome unknown.
	submit(ctx context.Context, v *visit, in wire.Submit) (result, error)
	// poll is the result of a ticket; an error means that it cannot be told.
	poll(ctx context.Context, t booking.Ticket) (result, error)
}

// early is the answer to a submit outside the opening hours, or when the
// instance's closed flag says that all is gone; 0 = go on. With the closed check
// switched off only the hours hold.
func (s *Stack) early(ctx context.Context, v *visit, flagged bool) booking.Outcome {
	state := policy.ClosedCheck{OpenAt: s.config.OpenAt, CloseAt: s.config.CloseAt}.State(v.run, false)
	if state == booking.StatePreorder && flagged {
		state = v.instance.State(ctx, s.clock.Now(), v.run)
	}
	if state == booking.StatePreorder {
		return 0
	}
	return state.Outcome()
}

// streamed is the way over stock's script and the queue: queued, timed-writer and
// lottery.
type streamed struct {
	s     *Stack
	store *stock.Store
	cache *ledger.Cache
	desk  *lottery.Desk // lottery only
}

var _ mode = (*streamed)(nil)

func (m *streamed) state(ctx context.Context, v *visit) (booking.State, error) {
	return v.instance.State(ctx, m.s.clock.Now(), v.run), nil
}

func (m *streamed) submit(ctx context.Context, v *visit, in wire.Submit) (result, error) {
	if o := m.s.early(ctx, v, m.s.on("closed")); o != 0 {
		return result{outcome: o}, nil
	}
	if m.desk != nil {
		a, err := m.desk.Enter(ctx, lottery.Request{User: v.person, Item: in.Item, Key: v.key, Other: in.Other, Senior: in.Senior})
		return result{outcome: a.Outcome, ticket: a.Ticket, why: a.Why, from: a.From}, err
	}
	r, err := m.store.Take(ctx, stock.Submit{User: v.person, Item: in.Item, Key: v.key})
	return result{outcome: r.Outcome, ticket: r.Ticket}, err
}

func (m *streamed) poll(ctx context.Context, t booking.Ticket) (result, error) {
	r, err := m.cache.Get(ctx, t)
	return result{outcome: r.Outcome, ticket: t, waited: r.Waited}, err
}

// direct is the synchronous way: lossless mode, and any mode with the queue
// switched off.
type direct struct {
	s       *Stack
	book    *ledger.Lossless
	tickets *stock.Tickets
	forms   bool // a status call reads the database (lossless); else the closed flag

	mu    sync.Mutex
	noted map[booking.Ticket]bool // booked through this process: at most one for each reservation
}

var _ mode = (*direct)(nil)

func (m *direct) state(ctx context.Context, v *visit) (booking.State, error) {
	if !m.forms {
		return v.instance.State(ctx, m.s.clock.Now(), v.run), nil
	}
	free, err := m.book.ReadForm(ctx)
	if err != nil {
		return 0, err
	}
	return policy.ClosedCheck{OpenAt: m.s.config.OpenAt, CloseAt: m.s.config.CloseAt}.State(v.run, sum(free) == 0), nil
}

func (m *direct) submit(ctx context.Context, v *visit, in wire.Submit) (result, error) {
	if o := m.s.early(ctx, v, !m.forms && m.s.on("closed")); o != 0 {
		return result{outcome: o}, nil
	}
	t := m.tickets.Of(v.person, v.key)
	r, err := m.book.Book(ctx, booking.Accepted{Ticket: t, User: v.person, Item: in.Item, At: m.s.clock.Now(), Other: in.Other})
	if r.Outcome == booking.Confirmed {
		m.note(t, r.Waited)
	}
	return result{outcome: r.Outcome, ticket: t, waited: r.Waited}, err
}

// note tells the watch of a booking, once: a repeated submit is answered alike.
func (m *direct) note(t booking.Ticket, waited time.Duration) {
	m.mu.Lock()
	again := m.noted[t]
	m.noted[t] = true
	m.mu.Unlock()
	if !again {
		m.s.watch.settled(m.s.clock.Now(), waited)
	}
}

func (m *direct) poll(ctx context.Context, t booking.Ticket) (result, error) {
	r, err := m.book.ReadResult(ctx, t)
	return result{outcome: r.Outcome, ticket: t, waited: r.Waited}, err
}

// rows tells a closed flag from the ledger's own rows, without the modelled cost
// of a form.
type rows struct {
	db    *ledger.DB
	total int
}

// SoldOut implements gateway.Source.
func (r rows) SoldOut(ctx context.Context) (bool, error) {
	n, err := r.db.Rows(ctx)
	return n >= int64(r.total), err
}

// unsold is what the ledger says is left of each item.
func unsold(ctx context.Context, db *ledger.DB, items []int) ([]int, error) {
	sold, err := db.Sold(ctx, len(items))
	if err != nil {
		return nil, err
	}
	free := make([]int, len(items))
	for i := range items {
		if free[i] = items[i] - sold[i]; free[i] < 0 {
			return nil, fmt.Errorf("item %d: the ledger holds %d bookings of %d reservations", i, sold[i], items[i])
		}
	}
	return free, nil
}

func sum(ns []int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
}
