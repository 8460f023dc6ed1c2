package reference

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/internal/wire"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
)

// leap is the wall clock, moved by hand.
type leap struct {
	clock.Wall
	by atomic.Int64
}

func (l *leap) Now() time.Duration { return l.Wall.Now() + time.Duration(l.by.Load()) }

// to moves the clock to a moment, forward; it goes on from there.
func (l *leap) to(at time.Duration) { l.by.Add(int64(at - l.Now())) }

// lotteryDay is the day of the tests of the desk.
const lotteryDay policy.Day = 18310 // 18 February 2020

// lots is a small lottery.
func lots() Config {
	c := sale()
	c.Mode, c.Native = booking.ModeLottery, true
	c.Stock.Items, c.Queue.Depth = []int{5, 5, 5}, 0
	return c
}

// serveLots opens a lottery at noon of the day of the tests.
func serveLots(t *testing.T, c Config) (*Stack, *leap) {
	t.Helper()
	clk := &leap{Wall: clock.WallFrom(time.Unix(0, 0))}
	clk.to(policy.DefaultLotteryRules().Start(lotteryDay) + 12*time.Hour)
	return serve(t, c, clk), clk
}

func (s *Stack) entryOf(t testing.TB, method, ticket, body string) reply {
	t.Helper()
	return call(t, method, s.ready.URL+wire.PathEntries+"/"+ticket, body)
}

// closeDay is CloseDay by the clock of a test.
func (s *Stack) closeDay(day policy.Day, within time.Duration) error {
	return CloseDayStores(context.Background(), s.stores.client, s.stores.writerDB, s.config, s.clock, day, within)
}

func listOf(t testing.TB, db *ledger.DB, day policy.Day) (out []string) {
	t.Helper()
	if err := db.DrawEntries(context.Background(), day, policy.DefaultLotteryRules(), func(e ledger.DrawEntry) error {
		out = append(out, fmt.Sprintf("%d:%d/%v", e.Person, e.Line, e.Other))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// A lottery over some days, by HTTP: entries, edits in the window, withdrawals, the
// seal, the draw, and what people are told of it.
func TestLotteryLives(t *testing.T) { lotteryLives(t, lots()) }

func lotteryLives(t *testing.T, c Config) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.ReceiptKey = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	s, clk := serveLots(t, c)
	ctx := context.Background()
	r := s.config.Lottery
	at := func(d policy.Day, tod string) {
		t.Helper()
		var h, m int
		if _, err := fmt.Sscanf(tod, "%d:%d", &h, &m); err != nil {
			t.Fatal(err)
		}
		clk.to(r.Start(d) + time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
	}
	day := lotteryDay

	tickets := map[int]string{}
	for user := 1; user <= 4; user++ {
		a := call(t, "POST", s.ready.URL+wire.PathEntries, fmt.Sprintf(`{"item":0,"other":%v,"senior":%v}`, user == 1, user == 4),
			wire.HeaderUser, fmt.Sprint(user), wire.HeaderKey, fmt.Sprint("k", user))
		want(t, "an entry", a, booking.Queued)
		tickets[user] = a.answer.Ticket
	}
	until(t, "the ledger", func() bool { return drained(t, s) })
	a := s.entryOf(t, "GET", tickets[1], "")
	want(t, "a look", a, booking.Confirmed)
	e := a.answer.Entry
	if e == nil || e.Item != 0 || !e.Other || e.Senior || e.Edited != 0 || e.State != "live" || r.Day(time.Duration(e.Entered)*time.Millisecond) != day {
		t.Fatalf("%+v", a.body)
	}
	ticket, err := booking.ParseTicket(tickets[1])
	if err != nil || e.ID != lottery.PublicID(ticket).String() || strings.Contains(e.ID, tickets[1][:8]) {
		t.Fatalf("id %s of ticket %s, %v", e.ID, ticket, err)
	}
	// The receipt can be checked from the bytes of the answer alone.
	receipt := func(a reply) lottery.Receipt {
		t.Helper()
		r, err := lottery.ReadReceipt([]byte(a.body))
		if err == nil {
			err = r.Verify(lottery.Key(pub))
		}
		if err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		return r
	}
	first := receipt(a)

	// Edits: the window, once a day, again alike.
	edit := func(user int, body string) reply { return s.entryOf(t, "PUT", tickets[user], body) }
	a = edit(1, `{"item":1}`)
	want(t, "before the window", a, booking.Wait)
	if from := time.Duration(a.answer.NotBefore) * time.Millisecond; from != r.Start(day)+r.EditFrom || a.retryAfter == "" || !strings.Contains(a.answer.Message, "18:30 to 21:30") {
		t.Errorf("%+v, retry after %q", a.answer, a.retryAfter)
	}
	at(day, "18:30")
	want(t, "an edit", edit(1, `{"item":1}`), booking.Queued)
	a = edit(1, `{"item":1}`)
	if a.outcome != booking.Queued.String() && a.outcome != booking.Confirmed.String() {
		t.Errorf("the same edit again: %s", a.body)
	}
	a = edit(1, `{"item":2}`)
	want(t, "another edit", a, booking.Duplicate)
	if a.retry != "no" || a.answer.NotBefore == 0 {
		t.Errorf("%+v, retry %q", a.answer, a.retry)
	}
	for body, outcome := range map[string]booking.Outcome{`{"item":3}`: booking.Invalid, `{"other":true}`: booking.Invalid, `{"item":1,"senior":true}`: booking.Invalid, ``: booking.Invalid} {
		want(t, "an edit "+body, edit(2, body), outcome)
	}
	want(t, "a stranger's", s.entryOf(t, "PUT", strings.Repeat("ab", 16), `{"item":1}`), booking.Unknown)
	want(t, "no ticket", s.entryOf(t, "DELETE", "x", ""), booking.Invalid)
	want(t, "no such method", s.entryOf(t, "POST", tickets[1], "{}"), booking.Invalid)
	want(t, "a withdrawal", s.entryOf(t, "DELETE", tickets[2], ""), booking.Queued)
	until(t, "the ledger", func() bool { return drained(t, s) })
	a = s.entryOf(t, "GET", tickets[1], "")
	second := receipt(a)
	if second.ID != first.ID || second.Item != 1 || second.Other || second.EditedMs == 0 || second.EnteredMs != first.EnteredMs {
		t.Errorf("%+v", second)
	}
	want(t, "withdrawn again", s.entryOf(t, "DELETE", tickets[2], ""), booking.Confirmed)
	a = s.entryOf(t, "GET", tickets[2], "")
	if a.answer.Entry == nil || a.answer.Entry.State != "withdrawn" || a.answer.Entry.Withdrawn == 0 {
		t.Errorf("%s", a.body)
	}
	a = s.submitAs(t, 2, "k2b", 0)
	want(t, "entering anew", a, booking.Wait)
	at(day, "21:30")
	want(t, "after the window", edit(3, `{"item":2}`), booking.Closed)

	// The seal.
	if err := s.closeDay(day+1, 0); err == nil || !strings.Contains(err.Error(), "open for another 30m") {
		t.Errorf("closed before its hour: %v", err)
	}
	at(day, "22:00")
	want(t, "an entry after the hour", s.submitAs(t, 5, "k5", 0), booking.Queued)
	want(t, "a withdrawal after the hour", s.entryOf(t, "DELETE", tickets[3], ""), booking.Queued)
	want(t, "entering anew after the hour", s.submitAs(t, 2, "k2b", 0), booking.Queued)
	if err := s.closeDay(day+1, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	list := []string{"1:1/false", "3:0/false", "4:0/false"}
	if got := listOf(t, s.db, day+1); fmt.Sprint(got) != fmt.Sprint(list) {
		t.Fatalf("the list is %v, want %v", got, list)
	}
	clk.to(r.SealsAt(day + 1)) // a gateway whose clock is behind
	clk.by.Add(-int64(time.Second))
	a = s.submitAs(t, 6, "k6", 0)
	want(t, "a late entry", a, booking.Unknown)
	clk.by.Add(int64(2 * time.Second))
	want(t, "its repetition", s.submitAs(t, 6, "k6", 0), booking.Queued)
	until(t, "the ledger", func() bool { return drained(t, s) })
	if got := listOf(t, s.db, day+1); fmt.Sprint(got) != fmt.Sprint(list) {
		t.Fatalf("the list has become %v", got)
	}
	if err := s.db.RecordSeal(ctx, day+1, []byte{1}, 3); err != nil {
		t.Fatal(err)
	}

	// The draw: known at 15:00, told at 18:00.
	at(day+1, "15:00")
	id := func(user int) booking.Ticket {
		x, err := booking.ParseTicket(tickets[user])
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	wins := []ledger.Win{{Person: 1, Ticket: id(1), Line: 1, Round: 1, Rank: 1}, {Person: 4, Ticket: id(4), Line: 2, Round: 2, Rank: 1}}
	if err := s.db.RecordDraw(ctx, day+1, wins); err != nil {
		t.Fatal(err)
	}
	want(t, "a winner enters, untold", s.submitAs(t, 1, "k1b", 0), booking.Queued)
	if e := s.entryOf(t, "GET", tickets[1], "").answer.Entry; e == nil || e.Won != "" || e.State != "live" {
		t.Errorf("told before it is published: %+v", e)
	}
	at(day+1, "18:00")
	if err := s.db.Publish(ctx, day+1); err != nil {
		t.Fatal(err)
	}
	a = s.entryOf(t, "GET", tickets[4], "")
	if e := a.answer.Entry; e == nil || e.Won != "2020-02-19" || e.WonItem == nil || *e.WonItem != 2 || e.State != "live" {
		t.Errorf("%s", a.body)
	}
	if e := s.entryOf(t, "GET", tickets[1], "").answer.Entry; e == nil || e.State != "over" {
		t.Errorf("%+v", e)
	}
	a = s.submitAs(t, 1, "k1b", 0)
	want(t, "a winner enters", a, booking.Wait)
	if !strings.Contains(a.answer.Message, "won on 2020-02-19: may enter again on 2020-03-01") || time.Duration(a.answer.NotBefore)*time.Millisecond != r.Start(day+12) {
		t.Errorf("%s", a.body)
	}
	at(day+1, "18:30")
	want(t, "a winner edits", edit(1, `{"item":2}`), booking.Refused)

	// After the wait one enters anew, a senior's entry is in again by itself.
	at(day+12, "00:00")
	a = s.submitAs(t, 1, "k1b", 2)
	want(t, "after the wait", a, booking.Queued)
	if a.answer.Ticket == tickets[1] {
		t.Error("the old ticket was given")
	}
	until(t, "the ledger", func() bool { return drained(t, s) })
	at(day+12, "22:00")
	if err := s.closeDay(day+13, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(listOf(t, s.db, day+13)), "[4:0/false 1:2/false]"; got != want {
		t.Errorf("the list is %v, want %v", got, want)
	}
	x := s.desk.Counts()
	if x.Edits != 1 || x.Withdrawals != 2 || x.Refused["waiting"] != 1 || x.Refused["edited"] != 1 || x.Refused["late"] != 1 {
		t.Errorf("%+v", x)
	}
	metrics := call(t, "GET", s.ready.AdminURL+wire.PathMetrics, "").body
	for _, line := range []string{`spillway_lottery_changes_total{change="edit"} 1`, `spillway_lottery_refused_total{reason="waiting"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	rep, err := Reconcile(ctx, s.Ready(), c, Reconciling{Drained: true})
	if err != nil || !rep.OK() {
		t.Errorf("reconciling: %v\n%v", err, rep)
	}
	if done, err := Repair(ctx, s.Ready(), c, Repairing{}); err != nil || len(done) != 0 {
		t.Errorf("something to repair: %+v, %v", done, err)
	}
}

// A list is closed when all of it is written: not while the writer stands, nor while a
// dead letter is open.
func TestCloseDayWaits(t *testing.T) {
	s, clk := serveLots(t, lots())
	day, r := lotteryDay, s.config.Lottery
	s.writer.Stop()
	want(t, "an entry", s.submitAs(t, 1, "a", 0), booking.Queued)
	clk.to(r.SealsAt(day + 1))
	want(t, "another, of the next draw", s.submitAs(t, 2, "b", 0), booking.Queued)
	if err := s.closeDay(day+1, 0); !errors.Is(err, ErrUnwritten) {
		t.Fatalf("closed with an entry unwritten: %v", err)
	}
	if err := s.db.DrawEntries(context.Background(), day+1, r, nil); !errors.Is(err, ledger.ErrDay) {
		t.Fatalf("%v", err)
	}
	ctx := context.Background()
	ds, err := s.queue.Read(ctx, 1)
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	ds[0].Count = 99 // it has had its attempts
	if dead, err := s.queue.Fail(ctx, ds[0], "as if the database refused it"); !dead || err != nil {
		t.Fatal(dead, err)
	}
	if err := s.closeDay(day+1, 0); !errors.Is(err, ErrUnwritten) || !strings.Contains(err.Error(), "1 dead letters") {
		t.Fatalf("closed over a dead letter: %v", err)
	}
	ls, err := s.queue.List(ctx, "", 1)
	if err != nil || len(ls) != 1 {
		t.Fatal(ls, err)
	}
	if err := s.queue.Replay(ctx, ls[0].ID, "test", "it may be written"); err != nil {
		t.Fatal(err)
	}
	s.writer.Resume()
	if err := s.closeDay(day+1, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(listOf(t, s.db, day+1)); got != "[1:0/false]" {
		t.Errorf("the list is %v", got)
	}
}

// Redis forgets between acceptance and writing: entries and edits come back from the
// gateway's memory, and the seal is known again.
func TestLotteryOutlivesRedis(t *testing.T) {
	s, clk := serveLots(t, lots())
	day, r := lotteryDay, s.config.Lottery
	first := s.submitAs(t, 1, "a", 0)
	want(t, "an entry", first, booking.Queued)
	until(t, "the ledger", func() bool { return drained(t, s) })
	clk.to(r.SealsAt(day + 1))
	if err := s.closeDay(day+1, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	clk.to(r.Start(day+1) + r.EditFrom)
	s.writer.Stop()
	want(t, "an edit", s.entryOf(t, "PUT", first.answer.Ticket, `{"item":2,"other":true}`), booking.Queued)
	second := call(t, "POST", s.ready.URL+wire.PathEntries, `{"item":1,"other":true,"senior":true}`, wire.HeaderUser, "2", wire.HeaderKey, "b")
	want(t, "another entry", second, booking.Queued)
	s.stores.embedded.FlushAll()
	until(t, "the sale rebuilt", func() bool {
		return s.entryOf(t, "PUT", first.answer.Ticket, `{"item":1}`).outcome == booking.Duplicate.String()
	})
	s.writer.Resume()
	until(t, "the ledger", func() bool { return drained(t, s) })
	if e := s.entryOf(t, "GET", first.answer.Ticket, "").answer.Entry; e == nil || e.Item != 2 || !e.Other {
		t.Errorf("%+v", e)
	}
	if e := s.entryOf(t, "GET", second.answer.Ticket, "").answer.Entry; e == nil || e.Item != 1 || !e.Other || !e.Senior {
		t.Errorf("%+v", e)
	}
	clk.by.Add(-int64(21 * time.Hour)) // its clock is wrong by most of a day
	want(t, "an entry of a sealed day", s.submitAs(t, 3, "c", 0), booking.Unknown)
	clk.by.Add(int64(21 * time.Hour))
	want(t, "the holders are known", s.submitAs(t, 2, "d", 0), booking.Queued)
	rep, err := Reconcile(context.Background(), s.Ready(), lots(), Reconciling{Drained: true})
	if err != nil || !rep.OK() || rep.Sold != 2 {
		t.Errorf("reconciling: %v, sold %d\n%v", err, rep.Sold, rep)
	}
}

func TestReceiptKeyOfConfig(t *testing.T) {
	c := lots()
	c.ReceiptKey = "no key"
	if _, err := Open(context.Background(), c); err == nil || errors.Is(err, ErrEnvironment) || strings.Contains(err.Error(), "no key") {
		t.Errorf("%v", err)
	}
	c = lots()
	c.Lottery = policy.DefaultLotteryRules()
	c.Lottery.Valid = 0
	if _, err := Open(context.Background(), c); err == nil || !strings.Contains(err.Error(), "lottery.valid_days") {
		t.Errorf("%v", err)
	}
}
