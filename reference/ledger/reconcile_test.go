package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference/ledger"
	"spillway/reference/ledger/ledgertest"
)

// town is a state of store, database and clients, in plain lists.
type town struct {
	free                            []int
	holders, queued, dead, resolved []booking.Accepted
	results                         map[booking.Ticket]booking.Outcome
	books                           ledger.Books
	sql                             []string // run on the database behind the ledger's back
}

func ticket(n int) booking.Accepted { return ledgertest.Row(n, n, n%2).Accepted }

// honest is a town in order: items 0 and 1 with 3 and 2 reservations; tickets 1
// and 2 confirmed, 4 queued, 3 a dead letter, 5 refused (user 1 again), 6
// discarded by a person.
func honest() *town {
	again := ticket(5)
	again.User = 1
	return &town{
		free: []int{1, 0}, holders: []booking.Accepted{ticket(1), ticket(2), ticket(3), ticket(4)},
		queued: []booking.Accepted{ticket(4)}, dead: []booking.Accepted{ticket(3)}, resolved: []booking.Accepted{ticket(6)},
		results: map[booking.Ticket]booking.Outcome{ticket(1).Ticket: booking.Confirmed, ticket(2).Ticket: booking.Confirmed,
			ticket(3).Ticket: booking.Pending, ticket(4).Ticket: booking.Pending, again.Ticket: booking.Refused, ticket(6).Ticket: booking.Refused},
		books: ledger.Books{Items: []int{3, 2}, Mode: booking.ModeQueued, Accepted: []ledger.AcceptedTicket{
			{Ticket: ticket(1).Ticket, Told: booking.Confirmed}, {Ticket: ticket(2).Ticket, Told: booking.Pending},
			{Ticket: ticket(3).Ticket, Told: booking.Queued}, {Ticket: ticket(4).Ticket}, {Ticket: again.Ticket, Told: booking.Refused},
			{Ticket: ticket(6).Ticket, Told: booking.Queued}}},
	}
}

func each(list *[]booking.Accepted) func(context.Context, func(booking.Accepted) error) error {
	return func(_ context.Context, f func(booking.Accepted) error) error {
		for _, a := range *list {
			if err := f(a); err != nil {
				return err
			}
		}
		return nil
	}
}

func (w *town) view() *ledger.View {
	return &ledger.View{
		Free:    func(context.Context) ([]int, error) { return w.free, nil },
		Holders: each(&w.holders), Queued: each(&w.queued), Dead: each(&w.dead), Resolved: each(&w.resolved),
		Results: func(_ context.Context, f func(booking.Ticket, booking.Outcome) error) error {
			for t, o := range w.results {
				if err := f(t, o); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (w *town) reconcile(t *testing.T) ledger.Report {
	t.Helper()
	db := openSQLite(t)
	again := ledgertest.Row(5, 1, 1)
	rs, err := db.WriteBatch(context.Background(), []ledger.Row{ledgertest.Row(1, 1, 1), ledgertest.Row(2, 2, 0), again})
	if err != nil || rs[2].Verdict != ledger.Turned {
		t.Fatalf("%+v, %v", rs, err)
	}
	for _, statement := range w.sql {
		if err := ledger.ExecForTest(db, statement); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := ledger.Reconcile(context.Background(), db, w.view(), w.books)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range rep.Checks {
		names = append(names, c.Name)
	}
	if !slices.Equal(names, []string{"oversell", "undersell", "balance", "lost", "duplicate", "contradiction"}) {
		t.Fatalf("checks %v", names)
	}
	return rep
}

func remove(list []booking.Accepted, n int) []booking.Accepted {
	return slices.DeleteFunc(slices.Clone(list), func(a booking.Accepted) bool { return a.Ticket == ticket(n).Ticket })
}

// Every lie that can be planted is told by exactly the checks it breaks.
func TestReconcileFindsPlantedBugs(t *testing.T) {
	const row = "INSERT INTO bookings (ticket, person, cycle, item, accepted, written) VALUES "
	const hex = "x'0100000000000000000000000000"
	for _, c := range []struct {
		name   string
		plant  func(*town)
		broken string // check:count, in order
	}{
		{"in order", func(*town) {}, ""},
		{"in order, no clients asked", func(w *town) { w.books.Accepted = nil }, ""},
		{"crash after the commit, before the acknowledgement", func(w *town) {
			w.queued = append(w.queued, ticket(1))
			w.results[ticket(1).Ticket] = booking.Pending
		}, ""},
		{"crash after the refusal, before the refund", func(w *town) {
			again := ticket(5)
			again.User = 1
			w.queued, w.holders, w.free = append(w.queued, again), append(w.holders, again), []int{1, -1}
			w.results[again.Ticket] = booking.Pending
		}, ""},
		{"a damaged letter that names its ticket", func(w *town) { w.dead = []booking.Accepted{{Ticket: ticket(3).Ticket}} }, ""},
		{"a letter that names nothing", func(w *town) { w.dead = append(w.dead, booking.Accepted{}) }, ""},

		{"two rows too many", func(w *town) {
			w.sql = []string{row + "(" + hex + "0009', 9, 0, 0, 0, 0)", row + "(" + hex + "000a', 10, 0, 0, 0, 0)", row + "(" + hex + "000b', 11, 0, 0, 0, 0)"}
		}, "oversell:1 balance:3"},
		{"a row of an item that was never on sale", func(w *town) { w.sql = []string{row + "(" + hex + "0009', 9, 0, 7, 0, 0)"} }, "oversell:1"},
		{"stock left and demand too", func(w *town) { w.books.DemandLeft = true }, "undersell:1"},
		{"stock that vanished", func(w *town) { w.free[0] = 0 }, "balance:1"},
		{"stock out of thin air", func(w *town) { w.free[1] = 2 }, "balance:2"},
		{"stock that moved between items", func(w *town) { w.free = []int{0, 1} }, "balance:2"},
		{"taken, never enqueued", func(w *town) { w.queued = nil }, "balance:1 lost:1"},
		{"taken, never enqueued, only the client knows", func(w *town) { w.queued, w.holders = nil, remove(w.holders, 4); w.free[0] = 2 }, "lost:1"},
		{"taken, never enqueued, only the result cache knows", func(w *town) {
			w.queued, w.holders, w.books.Accepted = nil, remove(w.holders, 4), w.books.Accepted[:3]
			w.free[0] = 2
		}, "lost:1"},
		{"a dead letter thrown away", func(w *town) { w.dead = nil }, "balance:1 lost:1"},
		{"still queued after the drain", func(w *town) { w.books.Drained = true }, "lost:1"},
		{"confirmed row deleted", func(w *town) { w.sql = []string{"DELETE FROM bookings WHERE person = 2"} }, "balance:1 lost:1 contradiction:1"},
		{"one user, two rows", func(w *town) {
			w.sql = []string{"DROP INDEX bookings_person", row + "(" + hex + "0009', 1, 0, 0, 0, 0)"}
			w.free[0] = 0
		}, "duplicate:1"},
		{"one ticket, two rows", func(w *town) {
			w.sql = []string{"DROP INDEX bookings_ticket", row + "(" + hex + "0002', 2, 1, 0, 0, 0)"}
			w.free[0] = 0
		}, "duplicate:1"},
		{"one user in two cycles", func(w *town) {
			w.sql = []string{row + "(" + hex + "0009', 1, 1, 0, 0, 0)"}
			w.free[0] = 0
		}, ""},
		{"the cache says confirmed, the ledger nothing", func(w *town) { w.results[ticket(4).Ticket] = booking.Confirmed }, "contradiction:1"},
		{"the cache says refused, the ledger confirmed", func(w *town) { w.results[ticket(1).Ticket] = booking.Refused }, "contradiction:1"},
		{"the cache says refused, nobody refused", func(w *town) { w.results[ticket(4).Ticket] = booking.Refused }, "contradiction:1"},
		{"the cache cannot be read", func(w *town) { w.results[ticket(4).Ticket] = booking.Unmapped }, "contradiction:1"},
		{"the cache lags after the drain", func(w *town) {
			w.books.Drained, w.queued, w.holders = true, nil, remove(w.holders, 4)
			w.books.Accepted = w.books.Accepted[:3]
			delete(w.results, ticket(4).Ticket)
			w.free[0], w.results[ticket(1).Ticket] = 2, booking.Pending
		}, "contradiction:1"},
		{"told confirmed while queued", func(w *town) { w.books.Accepted[3].Told = booking.Confirmed }, "contradiction:1"},
		{"told refused, confirmed", func(w *town) { w.books.Accepted[0].Told = booking.Refused }, "contradiction:1"},
		{"confirmed and a dead letter", func(w *town) { w.dead = append(w.dead, ticket(1)) }, "contradiction:1"},
		{"confirmed and discarded", func(w *town) { w.resolved = append(w.resolved, ticket(1)) }, "contradiction:1"},
		{"another user's row", func(w *town) { w.holders[0].User = 77 }, "contradiction:1"},
		{"another item's row", func(w *town) { w.holders[0].Item = 0 }, "contradiction:1"},
		{"a store of another sale", func(w *town) { w.free = []int{1} }, "balance:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := honest()
			c.plant(w)
			rep := w.reconcile(t)
			var broken []string
			for _, ch := range rep.Checks {
				if ch.Broken != 0 {
					broken = append(broken, fmt.Sprintf("%s:%d", ch.Name, ch.Broken))
				}
				if ch.Detail == "" || strings.Contains(ch.Detail, "\n") {
					t.Errorf("%s: detail %q", ch.Name, ch.Detail)
				}
			}
			if got := strings.Join(broken, " "); got != c.broken {
				t.Fatalf("broken %q, want %q\n%v", got, c.broken, rep)
			}
			if rep.OK() != (c.broken == "") {
				t.Fatal("OK says otherwise")
			}
		})
	}
}

func TestReconcileLottery(t *testing.T) {
	db := openSQLite(t)
	ctx := context.Background()
	if _, err := db.Entries(policy.DefaultLotteryRules()).WriteBatch(ctx, []ledger.Row{ledgertest.Row(1, 1, 1), ledgertest.Row(2, 2, 0)}); err != nil {
		t.Fatal(err)
	}
	w := &town{free: []int{1}, holders: []booking.Accepted{ticket(1), ticket(2)}, books: ledger.Books{Items: []int{1}, Mode: booking.ModeLottery, DemandLeft: true}}
	rep, err := ledger.Reconcile(ctx, db, w.view(), w.books)
	if err != nil || !rep.OK() || rep.Sold != 2 || rep.Accepted != 2 {
		t.Fatalf("%v\n%v", err, rep)
	}
	w.holders = append(w.holders, ticket(3))
	if rep, err = ledger.Reconcile(ctx, db, w.view(), w.books); err != nil || rep.Check("lost").Broken != 1 {
		t.Fatalf("%v\n%v", err, rep)
	}
}

// What cannot be read is an error, never a clean report.
func TestReconcileErrors(t *testing.T) {
	ctx := context.Background()
	if _, err := ledger.Reconcile(ctx, nil, nil, ledger.Books{}); err == nil {
		t.Error("no database, no error")
	}
	bad := errors.New("gone")
	for i := range 6 {
		w := honest()
		v := w.view()
		fail := func(context.Context, func(booking.Accepted) error) error { return bad }
		switch i {
		case 0:
			v.Holders = fail
		case 1:
			v.Queued = fail
		case 2:
			v.Dead = fail
		case 3:
			v.Resolved = fail
		case 4:
			v.Results = func(context.Context, func(booking.Ticket, booking.Outcome) error) error { return bad }
		case 5:
			v.Free = func(context.Context) ([]int, error) { return nil, bad }
		}
		if rep, err := ledger.Reconcile(ctx, openSQLite(t), v, w.books); !errors.Is(err, bad) || len(rep.Checks) != 0 {
			t.Errorf("part %d unreadable: %v, %d checks", i, err, len(rep.Checks))
		}
	}
	db := openSQLite(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Reconcile(ctx, db, nil, ledger.Books{}); err == nil {
		t.Error("a closed database, no error")
	}
}

func TestCache(t *testing.T) {
	m := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DialerRetries: 1, Protocol: 2})
	defer c.Close()
	ctx := context.Background()
	db := openSQLite(t)
	cache, err := ledger.NewCache(c, "e", db)
	if err != nil {
		t.Fatal(err)
	}
	get := func(n int, want booking.Outcome) {
		t.Helper()
		if r, err := cache.Get(ctx, ticket(n).Ticket); err != nil || r.Outcome != want {
			t.Fatalf("ticket %d: %v, %v; want %v", n, r.Outcome, err, want)
		}
	}
	get(1, booking.Unknown)
	c.HSet(ctx, ledger.ResultsKey("e"), ticket(1).Ticket.String(), "pending")
	get(1, booking.Pending)
	if err := cache.Put(ctx, map[booking.Ticket]ledger.Result{ticket(1).Ticket: {Outcome: booking.Confirmed, Waited: 1234567}, ticket(2).Ticket: {Outcome: booking.Refused}}); err != nil {
		t.Fatal(err)
	}
	if r, err := cache.Get(ctx, ticket(1).Ticket); err != nil || r != (ledger.Result{Outcome: booking.Confirmed, Waited: 1234567}) {
		t.Fatalf("%+v, %v", r, err)
	}
	get(2, booking.Refused)
	if _, err := db.WriteBatch(ctx, []ledger.Row{ledgertest.Row(3, 3, 0)}); err != nil {
		t.Fatal(err)
	}
	get(3, booking.Confirmed) // the ledger knows, the cache does not
	c.HSet(ctx, ledger.ResultsKey("e"), ticket(3).Ticket.String(), "nonsense")
	get(3, booking.Confirmed)
	seen := map[booking.Ticket]booking.Outcome{}
	if err := cache.All(ctx, func(t booking.Ticket, o booking.Outcome) error { seen[t] = o; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[ticket(1).Ticket] != booking.Confirmed || seen[ticket(3).Ticket] != booking.Unmapped {
		t.Fatalf("%v", seen)
	}
	m.Close()
	get(3, booking.Confirmed) // the store is gone, the ledger still knows
	bare, err := ledger.NewCache(c, "e", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := bare.Get(ctx, ticket(3).Ticket); err == nil || r.Outcome != booking.Unknown {
		t.Fatalf("neither store nor ledger: %+v, %v", r, err)
	}
	for _, event := range []string{"", "a}b"} {
		if _, err := ledger.NewCache(c, event, db); err == nil {
			t.Errorf("event %q accepted", event)
		}
	}
}
