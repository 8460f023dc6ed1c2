package ledger

import (
	"context"
	"fmt"

	"spillway/internal/booking"
)

// Discrepancy is one thing in which the stores do not agree.
type Discrepancy struct {
	Kind   DiscrepancyKind `json:"kind"`
	Ticket booking.Ticket  `json:"ticket"` // zero when it is about an item
	User   booking.UserID  `json:"user"`   // when known
	Item   int             `json:"item"`   // -1 = not known
	Detail string          `json:"detail"` // one line: what does not agree
	Fix    string          `json:"fix"`    // one line: the safe repair; "" = there is none, a person must look

	// Accepted is the acceptance of a stranded ticket, as far as its holder tells.
	Accepted booking.Accepted `json:"-"`
	// Result is what the result cache should say; the zero Result is nothing at all.
	Result Result `json:"-"`
	// Refund says that the ticket holds stock which belongs to nobody.
	Refund bool `json:"-"`
	// Was and Want are what is free of the item, and what should be.
	Was  int `json:"-"`
	Want int `json:"-"`
}

// DiscrepancyKind is the name of a discrepancy.
type DiscrepancyKind string

// The discrepancies that can be repaired, and those that only a person can judge.
const (
	// Stranded holds stock and is neither queued nor settled: it is queued again,
	// for the promise to its user stands. The ledger then judges it as any other.
	Stranded DiscrepancyKind = "stranded"
	// Unrefunded is refused and still holds stock: that is given back.
	Unrefunded DiscrepancyKind = "unrefunded"
	// StaleLetter is a dead letter whose ticket the ledger has settled: the letter
	// is taken away.
	StaleLetter DiscrepancyKind = "stale-letter"
	// WrongResult is a result cache that says something else than the ledger: the
	// ledger is right.
	WrongResult DiscrepancyKind = "wrong-result"
	// Unheld is confirmed, but stock does not know that its user holds it, so he
	// could be accepted once more: he is noted as holder.
	Unheld DiscrepancyKind = "unheld"
	// Drift is a figure of free stock that is not what is left: with an empty queue
	// it is set to the ledger's.
	Drift DiscrepancyKind = "drift"
	// Vanished was accepted and is nowhere, and nothing tells whose it was.
	Vanished DiscrepancyKind = "vanished"
	// Oversold has more rows than reservations, or two rows of one user.
	Oversold DiscrepancyKind = "oversold"
)

// Discrepancies lists everything in which the stores do not agree, in the order in
// which tickets were first seen, items last. It only reads. On a running sale what
// is under way may look like a discrepancy; a second look tells.
func Discrepancies(ctx context.Context, db *DB, view *View, in Books) ([]Discrepancy, error) {
	var rep Report
	lottery := in.Mode == booking.ModeLottery
	b := &books{fates: map[booking.Ticket]*fate{}}
	for _, a := range in.Accepted {
		b.of(a.Ticket).in |= given
	}
	holders := map[booking.UserID]booking.Accepted{}
	read := *view
	read.Holders = func(ctx context.Context, f func(booking.Accepted) error) error {
		return view.Holders(ctx, func(a booking.Accepted) error {
			holders[a.User] = a
			return f(a)
		})
	}
	free, err := b.readStore(ctx, &read, &rep)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	sold, twice, err := b.readLedger(ctx, db, in, lottery, &rep)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	var out []Discrepancy
	for _, t := range b.order {
		out = append(out, b.fates[t].discrepancies(t, holders)...)
	}
	for _, c := range twice.cases {
		out = append(out, Discrepancy{Kind: Oversold, Item: -1, Detail: c})
	}
	if lottery {
		return out, nil
	}
	b.balance(in, sold, free, false, &rep) // fills in what is held
	for i, n := range in.Items {
		if sold[i] > int64(n) {
			out = append(out, Discrepancy{Kind: Oversold, Item: i, Detail: fmt.Sprintf("item %d: %d rows for %d reservations", i, sold[i], n)})
			continue
		}
		want := n - int(sold[i]) - int(b.held[i])
		if i >= len(free) || free[i] == want {
			continue
		}
		d := Discrepancy{Kind: Drift, Item: i, Was: free[i], Want: want,
			Detail: fmt.Sprintf("item %d: %d free, but %d in stock - %d sold - %d held leave %d", i, free[i], n, sold[i], b.held[i], want)}
		if rep.Queued == 0 && want >= 0 {
			d.Fix = fmt.Sprintf("set what is free of item %d from %d to %d", i, free[i], want)
		}
		out = append(out, d)
	}
	return out, nil
}

// discrepancies are those of one ticket.
func (f *fate) discrepancies(t booking.Ticket, holders map[booking.UserID]booking.Accepted) (out []Discrepancy) {
	user, item := f.user, int(f.item)
	if f.in.has(confirmed) {
		user, item = f.who, int(f.row)
	} else if !f.in.has(known) {
		item = -1
	}
	add := func(kind DiscrepancyKind, fix, format string, args ...any) *Discrepancy {
		out = append(out, Discrepancy{Kind: kind, Ticket: t, User: user, Item: item, Fix: fix,
			Detail: fmt.Sprintf("ticket %s ", t) + fmt.Sprintf(format, args...)})
		return &out[len(out)-1]
	}
	settled := f.in.has(confirmed | refused | resolved)
	switch {
	case f.in.has(holder) && !settled && !f.in.has(waiting|dead):
		add(Stranded, "queue it again", "of user %d holds item %d and is neither queued nor settled", user, item).Accepted = holders[user]
	case f.in.has(dead) && f.in.has(confirmed|refused):
		d := add(StaleLetter, "take the letter away", "is a dead letter and %s", f.in&(confirmed|refused))
		d.Refund = f.in.has(holder) && !f.in.has(confirmed)
	case f.in.has(holder) && f.in.has(refused|resolved) && !f.in.has(confirmed|waiting):
		add(Unrefunded, "give its reservation back", "of user %d is refused and still holds item %d", user, item).Refund = true
	}
	if f.in.has(confirmed) && !f.in.has(spent) && holders[user].Ticket != t {
		if other, has := holders[user]; has {
			add(Unheld, "", "is confirmed, but its user %d holds ticket %s", user, other.Ticket)
		} else {
			add(Unheld, "note its user as holder", "is confirmed, but its user %d holds nothing", user)
		}
	}
	want := booking.Outcome(0)
	switch {
	case f.in.has(confirmed):
		want = booking.Confirmed
	case f.in.has(refused | resolved):
		want = booking.Refused
	case f.in.has(waiting | dead | holder):
		want = booking.Pending
	case f.said == booking.Pending || f.in.has(given):
		add(Vanished, "", "was accepted and is nowhere, and nothing tells whose it was")
		return out
	}
	switch {
	case f.said == want:
	case f.said == 0 && want != booking.Pending: // the database answers in its place
	case f.in.has(waiting) && (f.said == booking.Pending || f.said == 0): // the writer is about to say it
	default:
		said, put := "nothing", "take it out of the result cache"
		if f.said != 0 {
			said = f.said.String()
		}
		if want != 0 {
			put = "make the result cache say " + want.String()
		}
		add(WrongResult, put, "is %s, the result cache says %s", f.in, said).Result.Outcome = want
	}
	return out
}
