package stocktest

import (
	"context"
	"encoding/binary"
	"errors"
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

// hand is a clock whose moment is set by hand; its timers are the wall's.
type hand struct {
	clock.Wall
	at atomic.Int64
}

func newHand(at time.Duration) *hand {
	h := &hand{Wall: clock.NewWall()}
	h.at.Store(int64(at))
	return h
}

func (h *hand) Now() time.Duration { return time.Duration(h.at.Load()) }

// evening is a moment in the edit window of a day.
func evening(d policy.Day) time.Duration {
	r := policy.DefaultLotteryRules()
	return r.Start(d) + r.EditFrom
}

// today is a day of February 2020.
const today policy.Day = 18311

func entry(user int) booking.Ticket {
	t := booking.Ticket{2}
	binary.BigEndian.PutUint64(t[8:], uint64(user))
	return t
}

func withdrawal(user int) booking.Ticket {
	t := entry(user)
	t[0] = 3
	return t
}

// edit is what a desk makes of a wish: the same wish of a day has the same ticket.
func edit(user, item int, at time.Duration) booking.Accepted {
	a := booking.Accepted{User: booking.UserID(user), Item: item, At: at, Change: booking.ChangeEdit, Entry: entry(user)}
	a.Ticket = a.Entry
	a.Ticket[0] = 4
	binary.BigEndian.PutUint32(a.Ticket[1:], uint32(policy.DefaultLotteryRules().Day(at)))
	a.Ticket[5] = byte(item)
	return a
}

func withdraw(user int, at time.Duration) booking.Accepted {
	return booking.Accepted{User: booking.UserID(user), At: at, Change: booking.ChangeWithdraw, Entry: entry(user), Ticket: withdrawal(user)}
}

func change(t require, s *stock.Store, a booking.Accepted, want booking.Outcome, again bool) {
	t.Helper()
	r, err := s.Change(context.Background(), a, withdrawal(int(a.User)))
	if r.Outcome != want || (err != nil) != (want == booking.Unknown) || r.Replay != again || (want == booking.Queued) != (r.Ticket == a.Ticket) {
		t.Fatalf("%v of user %d: %+v, %v; want %v, again %v", a.Change, a.User, r, err, want, again)
	}
}

func changes(t *testing.T, client redis.UniversalClient) {
	ctx := context.Background()
	clk := newHand(evening(today))
	s := newSale(t, client, []int{0, 0}, func(o *stock.Options) { o.Entries, o.Clock, o.Depth = true, clk, 6 })
	defer s.Close()
	now := clk.Now()
	change(t, s.Store, edit(1, 0, now), booking.Queued, false)
	change(t, s.Store, edit(1, 0, now+1), booking.Queued, true)
	change(t, s.Store, edit(1, 1, now+1), booking.Duplicate, false)
	change(t, s.Store, edit(2, 1, now), booking.Queued, false)
	tomorrow := evening(today + 1)
	change(t, s.Store, edit(1, 1, tomorrow), booking.Queued, false)
	change(t, s.Store, edit(1, 0, now), booking.Queued, true) // the repetition of an old one is still known
	change(t, s.Store, withdraw(2, now), booking.Queued, false)
	change(t, s.Store, withdraw(2, now+1), booking.Queued, true)
	change(t, s.Store, edit(2, 0, tomorrow), booking.Refused, false)

	// Nothing of a moment before the seal gets in after it, by whatever clock.
	seal := tomorrow + time.Hour
	if err := s.Seal(ctx, seal); err != nil {
		t.Fatal(err)
	}
	if err := s.Seal(ctx, seal-time.Hour); err != nil { // it does not go back
		t.Fatal(err)
	}
	change(t, s.Store, edit(3, 0, seal-1), booking.Unknown, false)
	if _, err := s.Change(ctx, withdraw(3, seal-1), withdrawal(3)); !errors.Is(err, stock.ErrSealed) {
		t.Fatalf("a late withdrawal: %v", err)
	}
	clk.at.Store(int64(seal - 1))
	if r, err := s.Take(ctx, stock.Submit{User: 9, Item: 0, Key: "late"}); r.Outcome != booking.Unknown || !errors.Is(err, stock.ErrSealed) {
		t.Fatalf("a late entry: %+v, %v", r, err)
	}
	clk.at.Store(int64(seal))
	first := take(t, s.Store, 9, 0, "late", booking.Queued)
	clk.at.Store(int64(seal - 1))
	if again := take(t, s.Store, 9, 0, "late", booking.Queued); again.Ticket != first.Ticket { // it asks, it does not enter
		t.Fatalf("a replay: %+v", again)
	}
	change(t, s.Store, edit(3, 0, seal), booking.Queued, false)
	change(t, s.Store, edit(4, 0, seal), booking.Busy, false) // six wait
	if n := client.XLen(ctx, s.stream).Val(); n != 6 {
		t.Fatalf("%d in the queue", n)
	}

	// What was refused by the ledger is not accepted again, and the person has had
	// the day's edit.
	a := edit(3, 0, seal)
	client.HSet(ctx, s.opts.Results, a.Ticket.String(), "refused")
	change(t, s.Store, a, booking.Duplicate, false)
	if o, err := s.Known(ctx, a.Ticket); o != booking.Refused || err != nil {
		t.Fatalf("%v, %v", o, err)
	}
	if o, err := s.Known(ctx, edit(7, 0, seal).Ticket); o != booking.Unknown || err != nil {
		t.Fatalf("%v, %v", o, err)
	}

	// Only the ticket that is held is released.
	if done, err := s.Release(ctx, 9, entry(9)); done || err != nil {
		t.Fatalf("released by a strange ticket: %v, %v", done, err)
	}
	for _, want := range []bool{true, false} {
		if done, err := s.Release(ctx, 9, first.Ticket); done != want || err != nil {
			t.Fatalf("release: %v, %v", done, err)
		}
	}
	clk.at.Store(int64(seal))
	if r, err := s.Take(ctx, stock.Submit{User: 9, Item: 0, Key: "late"}); r.Held || !r.Replay || r.Ticket != first.Ticket || err != nil {
		t.Fatalf("an old key: %+v, %v", r, err)
	}
	client.Del(ctx, "{"+s.opts.Event+"}:state")
	change(t, s.Store, edit(5, 0, seal), booking.Unknown, false)
	if err := s.Seal(ctx, seal); !errors.Is(err, stock.ErrNotOpen) {
		t.Fatalf("sealed what is not there: %v", err)
	}

	// Gateways at once: one edit of a person and day is accepted.
	s = newSale(t, client, []int{0, 0}, func(o *stock.Options) { o.Entries, o.Clock = true, clk })
	defer s.Close()
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r, err := s.Change(ctx, edit(1, i, now), withdrawal(1))
			if err != nil || r.Outcome != booking.Queued && r.Outcome != booking.Duplicate {
				t.Errorf("%+v, %v", r, err)
			}
			if r.Outcome == booking.Queued {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	if n := accepted.Load(); n != 1 {
		t.Fatalf("%d edits of one person and day were accepted", n)
	}
}

// changesModel holds the script of changes against an oracle, with the memory of
// Redis lost and restored in between.
func changesModel(t *testing.T, client redis.UniversalClient) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		clk := newHand(evening(today))
		s := newSale(t, client, []int{0}, func(o *stock.Options) { o.Entries, o.Clock = true, clk })
		defer s.Close()
		day := today
		var sealed time.Duration
		known, withdrawn := map[booking.Ticket]booking.Accepted{}, map[int]bool{}
		edited := map[int]policy.Day{}
		var queue []booking.Accepted
		token := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				user := rapid.IntRange(0, 3).Draw(t, "user")
				at := evening(day) + time.Duration(rapid.IntRange(0, 3).Draw(t, "ms"))*time.Millisecond
				a := edit(user, rapid.IntRange(0, 2).Draw(t, "item"), at)
				if rapid.IntRange(0, 9).Draw(t, "withdraws") < 2 {
					a = withdraw(user, at)
				}
				_, again := known[a.Ticket]
				want := booking.Queued
				last, has := edited[user]
				switch {
				case again:
				case withdrawn[user]:
					want = booking.Refused
				case a.Change == booking.ChangeEdit && has && last >= day:
					want = booking.Duplicate
				case at < sealed:
					want = booking.Unknown
				default:
					known[a.Ticket] = a
					queue = append(queue, a)
					if a.Change == booking.ChangeWithdraw {
						withdrawn[user] = true
					} else {
						edited[user] = day
					}
				}
				change(t, s.Store, a, want, again)
			},
			"tomorrow": func(*rapid.T) { day++ },
			"seal": func(t *rapid.T) {
				at := evening(day) + time.Duration(rapid.IntRange(0, 3).Draw(t, "ms"))*time.Millisecond
				if err := s.Seal(ctx, at); err != nil {
					t.Fatal(err)
				}
				sealed = max(sealed, at)
			},
			"lose": func(t *rapid.T) {
				// Redis forgets everything; what waited is offered and restored.
				client.Del(ctx, "{"+s.opts.Event+"}:state", s.opts.Results, "{"+s.opts.Event+"}:changes", s.stream)
				token++
				if mine, err := s.Begin(ctx, token); !mine || err != nil {
					t.Fatalf("begin: %v, %v", mine, err)
				}
				if err := client.XGroupCreateMkStream(ctx, s.stream, "g", "0").Err(); err != nil {
					t.Fatal(err)
				}
				if err := s.Tend(ctx); err != nil {
					t.Fatal(err)
				}
				hs, err := s.Offers(ctx)
				if err != nil || len(hs) != len(queue) {
					t.Fatalf("%d offers, %v; %d changes were accepted", len(hs), err, len(queue))
				}
				if err := s.Restore(ctx, token, hs); err != nil {
					t.Fatal(err)
				}
				if err := s.Reopen(ctx, token, []int{0}, []int{0}, sealed); err != nil {
					t.Fatal(err)
				}
				client.Del(ctx, "{"+s.opts.Event+"}:offers")
			},
			"": func(t *rapid.T) {
				ms, err := client.XRange(ctx, s.stream, "-", "+").Result()
				if err != nil || len(ms) != len(queue) {
					t.Fatalf("%d in the queue, %v; want %d", len(ms), err, len(queue))
				}
				got := map[booking.Ticket]booking.Accepted{}
				for _, m := range ms {
					a, err := booking.ParseAccepted(fmt.Sprint(m.Values["e"]))
					if err != nil {
						t.Fatal(err)
					}
					got[a.Ticket] = a
				}
				for _, a := range queue {
					g := got[a.Ticket]
					if g.At, a.At = 0, 0; g != a { // a repetition has a moment of its own
						t.Fatalf("the queue has %+v, want %+v", g, a)
					}
				}
				if n, err := s.Count(ctx); n != 0 || err != nil {
					t.Fatalf("changes hold %d places, %v", n, err)
				}
			},
		})
	})
}

// readmitted: what a gateway offers of a sale that runs is accepted again, once, and
// a change that another has overtaken is refused.
func readmitted(t *testing.T, client redis.UniversalClient) {
	ctx := context.Background()
	clk := newHand(evening(today))
	s := newSale(t, client, []int{0, 0}, func(o *stock.Options) { o.Entries, o.Clock = true, clk })
	defer s.Close()
	now := clk.Now()
	e, err := s.Take(ctx, stock.Submit{User: 5, Item: 1, Key: "k", Other: true, Senior: true})
	if err != nil {
		t.Fatal(err)
	}
	change(t, s.Store, edit(1, 0, now), booking.Queued, false)
	change(t, s.Store, edit(2, 0, now), booking.Queued, false)
	before := client.XRange(ctx, s.stream, "-", "+").Val()
	client.XTrimMaxLen(ctx, s.stream, 0)
	client.Del(ctx, s.opts.Results, "{"+s.opts.Event+"}:changes", "{"+s.opts.Event+"}:users", "{"+s.opts.Event+"}:keys")
	if err := s.Tend(ctx); err != nil {
		t.Fatal(err)
	}
	clk.at.Store(int64(now + time.Minute))
	other, err := stock.New(client, s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	change(t, other, edit(2, 1, now), booking.Queued, false) // at a gateway that has lost nothing
	j := &bench{}
	if n, r, err := s.Admit(ctx, j); n != 2 || r != 1 || err != nil {
		t.Fatalf("%d accepted, %d refused, %v", n, r, err)
	}
	if want := []booking.Ticket{edit(2, 0, now).Ticket}; !slices.Equal(j.refused, want) {
		t.Fatalf("refused %v, want %v", j.refused, want)
	}
	var texts []string
	for _, m := range client.XRange(ctx, s.stream, "-", "+").Val() {
		texts = append(texts, fmt.Sprint(m.Values["e"]))
	}
	for _, m := range before[:2] {
		if text := fmt.Sprint(m.Values["e"]); !slices.Contains(texts, text) {
			t.Fatalf("%q did not come back as it was: %q", text, texts)
		}
	}
	if len(texts) != 3 {
		t.Fatalf("the queue holds %q", texts)
	}
	change(t, s.Store, edit(1, 1, now), booking.Duplicate, false)
	if err := s.Holders(ctx, func(a booking.Accepted) error {
		if want := (booking.Accepted{Ticket: e.Ticket, User: 5, Item: 1, Other: true, Senior: true, At: now}); a != want {
			t.Fatalf("%+v holds, want %+v", a, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// bench is a judge with nothing settled.
type bench struct{ refused []booking.Ticket }

func (b *bench) Settled(context.Context, booking.Accepted) (bool, error) { return false, nil }

func (b *bench) Refuse(_ context.Context, a booking.Accepted, _ string) error {
	b.refused = append(b.refused, a.Ticket)
	return nil
}
