package lottery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
)

// Request is one person's wish to enter.
type Request struct {
	User   booking.UserID
	Item   int
	Key    string // idempotency key
	Other  bool   // takes another type in the same shop
	Senior bool   // registers once for good
}

// Store keeps what was accepted until the ledger has it.
type Store interface {
	// Enter keeps an entry: queued with its ticket. When the user holds an entry's
	// place already, or the key was used, again is true with that entry's ticket;
	// held is false when it holds the place no more. An error comes only with the
	// outcome unknown.
	Enter(ctx context.Context, r Request) (o booking.Outcome, t booking.Ticket, again, held bool, err error)
	// Change keeps a change: queued, duplicate when its person has made another edit
	// this day, refused when the entry is withdrawn, busy or unknown. withdrawal is
	// the ticket that a withdrawal of the entry has.
	Change(ctx context.Context, a booking.Accepted, withdrawal booking.Ticket) (o booking.Outcome, again bool, err error)
	// Release gives the place of an entry up, if the ticket still holds it.
	Release(ctx context.Context, u booking.UserID, t booking.Ticket) (bool, error)
	// Known is what is known of a ticket without the ledger: pending, confirmed,
	// refused or unknown.
	Known(ctx context.Context, t booking.Ticket) (booking.Outcome, error)
	// Count is how many users hold a place.
	Count(ctx context.Context) (int, error)
}

// Holding is an entry as the ledger holds it.
type Holding struct {
	Person booking.UserID
	Item   int
	Other  bool
	Edited time.Duration // moment from which the last edit counts; 0 = never
	Waited time.Duration // accepted to written
	policy.Standing
	WonItem int // of the last published win
}

// Ledger is where entries end up.
type Ledger interface {
	// Entry is the entry of a ticket; ok is false when there is none.
	Entry(ctx context.Context, t booking.Ticket) (h Holding, ok bool, err error)
	// Result is what became of a ticket: confirmed, refused, pending or unknown.
	Result(ctx context.Context, t booking.Ticket) (booking.Outcome, error)
}

// Answer is what the desk says.
type Answer struct {
	Outcome booking.Outcome
	Ticket  booking.Ticket // of the entry
	Change  booking.Ticket // of a change that was accepted
	Why     string         // in words, of a refusal
	From    time.Duration  // when the same wish may be granted, Unix time; 0 = not said
	Holding *Holding       // the entry, once it is written; to Look alone
}

// Counts is what a desk has answered since its start.
type Counts struct {
	Taken, Repeated    uint64 // entries, and repetitions of them
	Edits, Withdrawals uint64 // changes accepted, repetitions not included
	Refused            map[string]uint64
}

// Reasons are the kinds of refusals, as Counts and metrics have them: verdicts of the
// rules, and a change that came before its entry was written.
func Reasons() []string {
	var out []string
	for _, r := range reasons {
		out = append(out, r.String())
	}
	return append(out, notWritten)
}

var reasons = [...]policy.LotteryVerdict{policy.LotteryWaiting, policy.LotterySitsOut, policy.LotteryEarly, policy.LotteryLate, policy.LotteryEdited, policy.LotteryOver}

const notWritten = "not-written"

// Desk takes entries, edits and withdrawals. It is safe for concurrent use.
type Desk struct {
	store  Store
	ledger Ledger
	rules  policy.LotteryRules
	clock  clock.Clock

	taken, repeated, edits, withdrawals, early atomic.Uint64
	refused                                    [policy.LotteryOver + 1]atomic.Uint64
}

// New makes a desk that counts Unix time by a clock: its offset 0 is 1 January 1970.
func New(s Store, l Ledger, r policy.LotteryRules, c clock.Clock) *Desk {
	return &Desk{store: s, ledger: l, rules: r, clock: c}
}

// entersMost bounds how often a wish to enter is tried when the place of an entry that is
// over must be given up first, and others are at it too.
const entersMost = 3

// Enter takes an entry. While a person's entry stands, another gets its ticket. An
// error may come with queued: then the entry stands that the store knows, and the
// ledger could not say whether it is over.
func (d *Desk) Enter(ctx context.Context, r Request) (Answer, error) {
	for range entersMost {
		o, t, again, held, err := d.store.Enter(ctx, r)
		if o != booking.Queued || err != nil {
			return Answer{Outcome: o}, err
		}
		stands := Answer{Outcome: booking.Queued, Ticket: t}
		if !again {
			d.taken.Add(1)
			return stands, nil
		}
		h, written, err := d.ledger.Entry(ctx, t)
		if err != nil || !written {
			d.repeated.Add(1)
			return stands, err
		}
		v, from := d.rules.MayEnter(d.clock.Now(), h.Standing)
		switch {
		case v == policy.LotteryStands:
			d.repeated.Add(1)
			return stands, nil
		case v == policy.LotteryWaiting:
			return d.refuse(v, booking.Wait, from, fmt.Sprintf("won on %v: may enter again on %v", h.Won, d.rules.Day(from))), nil
		case v == policy.LotterySitsOut:
			return d.refuse(v, booking.Wait, from, "an entry was withdrawn: may enter again once the next draw is sealed"), nil
		case !held:
			return d.refuse(policy.LotteryOver, booking.Refused, 0, "the entry of this idempotency key is over: enter again under another"), nil
		}
		if _, err := d.store.Release(ctx, r.User, t); err != nil {
			return Answer{Outcome: booking.Unknown}, err
		}
	}
	return Answer{Outcome: booking.Unknown}, errors.New("lottery: the person's place changed hands again and again; try again")
}

// refuse counts a refusal and puts it in words.
func (d *Desk) refuse(v policy.LotteryVerdict, o booking.Outcome, from time.Duration, why string) Answer {
	d.refused[v].Add(1)
	return Answer{Outcome: o, Why: why, From: from}
}

// find is the entry of a ticket; without one o says what became of the ticket, and is
// never confirmed.
func (d *Desk) find(ctx context.Context, t booking.Ticket) (h Holding, o booking.Outcome, err error) {
	for range 2 { // it may be written between the two questions
		h, ok, err := d.ledger.Entry(ctx, t)
		if err != nil {
			return h, booking.Unknown, err
		}
		if ok {
			return h, 0, nil
		}
		if o, err = d.ledger.Result(ctx, t); err != nil || o != booking.Confirmed {
			return h, o, err
		}
	}
	return h, booking.Unknown, nil // the ticket of a change
}

// entry is the entry that a change is of. When there is none that is written, a says so.
func (d *Desk) entry(ctx context.Context, t booking.Ticket) (h Holding, a Answer, err error) {
	h, a.Outcome, err = d.find(ctx, t)
	if a.Outcome == booking.Pending {
		d.early.Add(1)
		a.Why = "the entry is not written yet; try again"
	}
	return h, a, err
}

// Edit gives an entry another item and other: queued, and confirmed when it has been
// written with these already. The same wish again is answered alike.
func (d *Desk) Edit(ctx context.Context, t booking.Ticket, item int, other bool) (Answer, error) {
	h, a, err := d.entry(ctx, t)
	if a.Outcome != 0 {
		return a, err
	}
	now := d.clock.Now()
	today := d.rules.Day(now)
	c := booking.Accepted{Ticket: changeTicket(t, booking.ChangeEdit, today, item, other), User: h.Person, Item: item, Other: other, At: now,
		Change: booking.ChangeEdit, Entry: t}
	v, from := d.rules.MayEdit(now, h.Standing)
	if v != policy.LotteryYes {
		// Whoever had no answer asks again, and the window may be over by then.
		switch o, err := d.store.Known(ctx, c.Ticket); {
		case err != nil:
			return Answer{Outcome: booking.Unknown}, err
		case o == booking.Pending:
			return Answer{Outcome: booking.Queued, Ticket: t, Change: c.Ticket}, nil
		case v != policy.LotteryOver && h.Edited > 0 && d.rules.Day(h.Edited) == today && h.Item == item && h.Other == other:
			return Answer{Outcome: booking.Confirmed, Ticket: t}, nil
		}
	}
	switch v {
	case policy.LotteryOver:
		return d.refuse(v, booking.Refused, 0, "the entry is over: it was withdrawn, has won, or has had its draws"), nil
	case policy.LotteryEdited:
		return d.edited(from), nil
	case policy.LotteryEarly:
		return d.refuse(v, booking.Wait, from, "edits are taken from "+d.window()), nil
	case policy.LotteryLate:
		return d.refuse(v, booking.Closed, from, "edits are taken from "+d.window()+", and today's are over"), nil
	}
	o, again, err := d.store.Change(ctx, c, changeTicket(t, booking.ChangeWithdraw, 0, 0, false))
	switch o {
	case booking.Queued:
		if !again {
			d.edits.Add(1)
		}
		return Answer{Outcome: o, Ticket: t, Change: c.Ticket}, err
	case booking.Duplicate:
		return d.edited(d.rules.Start(today+1) + d.rules.EditFrom), nil
	case booking.Refused:
		return d.refuse(policy.LotteryOver, o, 0, "the entry is withdrawn"), nil
	}
	return Answer{Outcome: o}, err
}

func (d *Desk) edited(from time.Duration) Answer {
	return d.refuse(policy.LotteryEdited, booking.Duplicate, from, "edited once today already: the next edit may be made on "+d.rules.Day(from).String())
}

// window is the edit window in words.
func (d *Desk) window() string {
	return clockTime(d.rules.EditFrom) + " to " + clockTime(d.rules.EditUntil)
}

func clockTime(at time.Duration) string {
	text := fmt.Sprintf("%02d:%02d", at/time.Hour, at/time.Minute%60)
	if s := at / time.Second % 60; s != 0 {
		text += fmt.Sprintf(":%02d", s)
	}
	return text
}

// Withdraw ends an entry: queued, and confirmed when it is withdrawn already.
func (d *Desk) Withdraw(ctx context.Context, t booking.Ticket) (Answer, error) {
	h, a, err := d.entry(ctx, t)
	switch {
	case a.Outcome != 0:
		return a, err
	case h.Withdrawn != 0:
		return Answer{Outcome: booking.Confirmed, Ticket: t}, nil
	}
	now := d.clock.Now()
	if v := d.rules.MayWithdraw(now, h.Standing); v != policy.LotteryYes {
		return d.refuse(v, booking.Refused, 0, "the entry is over: it has won, or has had its draws"), nil
	}
	c := booking.Accepted{Ticket: changeTicket(t, booking.ChangeWithdraw, 0, 0, false), User: h.Person, Item: h.Item, Other: h.Other, At: now,
		Change: booking.ChangeWithdraw, Entry: t}
	o, again, err := d.store.Change(ctx, c, c.Ticket)
	if o != booking.Queued {
		return Answer{Outcome: o}, err
	}
	if !again {
		d.withdrawals.Add(1)
	}
	return Answer{Outcome: o, Ticket: t, Change: c.Ticket}, err
}

// Look is what became of an entry: confirmed with the entry as the ledger holds it,
// pending, refused or unknown.
func (d *Desk) Look(ctx context.Context, t booking.Ticket) (Answer, error) {
	h, o, err := d.find(ctx, t)
	if o == 0 {
		return Answer{Outcome: booking.Confirmed, Ticket: t, Holding: &h}, nil
	}
	return Answer{Outcome: o, Ticket: t}, err
}

// State is how an entry stands: live, withdrawn, or over.
func (d *Desk) State(h Holding) string {
	switch {
	case h.Withdrawn != 0:
		return "withdrawn"
	case d.rules.MayWithdraw(d.clock.Now(), h.Standing) != policy.LotteryYes:
		return "over"
	}
	return "live"
}

// Receipt is the receipt for an entry, without a signature.
func (h Holding) Receipt(t booking.Ticket) Receipt {
	return Receipt{ID: PublicID(t), Item: h.Item, Other: h.Other, Senior: h.Senior, EnteredMs: h.Entered.Milliseconds(), EditedMs: h.Edited.Milliseconds()}
}

// Count is how many persons hold a place, from the store itself.
func (d *Desk) Count(ctx context.Context) (int, error) { return d.store.Count(ctx) }

// Counts is what this desk has answered since its start.
func (d *Desk) Counts() Counts {
	c := Counts{Taken: d.taken.Load(), Repeated: d.repeated.Load(), Edits: d.edits.Load(), Withdrawals: d.withdrawals.Load(),
		Refused: map[string]uint64{notWritten: d.early.Load()}}
	for _, v := range reasons {
		c.Refused[v.String()] = d.refused[v].Load()
	}
	return c
}
