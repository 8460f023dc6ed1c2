package stocktest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/reference/stock"
)

// Open makes a client of a store and closes it when the test ends. The store may
// hold anything: every test uses an event of its own.
type Open func(t testing.TB) redis.UniversalClient

var events atomic.Int64

// Event is a name that no other test of this process uses.
func Event() string { return fmt.Sprintf("t%d-%d", time.Now().UnixNano(), events.Add(1)) }

// sale is a sale set up for a test.
type sale struct {
	*stock.Store
	client redis.UniversalClient
	stream string
	opts   stock.Options
}

func newSale(t require, client redis.UniversalClient, items []int, change func(*stock.Options)) *sale {
	t.Helper()
	event := Event()
	o := stock.Options{Event: event, Items: len(items), Stream: "{" + event + "}:queue", Results: "{" + event + "}:results",
		BatchMax: 16, Linger: time.Millisecond, Rules: policy.DefaultLotteryRules(), Clock: clock.NewWall()}
	if change != nil {
		change(&o)
	}
	s, err := stock.New(client, o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx := context.Background()
	if o.Stream != "" {
		if err := client.XGroupCreateMkStream(ctx, o.Stream, "g", "0").Err(); err != nil {
			t.Fatalf("making the stream: %v", err)
		}
	}
	if err := s.Fill(ctx, items); err != nil {
		t.Fatalf("Fill: %v", err)
	}
	return &sale{s, client, o.Stream, o}
}

// require is what testing.T and rapid.T share.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("outcomes", func(t *testing.T) { outcomes(t, open(t)) })
	t.Run("replay", func(t *testing.T) { replay(t, open(t)) })
	t.Run("refund", func(t *testing.T) { refund(t, open(t)) })
	t.Run("fill", func(t *testing.T) { fill(t, open(t)) })
	t.Run("entries", func(t *testing.T) { entries(t, open(t)) })
	t.Run("memory lost", func(t *testing.T) { memoryLost(t, open(t)) })
	t.Run("concurrent", func(t *testing.T) { concurrent(t, open(t)) })
	t.Run("enqueued", func(t *testing.T) { enqueued(t, open(t)) })
	t.Run("model", func(t *testing.T) { model(t, open(t)) })
	t.Run("changes", func(t *testing.T) { changes(t, open(t)) })
	t.Run("readmitted", func(t *testing.T) { readmitted(t, open(t)) })
	t.Run("model of changes", func(t *testing.T) { changesModel(t, open(t)) })
}

func take(t require, s *stock.Store, user, item int, key string, want booking.Outcome) stock.Result {
	t.Helper()
	r, err := s.Take(context.Background(), stock.Submit{User: booking.UserID(user), Item: item, Key: key})
	if r.Outcome != want || (err != nil) != (want == booking.Unknown) {
		t.Fatalf("user %d, item %d, key %q: %v, %v; want %v", user, item, key, r.Outcome, err, want)
	}
	if (want == booking.Queued) == r.Ticket.IsZero() {
		t.Fatalf("user %d: outcome %v with ticket %v", user, want, r.Ticket)
	}
	return r
}

func outcomes(t *testing.T, client redis.UniversalClient) {
	var soldOut atomic.Int64
	s := newSale(t, client, []int{2, 1}, func(o *stock.Options) {
		o.Depth = 2
		o.OnSoldOut = func(time.Duration) { soldOut.Add(1) }
	})
	ctx := context.Background()
	take(t, s.Store, 1, 0, "", booking.Invalid)
	take(t, s.Store, 1, 0, "a key", booking.Invalid)
	take(t, s.Store, 1, 0, string(make([]byte, 65)), booking.Invalid)
	take(t, s.Store, 1, 2, "k", booking.Invalid)
	take(t, s.Store, 1, -1, "k", booking.Invalid)
	take(t, s.Store, 1, 1, "k1", booking.Queued)
	take(t, s.Store, 1, 0, "k2", booking.Duplicate)
	take(t, s.Store, 2, 1, "k3", booking.SoldOut)
	take(t, s.Store, 2, 0, "k3", booking.Queued) // a refused key is judged anew
	take(t, s.Store, 3, 0, "k4", booking.Busy)
	if _, ok := s.SoldOutAt(); ok {
		t.Fatal("sold out while one is left")
	}
	client.XTrimMaxLen(ctx, s.stream, 0)
	take(t, s.Store, 3, 0, "k4", booking.Queued)
	take(t, s.Store, 4, 0, "k5", booking.Closed)
	take(t, s.Store, 1, 0, "k6", booking.Duplicate) // before closed: "you have one" is the better answer
	take(t, s.Store, 1, 0, "k1", booking.Queued)    // a replay, even now
	gone, err := s.SoldOut(ctx)
	if !gone || err != nil {
		t.Fatalf("SoldOut: %v, %v", gone, err)
	}
	if _, ok := s.SoldOutAt(); !ok {
		t.Fatal("no moment of the sell-out")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	take(t, s.Store, 5, 0, "k7", booking.Unknown)
	if n := soldOut.Load(); n != 1 {
		t.Fatalf("OnSoldOut came %d times", n)
	}
}

func replay(t *testing.T, client redis.UniversalClient) {
	s := newSale(t, client, []int{5}, nil)
	defer s.Close()
	first := take(t, s.Store, 7, 0, "same", booking.Queued)
	again := take(t, s.Store, 7, 0, "same", booking.Queued)
	if again.Ticket != first.Ticket || !again.Replay || first.Replay {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	take(t, s.Store, 8, 0, "same", booking.Invalid) // another user's key
	free, err := s.Free(context.Background())
	if err != nil || free[0] != 4 {
		t.Fatalf("free %v, %v; want 4", free, err)
	}
	text, err := client.HGet(context.Background(), s.opts.Results, first.Ticket.String()).Result()
	if err != nil || text != "pending" {
		t.Fatalf("the result cache says %q, %v", text, err)
	}
}

func refund(t *testing.T, client redis.UniversalClient) {
	s := newSale(t, client, []int{1, 0}, nil)
	defer s.Close()
	ctx := context.Background()
	r := take(t, s.Store, 1, 0, "a", booking.Queued)
	a := booking.Accepted{Ticket: r.Ticket, User: 1, Item: 0}
	other := a
	other.Ticket[0] ^= 1
	for _, c := range []struct {
		a    booking.Accepted
		want bool
	}{{other, false}, {booking.Accepted{Ticket: r.Ticket, User: 2}, false}, {booking.Accepted{Ticket: r.Ticket, User: 1, Item: 1}, false}, {a, true}, {a, false}} {
		if done, err := s.Refund(ctx, c.a); done != c.want || err != nil {
			t.Fatalf("refund of %+v: %v, %v", c.a, done, err)
		}
	}
	if gone, err := s.SoldOut(ctx); gone || err != nil {
		t.Fatalf("closed after a refund: %v, %v", gone, err)
	}
	if again := take(t, s.Store, 1, 0, "a", booking.Queued); again.Ticket != r.Ticket || !again.Replay {
		t.Fatalf("a refunded key answered %+v", again)
	}
	take(t, s.Store, 1, 0, "b", booking.Queued)
	take(t, s.Store, 2, 0, "c", booking.Closed)
}

func fill(t *testing.T, client redis.UniversalClient) {
	s := newSale(t, client, []int{1, 2}, nil)
	defer s.Close()
	ctx := context.Background()
	take(t, s.Store, 1, 1, "a", booking.Queued)
	if err := s.Fill(ctx, []int{1, 2}); err != nil {
		t.Fatalf("filling alike again: %v", err)
	}
	if free, err := s.Free(ctx); err != nil || !slices.Equal(free, []int{1, 1}) {
		t.Fatalf("a repeated Fill changed a running sale: %v, %v", free, err)
	}
	for _, items := range [][]int{{2, 1}, {1}, {0, 0}, {-1, 5}} {
		if err := s.Fill(ctx, items); err == nil {
			t.Fatalf("filled %v over a running sale", items)
		}
	}
}

func entries(t *testing.T, client redis.UniversalClient) {
	s := newSale(t, client, []int{0, 0}, func(o *stock.Options) { o.Entries = true })
	defer s.Close()
	ctx := context.Background()
	first := take(t, s.Store, 1, 0, "a", booking.Queued)
	if again := take(t, s.Store, 1, 1, "b", booking.Queued); again.Ticket != first.Ticket || !again.Replay || !again.Held {
		t.Fatalf("a second entry of one user: %+v", again)
	}
	take(t, s.Store, 2, 1, "a", booking.Invalid)
	take(t, s.Store, 2, 1, "c", booking.Queued)
	if n, err := s.Count(ctx); n != 2 || err != nil {
		t.Fatalf("%d entries, %v", n, err)
	}
	if gone, err := s.SoldOut(ctx); gone || err != nil {
		t.Fatalf("a lottery sold out: %v, %v", gone, err)
	}
	if n := client.XLen(ctx, s.stream).Val(); n != 2 {
		t.Fatalf("%d entries in the queue", n)
	}
}

// memoryLost: a store that restarted empty must not say sold out, nor closed.
func memoryLost(t *testing.T, client redis.UniversalClient) {
	ctx := context.Background()
	for _, lose := range []string{"state", "queue"} {
		s := newSale(t, client, []int{1}, nil)
		client.Del(ctx, "{"+s.opts.Event+"}:"+lose)
		take(t, s.Store, 1, 0, "a", booking.Unknown)
		if n := client.HLen(ctx, "{"+s.opts.Event+"}:users").Val(); n != 0 {
			t.Fatalf("without %s somebody was booked", lose)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	event := Event()
	s, err := stock.New(client, stock.Options{Event: event, Items: 1, Clock: clock.NewWall()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Free(ctx); err == nil {
		t.Fatal("Free of a sale that was never set up")
	}
}

// concurrent: many users, several presses each, by single Takes that share calls.
// All stock goes, to distinct users, and nobody learns that anything is free when
// it is not.
func concurrent(t *testing.T, client redis.UniversalClient) {
	items := []int{40, 25, 10}
	s := newSale(t, client, items, nil)
	const users, presses = 60, 4
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := map[int]booking.Ticket{}
	for u := range users {
		for p := range presses {
			wg.Add(1)
			go func() {
				defer wg.Done()
				// Two of the presses repeat a key.
				r, err := s.Take(context.Background(), stock.Submit{User: booking.UserID(u), Item: (u + p) % 3,
					Key: fmt.Sprintf("u%d-%d", u, p/2)})
				if err != nil {
					t.Errorf("user %d: %v", u, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				switch r.Outcome {
				case booking.Queued:
					if was, ok := won[u]; ok && was != r.Ticket {
						t.Errorf("user %d holds two tickets", u)
					}
					won[u] = r.Ticket
				case booking.Duplicate, booking.SoldOut, booking.Closed:
				default:
					t.Errorf("user %d: %v", u, r.Outcome)
				}
			}()
		}
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	free, err := s.Free(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for i, n := range free {
		if n < 0 || n > items[i] {
			t.Fatalf("item %d: %d free of %d", i, n, items[i])
		}
		left += n
	}
	if got := 75 - left; got != len(won) {
		t.Fatalf("%d reservations gone, %d users hold one", got, len(won))
	}
	if st := s.Stats(); st.Submits != users*presses || st.Calls >= st.Submits {
		t.Fatalf("%+v: submits were not shared between calls", st)
	}
}

// enqueued: what reached the stream is exactly what was accepted, in order.
func enqueued(t *testing.T, client redis.UniversalClient) {
	s := newSale(t, client, []int{3, 3}, nil)
	defer s.Close()
	ctx := context.Background()
	ins := []stock.Submit{{User: 1, Item: 0, Key: "a"}, {User: 1, Item: 1, Key: "b"}, {User: 2, Item: 1, Key: "c", Other: true},
		{User: 2, Item: 1, Key: "c"}, {User: 3, Item: 9, Key: "d"}}
	rs, err := s.TakeBatch(ctx, ins)
	if err != nil {
		t.Fatal(err)
	}
	want := []booking.Outcome{booking.Queued, booking.Duplicate, booking.Queued, booking.Queued, booking.Invalid}
	for i, r := range rs {
		if r.Outcome != want[i] {
			t.Fatalf("submit %d: %v, want %v", i, r.Outcome, want[i])
		}
	}
	if rs[3].Ticket != rs[2].Ticket || !rs[3].Replay {
		t.Fatal("a replay within a batch gave another ticket")
	}
	ms, err := client.XRange(ctx, s.stream, "-", "+").Result()
	if err != nil || len(ms) != 2 {
		t.Fatalf("%d entries, %v", len(ms), err)
	}
	for i, from := range []int{0, 2} {
		text, _ := ms[i].Values["e"].(string)
		a, err := booking.ParseAccepted(text)
		if err != nil {
			t.Fatal(err)
		}
		in := ins[from]
		if a.User != in.User || a.Item != in.Item || a.Other != in.Other || a.Ticket != rs[from].Ticket {
			t.Fatalf("entry %d is %+v, the submit was %+v", i, a, in)
		}
	}
	if _, err := s.TakeBatch(ctx, nil); err == nil {
		t.Fatal("took an empty batch")
	}
	if _, err := s.TakeBatch(ctx, make([]stock.Submit, stock.BatchLimit+1)); err == nil {
		t.Fatal("took a batch over the limit")
	}
}

// plain is the rules again, written as plainly as can be: the oracle.
type plain struct {
	items, free []int
	entries     bool
	depth       int
	queue       []booking.Ticket
	users       map[booking.UserID]booking.Accepted
	keys        map[string]booking.Accepted
	tickets     *stock.Tickets
}

func (m *plain) total() int {
	n := 0
	for _, f := range m.free {
		n += f
	}
	return n
}

func (m *plain) take(in stock.Submit) stock.Result {
	if in.Item >= len(m.items) {
		return stock.Result{Outcome: booking.Invalid}
	}
	if was, ok := m.keys[in.Key]; ok {
		if was.User != in.User {
			return stock.Result{Outcome: booking.Invalid}
		}
		return stock.Result{Outcome: booking.Queued, Ticket: was.Ticket, Replay: true, Held: m.users[in.User].Ticket == was.Ticket}
	}
	if has, ok := m.users[in.User]; ok {
		if m.entries {
			return stock.Result{Outcome: booking.Queued, Ticket: has.Ticket, Replay: true, Held: true}
		}
		return stock.Result{Outcome: booking.Duplicate}
	}
	if !m.entries {
		if m.total() == 0 {
			return stock.Result{Outcome: booking.Closed}
		}
		if m.free[in.Item] == 0 {
			return stock.Result{Outcome: booking.SoldOut}
		}
	}
	if m.depth > 0 && len(m.queue) >= m.depth {
		return stock.Result{Outcome: booking.Busy}
	}
	a := booking.Accepted{Ticket: m.tickets.Of(in.User, in.Key), User: in.User, Item: in.Item}
	if m.entries { // a sale's holders tell no more
		a.Other, a.Senior = in.Other, in.Senior
	}
	if !m.entries {
		m.free[in.Item]--
	}
	m.users[in.User], m.keys[in.Key] = a, a
	m.queue = append(m.queue, a.Ticket)
	return stock.Result{Outcome: booking.Queued, Ticket: a.Ticket}
}

// model holds the script against the oracle on random histories.
func model(t *testing.T, client redis.UniversalClient) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 3).Draw(t, "items")
		items[0]++ // a sale of nothing is refused
		m := &plain{items: items, free: slices.Clone(items), entries: rapid.Float64().Draw(t, "entries") < 0.2,
			depth: rapid.IntRange(0, 4).Draw(t, "depth"),
			users: map[booking.UserID]booking.Accepted{}, keys: map[string]booking.Accepted{}}
		var err error
		if m.tickets, err = stock.NewTickets([]byte("sixteen bytes or more")); err != nil {
			t.Fatal(err)
		}
		s := newSale(t, client, items, func(o *stock.Options) {
			o.Depth, o.Entries, o.Tickets = m.depth, m.entries, m.tickets
		})
		defer s.Close()
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				ins := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) stock.Submit {
					return stock.Submit{User: booking.UserID(rapid.IntRange(0, 6).Draw(t, "user")), Item: rapid.IntRange(0, len(items)).Draw(t, "item"),
						Other: rapid.Bool().Draw(t, "other"), Senior: rapid.Bool().Draw(t, "senior"), Key: fmt.Sprintf("k%d", rapid.IntRange(0, 12).Draw(t, "key"))}
				}), 1, 8).Draw(t, "submits")
				got, err := s.TakeBatch(ctx, ins)
				if err != nil {
					t.Fatal(err)
				}
				for i, in := range ins {
					if want := m.take(in); got[i] != want {
						t.Fatalf("submit %d %+v: got %+v, want %+v", i, in, got[i], want)
					}
				}
			},
			"refund": func(t *rapid.T) {
				a, holds := m.users[booking.UserID(rapid.IntRange(0, 6).Draw(t, "user"))]
				done, err := s.Refund(ctx, a)
				if err != nil || done != holds {
					t.Fatalf("refund of %+v: %v, %v", a, done, err)
				}
				if holds {
					delete(m.users, a.User)
					if !m.entries {
						m.free[a.Item]++
					}
				}
			},
			"write": func(t *rapid.T) { // the ledger takes from the queue
				n := rapid.IntRange(1, 3).Draw(t, "n") // 0 means all on one store and none on another
				ms, err := client.XRangeN(ctx, s.stream, "-", "+", int64(n)).Result()
				if err != nil {
					t.Fatal(err)
				}
				for i, e := range ms {
					text, _ := e.Values["e"].(string)
					if a, err := booking.ParseAccepted(text); err != nil || a.Ticket != m.queue[i] {
						t.Fatalf("the queue holds %q at %d, want ticket %v", text, i, m.queue[i])
					}
					client.XDel(ctx, s.stream, e.ID)
				}
				m.queue = m.queue[len(ms):]
			},
			"": func(t *rapid.T) {
				free, err := s.Free(ctx)
				if err != nil || !slices.Equal(free, m.free) {
					t.Fatalf("free %v, %v; want %v", free, err, m.free)
				}
				gone, err := s.SoldOut(ctx)
				if want := !m.entries && m.total() == 0; err != nil || gone != want {
					t.Fatalf("sold out %v, %v; want %v", gone, err, want)
				}
				held := map[booking.UserID]booking.Accepted{}
				if err := s.Holders(ctx, func(a booking.Accepted) error {
					held[a.User] = a
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				if len(held) != len(m.users) {
					t.Fatalf("%d holders, want %d", len(held), len(m.users))
				}
				used := 0
				for u, a := range m.users { // compared, not reported: no order
					h := held[u]
					if h.At, a.At = 0, 0; h != a {
						t.Fatalf("user %d holds %+v, want %+v", u, h, a)
					}
					used++
				}
				if !m.entries {
					sum := 0
					for i := range items {
						if free[i] < 0 {
							t.Fatalf("item %d: %d free", i, free[i])
						}
						sum += items[i] - free[i]
					}
					if sum != used {
						t.Fatalf("%d taken, %d held", sum, used)
					}
				}
				if n := client.XLen(ctx, s.stream).Val(); int(n) != len(m.queue) {
					t.Fatalf("%d in the queue, want %d", n, len(m.queue))
				}
			},
		})
	})
}
