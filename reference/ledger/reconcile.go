package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"spillway/internal/booking"
)

// View is a read-only view of the store. Every function must be set.
type View struct {
	Free     func(ctx context.Context) ([]int, error)                                       // of each item
	Holders  func(ctx context.Context, f func(booking.Accepted) error) error                // who holds stock: user, ticket, item
	Queued   func(ctx context.Context, f func(booking.Accepted) error) error                // waiting in the queue
	Dead     func(ctx context.Context, f func(booking.Accepted) error) error                // open dead letters
	Resolved func(ctx context.Context, f func(booking.Accepted) error) error                // dead letters that a person discarded
	Results  func(ctx context.Context, f func(booking.Ticket, booking.Outcome) error) error // the result cache
}

// AcceptedTicket is a ticket that a client was given, as the client remembers it.
type AcceptedTicket struct {
	Ticket booking.Ticket
	// Told is the last thing the client was told of it: queued, pending, confirmed
	// or refused. The zero value claims no more than that it was accepted.
	Told booking.Outcome
}

// Books is what the books are held against.
type Books struct {
	Items    []int            // reservations of each item
	Mode     booking.Mode     // in lottery mode there is no stock, and entries are counted
	Accepted []AcceptedTicket // what clients were told; may be empty
	// Drained says that the queue has been emptied: then nothing may still be
	// queued, and the result cache may not lag behind the ledger.
	Drained bool
	// DemandLeft says that somebody still wanted a reservation at the end: then
	// none may be left unsold.
	DemandLeft bool
}

// Check is one invariant, proved or broken.
type Check struct {
	Name   string `json:"name"`   // oversell, undersell, balance, lost, duplicate, contradiction
	Broken int64  `json:"broken"` // how many reservations, tickets or users break it; 0 = it holds
	Detail string `json:"detail"` // one line: what was compared, or the first cases that break it
}

// Report is what Reconcile found.
type Report struct {
	Checks []Check `json:"checks"` // always all six, in the order of Check.Name's comment

	Sold     int64 `json:"sold"`     // rows of the ledger (lottery: entries)
	Free     int64 `json:"free"`     // reservations left
	Held     int64 `json:"held"`     // reservations held by tickets in the queue and among the dead letters
	Refused  int64 `json:"refused"`  // tickets that the ledger refused
	Accepted int64 `json:"accepted"` // distinct tickets known to be accepted
	Queued   int64 `json:"queued"`   // entries waiting
	Dead     int64 `json:"dead"`     // open dead letters
	Resolved int64 `json:"resolved"` // discarded dead letters
}

// OK reports whether every invariant holds.
func (r Report) OK() bool {
	for _, c := range r.Checks {
		if c.Broken != 0 {
			return false
		}
	}
	return true
}

// Check is the check of that name; its Broken is -1 when there is none.
func (r Report) Check(name string) Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{Name: name, Broken: -1, Detail: "no such check"}
}

// String is the report in a line per check.
func (r Report) String() string {
	var b strings.Builder
	for _, c := range r.Checks {
		word := "holds"
		if c.Broken != 0 {
			word = fmt.Sprintf("BROKEN by %d", c.Broken)
		}
		fmt.Fprintf(&b, "%-13s %s (%s)\n", c.Name, word, c.Detail)
	}
	return b.String()
}

// fate is everything known of one ticket.
type fate struct {
	in   where
	told booking.Outcome // by the service to its client
	said booking.Outcome // by the result cache; 0 = nothing
	user booking.UserID
	item int32
	row  int32          // item of the ledger's row
	who  booking.UserID // user of the ledger's row
}

type where uint16

const (
	given     where = 1 << iota // a client was told
	holder                      // holds stock
	waiting                     // in the queue
	dead                        // an open dead letter
	resolved                    // discarded by a person
	confirmed                   // a row of the ledger
	refused                     // refused by the ledger
	known                       // user and item are known from the store
	spent                       // confirmed, and no user need hold it: a change of a lottery entry, or an entry that is over
)

func (w where) has(x where) bool { return w&x != 0 }

// books collects the fates; order keeps the tickets in the order in which they
// were first seen, so that the report never depends on a map.
type books struct {
	fates map[booking.Ticket]*fate
	order []booking.Ticket
	held  map[int]int64 // what waits holds of each item; filled in by balance
}

func (b *books) of(t booking.Ticket) *fate {
	f := b.fates[t]
	if f == nil {
		f = &fate{}
		b.fates[t] = f
		b.order = append(b.order, t)
	}
	return f
}

func (b *books) seen(a booking.Accepted, in where, withItem bool) {
	f := b.of(a.Ticket)
	if f.in |= in; withItem && !f.in.has(known) {
		f.in |= known
		f.user, f.item = a.User, int32(a.Item)
	}
}

// tally counts what breaks a check and keeps the first cases.
type tally struct {
	n     int64
	cases []string
}

func (t *tally) add(n int64, format string, args ...any) {
	t.n += n
	if len(t.cases) < 3 {
		t.cases = append(t.cases, fmt.Sprintf(format, args...))
	}
}

func (t *tally) check(name, fine string) Check {
	if t.n == 0 {
		return Check{Name: name, Detail: fine}
	}
	return Check{Name: name, Broken: t.n, Detail: strings.Join(t.cases, "; ")}
}

// Reconcile proves the invariants from the database's own rows and the store's
// own contents, not from counters. view is nil when there is no store: in the
// lossless mode the database is all there is. It only reads.
//
// It reads in the direction in which tickets move (holders, queue, dead letters,
// ledger last), so that on a running sale no ticket is missed; the balance is
// exact only while nothing moves.
func Reconcile(ctx context.Context, db *DB, view *View, in Books) (Report, error) {
	if db == nil {
		return Report{}, errors.New("reconcile: a database is required")
	}
	lottery := in.Mode == booking.ModeLottery
	var rep Report
	b := &books{fates: map[booking.Ticket]*fate{}}
	for _, a := range in.Accepted {
		f := b.of(a.Ticket)
		f.in |= given
		f.told = a.Told
	}
	var free []int
	if view != nil {
		var err error
		if free, err = b.readStore(ctx, view, &rep); err != nil {
			return rep, fmt.Errorf("reconcile: %w", err)
		}
	}
	sold, twice, err := b.readLedger(ctx, db, in, lottery, &rep)
	if err != nil {
		return rep, fmt.Errorf("reconcile: %w", err)
	}
	if view == nil {
		if free, err = db.free(ctx); err != nil {
			return rep, fmt.Errorf("reconcile: %w", err)
		}
	}
	rep.Checks = []Check{
		oversell(in, sold, lottery),
		undersell(in, free, lottery, &rep),
		b.balance(in, sold, free, lottery, &rep),
		b.lost(in, view != nil, &rep),
		twice.check("duplicate", "no user has two reservations of one cycle"),
		b.contradiction(in, &rep),
	}
	return rep, nil
}

func (b *books) readStore(ctx context.Context, v *View, rep *Report) ([]int, error) {
	if err := v.Holders(ctx, func(a booking.Accepted) error {
		b.seen(a, holder, true)
		return nil
	}); err != nil {
		return nil, err
	}
	if err := v.Queued(ctx, func(a booking.Accepted) error {
		rep.Queued++
		b.seen(a, waiting, true)
		return nil
	}); err != nil {
		return nil, err
	}
	// Letters that could not be decoded may name their ticket and no more.
	letters := func(count *int64, in where) func(booking.Accepted) error {
		return func(a booking.Accepted) error {
			*count++
			if !a.Ticket.IsZero() {
				b.seen(a, in, false)
			}
			return nil
		}
	}
	if err := v.Dead(ctx, letters(&rep.Dead, dead)); err != nil {
		return nil, err
	}
	if err := v.Resolved(ctx, letters(&rep.Resolved, resolved)); err != nil {
		return nil, err
	}
	if err := v.Results(ctx, func(t booking.Ticket, o booking.Outcome) error {
		b.of(t).said = o
		return nil
	}); err != nil {
		return nil, err
	}
	return v.Free(ctx)
}

// readLedger reads the rows in one transaction, so that they are of one moment.
func (b *books) readLedger(ctx context.Context, db *DB, in Books, lottery bool, rep *Report) (sold map[int]int64, twice tally, err error) {
	// SQLite's transactions are of one moment by themselves and know no level.
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, twice, fmt.Errorf("reading the ledger: %w", err)
	}
	defer tx.Rollback() // it wrote nothing; there is nothing to fail
	query := "SELECT ticket, person, item, TRUE FROM bookings ORDER BY id"
	double := "SELECT person, cycle, count(*) FROM bookings GROUP BY person, cycle HAVING count(*) > 1 ORDER BY person, cycle"
	changes := ""
	if lottery {
		query = "SELECT ticket, person, item, live FROM entries ORDER BY id"
		double = "SELECT person, 0, count(*) FROM entries WHERE live GROUP BY person HAVING count(*) > 1 ORDER BY person"
		changes = "SELECT ticket, person, item, FALSE FROM changes ORDER BY id"
	}
	sold = map[int]int64{}
	row := func(rows *sql.Rows, count func(item int)) error {
		var raw []byte
		var person int64
		var item int
		var live bool
		if err := rows.Scan(&raw, &person, &item, &live); err != nil {
			return err
		}
		count(item)
		var t booking.Ticket
		if copy(t[:], raw); len(raw) != len(t) {
			return fmt.Errorf("a ticket of %d bytes", len(raw))
		}
		f := b.of(t)
		if f.in.has(confirmed) {
			twice.add(1, "ticket %s has two rows", t)
		}
		f.in |= confirmed
		if !live {
			f.in |= spent
		}
		f.who, f.row = booking.UserID(person), int32(item)
		return nil
	}
	err = each(ctx, tx, query, func(rows *sql.Rows) error {
		return row(rows, func(item int) {
			rep.Sold++
			sold[item]++
		})
	})
	if err == nil && changes != "" {
		err = each(ctx, tx, changes, func(rows *sql.Rows) error { return row(rows, func(int) {}) })
	}
	if err != nil {
		return nil, twice, err
	}
	err = each(ctx, tx, "SELECT ticket FROM refused ORDER BY id", func(rows *sql.Rows) error {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		rep.Refused++
		var t booking.Ticket
		copy(t[:], raw)
		b.of(t).in |= refused
		return nil
	})
	if err != nil {
		return nil, twice, err
	}
	err = each(ctx, tx, double, func(rows *sql.Rows) error {
		var person int64
		var cycle, n int
		if err := rows.Scan(&person, &cycle, &n); err != nil {
			return err
		}
		twice.add(1, "user %d has %d rows in cycle %d", uint64(person), n, cycle)
		return nil
	})
	return sold, twice, err
}

func oversell(in Books, sold map[int]int64, lottery bool) Check {
	var t tally
	if lottery {
		return t.check("oversell", "a lottery sells nothing before the draw")
	}
	total := int64(0)
	for i, n := range in.Items {
		total += int64(n)
		if over := sold[i] - int64(n); over > 0 {
			t.add(over, "item %d: %d rows for %d reservations", i, sold[i], n)
		}
	}
	known := int64(0)
	for i := range in.Items {
		known += sold[i]
	}
	all := int64(0)
	for _, n := range sold { // a sum has no order
		all += n
	}
	if strange := all - known; strange > 0 {
		t.add(strange, "%d rows of items that were never on sale", strange)
	}
	return t.check("oversell", fmt.Sprintf("%d rows for %d reservations, no item above its own", all, total))
}

func undersell(in Books, free []int, lottery bool, rep *Report) Check {
	var t tally
	if lottery {
		return t.check("undersell", "a lottery sells nothing before the draw")
	}
	for _, n := range free {
		rep.Free += int64(n)
	}
	if in.DemandLeft && rep.Free > 0 {
		t.add(rep.Free, "%d reservations are free although somebody still wanted one", rep.Free)
	}
	if in.DemandLeft {
		return t.check("undersell", "nothing is free and demand was left")
	}
	return t.check("undersell", fmt.Sprintf("%d free, demand was exhausted", rep.Free))
}

// balance holds stock against sold, free and held, item by item.
func (b *books) balance(in Books, sold map[int]int64, free []int, lottery bool, rep *Report) Check {
	var t tally
	held := map[int]int64{}
	b.held = held
	for _, ticket := range b.order {
		f := b.fates[ticket]
		if !f.in.has(waiting|dead) || f.in.has(confirmed) || !f.in.has(known) {
			continue
		}
		if f.in.has(refused) && !f.in.has(holder) {
			continue // its stock was given back, only the acknowledgement is missing
		}
		rep.Held++
		held[int(f.item)]++
	}
	if lottery {
		return t.check("balance", "a lottery has no stock to balance")
	}
	if len(free) != len(in.Items) {
		t.add(1, "the store knows %d items, the sale has %d", len(free), len(in.Items))
		return t.check("balance", "")
	}
	for i, n := range in.Items {
		if off := int64(n) - sold[i] - int64(free[i]) - held[i]; off != 0 {
			t.add(max(off, -off), "item %d: %d in stock, but %d sold + %d free + %d held", i, n, sold[i], free[i], held[i])
		}
	}
	return t.check("balance", fmt.Sprintf("%d sold + %d free + %d held, item by item", rep.Sold, rep.Free, rep.Held))
}

// lost looks for accepted tickets that are nowhere, or still on their way after
// the queue was drained.
func (b *books) lost(in Books, store bool, rep *Report) Check {
	var t tally
	for _, ticket := range b.order {
		f := b.fates[ticket]
		if f.in&^known == 0 { // the result cache alone has heard of it
			if f.said == booking.Pending {
				f.in |= given // stock's script noted it as accepted
			} else {
				continue
			}
		}
		rep.Accepted++
		switch {
		case !f.in.has(waiting | dead | resolved | confirmed | refused):
			who := ""
			if f.in.has(known) {
				who = fmt.Sprintf(" of user %d for item %d", f.user, f.item)
			}
			t.add(1, "ticket %s%s was accepted and is nowhere", ticket, who)
		case in.Drained && f.in.has(waiting) && !f.in.has(confirmed|refused|dead|resolved):
			t.add(1, "ticket %s is still queued after the drain", ticket)
		}
	}
	where := "the ledger, the queue or the dead letters"
	if !store {
		where = "the ledger"
	}
	return t.check("lost", fmt.Sprintf("each of %d accepted tickets is in %s", rep.Accepted, where))
}

// contradiction looks for tickets with two fates, and for answers that the
// ledger belies.
func (b *books) contradiction(in Books, rep *Report) Check {
	var t tally
	for _, ticket := range b.order {
		f := b.fates[ticket]
		final := 0
		for _, w := range [...]where{confirmed, refused | resolved, dead} { // whoever discards refuses, in the ledger too
			if f.in.has(w) {
				final++
			}
		}
		switch {
		case final > 1:
			t.add(1, "ticket %s has two fates: %s", ticket, f.in)
		case f.in.has(confirmed) && f.in.has(known) && (f.user != f.who || f.item != f.row):
			t.add(1, "ticket %s: the store says user %d, item %d, the ledger user %d, item %d", ticket, f.user, f.item, f.who, f.row)
		case f.said == booking.Confirmed && !f.in.has(confirmed):
			t.add(1, "ticket %s: the result cache says confirmed, the ledger does not", ticket)
		case f.said == booking.Refused && f.in.has(confirmed):
			t.add(1, "ticket %s: the result cache says refused, the ledger confirmed", ticket)
		case f.said == booking.Refused && !f.in.has(refused|resolved):
			t.add(1, "ticket %s: the result cache says refused, nobody refused it", ticket)
		case f.said == booking.Unmapped:
			t.add(1, "ticket %s: the result cache cannot be read", ticket)
		case in.Drained && f.said == booking.Pending && f.in.has(confirmed|refused):
			t.add(1, "ticket %s: the result cache says pending, the ledger %s", ticket, f.in&(confirmed|refused))
		case f.told == booking.Confirmed && !f.in.has(confirmed) && f.in.has(waiting|dead|resolved|refused):
			t.add(1, "ticket %s: its client was told confirmed, it is %s", ticket, f.in)
		case f.told == booking.Refused && f.in.has(confirmed):
			t.add(1, "ticket %s: its client was told refused, the ledger confirmed", ticket)
		}
	}
	return t.check("contradiction", fmt.Sprintf("clients, result cache and ledger agree on %d tickets", rep.Accepted))
}

// String names the places a ticket is in.
func (w where) String() string {
	var s []string
	for _, p := range [...]struct {
		w    where
		name string
	}{{waiting, "queued"}, {dead, "a dead letter"}, {resolved, "discarded"}, {confirmed, "confirmed"}, {refused, "refused"}} {
		if w.has(p.w) {
			s = append(s, p.name)
		}
	}
	if len(s) == 0 {
		return "nowhere"
	}
	return strings.Join(s, " and ")
}
