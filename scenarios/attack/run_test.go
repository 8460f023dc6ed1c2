package attack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/scenarios"
)

// town is the least that speaks the contract: it says yes to everything, and
// confirms at the first poll. It checks what it is sent.
type town struct {
	t       *testing.T
	mu      sync.Mutex
	tickets map[string]string // idempotency key to ticket
	slow    time.Duration
	config  wire.Config
}

func newTown(t *testing.T) *town {
	return &town{t: t, tickets: map[string]string{}, config: wire.Config{Version: 1, Gate: "original", Probability: 0.2, Results: true, LifeMillis: 600_000}}
}

func (b *town) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(b.slow)
	for _, h := range []string{headerIndex, headerSeq} {
		if r.Header.Get(h) != "" {
			b.t.Errorf("%s leaked to the target", h)
		}
	}
	switch path := r.URL.Path; {
	case path == wire.PathConfig:
		wire.Reply(w, booking.OK, 0, false, b.config)
	case path == wire.PathCatalogue+"zh.json" || path == wire.PathCatalogue+"en.json":
		w.Header().Set(wire.HeaderOutcome, "ok")
		_, _ = w.Write(make([]byte, 60_000))
	case path == wire.PathStatus:
		wire.Reply(w, booking.Open, 0, false, wire.Status{State: "preorder"})
	case path == wire.PathBookings && r.Method == http.MethodPost:
		var s wire.Submit
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			b.t.Errorf("submit: %v", err)
		}
		key := r.Header.Get(wire.HeaderKey)
		if key == "" || r.Header.Get(wire.HeaderUser) == "" || r.Header.Get(wire.HeaderAttempt) == "" || r.Header.Get(wire.HeaderDeadline) == "" {
			b.t.Errorf("submit without its headers: %v", r.Header)
		}
		b.mu.Lock()
		ticket, known := b.tickets[key]
		if !known {
			ticket = fmt.Sprintf("%032x", len(b.tickets)+1)
			b.tickets[key] = ticket
		}
		b.mu.Unlock()
		wire.Reply(w, booking.Queued, 0, false, wire.Answer{Outcome: "queued", Ticket: ticket})
	case strings.HasPrefix(path, wire.PathBookings+"/"):
		if _, err := booking.ParseTicket(strings.TrimPrefix(path, wire.PathBookings+"/")); err != nil {
			b.t.Error(err)
		}
		wire.Reply(w, booking.Confirmed, 0, false, wire.Answer{Outcome: "confirmed", WaitedMicros: 5})
	default:
		b.t.Errorf("no such path: %s", path)
	}
}

// small is a run of the smoke scenario cut to a length.
func small(t *testing.T, length time.Duration, change func(*scenarios.Spec)) *scenarios.Scaled {
	t.Helper()
	spec, err := scenarios.Load("smoke")
	if err != nil {
		t.Fatal(err)
	}
	spec.Visitor.Notice, spec.Visitor.Form, spec.Visitor.PollEvery = 400*time.Millisecond, 400*time.Millisecond, 400*time.Millisecond
	if change != nil {
		change(spec)
	}
	sc, err := scenarios.Scale(spec, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	sc = sc.WithSeed(4)
	sc.Length = length
	return sc
}

func TestRunNeedsNoAdmin(t *testing.T) {
	b := newTown(t)
	srv := httptest.NewServer(b)
	defer srv.Close()
	var accepted []Accepted
	var seen []Progress
	rec, err := Run(context.Background(), small(t, 3*time.Second, nil), Options{Target: srv.URL + "/",
		Progress:   func(p Progress) { seen = append(seen, p) },
		OnAccepted: func(a Accepted) { accepted = append(accepted, a) }})
	if err != nil {
		t.Fatal(err)
	}
	checkConserved(t, rec)
	h := rec.Header
	if h.Label != "attack" || h.Partial || h.Saturated || h.Requested == 0 || h.Requested != h.Achieved || h.WallStart.IsZero() || h.WallSeconds < 3 || h.WallSeconds > 6 {
		t.Errorf("header %+v", h)
	}
	queued := rec.OutcomeCount("submit", "queued")
	if queued == 0 || int(queued) != len(accepted) || len(accepted) != len(b.tickets) {
		t.Errorf("%d queued, %d told of, %d known to the target", queued, len(accepted), len(b.tickets))
	}
	confirmed := rec.Stage(record.StageConfirmed, true)
	if confirmed == 0 || confirmed != rec.Final(policy.GotConfirmed.String(), true) || confirmed != rec.OutcomeCount(record.SpanBooking, "confirmed") {
		t.Errorf("%d confirmed, %d by final, %d bookings", confirmed, rec.Final("confirmed", true), rec.OutcomeCount(record.SpanBooking, "confirmed"))
	}
	var stages []uint64
	for _, s := range record.Stages() {
		stages = append(stages, rec.Stage(s, false))
	}
	for i := 1; i < len(stages); i++ {
		if stages[i] > stages[i-1] || stages[i] == 0 {
			t.Errorf("stages of people %v", stages)
		}
	}
	pressed, won := uint64(0), uint64(0)
	for _, d := range rec.Deciles {
		pressed, won = pressed+d.Pressers, won+d.Confirmed
	}
	if len(rec.Deciles) != 10 || pressed != stages[3] || won != stages[7] {
		t.Errorf("deciles %v against stages %v", rec.Deciles, stages)
	}
	if len(seen) < 8 || seen[len(seen)-1].Admitted == 0 || seen[len(seen)-1].QueueDepth != -1 {
		t.Errorf("%d snapshots, last %+v", len(seen), seen[len(seen)-1])
	}
}

func TestRunWithAdmin(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	var origin time.Time
	const token = "secret"
	adm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case wire.PathAdminStart:
			var s wire.Start
			if err := json.Unmarshal(body, &s); err != nil {
				t.Error(err)
			}
			origin = time.Unix(0, s.UnixNano)
			if d := time.Until(origin); d <= 0 || d > lead {
				t.Errorf("offset 0 is %v ahead", d)
			}
			calls = append(calls, "start")
		case wire.PathAdminSamples:
			now := time.Since(origin)
			_ = json.NewEncoder(w).Encode(wire.Samples{NowNanos: int64(now),
				Series: map[string][][2]float64{record.SampleQueueDepth: {{0.05, 1}, {now.Seconds(), 7}}},
				Marks:  map[string]float64{record.MarkSoldOut: 0.5},
				Waited: map[string][][2]float64{"ledger": {{now.Seconds(), 0.25}}}})
		default:
			calls = append(calls, fmt.Sprintf("%s %s at %.1f", r.URL.Path, body, time.Since(origin).Seconds()))
		}
	}))
	defer adm.Close()
	srv := httptest.NewServer(newTown(t))
	defer srv.Close()
	sc := small(t, 2*time.Second, func(s *scenarios.Spec) {
		s.Changes = []scenarios.Change{{At: s.Window.From + 4*800*time.Millisecond, Key: "admission.probability", To: "100%"}}
		s.Faults = []scenarios.Fault{{At: s.Window.From + 4*1200*time.Millisecond, Kind: "writer-stop", For: 4 * time.Second}}
	})
	var last Progress
	rec, err := Run(context.Background(), sc, Options{Target: srv.URL, Admin: &Admin{adm.URL, token}, Progress: func(p Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) < 1 || !strings.HasPrefix(calls[0], `/admin/faults/check {"kind":"writer-stop","for_ns":800000000}`) {
		t.Fatalf("calls %q", calls)
	}
	calls = calls[1:]
	if len(calls) != 3 || calls[0] != "start" || !strings.HasPrefix(calls[1], `/admin/config {"probability":1} at 0.`) ||
		!strings.HasPrefix(calls[2], `/admin/faults {"kind":"writer-stop","for_ns":800000000} at 1.`) {
		t.Errorf("calls %q", calls)
	}
	depth := rec.Samples[record.SampleQueueDepth]
	if len(depth) < 4 || depth[0].Value != 1 || depth[1].Value != 7 || rec.Marks[record.MarkSoldOut] != 500*time.Millisecond {
		t.Errorf("samples %v, marks %v", depth, rec.Marks)
	}
	for i := 1; i < len(depth); i++ {
		if depth[i].At <= depth[i-1].At {
			t.Errorf("samples out of order: %v", depth)
		}
	}
	if h := rec.Merged(record.Select{Span: record.SpanLedger, Outcomes: []string{"confirmed"}}); h.Count() < 4 || h.Max() != 250*time.Millisecond {
		t.Errorf("ledger: %d waits, at most %v", h.Count(), h.Max())
	}
	if last.QueueDepth != 7 {
		t.Errorf("progress %+v", last)
	}

	if _, err := Run(context.Background(), sc, Options{Target: srv.URL, Admin: &Admin{adm.URL, "wrong"}}); !errors.Is(err, ErrTarget) || !strings.Contains(err.Error(), "401") {
		t.Errorf("wrong token: %v", err)
	}
	if _, err := Run(context.Background(), sc, Options{Target: srv.URL}); !errors.Is(err, ErrAdmin) {
		t.Errorf("no admin part: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	_ = l.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, c := range []struct{ target, want string }{
		{closed, "connection refused"},
		{other.URL, "does not speak the contract"},
		{"127.0.0.1:80", "not a URL"},
		{"http://a/?b", "want http://"},
		{"", "want http://"},
		{"ftp://a", "want http://"},
		{"http://[::1", "not a URL"},
	} {
		began := time.Now()
		_, err := Run(context.Background(), small(t, time.Second, nil), Options{Target: c.target})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("target %q: %v", c.target, err)
		}
		if time.Since(began) > 3*time.Second {
			t.Errorf("target %q: told after %v", c.target, time.Since(began))
		}
	}
	if _, err := Run(context.Background(), small(t, time.Second, nil), Options{Target: closed}); !errors.Is(err, ErrTarget) {
		t.Errorf("%v is not ErrTarget", err)
	}
}

// An interruption at the moment when a request is due does not make the generator
// late; one that was due long before, or that a whole run never sent, does.
func TestSaturated(t *testing.T) {
	for _, c := range []struct {
		partial bool
		waited  time.Duration
		want    bool
	}{{true, time.Millisecond, false}, {true, 2 * lateMax, true}, {false, time.Millisecond, true}} {
		rec := record.New(record.Header{Partial: c.partial})
		ta := newTally(rec, []string{"people"})
		ta.fold(&exchange{step: booking.StepConfig, unsent: true, base: time.Second, intended: time.Second, done: time.Second + c.waited})
		conclude(rec, ta)
		if rec.Header.Saturated != c.want {
			t.Errorf("%+v: saturated %v", c, rec.Header.Saturated)
		}
	}
}

// An interrupted run keeps what it has and says so.
func TestRunInterrupted(t *testing.T) {
	b := newTown(t)
	b.slow = 20 * time.Millisecond
	srv := httptest.NewServer(b)
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	rec, err := Run(ctx, small(t, 30*time.Second, nil), Options{Target: srv.URL, Progress: func(p Progress) {
		if p.Elapsed > time.Second {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	checkConserved(t, rec)
	if !rec.Header.Partial || rec.Header.Achieved == 0 {
		t.Errorf("header %+v", rec.Header)
	}
	if n := len(rec.Counters[record.CountVisits]); n > 4 {
		t.Errorf("visits in %d seconds", n)
	}
}
