package reference

import (
	"context"
	"net/http"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/internal/wire"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
	"spillway/reference/stock"
)

// NewDesk is the lottery's desk over a store and a ledger. The clock counts Unix time.
func NewDesk(store *stock.Store, db *ledger.DB, cache *ledger.Cache, r policy.LotteryRules, c clock.Clock) *lottery.Desk {
	return lottery.New(places{store}, entryBook{db, cache}, r, c)
}

// places is stock's entries form as the lottery's desk sees it.
type places struct{ store *stock.Store }

var _ lottery.Store = places{}

// Enter implements lottery.Store.
func (p places) Enter(ctx context.Context, in lottery.Request) (o booking.Outcome, t booking.Ticket, again, held bool, err error) {
	r, err := p.store.Take(ctx, stock.Submit{User: in.User, Item: in.Item, Key: in.Key, Other: in.Other, Senior: in.Senior})
	return r.Outcome, r.Ticket, r.Replay, r.Held || !r.Replay, err
}

// Change implements lottery.Store.
func (p places) Change(ctx context.Context, a booking.Accepted, withdrawal booking.Ticket) (o booking.Outcome, again bool, err error) {
	r, err := p.store.Change(ctx, a, withdrawal)
	return r.Outcome, r.Replay, err
}

// Release implements lottery.Store.
func (p places) Release(ctx context.Context, u booking.UserID, t booking.Ticket) (bool, error) {
	return p.store.Release(ctx, u, t)
}

// Known implements lottery.Store.
func (p places) Known(ctx context.Context, t booking.Ticket) (booking.Outcome, error) {
	return p.store.Known(ctx, t)
}

// Count implements lottery.Store.
func (p places) Count(ctx context.Context) (int, error) { return p.store.Count(ctx) }

// entryBook is the ledger as the lottery's desk sees it.
type entryBook struct {
	db    *ledger.DB
	cache *ledger.Cache
}

var _ lottery.Ledger = entryBook{}

// Entry implements lottery.Ledger.
func (b entryBook) Entry(ctx context.Context, t booking.Ticket) (lottery.Holding, bool, error) {
	e, ok, err := b.db.Entry(ctx, t)
	return lottery.Holding{Person: e.Person, Item: e.Item, Other: e.Other, Edited: e.EditedAt, Waited: e.Waited, Standing: e.Standing, WonItem: e.WonItem}, ok, err
}

// Result implements lottery.Ledger.
func (b entryBook) Result(ctx context.Context, t booking.Ticket) (booking.Outcome, error) {
	r, err := b.cache.Get(ctx, t)
	return r.Outcome, err
}

// entry reads, edits or withdraws a lottery entry; whoever has its ticket may.
func (s *Stack) entry(w http.ResponseWriter, r *http.Request, name string) {
	if s.desk == nil {
		s.refuse(w, abusePath, http.StatusNotFound, "no such path in mode "+s.config.Mode.String())
		return
	}
	if r.Method == http.MethodGet {
		s.poll(w, r, name, true)
		return
	}
	v, ok := s.begin(w, r, booking.StepSubmit)
	if !ok {
		return
	}
	var in wire.Edit
	if r.Method == http.MethodPut {
		body, err := s.abuses.body(w, r)
		if err == nil {
			if in, err = decodeEdit(body, len(s.config.Stock.Items)); err != nil {
				s.abuses.add(abuseMalformed)
			}
		}
		if err != nil {
			s.reply(w, &v, booking.Invalid, &wire.Answer{Message: err.Error()})
			return
		}
	}
	ticket, ok := s.ticket(w, &v, name)
	if !ok {
		return
	}
	pass, o := s.station.Enter(s.job(&v, s.config.Gateway.SubmitUnits))
	if o != booking.OK {
		s.reply(w, &v, o, nil)
		return
	}
	var a lottery.Answer
	var err error
	if r.Method == http.MethodPut {
		a, err = s.desk.Edit(s.work, ticket, in.Item, in.Other)
	} else {
		a, err = s.desk.Withdraw(s.work, ticket)
	}
	s.station.Leave(pass)
	if err != nil {
		s.failed(err)
	} else if a.Outcome == booking.Unknown {
		s.abuses.add(abuseTicket)
	}
	s.reply(w, &v, a.Outcome, &wire.Answer{Ticket: name, Message: a.Why, NotBefore: a.From.Milliseconds()})
}

// look is a lottery entry as the ledger holds it, with its receipt.
func (s *Stack) look(ctx context.Context, t booking.Ticket) (result, *wire.Entry, error) {
	a, err := s.desk.Look(ctx, t)
	out := result{outcome: a.Outcome, ticket: t}
	if err != nil || a.Holding == nil {
		return out, nil, err
	}
	h := *a.Holding
	out.waited = h.Waited
	r := h.Receipt(t)
	if s.receiptKey != nil {
		r.Sign(s.receiptKey)
	}
	e := &wire.Entry{ID: r.ID.String(), Item: r.Item, Other: r.Other, Senior: r.Senior, Entered: r.EnteredMs, Edited: r.EditedMs,
		Withdrawn: h.Withdrawn.Milliseconds(), State: s.desk.State(h), Signature: r.Signature}
	if h.HasWon {
		e.Won, e.WonItem = h.Won.String(), &h.WonItem
	}
	return out, e, nil
}
