package reference

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/ledger"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

// GuardOptions sets up a Guard. Everything but Grace is required.
type GuardOptions struct {
	DB      *ledger.DB
	Store   *stock.Store
	Queue   *queue.Queue
	Cache   *ledger.Cache
	Items   []int // reservations of each item
	Lottery bool  // entries instead of bookings; nothing is taken from stock
	// Grace is how long a rebuild waits for the gateways to notice and to offer
	// what they have accepted; 0 = not at all, when this process is the only one.
	Grace time.Duration
	Clock clock.Clock
}

// Guard sets up the sale, notices when Redis has lost its memory, and then
// rebuilds the sale before anything is sold. Whoever owns a writer has one. Any
// number may run: a lock in Redis lets one of them work. It is not safe for
// concurrent use.
type Guard struct {
	o       GuardOptions
	rebuilt int
}

// NewGuard makes a Guard and talks to nobody.
func NewGuard(o GuardOptions) (*Guard, error) {
	if o.DB == nil || o.Store == nil || o.Queue == nil || o.Cache == nil || o.Clock == nil || len(o.Items) == 0 {
		return nil, errors.New("guard: ledger, stock, queue, result cache, clock and items are required")
	}
	return &Guard{o: o}, nil
}

// Rebuilt is how often this Guard has set up or rebuilt the sale.
func (g *Guard) Rebuilt() int { return g.rebuilt }

// Look does what is to be done: it rebuilds a sale that is missing, and takes in
// late offers of one that runs. It says how the sale stood when it came. An error
// may be met again; the next Look begins anew.
func (g *Guard) Look(ctx context.Context) (stock.Phase, error) {
	phase, err := g.o.Store.Look(ctx)
	if err != nil {
		return phase, err
	}
	switch phase {
	case stock.Missing:
		err = g.rebuild(ctx)
		if errors.Is(err, stock.ErrOvertaken) {
			err = nil // whoever overtook does it, or the next Look
		}
	case stock.Running:
		_, _, err = g.o.Store.Admit(ctx, judge{g.o.DB, g.o.Cache, g.o.Clock})
	}
	return phase, err
}

// Open looks until the sale runs, and fails with stock.ErrRunning when it is one
// of other items.
func (g *Guard) Open(ctx context.Context) error {
	for {
		phase, err := g.Look(ctx)
		if err != nil {
			return err
		}
		if phase == stock.Running {
			break
		}
		if phase == stock.Rebuilding {
			if !pause(ctx, g.o.Clock, lookEvery) {
				return fmt.Errorf("waiting for the sale to be rebuilt: %w", ctx.Err())
			}
		}
	}
	same, err := g.o.Store.Filled(ctx, g.o.Items)
	if err == nil && !same {
		err = fmt.Errorf("stock: %w", stock.ErrRunning)
	}
	return err
}

// rebuild counts the sale anew, from the ledger and from what waits: in the queue,
// among the dead letters, and in the gateways' outboxes.
func (g *Guard) rebuild(ctx context.Context) error {
	before, err := g.o.DB.Epoch(ctx)
	if err != nil {
		return err
	}
	// From here on no writer adds what it had read before.
	token, err := g.o.DB.Fence(ctx)
	if err != nil {
		return err
	}
	if mine, err := g.o.Store.Begin(ctx, token); err != nil || !mine {
		return err
	}
	if err := g.o.Queue.Open(ctx); err != nil {
		return err
	}
	if before > ledger.FirstEpoch { // else nobody can have accepted anything yet
		for left := g.o.Grace; left > 0; left -= stock.LockLife / 2 {
			if !pause(ctx, g.o.Clock, min(left, stock.LockLife/2)) {
				return ctx.Err()
			}
			if err := g.o.Store.Restore(ctx, token, []stock.Holder{}); err != nil { // a sign of life
				return err
			}
		}
	}
	// This process's own outbox needs no grace.
	if err := g.o.Store.Tend(ctx); err != nil {
		return err
	}
	w, err := g.waiting(ctx)
	if err != nil {
		return err
	}
	free, losers, err := g.count(ctx, token, w)
	if err != nil {
		return err
	}
	for _, x := range losers {
		if err := (judge{g.o.DB, g.o.Cache, g.o.Clock}).Refuse(ctx, x.h.Accepted, x.why); err != nil {
			return err
		}
	}
	if err := g.o.Store.Restore(ctx, token, w.holders()); err != nil {
		return err
	}
	sealed, err := g.o.DB.Sealed(ctx)
	if err != nil {
		return err
	}
	if err := g.o.Store.Reopen(ctx, token, g.o.Items, free, sealed); err != nil {
		return err
	}
	g.rebuilt++
	return nil
}

// waiting is what has been accepted and not settled, by ticket.
type waiting struct {
	of    map[booking.Ticket]*stock.Holder
	order []booking.Ticket
}

func (w *waiting) add(h stock.Holder) {
	was := w.of[h.Ticket]
	if was == nil {
		w.of[h.Ticket] = &h
		w.order = append(w.order, h.Ticket)
		return
	}
	// It is somewhere already: an offer of it only tells what is known besides.
	was.Accepted, was.Key, was.Enqueue = h.Accepted, cmp.Or(was.Key, h.Key), was.Enqueue && h.Enqueue
}

// holders are those that are left, the oldest acceptance first.
func (w *waiting) holders() []stock.Holder {
	var out []stock.Holder
	for _, t := range w.order {
		if h := w.of[t]; h != nil {
			out = append(out, *h)
		}
	}
	slices.SortFunc(out, func(a, b stock.Holder) int {
		return cmp.Or(cmp.Compare(a.At, b.At), bytes.Compare(a.Ticket[:], b.Ticket[:]))
	})
	return out
}

func (g *Guard) waiting(ctx context.Context) (*waiting, error) {
	w := &waiting{of: map[booking.Ticket]*stock.Holder{}}
	offers, err := g.o.Store.Offers(ctx)
	if err != nil {
		return nil, err
	}
	there := func(a booking.Accepted) error {
		if !a.Ticket.IsZero() {
			h := stock.Holder{Accepted: a, Pending: true}
			if was := w.of[a.Ticket]; was != nil && a.User == 0 && a.At == 0 {
				h.Accepted = was.Accepted // a letter that cannot be decoded names its ticket alone
			}
			w.add(h)
		}
		return nil
	}
	for _, h := range offers {
		w.add(h)
	}
	// Entries move to the dead letters and, by a replay, back: the queue is read
	// before and after.
	if err := g.o.Queue.Entries(ctx, there); err != nil {
		return nil, err
	}
	if err := g.o.Queue.Letters(ctx, func(l queue.Letter) error {
		if _, offered := w.of[l.Accepted.Ticket]; !l.Decoded && !offered {
			return nil // nobody knows what it holds
		}
		return there(l.Accepted)
	}); err != nil {
		return nil, err
	}
	return w, g.o.Queue.Entries(ctx, there)
}

// loser is an acceptance that cannot stand.
type loser struct {
	h   *stock.Holder
	why string
}

// count takes what the ledger has settled off what waits, gives the ledger's users
// their tickets back, and says what is free of each item. Acceptances that cannot
// stand, and should not be possible, are the losers.
func (g *Guard) count(ctx context.Context, token int64, w *waiting) (free []int, losers []loser, err error) {
	free = slices.Clone(g.o.Items)
	users := map[booking.UserID]*stock.Holder{}
	lose := func(h *stock.Holder, why string) {
		losers = append(losers, loser{h, why})
		w.of[h.Ticket] = nil
	}
	for _, h := range w.holders() {
		h := w.of[h.Ticket]
		if h.Change != 0 {
			continue // it holds nothing; the ledger judges it
		}
		if h.Item < 0 || h.Item >= len(free) {
			lose(h, "its item is not on sale")
		} else if users[h.User] != nil {
			lose(h, "its user holds an earlier ticket")
		} else {
			users[h.User] = h
		}
	}
	var page []stock.Holder
	flush := func() error {
		err := g.o.Store.Restore(ctx, token, page)
		page = page[:0]
		return err
	}
	err = g.o.DB.Snapshot(ctx, g.o.Lottery, func(a booking.Accepted) error {
		if a.Item >= 0 && a.Item < len(free) {
			free[a.Item]--
		}
		h := w.of[a.Ticket]
		if h != nil {
			w.of[a.Ticket] = nil
		} else if h = users[a.User]; h != nil && w.of[h.Ticket] != nil && !g.o.Lottery { // an old entry may be over; the ledger judges
			lose(h, "its user is booked under another ticket")
		}
		page = append(page, stock.Holder{Accepted: a})
		if len(page) == snapshotPage {
			return flush()
		}
		return nil
	}, func(t booking.Ticket) error {
		if w.of[t] != nil {
			w.of[t] = nil
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if err := flush(); err != nil {
		return nil, nil, err
	}
	for _, x := range w.holders() {
		if g.o.Lottery {
			break
		}
		if free[x.Item] <= 0 {
			lose(w.of[x.Ticket], "more was accepted than there is")
			continue
		}
		free[x.Item]--
	}
	for i, n := range free {
		if g.o.Lottery {
			free[i] = g.o.Items[i]
		} else if n < 0 {
			return nil, nil, fmt.Errorf("item %d: the ledger holds %d bookings of %d reservations", i, g.o.Items[i]-n, g.o.Items[i])
		}
	}
	return free, losers, nil
}

// snapshotPage is how many rows of the ledger go to Redis in a call.
const snapshotPage = 500

// judge is the ledger as stock's Admit sees it.
type judge struct {
	db    *ledger.DB
	cache *ledger.Cache
	clock clock.Clock
}

var _ stock.Judge = judge{}

// Settled implements stock.Judge.
func (j judge) Settled(ctx context.Context, a booking.Accepted) (bool, error) {
	res, err := j.db.Result(ctx, a.Ticket)
	if err != nil || res.Outcome == booking.Unknown {
		return false, err
	}
	return true, j.cache.Put(ctx, map[booking.Ticket]ledger.Result{a.Ticket: res})
}

// Refuse implements stock.Judge.
func (j judge) Refuse(ctx context.Context, a booking.Accepted, reason string) error {
	res, err := j.db.Refuse(ctx, a, j.clock.Now(), reason)
	if err != nil {
		return err
	}
	return j.cache.Put(ctx, map[booking.Ticket]ledger.Result{a.Ticket: res})
}

// lookEvery is how often a backend looks after its sale.
const lookEvery = 100 * time.Millisecond

// guardLoop runs a Stack's part of the guard: it looks after the outbox, and after
// the sale itself.
type guardLoop struct {
	s     *Stack
	guard *Guard // nil in a gateway: the writers look after the sale

	quit    context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newGuardLoop(s *Stack) *guardLoop {
	g := &guardLoop{s: s}
	g.quit, g.cancel = context.WithCancel(context.Background())
	return g
}

func (g *guardLoop) start() { g.running.Go(g.loop) }

func (g *guardLoop) stop() {
	g.cancel()
	g.running.Wait()
}

func (g *guardLoop) loop() {
	for {
		if err := g.look(g.quit); err != nil && g.quit.Err() == nil {
			g.s.failed(err)
		}
		if !pause(g.quit, g.s.clock, lookEvery) {
			return
		}
	}
}

func (g *guardLoop) look(ctx context.Context) error {
	if err := g.s.store.Tend(ctx); err != nil || g.guard == nil {
		return err
	}
	_, err := g.guard.Look(ctx)
	return err
}
