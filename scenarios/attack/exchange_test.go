package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/internal/wire"
)

func reply(outcome, body string, header ...string) *http.Response {
	h := http.Header{}
	if outcome != "" {
		h.Set(wire.HeaderOutcome, outcome)
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestReadOutcome(t *testing.T) {
	tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
	if err != nil {
		t.Fatal(err)
	}
	config := `{"version":3,"gate":"original","probability":0.2,"results":true}`
	coin := `{"gate":"coin","probability":0.2,"coin":{"salt":"000102030405060708090a0b0c0d0e0f","period_ms":5000,"origin_unix_ms":1000}}`
	queued := `{"outcome":"queued","ticket":"` + stubTicket + `"}`
	for _, c := range []struct {
		name string
		step booking.Step
		resp *http.Response
		want booking.Outcome
	}{
		{"no outcome", booking.StepStatus, reply("", ""), booking.Unmapped},
		{"an unknown word", booking.StepStatus, reply("splendid", ""), booking.Unmapped},
		{"two words", booking.StepStatus, reply("open open", ""), booking.Unmapped},
		{"open", booking.StepStatus, reply("open", "{}"), booking.Open},
		{"open without a body", booking.StepCheck, reply("open", ""), booking.Open},
		{"queued to a status", booking.StepStatus, reply("queued", queued), booking.Unmapped},
		{"timeout by the server", booking.StepStatus, reply("timeout", ""), booking.Unmapped},
		{"failed by the server", booking.StepSubmit, reply("failed", ""), booking.Unmapped},
		{"unsent by the server", booking.StepSubmit, reply("unsent", ""), booking.Unmapped},
		{"shed", booking.StepPoll, reply("shed", ""), booking.Shed},
		{"config", booking.StepConfig, reply("ok", config), booking.OK},
		{"config with a coin", booking.StepConfig, reply("ok", coin), booking.OK},
		{"config that is none", booking.StepConfig, reply("ok", "<html>"), booking.Unmapped},
		{"config of no gate", booking.StepConfig, reply("ok", `{"gate":"","probability":0.2}`), booking.Unmapped},
		{"config above one", booking.StepConfig, reply("ok", `{"gate":"off","probability":1.2}`), booking.Unmapped},
		{"coin without salt", booking.StepConfig, reply("ok", `{"gate":"coin","probability":0.2}`), booking.Unmapped},
		{"coin of no period", booking.StepConfig, reply("ok", strings.Replace(coin, "5000", "0", 1)), booking.Unmapped},
		{"config without end", booking.StepConfig, reply("ok", strings.Repeat(" ", 2<<20)), booking.Unmapped},
		{"catalogue", booking.StepCatalogue, reply("ok", strings.Repeat("x", 100_000)), booking.OK},
		{"queued", booking.StepSubmit, reply("queued", queued), booking.Queued},
		{"queued without a ticket", booking.StepSubmit, reply("queued", "{}"), booking.Unmapped},
		{"queued with half a ticket", booking.StepSubmit, reply("queued", `{"ticket":"ab"}`), booking.Unmapped},
		{"confirmed without a ticket", booking.StepSubmit, reply("confirmed", "{}"), booking.Confirmed},
		{"busy", booking.StepSubmit, reply("busy", "not JSON, and nobody reads it"), booking.Busy},
		{"pending", booking.StepPoll, reply("pending", ""), booking.Pending},
		{"pending to a submit", booking.StepSubmit, reply("pending", ""), booking.Unmapped},
	} {
		x := &exchange{step: c.step}
		if err := tgt.read(x, c.resp); err != nil || x.reply.Outcome != c.want {
			t.Errorf("%s: %v (%v), want %v", c.name, x.reply.Outcome, err, c.want)
		}
	}
	x := &exchange{step: booking.StepSubmit}
	if err := tgt.read(x, reply("busy", "", "Retry-After", "3", wire.HeaderRetry, "no")); err != nil || x.reply.RetryAfter != 3*time.Second || !x.reply.NoRetry {
		t.Errorf("%+v, %v", x.reply, err)
	}
	for _, s := range []string{"-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999"} {
		if d := retryAfter(s); d != 0 {
			t.Errorf("Retry-After %q is %v", s, d)
		}
	}
	if d := retryAfter("2000000000"); d != retryAfterMax {
		t.Errorf("sixty years are %v", d)
	}
}

// The coin's epochs are counted in wall time on the wire and in run time here.
func TestCoinOfTheWire(t *testing.T) {
	c := wire.Config{Gate: "coin", Probability: 0.5, Coin: &wire.CoinConfig{Salt: "000102030405060708090a0b0c0d0e0f", PeriodMillis: 5000, OriginUnixMs: 10_000}}
	rt, err := runtimeOf(c, int64(12*time.Second)+5)
	want := policy.Coin{K0: 0x0001020304050607, K1: 0x08090a0b0c0d0e0f, Period: 5 * time.Second, Origin: -2*time.Second - 5}
	if err != nil || rt.Coin != want {
		t.Errorf("%+v, %v", rt.Coin, err)
	}
}

func TestFill(t *testing.T) {
	tgt, err := newTarget("http://host:1/base/", booking.ModeLottery, 0xbeef)
	if err != nil {
		t.Fatal(err)
	}
	ticket, _ := booking.ParseTicket(stubTicket)
	for _, c := range []struct {
		x    exchange
		want string
	}{
		{exchange{step: booking.StepConfig, intended: 1500 * time.Millisecond}, "GET http://host:1/base/config.json?t=1500"},
		{exchange{step: booking.StepCatalogue}, "GET http://host:1/base/catalogue/zh.json"},
		{exchange{step: booking.StepCatalogue, english: true}, "GET http://host:1/base/catalogue/en.json"},
		{exchange{step: booking.StepStatus}, "GET http://host:1/base/v1/status"},
		{exchange{step: booking.StepCheck}, "GET http://host:1/base/v1/status"},
		{exchange{step: booking.StepSubmit, item: 3}, `POST http://host:1/base/v1/entries {"item":3} beef-9`},
		{exchange{step: booking.StepSubmit, item: 3, epoch: -4, hasEpoch: true}, `POST http://host:1/base/v1/entries {"item":3,"epoch":-4} beef-9`},
		{exchange{step: booking.StepSubmit, bot: true}, `POST http://host:1/base/v1/entries {"item":0} beef-9-2`},
		{exchange{step: booking.StepPoll, ticket: ticket}, "GET http://host:1/base/v1/bookings/" + stubTicket},
	} {
		c.x.user, c.x.attempt, c.x.timeout = 9, 2, 15*time.Second
		req, err := http.NewRequest(http.MethodGet, "http://spillway/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(headerIndex, "1")
		req.Header.Set(headerSeq, "1")
		tgt.fill(&c.x, req)
		got := req.Method + " " + req.URL.String()
		if req.Body != nil {
			b, err := io.ReadAll(req.Body)
			if err != nil || int64(len(b)) != req.ContentLength {
				t.Errorf("%v: %d bytes, said %d", err, len(b), req.ContentLength)
			}
			var s wire.Submit
			dec := json.NewDecoder(bytes.NewReader(b))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&s); err != nil || s.Item != int(c.x.item) || (s.Epoch != nil) != c.x.hasEpoch || s.Epoch != nil && *s.Epoch != c.x.epoch {
				t.Errorf("%s reads back as %+v, %v", b, s, err)
			}
			got += " " + string(b) + " " + req.Header.Get(wire.HeaderKey)
		}
		if got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		if h := req.Header; h.Get(wire.HeaderUser) != "9" || h.Get(wire.HeaderAttempt) != "2" || h.Get(wire.HeaderDeadline) != "15000" || h.Get(headerIndex) != "" || h.Get(headerSeq) != "" {
			t.Errorf("headers %v", h)
		}
	}
}

// A reply of any bytes is an outcome that its step can have, or unmapped.
func FuzzRead(f *testing.F) {
	f.Add(uint8(1), "ok", `{"version":3,"gate":"coin","probability":0.2,"coin":{"salt":"000102030405060708090a0b0c0d0e0f","period_ms":5000,"origin_unix_ms":1}}`, "1", "no")
	f.Add(uint8(5), "queued", `{"outcome":"queued","ticket":"`+stubTicket+`"}`, "", "")
	f.Add(uint8(5), "timeout", `{`, "-1", "yes")
	f.Add(uint8(6), "confirmed", "", "99999999999", "")
	f.Fuzz(func(t *testing.T, step uint8, outcome, body, after, retry string) {
		tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
		if err != nil {
			t.Fatal(err)
		}
		x := &exchange{step: booking.Step(step%6 + 1)}
		resp := reply("", body)
		resp.Header[wire.HeaderOutcome], resp.Header["Retry-After"], resp.Header[wire.HeaderRetry] = []string{outcome}, []string{after}, []string{retry}
		if err := tgt.read(x, resp); err != nil {
			t.Fatal(err)
		}
		o := x.reply.Outcome
		if o != booking.Unmapped && (o.String() != outcome || !may(x.step, o)) {
			t.Fatalf("%q to a %v is %v", outcome, x.step, o)
		}
		if x.reply.RetryAfter < 0 || x.reply.RetryAfter > retryAfterMax {
			t.Fatalf("Retry-After %q is %v", after, x.reply.RetryAfter)
		}
		if x.step == booking.StepSubmit && o == booking.Queued && x.reply.Ticket.IsZero() {
			t.Fatal("queued without a ticket")
		}
		if x.step == booking.StepConfig && o == booking.OK {
			if rt := x.runtime; !(rt.Probability >= 0 && rt.Probability <= 1) || rt.Gate == policy.GateCoin && rt.Coin.Period <= 0 {
				t.Fatalf("config %+v", rt)
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What never was a reply: the client's own deadline, a transport error, a body
// that breaks off or never ends.
func TestNoReply(t *testing.T) {
	wait := func(r *http.Request) error { <-r.Context().Done(); return r.Context().Err() }
	for _, c := range []struct {
		name string
		trip roundTrip
		want booking.Outcome
		took time.Duration
	}{
		{"silence", func(r *http.Request) (*http.Response, error) { return nil, wait(r) }, booking.Timeout, time.Second},
		{"refused", func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, booking.Failed, 0},
		{"reset in the body", func(*http.Request) (*http.Response, error) {
			resp := reply("open", "")
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{errors.New("reset")}))
			return resp, nil
		}, booking.Failed, 0},
		{"a body that stalls", func(r *http.Request) (*http.Response, error) {
			resp := reply("open", "")
			resp.Body = io.NopCloser(stalling{r})
			return resp, nil
		}, booking.Timeout, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule([]time.Duration{0})
			s.timeout, s.keep = time.Second, true
			tgt, err := newTarget("http://stub", booking.ModeQueued, 1)
			if err != nil {
				t.Fatal(err)
			}
			e := newEngine(clock.NewWall(), newTimerSleeper(), s, tgt, c.trip, 10, 5*time.Second, Grace)
			e.brief = true
			if err := e.run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if len(s.all) != 1 || s.all[0].reply.Outcome != c.want || s.hist(record.Service, c.want).Max() != c.took {
				t.Errorf("%s: %+v", c.name, s.all)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type stalling struct{ r *http.Request }

func (s stalling) Read([]byte) (int, error) { <-s.r.Context().Done(); return 0, s.r.Context().Err() }

// Whatever an admin part answers, what is kept is bounded, in order and of this run.
func FuzzSamples(f *testing.F) {
	f.Add([]byte(`{"now_ns":5,"series":{"queue.depth":[[0.1,3],[0.2,4]]},"marks":{"sold-out":2},"waited":{"ledger":[[1,0.5]]}}`))
	f.Add([]byte(`{"series":{"x":[[1e300,1],[-1e300,2],[3,1e308]]},"waited":{"ledger":[[-5,1],[1,-1]]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got wire.Samples
		if json.Unmarshal(body, &got) != nil {
			return
		}
		a := &admin{series: map[string][]record.Point{}, marks: map[string]time.Duration{}}
		for range 2 { // told twice, kept once
			a.take(got)
		}
		if len(a.series) > seriesMax || len(a.marks) > seriesMax {
			t.Fatalf("%d series, %d marks", len(a.series), len(a.marks))
		}
		for name, points := range a.series {
			for i := range points[min(1, len(points)):] {
				if points[i+1].At <= points[i].At {
					t.Fatalf("%q: %v after %v", name, points[i+1].At, points[i].At)
				}
			}
		}
		rec := record.New(record.Header{})
		a.into(rec, "people")
	})
}
