package ledgertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/reference/ledger"
)

// Open makes an empty database and closes it when the test ends.
type Open func(t testing.TB) *ledger.DB

// Row is the n-th ticket, of a user, for an item.
func Row(n, user, item int) ledger.Row {
	r := ledger.Row{Accepted: booking.Accepted{User: booking.UserID(user), Item: item, At: time.Duration(n) * time.Millisecond}}
	r.Ticket[0] = 1
	binary.BigEndian.PutUint32(r.Ticket[12:], uint32(n))
	r.Written = r.At + time.Second
	return r
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("write", func(t *testing.T) { write(t, open(t)) })
	t.Run("whole or not at all", func(t *testing.T) { whole(t, open(t)) })
	t.Run("entries", func(t *testing.T) { entries(t, open(t)) })
	t.Run("writers at once", func(t *testing.T) { writersAtOnce(t, open(t)) })
	t.Run("readers", func(t *testing.T) { readers(t, open(t)) })
	t.Run("book", func(t *testing.T) { book(t, open(t)) })
	t.Run("book at once", func(t *testing.T) { bookAtOnce(t, open(t)) })
	t.Run("model", func(t *testing.T) { model(t, open(t)) })
	t.Run("desk", func(t *testing.T) { desk(t, open(t)) })
	t.Run("desk at once", func(t *testing.T) { deskAtOnce(t, open(t)) })
	t.Run("draws", func(t *testing.T) { draws(t, open(t)) })
	t.Run("model of the lottery", func(t *testing.T) { lotteryModel(t, open(t)) })
}

func batch(t testing.TB, k ledger.Keeper, rows ...ledger.Row) []ledger.Verdict {
	t.Helper()
	rs, err := k.WriteBatch(context.Background(), rows)
	if err != nil {
		t.Fatal(err)
	}
	vs := make([]ledger.Verdict, len(rs))
	for i, r := range rs {
		vs[i] = r.Verdict
		if (r.Verdict == ledger.Turned) != (r.Reason != "") || r.Verdict != ledger.Turned && r.Waited != time.Second {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	return vs
}

func result(t testing.TB, db *ledger.DB, tk booking.Ticket, want booking.Outcome) {
	t.Helper()
	r, err := db.Result(context.Background(), tk)
	if err != nil || r.Outcome != want {
		t.Fatalf("ticket %s: %v, %v; want %v", tk, r.Outcome, err, want)
	}
	if want == booking.Confirmed && r.Waited != time.Second {
		t.Fatalf("ticket %s waited %v", tk, r.Waited)
	}
}

func write(t *testing.T, db *ledger.DB) {
	a, b, second := Row(1, 1, 0), Row(2, 2, 1), Row(3, 1, 1)
	huge := Row(4, 0, 0)
	huge.User = 1<<64 - 1
	w, al, tu := ledger.Written, ledger.Already, ledger.Turned
	if got := batch(t, db, a, b, second, a, huge); !slices.Equal(got, []ledger.Verdict{w, w, tu, al, w}) {
		t.Fatalf("first: %v", got)
	}
	late := a
	late.Written += time.Hour // the first writing counts
	if got := batch(t, db, late, b, second, huge); !slices.Equal(got, []ledger.Verdict{al, al, tu, al}) {
		t.Fatalf("again: %v", got)
	}
	result(t, db, a.Ticket, booking.Confirmed)
	result(t, db, second.Ticket, booking.Refused)
	result(t, db, Row(9, 9, 9).Ticket, booking.Unknown)
	if n, err := db.Rows(context.Background()); n != 3 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	if sold, err := db.Sold(context.Background(), 2); err != nil || !slices.Equal(sold, []int{2, 1}) {
		t.Fatalf("sold %v, %v", sold, err)
	}
	if got := batch(t, db); len(got) != 0 {
		t.Fatalf("an empty batch: %v", got)
	}
}

// whole: a batch with a row that cannot be leaves nothing behind.
func whole(t *testing.T, db *ledger.DB) {
	a := Row(1, 1, 0)
	batch(t, db, a)
	stolen := a
	stolen.User = 2
	if rs, err := db.WriteBatch(context.Background(), []ledger.Row{Row(2, 3, 0), stolen}); err == nil {
		t.Fatalf("wrote a ticket for another user: %+v", rs)
	}
	result(t, db, Row(2, 3, 0).Ticket, booking.Unknown)
	result(t, db, a.Ticket, booking.Confirmed)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.WriteBatch(gone, []ledger.Row{Row(4, 4, 0)}); !errors.Is(err, context.Canceled) {
		t.Fatalf("with an ended context: %v", err)
	}
	if err := db.Probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := db.Probe(gone); err == nil {
		t.Fatal("a probe that cannot write succeeded")
	}
}

func entries(t *testing.T, db *ledger.DB) {
	w, al, tu := ledger.Written, ledger.Already, ledger.Turned
	e := Row(1, 1, 0)
	e.Other = true
	if got := batch(t, db.Entries(policy.DefaultLotteryRules()), e, Row(2, 1, 1), e, Row(3, 2, 0)); !slices.Equal(got, []ledger.Verdict{w, tu, al, w}) {
		t.Fatal(got)
	}
	result(t, db, e.Ticket, booking.Confirmed)
	n, err := db.EntryCount(context.Background())
	rows, err2 := db.Rows(context.Background())
	if n != 2 || rows != 0 || err != nil || err2 != nil {
		t.Fatalf("%d entries, %d bookings, %v, %v", n, rows, err, err2)
	}
}

// writersAtOnce: writers that write the same rows in different orders neither lock
// each other out nor book anybody twice, and all hear the same of a ticket.
func writersAtOnce(t *testing.T, db *ledger.DB) {
	const users, size = 200, 20
	strides := []int{7, 11, 13, 17} // of each writer; without a divisor in common with the tickets' number
	writers := len(strides)
	verdicts := make([]map[booking.Ticket]ledger.Verdict, writers)
	var wg sync.WaitGroup
	for w, stride := range strides {
		verdicts[w] = map[booking.Ticket]ledger.Verdict{}
		var rows []ledger.Row
		for n := range 2 * users { // each user has two tickets, and one reservation
			n = n * stride % (2 * users)
			rows = append(rows, Row(n, n%users, n%3))
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for chunk := range slices.Chunk(rows, size) {
				got, err := db.WriteBatch(context.Background(), chunk)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				for i, r := range chunk {
					verdicts[w][r.Ticket] = got[i].Verdict
				}
			}
		}()
	}
	wg.Wait()
	if n, err := db.Rows(context.Background()); n != users || err != nil {
		t.Fatalf("%d rows, %v; want one for each of %d users", n, err, users)
	}
	for n := range 2 * users {
		tk := Row(n, 0, 0).Ticket
		written, turned := 0, 0
		for w := range writers {
			switch verdicts[w][tk] {
			case ledger.Written:
				written++
			case ledger.Turned:
				turned++
			}
		}
		if !(written == 1 && turned == 0) && !(written == 0 && turned == writers) {
			t.Fatalf("ticket %d was written by %d and turned by %d of %d writers", n, written, turned, writers)
		}
		want := booking.Confirmed
		if written == 0 {
			want = booking.Refused
		}
		result(t, db, tk, want)
	}
}

// readers: reading goes on while batches are written, and sees whole batches.
func readers(t *testing.T, db *ledger.DB) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n, err := db.Rows(context.Background()); err != nil || n%20 != 0 {
					t.Errorf("%d rows, %v: want whole batches of 20", n, err)
					return
				}
			}
		}()
	}
	for b := range 20 {
		rows := make([]ledger.Row, 20)
		for i := range rows {
			n := b*20 + i
			rows[i] = Row(n, n, 0)
		}
		batch(t, db, rows...)
	}
	close(stop)
	wg.Wait()
}

func lossless(t testing.TB, db *ledger.DB, items ...int) *ledger.Lossless {
	t.Helper()
	l, err := ledger.NewLossless(db, ledger.LosslessOptions{ReadUnits: 2, WriteUnits: 10, Clock: clock.NewWall()})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Fill(context.Background(), items); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func book(t *testing.T, db *ledger.DB) {
	l := lossless(t, db, 1, 1)
	ctx := context.Background()
	for i, c := range []struct {
		row  ledger.Row
		want booking.Outcome
	}{
		{Row(1, 1, 5), booking.Invalid}, {Row(1, 1, 0), booking.Confirmed}, {Row(1, 1, 0), booking.Confirmed},
		{Row(2, 1, 1), booking.Duplicate}, {Row(3, 2, 0), booking.SoldOut}, {Row(4, 3, 1), booking.Confirmed},
		{Row(5, 4, 1), booking.Closed}, {Row(2, 1, 1), booking.Duplicate},
	} {
		if r, err := l.Book(ctx, c.row.Accepted); r.Outcome != c.want || err != nil {
			t.Fatalf("%d: %v, %v; want %v", i, r.Outcome, err, c.want)
		}
	}
	if free, err := l.ReadForm(ctx); err != nil || !slices.Equal(free, []int{0, 0}) {
		t.Fatalf("free %v, %v", free, err)
	}
	if r, err := l.ReadResult(ctx, Row(4, 3, 1).Ticket); err != nil || r.Outcome != booking.Confirmed {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := l.Fill(ctx, []int{1, 1}); err != nil {
		t.Fatalf("filling alike again: %v", err)
	}
	for _, items := range [][]int{{2, 1}, {1}, {1, 1, 1}} {
		if err := l.Fill(ctx, items); !errors.Is(err, ledger.ErrRunning) {
			t.Fatalf("filling %v over a running sale: %v", items, err)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.ReadForm(gone); err != nil {
		t.Fatalf("work stops for a client that left: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := l.Book(ctx, Row(9, 9, 0).Accepted); r.Outcome != booking.Unknown || !errors.Is(err, ledger.ErrStopped) {
		t.Fatalf("after Close: %+v, %v", r, err)
	}
}

func bookAtOnce(t *testing.T, db *ledger.DB) {
	l := lossless(t, db, 10, 5)
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[booking.Outcome]int{}
	for n := range 60 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r, err := l.Book(context.Background(), Row(n, n/2, n/2%2).Accepted) // two presses a user
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			count[r.Outcome]++
			mu.Unlock()
		}()
	}
	wg.Wait()
	if count[booking.Confirmed] != 15 {
		t.Fatalf("15 reservations, outcomes %v", count)
	}
	rep, err := ledger.Reconcile(context.Background(), db, nil, ledger.Books{Items: []int{10, 5}, Mode: booking.ModeLossless, DemandLeft: true})
	if err != nil || !rep.OK() {
		t.Fatalf("%v\n%v", err, rep)
	}
}

// model holds WriteBatch against a plain map on random histories.
func model(t *testing.T, db *ledger.DB) {
	ctx := context.Background()
	base, before := 0, int64(0) // each history has tickets and users of its own
	rapid.Check(t, func(rt *rapid.T) {
		base += 100
		var err error
		if before, err = db.Rows(ctx); err != nil {
			rt.Fatal(err)
		}
		tickets := map[booking.Ticket]bool{} // true: confirmed, false: refused
		users := map[booking.UserID]bool{}
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) ledger.Row {
					n := rapid.IntRange(1, 20).Draw(rt, "ticket")
					return Row(base+n, base+n%7, n%3) // a ticket belongs to one user
				}), 1, 6).Draw(rt, "rows")
				got, err := db.WriteBatch(ctx, rows)
				if err != nil {
					rt.Fatal(err)
				}
				for i, r := range rows {
					want := ledger.Turned
					confirmed, seen := tickets[r.Ticket]
					switch {
					case confirmed:
						want = ledger.Already
					case !seen && !users[r.User]:
						want = ledger.Written
						users[r.User] = true
					}
					tickets[r.Ticket] = want != ledger.Turned
					if got[i].Verdict != want {
						rt.Fatalf("row %d %+v: %v, want %v", i, r, got[i].Verdict, want)
					}
				}
			},
			"": func(rt *rapid.T) {
				n, err := db.Rows(ctx)
				if err != nil || int(n-before) != len(users) {
					rt.Fatalf("%d rows, %v; want %d", n-before, err, len(users))
				}
				for range 3 { // any few: all twenty at each step cost minutes under the race detector
					n := rapid.IntRange(1, 20).Draw(rt, "asked")
					tk := Row(base+n, 0, 0).Ticket
					want := booking.Unknown
					if confirmed, seen := tickets[tk]; seen {
						if want = booking.Refused; confirmed {
							want = booking.Confirmed
						}
					}
					if r, err := db.Result(ctx, tk); err != nil || r.Outcome != want {
						rt.Fatalf("ticket %d: %v, %v; want %v", n, r.Outcome, err, want)
					}
				}
			},
		})
	})
}

// Bench writes rows in batches of the given size.
func Bench(b *testing.B, db *ledger.DB, size int) {
	rows := make([]ledger.Row, 0, size)
	for i := range b.N {
		r := ledger.Row{Accepted: booking.Accepted{User: booking.UserID(i), Item: i % 7, At: time.Duration(i)}, Written: time.Duration(i)}
		copy(r.Ticket[:], fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)) // as random as real ones
		if rows = append(rows, r); len(rows) == size || i == b.N-1 {
			if _, err := db.WriteBatch(context.Background(), rows); err != nil {
				b.Fatal(err)
			}
			rows = rows[:0]
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
