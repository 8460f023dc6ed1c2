package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/queue"
)

// Open makes a client of a store and closes it when the test ends. The store may
// hold anything: every test uses an event of its own.
type Open func(t testing.TB) redis.UniversalClient

var events atomic.Int64

// Event is a name that no other test of this process uses.
func Event() string { return fmt.Sprintf("q%d-%d", time.Now().UnixNano(), events.Add(1)) }

// idle is long enough for a call to a store, and short enough for a test.
const idle = 20 * time.Millisecond

// New opens a queue for a test.
func New(t testing.TB, client redis.UniversalClient, event, consumer string) *queue.Queue {
	t.Helper()
	q, err := queue.New(client, queue.Options{Event: event, Consumer: consumer, Attempts: 3, Idle: idle, Clock: clock.NewWall()})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	return q
}

// Entry is the n-th accepted submit of a test; some are a lottery's entries, edits and
// withdrawals.
func Entry(n int) booking.Accepted {
	a := booking.Accepted{User: booking.UserID(n), Item: n % 7, At: time.Duration(n), Other: n%2 == 1, Senior: n%5 == 1, Change: booking.Change(n % 4 % 3)}
	a.Ticket[0], a.Ticket[14], a.Ticket[15] = 1, byte(n>>8), byte(n)
	if a.Change != 0 {
		a.Entry = a.Ticket
		a.Entry[0] = 2
	}
	return a
}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("in order", func(t *testing.T) { inOrder(t, open(t)) })
	t.Run("in hand", func(t *testing.T) { inHand(t, open(t)) })
	t.Run("crash", func(t *testing.T) { crash(t, open(t)) })
	t.Run("attempts", func(t *testing.T) { attempts(t, open(t)) })
	t.Run("crash loop", func(t *testing.T) { crashLoop(t, open(t)) })
	t.Run("poison", func(t *testing.T) { poison(t, open(t)) })
	t.Run("dead letters", func(t *testing.T) { deadLetters(t, open(t)) })
	t.Run("not open", func(t *testing.T) { notOpen(t, open(t)) })
	t.Run("age", func(t *testing.T) { age(t, open(t)) })
}

func put(t testing.TB, q *queue.Queue, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := q.Put(context.Background(), Entry(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, q *queue.Queue, n int) []booking.Delivery {
	t.Helper()
	ds, err := q.Read(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// readUntil reads until something comes, for as long as a slow machine may need.
func readUntil(t testing.TB, q *queue.Queue, n int) []booking.Delivery {
	t.Helper()
	for range 500 {
		if ds := read(t, q, n); len(ds) > 0 {
			return ds
		}
		<-time.After(idle / 2)
	}
	t.Fatal("nothing came")
	return nil
}

func depth(t testing.TB, q *queue.Queue, want int) {
	t.Helper()
	if n, err := q.Depth(context.Background()); err != nil || n != want {
		t.Fatalf("depth %d, %v; want %d", n, err, want)
	}
}

func inOrder(t *testing.T, client redis.UniversalClient) {
	q := New(t, client, Event(), "")
	if ds := read(t, q, 5); len(ds) != 0 {
		t.Fatalf("an empty queue gave %v", ds)
	}
	put(t, q, 0, 10)
	var got []booking.Accepted
	for _, n := range []int{3, 0, -1, 100} {
		ds := read(t, q, n)
		if len(ds) > max(n, 0) {
			t.Fatalf("asked for %d, got %d", n, len(ds))
		}
		for _, d := range ds {
			if d.Count != 1 {
				t.Fatalf("first delivery counted %d", d.Count)
			}
			got = append(got, d.Accepted)
		}
		depth(t, q, 10-len(got)+len(ds))
		if err := q.Ack(context.Background(), ds...); err != nil {
			t.Fatal(err)
		}
		if err := q.Ack(context.Background(), ds...); err != nil {
			t.Fatalf("acknowledging again: %v", err)
		}
	}
	for i, a := range got {
		if a != Entry(i) {
			t.Fatalf("entry %d is %+v", i, a)
		}
	}
	if len(got) != 10 {
		t.Fatalf("%d entries", len(got))
	}
	depth(t, q, 0)
}

// inHand: what this process holds never comes twice, and counts no attempt,
// however long it is held.
func inHand(t *testing.T, client redis.UniversalClient) {
	q := New(t, client, Event(), "")
	put(t, q, 0, 2)
	ds := read(t, q, 10)
	for range 5 {
		<-time.After(idle * 3 / 2)
		if again := read(t, q, 10); len(again) != 0 {
			t.Fatalf("held entries came again: %v", again)
		}
	}
	if dead, err := q.Fail(context.Background(), ds[0], "x"); dead || err != nil {
		t.Fatalf("failed the first time: dead %v, %v", dead, err)
	}
	back := readUntil(t, q, 10)
	if len(back) != 1 || back[0].Accepted != ds[0].Accepted || back[0].Count != 2 {
		t.Fatalf("given back, got %+v", back)
	}
}

// crash: what a dead consumer held comes to another one.
func crash(t *testing.T, client redis.UniversalClient) {
	event := Event()
	first := New(t, client, event, "first")
	put(t, first, 0, 3)
	if ds := read(t, first, 2); len(ds) != 2 {
		t.Fatalf("%d entries", len(ds))
	}
	// The process dies here; a new one takes over, under the same name or another.
	for i, name := range []string{"second", "first"} {
		q := New(t, client, event, name)
		seen := map[booking.Ticket]int{}
		for len(seen) < 3 {
			for _, d := range readUntil(t, q, 10) {
				seen[d.Ticket] = d.Count
			}
		}
		if seen[Entry(0).Ticket] != i+2 || seen[Entry(2).Ticket] != i+1 {
			t.Fatalf("round %d: counts %v", i, seen)
		}
	}
	depth(t, first, 3)
}

func attempts(t *testing.T, client redis.UniversalClient) {
	q := New(t, client, Event(), "")
	ctx := context.Background()
	put(t, q, 0, 2)
	bad, good := 0, 0
	for bad < 3 || good < 1 {
		for _, d := range readUntil(t, q, 10) {
			if d.User == 1 {
				good++
				if err := q.Ack(ctx, d); err != nil {
					t.Fatal(err)
				}
				continue
			}
			bad++
			if d.Count != bad {
				t.Fatalf("delivery %d counted %d", bad, d.Count)
			}
			dead, err := q.Fail(ctx, d, "cannot be written")
			if err != nil || dead != (bad == 3) {
				t.Fatalf("delivery %d: dead %v, %v", bad, dead, err)
			}
			if dead { // burying again must not make a second letter
				if _, err := q.Fail(ctx, d, "again"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	depth(t, q, 0)
	ls, err := q.List(ctx, "", 10)
	if err != nil || len(ls) != 1 {
		t.Fatalf("%d letters, %v", len(ls), err)
	}
	if l := ls[0]; !l.Decoded || l.Accepted != Entry(0) || l.Reason != "cannot be written" || l.Attempts != 3 {
		t.Fatalf("letter %+v", l)
	}
}

// crashLoop: an entry that kills its consumer each time is buried as well.
func crashLoop(t *testing.T, client redis.UniversalClient) {
	event := Event()
	put(t, New(t, client, event, "w"), 0, 1)
	for range 3 {
		readUntil(t, New(t, client, event, "w"), 1)
	}
	q := New(t, client, event, "w")
	for range 500 {
		if ds := read(t, q, 1); len(ds) != 0 {
			t.Fatalf("handed out a fourth time: %+v", ds)
		}
		if n, err := q.DeadCount(context.Background()); err != nil {
			t.Fatal(err)
		} else if n == 1 {
			depth(t, q, 0)
			return
		}
		<-time.After(idle / 2)
	}
	t.Fatal("never buried")
}

func poison(t *testing.T, client redis.UniversalClient) {
	event := Event()
	q := New(t, client, event, "")
	ctx := context.Background()
	add := func(kv ...string) {
		t.Helper()
		if err := client.XAdd(ctx, &redis.XAddArgs{Stream: queue.StreamKey(event), Values: kv}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	add("e", "garbage")
	add("f", "no such field")
	add("e", "1 "+Entry(5).Ticket.String()+" damaged")
	put(t, q, 0, 1)
	ds := read(t, q, 10)
	if len(ds) != 1 || ds[0].Accepted != Entry(0) {
		t.Fatalf("behind poison: %+v", ds)
	}
	if err := q.Ack(ctx, ds...); err != nil {
		t.Fatal(err)
	}
	depth(t, q, 0)
	ls, err := q.List(ctx, "", 10)
	if err != nil || len(ls) != 3 {
		t.Fatalf("%d letters, %v", len(ls), err)
	}
	for i, l := range ls {
		if l.Decoded || !strings.Contains(l.Reason, "cannot be decoded") || l.Attempts != 1 {
			t.Fatalf("letter %d: %+v", i, l)
		}
		if err := q.Replay(ctx, l.ID, "me", "hope"); !errors.Is(err, queue.ErrUndecodable) {
			t.Fatalf("replayed poison: %v", err)
		}
	}
	if ls[2].Accepted.Ticket != Entry(5).Ticket {
		t.Fatal("a damaged entry lost its ticket")
	}
}

func deadLetters(t *testing.T, client redis.UniversalClient) {
	q := New(t, client, Event(), "")
	ctx := context.Background()
	put(t, q, 0, 5)
	for n := 0; n < 5; {
		for _, d := range readUntil(t, q, 10) {
			d.Count = 3
			if dead, err := q.Fail(ctx, d, strings.Repeat("long ", 100)); !dead || err != nil {
				t.Fatalf("%v, %v", dead, err)
			}
			n++
		}
	}
	all, err := q.List(ctx, "", 2)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d, %v", len(all), err)
	}
	rest, err := q.List(ctx, all[1].ID, 10)
	if err != nil || len(rest) != 3 {
		t.Fatalf("%d, %v", len(rest), err)
	}
	all = append(all, rest...)
	for i, l := range all {
		shown, err := q.Show(ctx, l.ID)
		if err != nil || shown != l || l.Accepted != Entry(i) || len(l.Reason) > 300 {
			t.Fatalf("letter %d: %+v shown as %+v, %v", i, l, shown, err)
		}
	}
	if err := q.Replay(ctx, all[0].ID, "", "x"); !errors.Is(err, queue.ErrNobody) {
		t.Fatalf("nobody replayed: %v", err)
	}
	if err := q.Replay(ctx, all[0].ID, "Li", "database was full"); err != nil {
		t.Fatal(err)
	}
	gone, err := q.Discard(ctx, all[1].ID, "Wang", "user asked")
	if err != nil || gone.Accepted != Entry(1) {
		t.Fatalf("%+v, %v", gone, err)
	}
	for _, id := range []string{all[0].ID, all[1].ID, "0-1", "x", "", "1-", "-1", "99999999999999999999999-0"} {
		if err := q.Replay(ctx, id, "Li", ""); !errors.Is(err, queue.ErrNoLetter) {
			t.Fatalf("replay of %q: %v", id, err)
		}
		if _, err := q.Discard(ctx, id, "Li", ""); !errors.Is(err, queue.ErrNoLetter) {
			t.Fatalf("discard of %q: %v", id, err)
		}
		if _, err := q.Show(ctx, id); !errors.Is(err, queue.ErrNoLetter) {
			t.Fatalf("show of %q: %v", id, err)
		}
	}
	if ds := readUntil(t, q, 10); len(ds) != 1 || ds[0].Accepted != Entry(0) || ds[0].Count != 1 {
		t.Fatalf("replayed: %+v", ds)
	}
	acts, err := q.Audit(ctx, 10)
	if err != nil || len(acts) != 2 {
		t.Fatalf("%+v, %v", acts, err)
	}
	for i, want := range []queue.Act{{Who: "Li", What: "replay", Why: "database was full", Letter: all[0].ID, Ticket: Entry(0).Ticket},
		{Who: "Wang", What: "discard", Why: "user asked", Letter: all[1].ID, Ticket: Entry(1).Ticket}} {
		got := acts[i]
		if got.At <= 0 || got.ID == "" {
			t.Fatalf("line %d has no time: %+v", i, got)
		}
		got.At, got.ID = 0, ""
		if got != want {
			t.Fatalf("line %d: %+v, want %+v", i, got, want)
		}
	}
	collect := func(f func(context.Context, func(booking.Accepted) error) error) (users []int) {
		t.Helper()
		if err := f(ctx, func(a booking.Accepted) error {
			users = append(users, int(a.User))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return users
	}
	if got := collect(q.Entries); !slices.Equal(got, []int{0}) {
		t.Fatalf("waiting: %v", got)
	}
	if got := collect(q.Dead); !slices.Equal(got, []int{2, 3, 4}) {
		t.Fatalf("dead: %v", got)
	}
	if got := collect(q.Resolved); !slices.Equal(got, []int{1}) {
		t.Fatalf("resolved: %v", got)
	}
	stop := errors.New("stop")
	if err := q.Dead(ctx, func(booking.Accepted) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("an error of f was swallowed: %v", err)
	}
}

func notOpen(t *testing.T, client redis.UniversalClient) {
	q, err := queue.New(client, queue.Options{Event: Event(), Idle: time.Hour, Clock: clock.NewWall()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := q.Read(ctx, 1); !errors.Is(err, queue.ErrNotOpen) {
		t.Fatalf("reading: %v", err)
	}
	if err := q.Put(ctx, Entry(1)); !errors.Is(err, queue.ErrNotOpen) {
		t.Fatalf("writing: %v", err)
	}
	for range 2 {
		if err := q.Open(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if ds := read(t, q, 1); len(ds) != 0 {
		t.Fatalf("%v", ds)
	}
}

// still is a clock that stands.
type still struct{ now time.Duration }

func (c *still) Now() time.Duration { return c.now }
func (c *still) AfterFunc(time.Duration, func()) func() bool {
	panic("the queue sets no timers")
}

func age(t *testing.T, client redis.UniversalClient) {
	event := Event()
	c := &still{now: 10 * time.Second}
	q, err := queue.New(client, queue.Options{Event: event, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := q.Open(ctx); err != nil {
		t.Fatal(err)
	}
	want := func(d time.Duration) {
		t.Helper()
		if got, err := q.OldestAge(ctx); err != nil || got != d {
			t.Fatalf("age %v, %v; want %v", got, err, d)
		}
	}
	want(0)
	client.XAdd(ctx, &redis.XAddArgs{Stream: queue.StreamKey(event), Values: []string{"e", "poison"}})
	a, b := Entry(1), Entry(2)
	a.At, b.At = 4*time.Second, 9*time.Second
	for _, e := range []booking.Accepted{a, b} {
		if err := q.Put(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	want(6 * time.Second)
	ds := read(t, q, 1) // the poison
	ds = append(ds, read(t, q, 1)...)
	want(6 * time.Second) // delivered is not done
	if err := q.Ack(ctx, ds...); err != nil {
		t.Fatal(err)
	}
	want(time.Second)
}
