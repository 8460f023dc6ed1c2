package lottery

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
)

// hand is a clock that is set by hand.
type hand struct {
	clock.Wall
	at time.Duration
}

func (h *hand) Now() time.Duration { return h.at }

// house is store and ledger in one, in maps: what is accepted waits until written.
type house struct {
	t       *testing.T
	rules   policy.LotteryRules
	clock   *hand
	places  map[booking.UserID]booking.Ticket
	keys    map[string]booking.Ticket
	known   map[booking.Ticket]booking.Outcome
	edited  map[booking.UserID]policy.Day
	queue   []booking.Accepted
	entries map[booking.Ticket]*Holding
	down    error // of the store
	dark    error // of the ledger
}

func (b *house) Enter(_ context.Context, r Request) (booking.Outcome, booking.Ticket, bool, bool, error) {
	if b.down != nil {
		return booking.Unknown, booking.Ticket{}, false, false, b.down
	}
	t, has := b.places[r.User]
	if used, ok := b.keys[r.Key]; ok {
		return booking.Queued, used, true, has && t == used, nil
	}
	if has {
		return booking.Queued, t, true, true, nil
	}
	t = booking.Ticket{byte(r.User), byte(len(b.keys) + 1)}
	b.places[r.User], b.keys[r.Key], b.known[t] = t, t, booking.Pending
	b.queue = append(b.queue, booking.Accepted{Ticket: t, User: r.User, Item: r.Item, Other: r.Other, Senior: r.Senior, At: b.clock.at})
	return booking.Queued, t, false, true, nil
}

func (b *house) Change(_ context.Context, a booking.Accepted, withdrawal booking.Ticket) (booking.Outcome, bool, error) {
	if b.down != nil {
		return booking.Unknown, false, b.down
	}
	day := b.rules.Day(a.At)
	switch {
	case b.known[a.Ticket] == booking.Refused:
		return booking.Duplicate, false, nil
	case b.known[a.Ticket] != 0:
		return booking.Queued, true, nil
	case b.known[withdrawal] != 0:
		return booking.Refused, false, nil
	case a.Change == booking.ChangeEdit && b.edited[a.User] == day:
		return booking.Duplicate, false, nil
	}
	if a.Change == booking.ChangeEdit {
		b.edited[a.User] = day
	}
	b.known[a.Ticket] = booking.Pending
	b.queue = append(b.queue, a)
	return booking.Queued, false, nil
}

func (b *house) Release(_ context.Context, u booking.UserID, t booking.Ticket) (bool, error) {
	if b.places[u] != t {
		return false, nil
	}
	delete(b.places, u)
	return true, nil
}

func (b *house) Known(_ context.Context, t booking.Ticket) (booking.Outcome, error) {
	if o := b.known[t]; o != 0 {
		return o, b.down
	}
	return booking.Unknown, b.down
}

func (b *house) Count(context.Context) (int, error) { return len(b.places), b.down }

func (b *house) Entry(_ context.Context, t booking.Ticket) (Holding, bool, error) {
	if h := b.entries[t]; h != nil && b.dark == nil {
		return *h, true, nil
	}
	return Holding{}, false, b.dark
}

func (b *house) Result(ctx context.Context, t booking.Ticket) (booking.Outcome, error) {
	if b.dark != nil {
		return booking.Unknown, b.dark
	}
	return b.Known(ctx, t)
}

// write empties the queue.
func (b *house) write() {
	for _, a := range b.queue {
		b.known[a.Ticket] = booking.Confirmed
		switch h := b.entries[a.Entry]; a.Change {
		case 0:
			b.entries[a.Ticket] = &Holding{Person: a.User, Item: a.Item, Other: a.Other, Standing: policy.Standing{Entered: a.At, Senior: a.Senior}}
		case booking.ChangeEdit:
			h.Item, h.Other, h.Edited = a.Item, a.Other, a.At
			h.Standing.Edited, h.EditOn = true, b.rules.Day(a.At)
		case booking.ChangeWithdraw:
			h.Withdrawn = a.At
		}
	}
	b.queue = nil
}

// day is the day of the tests: 18 February 2020.
const day policy.Day = 18310

func newHouse(t *testing.T) (*house, *Desk) {
	r := policy.DefaultLotteryRules()
	b := &house{t: t, rules: r, clock: &hand{}, places: map[booking.UserID]booking.Ticket{}, keys: map[string]booking.Ticket{},
		known: map[booking.Ticket]booking.Outcome{}, edited: map[booking.UserID]policy.Day{}, entries: map[booking.Ticket]*Holding{}}
	b.at(day, 12*time.Hour)
	return b, New(b, b, r, b.clock)
}

func (b *house) at(d policy.Day, tod time.Duration) { b.clock.at = b.rules.Start(d) + tod }

// says checks an answer; from is an offset from midnight of the day of the tests.
func (b *house) says(what string, a Answer, err error, want booking.Outcome, why string, from time.Duration) booking.Ticket {
	b.t.Helper()
	got := time.Duration(0)
	if a.From != 0 {
		got = a.From - b.rules.Start(day)
	}
	if a.Outcome != want || err != nil || !strings.Contains(a.Why, why) || (why == "") != (a.Why == "") || got != from {
		b.t.Fatalf("%s: %+v (from %v), %v; want %v because %q, from %v", what, a, got, err, want, why, from)
	}
	return a.Ticket
}

func TestDeskEnter(t *testing.T) {
	ctx := context.Background()
	b, d := newHouse(t)
	enter := func(key string) (Answer, error) {
		return d.Enter(ctx, Request{User: 1, Item: 2, Key: key, Other: true})
	}
	a, err := enter("a")
	first := b.says("an entry", a, err, booking.Queued, "", 0)
	for _, key := range []string{"a", "b"} {
		a, err = enter(key)
		if got := b.says("again, unwritten", a, err, booking.Queued, "", 0); got != first {
			t.Fatalf("%v, want %v", got, first)
		}
	}
	b.write()
	b.at(day+9, 12*time.Hour)
	a, err = enter("b")
	if got := b.says("again", a, err, booking.Queued, "", 0); got != first {
		t.Fatalf("%v, want %v", got, first)
	}
	b.dark = errors.New("dark")
	if a, err := enter("b"); a.Outcome != booking.Queued || a.Ticket != first || !errors.Is(err, b.dark) {
		t.Fatalf("with the ledger down: %+v, %v", a, err)
	}
	b.dark = nil

	b.at(day+10, 22*time.Hour) // its ten draws are sealed
	a, err = enter("a")
	b.says("the old key holds the place", a, err, booking.Refused, "another", 0)
	a, err = enter("b")
	second := b.says("a new entry", a, err, booking.Queued, "", 0)
	if second == first {
		t.Fatal("an entry that is over was given again")
	}
	a, err = enter("a")
	b.says("a spent key", a, err, booking.Refused, "another", 0)
	b.write()

	b.entries[second].HasWon, b.entries[second].Won = true, day+12
	b.at(day+12, 20*time.Hour)
	a, err = enter("c")
	b.says("after a win", a, err, booking.Wait, "won on 2020-03-01: may enter again on 2020-03-12", 23*24*time.Hour)
	b.at(day+23, 0)
	a, err = enter("c")
	third := b.says("after the wait", a, err, booking.Queued, "", 0)
	b.write()
	a, err = d.Withdraw(ctx, third)
	b.says("a withdrawal", a, err, booking.Queued, "", 0)
	b.write()
	a, err = enter("d")
	b.says("after it", a, err, booking.Wait, "withdrawn", 23*24*time.Hour+22*time.Hour)
	b.at(day+23, 22*time.Hour)
	a, err = enter("d")
	b.says("after the seal", a, err, booking.Queued, "", 0)

	b.down = errors.New("down")
	if a, err := enter("e"); a.Outcome != booking.Unknown || !errors.Is(err, b.down) {
		t.Fatalf("with the store down: %+v, %v", a, err)
	}
	b.down = nil
	c := d.Counts()
	if c.Taken != 4 || c.Repeated != 4 || c.Withdrawals != 1 || c.Refused["waiting"] != 1 || c.Refused["sits-out"] != 1 || c.Refused["over"] != 2 {
		t.Fatalf("%+v", c)
	}
	if n, err := d.Count(ctx); n != 1 || err != nil {
		t.Fatalf("%d places, %v", n, err)
	}
	for _, kind := range Reasons() {
		if _, has := c.Refused[kind]; !has {
			t.Errorf("no count of %s", kind)
		}
	}
}

func TestDeskEdit(t *testing.T) {
	ctx := context.Background()
	b, d := newHouse(t)
	a, err := d.Enter(ctx, Request{User: 1, Item: 2, Key: "a"})
	ticket := b.says("an entry", a, err, booking.Queued, "", 0)
	edit := func(item int, other bool) (Answer, error) { return d.Edit(ctx, ticket, item, other) }
	window := 18*time.Hour + 30*time.Minute
	b.at(day, window)
	a, err = edit(3, true)
	b.says("unwritten", a, err, booking.Pending, "not written yet", 0)
	a, err = d.Withdraw(ctx, ticket)
	b.says("unwritten", a, err, booking.Pending, "not written yet", 0)
	a, err = d.Edit(ctx, booking.Ticket{99}, 3, true)
	b.says("no such entry", a, err, booking.Unknown, "", 0)
	b.write()

	b.at(day, window-1)
	a, err = edit(3, true)
	b.says("before the window", a, err, booking.Wait, "18:30 to 21:30", window)
	b.at(day, window)
	a, err = edit(3, true)
	b.says("in the window", a, err, booking.Queued, "", 0)
	a, err = edit(4, true)
	b.says("another, the first unwritten", a, err, booking.Duplicate, "once today", window+24*time.Hour)
	b.at(day, 21*time.Hour+30*time.Minute)
	a, err = edit(3, true)
	b.says("its repetition, late and unwritten", a, err, booking.Queued, "", 0)
	b.write()
	a, err = edit(3, true)
	b.says("its repetition, late", a, err, booking.Confirmed, "", 0)
	a, err = edit(4, true)
	b.says("another, late", a, err, booking.Duplicate, "2020-02-19", window+24*time.Hour)
	a, err = d.Look(ctx, ticket)
	b.says("a look", a, err, booking.Confirmed, "", 0)
	if h := a.Holding; h == nil || h.Item != 3 || !h.Other || h.Edited != b.rules.Start(day)+window || d.State(*h) != "live" {
		t.Fatalf("%+v", a.Holding)
	}
	b.at(day+1, 21*time.Hour+30*time.Minute)
	a, err = edit(3, true)
	b.says("yesterday's wish", a, err, booking.Closed, "18:30 to 21:30", window+48*time.Hour)

	b.at(day+1, window)
	a, err = edit(2, false)
	b.says("back to the first", a, err, booking.Queued, "", 0)
	b.write()
	a, err = d.Withdraw(ctx, ticket)
	b.says("a withdrawal", a, err, booking.Queued, "", 0)
	b.at(day+2, window)
	a, err = edit(3, true)
	b.says("an edit meanwhile", a, err, booking.Refused, "withdrawn", 0)
	b.write()
	a, err = edit(3, true)
	b.says("an edit after it", a, err, booking.Refused, "over", 0)
	a, err = d.Withdraw(ctx, ticket)
	b.says("again", a, err, booking.Confirmed, "", 0)
	if a, err := d.Look(ctx, ticket); err != nil || d.State(*a.Holding) != "withdrawn" {
		t.Fatalf("%+v, %v", a, err)
	}

	a, err = d.Enter(ctx, Request{User: 2, Item: 0, Key: "b"})
	other := b.says("another person", a, err, booking.Queued, "", 0)
	b.write()
	b.at(day+12, 22*time.Hour)
	a, err = d.Withdraw(ctx, other)
	b.says("when it is over", a, err, booking.Refused, "over", 0)
	if a, err := d.Look(ctx, other); err != nil || d.State(*a.Holding) != "over" {
		t.Fatalf("%+v, %v", a, err)
	}
	b.dark = errors.New("dark")
	for what, f := range map[string]func() (Answer, error){"edit": func() (Answer, error) { return edit(3, true) },
		"withdraw": func() (Answer, error) { return d.Withdraw(ctx, ticket) }, "look": func() (Answer, error) { return d.Look(ctx, ticket) }} {
		if a, err := f(); a.Outcome != booking.Unknown || !errors.Is(err, b.dark) {
			t.Errorf("%s with the ledger down: %+v, %v", what, a, err)
		}
	}
	c := d.Counts()
	if c.Edits != 2 || c.Withdrawals != 1 || c.Refused["early"] != 1 || c.Refused["late"] != 1 || c.Refused["edited"] != 2 || c.Refused["over"] != 3 || c.Refused[notWritten] != 2 {
		t.Fatalf("%+v", c)
	}
}

// The same wish has the same ticket, another wish another.
func TestChangeTicket(t *testing.T) {
	seen := map[booking.Ticket]string{}
	for _, c := range []struct {
		name  string
		entry byte
		kind  booking.Change
		day   policy.Day
		item  int
		other bool
	}{
		{"edit", 1, booking.ChangeEdit, day, 2, false}, {"another entry's", 2, booking.ChangeEdit, day, 2, false},
		{"another day's", 1, booking.ChangeEdit, day + 1, 2, false}, {"another item", 1, booking.ChangeEdit, day, 3, false},
		{"other", 1, booking.ChangeEdit, day, 2, true}, {"withdrawal", 1, booking.ChangeWithdraw, 0, 0, false},
		{"another's withdrawal", 2, booking.ChangeWithdraw, 0, 0, false},
	} {
		ticket := changeTicket(booking.Ticket{c.entry}, c.kind, c.day, c.item, c.other)
		if was, has := seen[ticket]; has {
			t.Errorf("%s and %s have one ticket", was, c.name)
		}
		seen[ticket] = c.name
	}
	a, b := changeTicket(booking.Ticket{1}, booking.ChangeWithdraw, 1, 2, true), changeTicket(booking.Ticket{1}, booking.ChangeWithdraw, 3, 4, false)
	if a != b {
		t.Error("an entry has two withdrawals")
	}
}
