package crashtest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/reference/ledger"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

// oracle remembers every answer that a client was given, and judges the database's
// own rows by it at the end. It shares no code with the reconciler.
type oracle struct {
	w     *world
	told  map[booking.Ticket]*promise
	order []booking.Ticket
	fault []string // answers that contradict each other, as they came
}

// promise is what was said about one ticket.
type promise struct {
	user    booking.UserID
	tellers []*process // the gateways that called it accepted
	last    booking.Outcome
	excused bool // a double fault may have taken it
}

func newOracle(w *world) *oracle { return &oracle{w: w, told: map[booking.Ticket]*promise{}} }

// accepted notes that a gateway called a submit queued.
func (o *oracle) accepted(t booking.Ticket, user booking.UserID, by *process) {
	p := o.told[t]
	if p == nil {
		p = &promise{user: user}
		o.told[t] = p
		o.order = append(o.order, t)
	}
	p.tellers = append(p.tellers, by)
	p.excused = false
}

// polled notes the answer to a poll. What is final stays so.
func (o *oracle) polled(t booking.Ticket, got booking.Outcome) {
	p := o.told[t]
	if p == nil {
		return
	}
	switch {
	case got == booking.Unknown: // nobody could tell
		return
	case p.last == booking.Confirmed && got == booking.Pending:
		// The database was asked while Redis was down, and its cache lags behind until
		// the entry of a dead writer is claimed. That is within the stated bound.
		return
	case p.last == booking.Confirmed && got != booking.Confirmed:
		o.fault = append(o.fault, fmt.Sprintf("ticket %s: confirmed, and later %v", t, got))
	case p.last == booking.Refused && got == booking.Confirmed:
		o.fault = append(o.fault, fmt.Sprintf("ticket %s: refused, and later confirmed", t))
	}
	p.last = got
}

// excuse looks for double faults. It is called after each kill and each loss of
// Redis's memory, while nothing moves.
func (o *oracle) excuse() {
	known := o.inStores()
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	for _, t := range o.order {
		p := o.told[t]
		alive := false
		for _, g := range p.tellers {
			alive = alive || !g.dead
		}
		if !alive && !known[t] {
			p.excused = true
		}
	}
}

// inStores is every ticket that the ledger or Redis knows more of than its name.
func (o *oracle) inStores() map[booking.Ticket]bool {
	known := map[booking.Ticket]bool{}
	ctx := context.Background()
	for _, table := range []string{"bookings", "entries", "changes", "refused"} {
		for _, r := range o.rows(table) {
			known[r.ticket] = true
		}
	}
	for _, key := range []string{queue.StreamKey(event), "{" + event + "}:dead"} {
		for _, m := range o.w.admin.XRange(ctx, key, "-", "+").Val() {
			if a, err := booking.ParseAccepted(fmt.Sprint(m.Values["e"])); err == nil {
				known[a.Ticket] = true
			}
		}
	}
	for field := range o.w.admin.HGetAll(ctx, "{"+event+"}:offers").Val() {
		if t, err := booking.ParseTicket(field); err == nil {
			known[t] = true
		}
	}
	return known
}

type row struct {
	ticket booking.Ticket
	user   booking.UserID
	item   int
}

// rows reads a table by a connection of its own.
func (o *oracle) rows(table string) []row {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.w.dir, "ledger.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		o.w.t.Fatal(err)
	}
	defer db.Close()
	rs, err := db.Query("SELECT ticket, person, item FROM " + table + " ORDER BY id")
	if err != nil {
		o.w.t.Fatal(err)
	}
	defer rs.Close()
	var out []row
	for rs.Next() {
		var raw []byte
		var r row
		var user int64
		if err := rs.Scan(&raw, &user, &r.item); err != nil {
			o.w.t.Fatal(err)
		}
		copy(r.ticket[:], raw)
		r.user = booking.UserID(user)
		out = append(out, r)
	}
	if err := rs.Err(); err != nil {
		o.w.t.Fatal(err)
	}
	return out
}

// kinds of a broken invariant, as the reconciler calls them.
const (
	oversell      = "oversell"
	undersell     = "undersell"
	balance       = "balance"
	lost          = "lost"
	duplicate     = "duplicate"
	contradiction = "contradiction"
)

// verdict is everything that is wrong at the end, each as "kind: what".
func (o *oracle) verdict() []string {
	var bad []string
	say := func(kind, format string, args ...any) { bad = append(bad, kind+": "+fmt.Sprintf(format, args...)) }
	for _, f := range o.fault {
		say(contradiction, "%s", f)
	}
	if o.w.plan.lottery {
		o.lottery(say)
		return append(bad, o.reconciled()...)
	}
	sold, owner, holds := map[int]int{}, map[booking.Ticket]row{}, map[booking.UserID]int{}
	for _, r := range o.rows("bookings") {
		sold[r.item]++
		holds[r.user]++
		owner[r.ticket] = r
	}
	refused := map[booking.Ticket]bool{}
	for _, r := range o.rows("refused") {
		refused[r.ticket] = true
		if _, both := owner[r.ticket]; both {
			say(contradiction, "ticket %s is confirmed and refused", r.ticket)
		}
	}
	open, held := map[booking.Ticket]bool{}, map[int]int{}
	for _, m := range o.w.admin.XRange(context.Background(), "{"+event+"}:dead", "-", "+").Val() {
		a, err := booking.ParseAccepted(fmt.Sprint(m.Values["e"]))
		if err != nil || open[a.Ticket] {
			continue
		}
		if open[a.Ticket] = true; !refused[a.Ticket] {
			held[a.Item]++
		}
		if _, both := owner[a.Ticket]; both {
			say(contradiction, "ticket %s is confirmed and a dead letter", a.Ticket)
		}
	}
	for i, n := range o.w.plan.items {
		if sold[i] > n {
			say(oversell, "item %d: %d rows for %d", i, sold[i], n)
		} else if sold[i]+held[i] != n {
			say(undersell, "item %d: %d sold and %d in dead letters, of %d, and somebody was turned away", i, sold[i], held[i], n)
		}
	}
	for _, r := range o.rows("bookings") {
		if n := holds[r.user]; n > 1 {
			say(duplicate, "user %d has %d rows", r.user, n)
			holds[r.user] = 0
		}
	}
	_, _, cache := o.w.handles(o.w.admin)
	for _, t := range o.order {
		p := o.told[t]
		r, confirmed := owner[t]
		switch {
		case confirmed && r.user != p.user:
			say(contradiction, "ticket %s of user %d is booked for user %d", t, p.user, r.user)
		case p.last == booking.Confirmed && !confirmed:
			say(contradiction, "ticket %s was told confirmed and has no row", t)
		case p.last == booking.Refused && confirmed:
			say(contradiction, "ticket %s was told refused and has a row", t)
		case !confirmed && !refused[t] && !open[t] && !p.excused:
			say(lost, "ticket %s of user %d was told accepted and is nowhere", t, p.user)
		}
		if !confirmed && !refused[t] {
			continue
		}
		// What a client would be told now.
		want := booking.Confirmed
		if !confirmed {
			want = booking.Refused
		}
		if got, err := cache.Get(context.Background(), t); err != nil || got.Outcome != want {
			say(contradiction, "ticket %s: a poll says %v (%v), the ledger %v", t, got.Outcome, err, want)
		} else {
			o.polled(t, got.Outcome)
		}
	}
	return append(bad, o.reconciled()...)
}

// reconciled is what the reconciler says of the same.
func (o *oracle) reconciled() []string {
	w := o.w
	var given []ledger.AcceptedTicket
	for _, t := range o.order {
		if p := o.told[t]; !p.excused {
			given = append(given, ledger.AcceptedTicket{Ticket: t, Told: p.last})
		}
	}
	rep, err := ledger.Reconcile(context.Background(), w.books, w.view(), ledger.Books{Items: w.plan.items, Mode: w.config().Mode,
		Accepted: given, Drained: true, DemandLeft: true})
	if err != nil {
		return []string{"reconcile: " + err.Error()}
	}
	var bad []string
	for _, c := range rep.Checks {
		if c.Broken != 0 {
			bad = append(bad, fmt.Sprintf("%s: reconciler: broken by %d: %s", c.Name, c.Broken, c.Detail))
		}
	}
	return bad
}

func (w *world) view() *ledger.View {
	st, q, cache := w.handles(w.admin)
	return &ledger.View{Free: st.Free, Holders: st.Holders, Queued: q.Entries, Dead: q.Dead, Resolved: q.Resolved, Results: cache.All}
}

func (w *world) handles(c *redis.Client) (*stock.Store, *queue.Queue, *ledger.Cache) {
	clk := slot{w, 0}
	st, err := stock.New(c, stock.Options{Event: event, Items: len(w.plan.items), Entries: w.plan.lottery, Rules: quick, Clock: clk, Tickets: tickets()})
	if err != nil {
		w.t.Fatal(err)
	}
	q, err := queue.New(c, queue.Options{Event: event, Consumer: "oracle", Clock: clk})
	if err != nil {
		w.t.Fatal(err)
	}
	cache, err := ledger.NewCache(c, event, w.books)
	if err != nil {
		w.t.Fatal(err)
	}
	return st, q, cache
}
