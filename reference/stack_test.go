package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/fault"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sale is a small backend that serves at once and holds nothing back.
func sale() Config {
	return Config{
		Mode: booking.ModeQueued, Event: "test",
		Edge:      EdgeConfig{ConfigLife: time.Minute, CatalogueLife: time.Minute, ClientLife: 10 * time.Minute, CatalogueBytes: 9300, OriginUnits: 1},
		Admission: AdmissionConfig{Gate: policy.GateOff, Probability: 1, Results: true},
		Gateway: GatewayConfig{Instances: 16, Capacity: 100_000, UnitTime: time.Millisecond, StatusUnits: 1, PollUnits: 1, SubmitUnits: 3,
			Room: 50_000, DropAfter: 2 * time.Second},
		Stock:  StockConfig{Items: []int{5, 5}, BatchMax: 16, Linger: time.Millisecond},
		Queue:  QueueConfig{Depth: 100, Attempts: 3},
		Ledger: LedgerConfig{Every: 5 * time.Millisecond, FlushEvery: 20 * time.Millisecond, DatabaseRate: 10_000, ReadUnits: 2, WriteUnits: 10},
	}
}

// serve opens a backend for a test, by its clock if it has one, and closes it with it.
func serve(t testing.TB, c Config, clocks ...clock.Clock) *Stack {
	t.Helper()
	s, err := Open(context.Background(), c, clocks...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// reply is what a test looks at.
type reply struct {
	outcome, cache, retry, retryAfter string
	code                              int
	answer                            wire.Answer
	header                            http.Header
	body                              string
}

// call makes one request; pairs are headers.
func call(t testing.TB, method, url, body string, pairs ...string) reply {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{outcome: resp.Header.Get(wire.HeaderOutcome), cache: resp.Header.Get(wire.HeaderCache), retry: resp.Header.Get(wire.HeaderRetry),
		retryAfter: resp.Header.Get("Retry-After"), code: resp.StatusCode, header: resp.Header, body: string(b)}
	_ = json.Unmarshal(b, &out.answer) // not every reply is an answer
	return out
}

func (s *Stack) submitAs(t testing.TB, user int, key string, item int, more ...string) reply {
	t.Helper()
	path := wire.PathBookings
	if s.config.Mode == booking.ModeLottery {
		path = wire.PathEntries
	}
	return call(t, "POST", s.ready.URL+path, fmt.Sprintf(`{"item":%d}`, item),
		append([]string{wire.HeaderUser, strconv.Itoa(user), wire.HeaderKey, key}, more...)...)
}

func (s *Stack) statusAs(t testing.TB, user int, more ...string) reply {
	t.Helper()
	return call(t, "GET", s.ready.URL+wire.PathStatus, "", append([]string{wire.HeaderUser, strconv.Itoa(user)}, more...)...)
}

func (s *Stack) pollFor(t testing.TB, ticket string, more ...string) reply {
	t.Helper()
	return call(t, "GET", s.ready.URL+wire.PathBookings+"/"+ticket, "", more...)
}

func (s *Stack) adminCall(t testing.TB, method, path string, body any) reply {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		b = nil
	}
	return call(t, method, s.ready.AdminURL+path, string(b), "Authorization", "Bearer "+s.ready.AdminToken)
}

// until waits for a condition, for slow machines without a fixed sleep.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never came: %s", what)
}

func want(t testing.TB, what string, r reply, o booking.Outcome) {
	t.Helper()
	if r.outcome != o.String() {
		t.Errorf("%s: outcome %q (status %d, %.120s), want %q", what, r.outcome, r.code, r.body, o)
	}
}

// The way of a booking over HTTP, in each mode that books.
func TestBookingInEachMode(t *testing.T) { bookingInEachMode(t, func(*testing.T, *Config) {}) }

// bookingInEachMode runs on the stores that use names.
func bookingInEachMode(t *testing.T, use func(*testing.T, *Config)) {
	for _, mode := range []booking.Mode{booking.ModeLossless, booking.ModeTimedWriter, booking.ModeQueued} {
		for _, off := range []string{"", "queue", "batch"} {
			t.Run(mode.String()+" without "+off, func(t *testing.T) {
				c := sale()
				c.Mode = mode
				c.Stock.Items = []int{1, 2}
				if off != "" {
					c.Off = map[string]bool{off: true}
				}
				use(t, &c)
				s := serve(t, c)
				accepted := booking.Queued
				if c.direct() {
					accepted = booking.Confirmed
				}
				want(t, "status", s.statusAs(t, 1), booking.Open)
				first := s.submitAs(t, 1, "a", 0)
				want(t, "the first submit", first, accepted)
				again := s.submitAs(t, 1, "a", 0)
				want(t, "the same submit again", again, accepted)
				if again.answer.Ticket != first.answer.Ticket || len(first.answer.Ticket) != 32 {
					t.Errorf("tickets %q and %q, want the same", first.answer.Ticket, again.answer.Ticket)
				}
				want(t, "the same user, another key", s.submitAs(t, 1, "b", 1), booking.Duplicate)
				want(t, "an item that is gone", s.submitAs(t, 2, "c", 0), booking.SoldOut)
				want(t, "an item that there is", s.submitAs(t, 2, "d", 1), accepted)
				want(t, "the last one", s.submitAs(t, 3, "e", 1), accepted)
				r := s.submitAs(t, 4, "f", 1)
				want(t, "nothing left", r, booking.Closed)
				if r.retry != "no" {
					t.Errorf("closed says retry %q, want no", r.retry)
				}
				until(t, "status closed", func() bool { return s.statusAs(t, 5).outcome == booking.Closed.String() })
				until(t, "a confirmed result", func() bool {
					return s.pollFor(t, first.answer.Ticket).outcome == booking.Confirmed.String()
				})
				want(t, "a guessed ticket", s.pollFor(t, strings.Repeat("ab", 16)), booking.Unknown)
				want(t, "no ticket at all", s.pollFor(t, "me"), booking.Invalid)
				rep, err := Reconcile(context.Background(), s.Ready(), c, Reconciling{Drained: drained(t, s), DemandLeft: true})
				if err != nil || !rep.OK() || rep.Sold != 3 {
					t.Errorf("reconciling: %v, sold %d\n%v", err, rep.Sold, rep)
				}
				x := s.soldOutSamples(t)
				if len(x.Waited["ledger"]) != 3 || x.Marks[markSoldOut] == 0 || x.Marks[markLastConfirmed] == 0 {
					t.Errorf("waited %v, marks %v", x.Waited, x.Marks)
				}
			})
		}
	}
}

func drained(t testing.TB, s *Stack) bool {
	t.Helper()
	r := s.adminCall(t, "POST", wire.PathAdminDrain+"?within=10s", nil)
	var d wire.Drained
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || d.Depth != 0 {
		t.Fatalf("drain: %v, %s", err, r.body)
	}
	return true
}

func (s *Stack) soldOutSamples(t testing.TB) wire.Samples {
	t.Helper()
	var x wire.Samples
	until(t, "both marks in the samples", func() bool {
		x = wire.Samples{}
		r := s.adminCall(t, "GET", wire.PathAdminSamples, nil)
		if err := json.Unmarshal([]byte(r.body), &x); err != nil {
			t.Fatalf("samples: %v: %.200s", err, r.body)
		}
		return x.Marks[markLastConfirmed] != 0 && x.Marks[markSoldOut] != 0
	})
	return x
}

func TestLotteryTakesEntries(t *testing.T) {
	c := sale()
	c.Mode = booking.ModeLottery
	s := serve(t, c)
	first := s.submitAs(t, 1, "a", 0)
	want(t, "an entry", first, booking.Queued)
	again := s.submitAs(t, 1, "b", 1)
	want(t, "another entry of the same user", again, booking.Queued)
	if first.answer.Ticket != again.answer.Ticket {
		t.Error("two tickets for one user")
	}
	for user := 2; user < 30; user++ { // far more than any stock
		want(t, "an entry", s.submitAs(t, user, "k"+strconv.Itoa(user), 0), booking.Queued)
	}
	want(t, "a booking", call(t, "POST", s.ready.URL+wire.PathBookings, `{"item":0}`, wire.HeaderUser, "77", wire.HeaderKey, "z"), booking.Invalid)
	want(t, "status", s.statusAs(t, 1), booking.Open)
	drained(t, s)
	if n, err := s.desk.Count(context.Background()); err != nil || n != 29 {
		t.Errorf("%d entries in the store, %v; want 29", n, err)
	}
	if n, err := s.db.EntryCount(context.Background()); err != nil || n != 29 {
		t.Errorf("%d entries in the ledger, %v; want 29", n, err)
	}
	if x := s.desk.Counts(); x.Taken != 29 || x.Repeated != 1 {
		t.Errorf("%+v", x)
	}
	rep, err := Reconcile(context.Background(), s.Ready(), c, Reconciling{Drained: true})
	if err != nil || !rep.OK() {
		t.Errorf("reconciling: %v\n%v", err, rep)
	}
}

// Every refusal that the contract can give, over HTTP.
func TestRefusals(t *testing.T) {
	t.Run("hours", func(t *testing.T) {
		c := sale()
		c.OpenAt, c.CloseAt = time.Hour, 2*time.Hour
		s := serve(t, c)
		want(t, "status before the opening", s.statusAs(t, 1), booking.Wait)
		want(t, "submit before the opening", s.submitAs(t, 1, "a", 0), booking.Wait)
		s.startAt(t, -time.Hour)
		want(t, "status when open", s.statusAs(t, 1), booking.Open)
		want(t, "submit when open", s.submitAs(t, 1, "a", 0), booking.Queued)
		s.startAt(t, -2*time.Hour)
		want(t, "status after the end", s.statusAs(t, 1), booking.Closed)
		want(t, "submit after the end", s.submitAs(t, 2, "b", 0), booking.Closed)
	})
	t.Run("kill", func(t *testing.T) {
		s := serve(t, sale())
		on, off := true, false
		s.change(t, wire.Change{Kill: &on})
		r := s.submitAs(t, 1, "a", 0)
		want(t, "killed", r, booking.Off)
		if r.retry != "no" {
			t.Error("a killed submit may be retried")
		}
		want(t, "status meanwhile", s.statusAs(t, 1), booking.Open)
		s.change(t, wire.Change{Kill: &off})
		want(t, "no longer killed", s.submitAs(t, 1, "a", 0), booking.Queued)
	})
	t.Run("results", func(t *testing.T) {
		s := serve(t, sale())
		ticket := s.submitAs(t, 1, "a", 0).answer.Ticket
		on, off := true, false
		s.change(t, wire.Change{Results: &off})
		r := s.pollFor(t, ticket)
		want(t, "a poll with the entry off", r, booking.Degraded)
		if r.retryAfter != "5" {
			t.Errorf("Retry-After %q", r.retryAfter)
		}
		s.change(t, wire.Change{Results: &on})
		until(t, "a result", func() bool { return s.pollFor(t, ticket).outcome == "confirmed" })
	})
	t.Run("another's key", func(t *testing.T) {
		s := serve(t, sale())
		mine := s.submitAs(t, 1, "a", 0)
		other := s.submitAs(t, 2, "a", 0)
		want(t, "another user with my key", other, booking.Invalid)
		if other.answer.Ticket != "" || strings.Contains(other.body, mine.answer.Ticket) {
			t.Error("the ticket was given to another user")
		}
	})
	t.Run("coin", func(t *testing.T) {
		c := sale()
		c.Admission = AdmissionConfig{Gate: policy.GateCoin, Probability: 0.5, Period: time.Hour, Results: true}
		s := serve(t, c)
		var config wire.Config
		if err := json.Unmarshal([]byte(call(t, "GET", s.ready.URL+wire.PathConfig, "").body), &config); err != nil {
			t.Fatal(err)
		}
		coin, now := coinOf(t, config, s)
		won, lost := 0, 0
		for user := range booking.UserID(40) {
			epoch := coin.Epoch(user, now)
			body := fmt.Sprintf(`{"item":0,"epoch":%d}`, epoch)
			r := call(t, "POST", s.ready.URL+wire.PathBookings, body, wire.HeaderUser, fmt.Sprint(user), wire.HeaderKey, fmt.Sprint("k", user))
			if coin.Passes(user, epoch, config.Probability) {
				won++
				if r.outcome == booking.BadCoin.String() {
					t.Errorf("user %d won the toss and was refused", user)
				}
			} else {
				lost++
				want(t, "a lost toss", r, booking.BadCoin)
			}
		}
		if won == 0 || lost == 0 {
			t.Errorf("%d won, %d lost: the coin shows nothing", won, lost)
		}
		want(t, "no claim at all", s.submitAs(t, 99, "none", 0), booking.BadCoin)
		forged := fmt.Sprintf(`{"item":0,"epoch":%d}`, coin.Epoch(3, now)+5)
		want(t, "an epoch to come", call(t, "POST", s.ready.URL+wire.PathBookings, forged, wire.HeaderUser, "3", wire.HeaderKey, "f"), booking.BadCoin)
	})
	t.Run("busy", func(t *testing.T) {
		c := sale()
		c.Queue.Depth, c.Ledger.Rate, c.Ledger.Every = 2, 0.01, time.Minute
		c.Gateway.RetryAfter = 3 * time.Second
		s := serve(t, c)
		s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Hour})
		n := 0
		for user := range 4 {
			r := s.submitAs(t, user, "k"+strconv.Itoa(user), 0)
			if r.outcome == booking.Busy.String() {
				n++
				if r.retryAfter != "3" {
					t.Errorf("busy advises %q", r.retryAfter)
				}
			}
		}
		if n != 2 {
			t.Errorf("%d of 4 submits were busy at depth 2, want 2", n)
		}
	})
}

// coinOf is the coin as a client makes it from its config, and the offset now.
func coinOf(t testing.TB, c wire.Config, s *Stack) (policy.Coin, time.Duration) {
	t.Helper()
	if c.Coin == nil || len(c.Coin.Salt) != 32 {
		t.Fatalf("no coin in %+v", c)
	}
	k0, err0 := strconv.ParseUint(c.Coin.Salt[:16], 16, 64)
	k1, err1 := strconv.ParseUint(c.Coin.Salt[16:], 16, 64)
	if err0 != nil || err1 != nil {
		t.Fatal(err0, err1)
	}
	unix := time.Now()
	return policy.Coin{K0: k0, K1: k1, Period: time.Duration(c.Coin.PeriodMillis) * time.Millisecond},
		unix.Sub(time.UnixMilli(c.Coin.OriginUnixMs))
}

// startAt tells the backend that offset 0 was or will be so far from now.
func (s *Stack) startAt(t testing.TB, from time.Duration) {
	t.Helper()
	if r := s.adminCall(t, "POST", wire.PathAdminStart, wire.Start{UnixNano: time.Now().Add(from).UnixNano()}); r.code != 204 {
		t.Fatalf("start: %d %s", r.code, r.body)
	}
}

func (s *Stack) change(t testing.TB, c wire.Change) {
	t.Helper()
	if r := s.adminCall(t, "POST", wire.PathAdminConfig, c); r.code != 204 {
		t.Fatalf("change: %d %s", r.code, r.body)
	}
}

func (s *Stack) fault(t testing.TB, f wire.Fault) {
	t.Helper()
	if r := s.adminCall(t, "POST", wire.PathAdminFaults, f); r.code != 204 {
		t.Fatalf("fault: %d %s", r.code, r.body)
	}
}

func TestMalformedIsRefused(t *testing.T) {
	s := serve(t, sale())
	good := []string{wire.HeaderUser, "1", wire.HeaderKey, "k"}
	for name, x := range map[string]struct {
		body    string
		headers []string
	}{
		"no body":         {"", good},
		"not JSON":        {"item=0", good},
		"an array":        {"[0]", good},
		"unknown field":   {`{"item":0,"price":0}`, good},
		"two objects":     {`{"item":0}{"item":1}`, good},
		"no item":         {`{}`, good},
		"null item":       {`{"item":null}`, good},
		"item of a text":  {`{"item":"0"}`, good},
		"item too large":  {`{"item":2}`, good},
		"negative item":   {`{"item":-1}`, good},
		"too large":       {`{"item":0` + strings.Repeat(" ", wire.MaxBody) + `}`, good},
		"no user":         {`{"item":0}`, []string{wire.HeaderKey, "k"}},
		"a named user":    {`{"item":0}`, []string{wire.HeaderUser, "bob", wire.HeaderKey, "k"}},
		"a signed user":   {`{"item":0}`, []string{wire.HeaderUser, "+1", wire.HeaderKey, "k"}},
		"two users":       {`{"item":0}`, []string{wire.HeaderUser, "1", wire.HeaderUser, "2", wire.HeaderKey, "k"}},
		"no key":          {`{"item":0}`, []string{wire.HeaderUser, "1"}},
		"a long key":      {`{"item":0}`, []string{wire.HeaderUser, "1", wire.HeaderKey, strings.Repeat("k", 65)}},
		"a key of spaces": {`{"item":0}`, []string{wire.HeaderUser, "1", wire.HeaderKey, "a b"}},
		"deadline of 0":   {`{"item":0}`, append([]string{wire.HeaderDeadline, "0"}, good...)},
		"a bad deadline":  {`{"item":0}`, append([]string{wire.HeaderDeadline, "soon"}, good...)},
		"attempt of 0":    {`{"item":0}`, append([]string{wire.HeaderAttempt, "0"}, good...)},
	} {
		r := call(t, "POST", s.ready.URL+wire.PathBookings, x.body, x.headers...)
		want(t, name, r, booking.Invalid)
		if r.code != 400 || strings.Contains(r.body, "goroutine") || r.answer.Message == "" && !strings.Contains(r.body, "message") {
			t.Errorf("%s: status %d, %s", name, r.code, r.body)
		}
	}
	for _, x := range [][2]string{{"POST", wire.PathStatus}, {"GET", wire.PathBookings}, {"PUT", wire.PathConfig}, {"GET", "/nothing"}, {"GET", "/admin/samples"}, {"GET", wire.PathCatalogue + "fr.json"}} {
		r := call(t, x[0], s.ready.URL+x[1], "")
		if r.outcome != "invalid" || r.code != 404 && r.code != 405 {
			t.Errorf("%s %s: %d %s", x[0], x[1], r.code, r.outcome)
		}
	}
	if n := s.totals()["replies.submit.invalid"]; n != 21 {
		t.Errorf("%v malformed submits counted, want 21", n)
	}
	if d := s.store.Stats().Submits; d != 0 {
		t.Errorf("%d malformed submits reached stock", d)
	}
}

// A client that sends half a header, or half a body, is cut off.
func TestSlowClientIsCutOff(t *testing.T) {
	s := serve(t, sale())
	c, err := net.Dial("tcp", strings.TrimPrefix(s.ready.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\n%s: 1\r\n%s: k\r\nContent-Length: 100\r\n\r\n{", wire.PathBookings, wire.HeaderUser, wire.HeaderKey)
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout + 10*time.Second))
	b, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(b, []byte("invalid")) || !bytes.Contains(b, []byte("400")) {
		t.Errorf("half a body: %v, %q", err, b)
	}
	if v := s.visitor; v.ReadHeaderTimeout <= 0 || v.IdleTimeout <= 0 || v.WriteTimeout <= 0 || v.MaxHeaderBytes > 64<<10 {
		t.Error("the server has no limits against slow clients")
	}
	big := call(t, "GET", s.ready.URL+wire.PathStatus, "", "X-Filler", strings.Repeat("x", 64<<10))
	if big.code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of header: %d", big.code)
	}
}

func TestAdminWantsToken(t *testing.T) {
	s := serve(t, sale())
	for _, path := range []string{wire.PathAdminStart, wire.PathAdminConfig, wire.PathAdminFaults, wire.PathAdminDrain, wire.PathAdminSamples, "/admin/else"} {
		method, body := "POST", "{}"
		if path == wire.PathAdminSamples {
			method, body = "GET", ""
		}
		for _, h := range [][]string{nil, {"Authorization", "Bearer"}, {"Authorization", "Bearer wrong"}, {"Authorization", s.ready.AdminToken}, {"Authorization", "Bearer " + s.ready.AdminToken + "x"}} {
			if r := call(t, method, s.ready.AdminURL+path, body, h...); r.code != 401 {
				t.Errorf("%s with %v: %d", path, h, r.code)
			}
		}
	}
	for name, body := range map[string]string{wire.PathAdminConfig: `{"probability":1.5}`, wire.PathAdminFaults: `{"kind":"fire","for_ns":1}`,
		wire.PathAdminStart: `{"unix_nano":1}`, wire.PathAdminDrain + "?within=ever": ``} {
		r := call(t, "POST", s.ready.AdminURL+name, body, "Authorization", "Bearer "+s.ready.AdminToken)
		if r.code != 400 || strings.Count(r.body, "\n") != 1 {
			t.Errorf("%s %s: %d %q", name, body, r.code, r.body)
		}
	}
	if host, _, _ := net.SplitHostPort(strings.TrimPrefix(s.ready.AdminURL, "http://")); host != "127.0.0.1" {
		t.Errorf("the admin part listens on %s", host)
	}
	for _, base := range []string{s.ready.URL, s.ready.AdminURL} {
		for _, path := range []string{wire.PathHealth, wire.PathReady} {
			if r := call(t, "GET", base+path, ""); r.code != 200 {
				t.Errorf("%s%s: %d", base, path, r.code)
			}
		}
	}
}

// A stop in mid-rush loses nothing that anybody was promised.
func TestGracefulStopLosesNothing(t *testing.T) {
	redis := miniredis.RunT(t)
	c := sale()
	c.Redis, c.Dir = "redis://"+redis.Addr()+"/0", t.TempDir()
	gracefulStopLosesNothing(t, c, redis.FlushAll)
}

// gracefulStopLosesNothing runs on the stores of c; forget empties its Redis.
func gracefulStopLosesNothing(t *testing.T, c Config, forget func()) {
	c.Stock.Items = []int{400, 400}
	c.Queue.Depth = 0
	c.Ledger.Rate, c.Ledger.Every = 500, 10*time.Millisecond
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var accepted []AcceptedTicket
	var wg sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	client := &http.Client{Transport: transport}
	defer transport.CloseIdleConnections()
	for user := range 32 {
		wg.Go(func() {
			for n := 0; ; n++ {
				r, _ := http.NewRequest("POST", s.ready.URL+wire.PathBookings, strings.NewReader(fmt.Sprintf(`{"item":%d}`, n%2)))
				r.Header.Set(wire.HeaderUser, strconv.Itoa(user*1000+n))
				r.Header.Set(wire.HeaderKey, fmt.Sprintf("%d-%d", user, n))
				resp, err := client.Do(r)
				if err != nil {
					return // the backend has stopped
				}
				var a wire.Answer
				err = json.NewDecoder(resp.Body).Decode(&a)
				resp.Body.Close()
				if err != nil {
					return
				}
				if a.Outcome == "queued" {
					ticket, _ := booking.ParseTicket(a.Ticket)
					mu.Lock()
					accepted = append(accepted, AcceptedTicket{Ticket: ticket, Told: booking.Queued})
					mu.Unlock()
				}
			}
		})
	}
	until(t, "some bookings", func() bool { mu.Lock(); defer mu.Unlock(); return len(accepted) > 100 })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	rep, err := Reconcile(ctx, s.Ready(), c, Reconciling{Accepted: accepted, Drained: true})
	if err != nil || !rep.OK() {
		t.Fatalf("reconciling: %v\n%v", err, rep)
	}
	if rep.Sold < int64(len(accepted)) || len(accepted) <= 100 {
		t.Errorf("%d accepted, %d rows", len(accepted), rep.Sold)
	}
	// A lie is found: one ticket that was never given.
	bad := append([]AcceptedTicket{{Ticket: booking.Ticket{1}, Told: booking.Queued}}, accepted...)
	if rep, err := Reconcile(ctx, s.Ready(), c, Reconciling{Accepted: bad, Drained: true}); err != nil || rep.Check("lost").Broken != 1 {
		t.Errorf("a lost ticket: %v, %+v", err, rep.Check("lost"))
	}
	// Redis loses everything; a new start sells only what the ledger has left.
	forget()
	s = serve(t, c)
	left, err := s.store.Free(ctx)
	if err != nil || sum(left) != 800-int(rep.Sold) {
		t.Errorf("after the loss of Redis %v are left, %v; want %d", left, err, 800-rep.Sold)
	}
}

func TestEnvironmentErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, spoil := range map[string]func(*Config){
		"visitors' port in use": func(c *Config) { c.Listen = l.Addr().String() },
		"admin port in use":     func(c *Config) { c.AdminListen = l.Addr().String() },
		"folder is a file":      func(c *Config) { c.Dir = "/dev/null/x" },
		"Redis does not answer": func(c *Config) { c.Redis = "redis://127.0.0.1:1/0" },
		"no cluster answers":    func(c *Config) { c.Redis = "redis://127.0.0.1:1?addr=127.0.0.1:2" },
		"no PostgreSQL answers": func(c *Config) { c.Database = "postgres://127.0.0.1:1/x" },
	} {
		c := sale()
		spoil(&c)
		s, err := Open(context.Background(), c)
		if s != nil || !errors.Is(err, ErrEnvironment) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*Config){
		"a bad database": func(c *Config) { c.Database = "mysql://x" },
		"no mode":        func(c *Config) { c.Mode = 0 },
		"unknown layer":  func(c *Config) { c.Off = map[string]bool{"moat": true} },
		"no items":       func(c *Config) { c.Stock.Items = nil },
		"no capacity":    func(c *Config) { c.Gateway.Capacity = 0 },
		"a bad URL":      func(c *Config) { c.Redis = "http://x" },
		"no reservation": func(c *Config) { c.Stock.Items = []int{0, 0} },
		"probability":    func(c *Config) { c.Admission.Probability = 2 },
	} {
		c := sale()
		spoil(&c)
		s, err := Open(context.Background(), c)
		if s != nil || err == nil || errors.Is(err, ErrEnvironment) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is printed shows no password of a store.
func TestReadyPublic(t *testing.T) {
	for in, want := range map[Ready]Ready{
		{Redis: "redis://u:secret@h:1/2", Database: "postgres://u:secret@h:5432/d?sslmode=disable"}: {Redis: "redis://u@h:1/2", Database: "postgres://u@h:5432/d"},
		{Redis: "redis://:secret@h:1?addr=h:2", Database: "postgres://h/d?password=secret"}:         {Redis: "redis://h:1?addr=h:2", Database: "postgres://h/d"},
		{Redis: "redis://h:1/0", Database: "sqlite:/a b/ledger.db", URL: "http://x"}:                {Redis: "redis://h:1/0", Database: "sqlite:/a b/ledger.db", URL: "http://x"},
		{Database: "postgres://u:%zzsecret@h/d"}:                                                    {Database: "postgres://…"},
	} {
		if got := in.Public(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
