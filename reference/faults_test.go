package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/netfault"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

// try is one submit as a client of its own makes it; an error is one of the network.
func (s *Stack) try(user int, key string) (outcome string, t booking.Ticket, err error) {
	r, err := http.NewRequest("POST", s.ready.URL+wire.PathBookings, strings.NewReader(fmt.Sprintf(`{"item":%d}`, user%2)))
	if err != nil {
		return "", t, err
	}
	r.Header.Set(wire.HeaderUser, strconv.Itoa(user))
	r.Header.Set(wire.HeaderKey, key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", t, err
	}
	defer resp.Body.Close()
	var a wire.Answer
	err = json.NewDecoder(resp.Body).Decode(&a)
	if a.Ticket != "" {
		t, err = booking.ParseTicket(a.Ticket)
	}
	return resp.Header.Get(wire.HeaderOutcome), t, err
}

// insist presses with the same key until it hears what became of it.
func (s *Stack) insist(t testing.TB, user int) (ticket booking.Ticket, unsure int) {
	t.Helper()
	key := "k" + strconv.Itoa(user)
	for ; unsure < 4000; unsure++ {
		o, ticket, err := s.try(user, key)
		switch {
		case err == nil && (o == "queued" || o == "confirmed"):
			return ticket, unsure
		case err == nil && o != "unknown" && o != "busy" && o != "shed":
			t.Errorf("user %d heard %q", user, o)
			return ticket, unsure
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("user %d never heard what became of the submit", user)
	return ticket, unsure
}

// calm waits until every fault has ended by itself.
func (s *Stack) calm(t testing.TB) {
	t.Helper()
	until(t, "the end of all faults", func() bool {
		s.faults.mu.Lock()
		defer s.faults.mu.Unlock()
		return len(s.faults.active) == 0
	})
	for pair, link := range s.stores.net.to {
		if st := link.State(); st != (netfault.State{}) {
			t.Errorf("link %s is left %+v", pair, st)
		}
	}
}

// honest holds the books against what the clients were told.
func (s *Stack) honest(t testing.TB, tickets []booking.Ticket, poisoned int) {
	t.Helper()
	in := Reconciling{Drained: drained(t, s)}
	for _, x := range tickets {
		in.Accepted = append(in.Accepted, AcceptedTicket{Ticket: x})
	}
	rep, err := Reconcile(context.Background(), s.Ready(), s.config, in)
	if err != nil || !rep.OK() {
		t.Errorf("reconciling: %v\n%v", err, rep)
	}
	if n, err := s.queue.DeadCount(context.Background()); err != nil || n != poisoned {
		t.Errorf("%d dead letters, %v; want %d", n, err, poisoned)
	}
	if rows, err := s.db.Rows(context.Background()); err != nil || rows != int64(len(tickets)) {
		t.Errorf("%d rows, %v; want %d", rows, err, len(tickets))
	}
	seen := map[booking.Ticket]bool{}
	for _, x := range tickets {
		if seen[x] {
			t.Errorf("ticket %v was given twice", x)
		}
		seen[x] = true
	}
}

func rush() Config {
	c := sale()
	c.Stock.Items = []int{200, 200}
	c.Queue.Attempts = 5
	return c
}

// Under every fault of the vocabulary, and after it: nothing is lost, nothing is
// booked twice, everybody hears in the end what became of the submit, and the backend
// needs no help to go on.
func TestEveryFault(t *testing.T) {
	const users, long = 60, 150 * time.Millisecond
	for _, row := range fault.Table {
		targets := row.Targets
		if len(targets) == 0 {
			targets = []string{""}
		}
		for _, target := range targets {
			name := fault.Name(row.Kind, target)
			t.Run(name, func(t *testing.T) {
				s := serve(t, rush())
				in := wire.Fault{Kind: row.Kind, Target: target, For: long}
				switch row.Unit {
				case fault.Seconds:
					in.Amount = 0.05
				case fault.Share:
					in.Amount = 0.3
				case fault.Instances, fault.Messages, fault.Entries:
					in.Amount = 5
				}
				tickets := make([]booking.Ticket, users)
				var wg sync.WaitGroup
				for w := range 6 {
					wg.Go(func() {
						for user := w; user < users; user += 6 {
							if user == w+12 && w == 0 {
								s.fault(t, in)
							}
							tickets[user], _ = s.insist(t, user)
						}
					})
				}
				wg.Wait()
				s.calm(t)
				poisoned := 0
				if row.Kind == fault.Poison {
					poisoned = 5
				}
				s.honest(t, tickets, poisoned)
				want(t, "status afterwards", s.statusAs(t, 1), booking.Open)
			})
		}
	}
}

// A gateway that is killed answers nothing; what it had begun stands, and the same
// key tells.
func TestKilledGateway(t *testing.T) {
	s := serve(t, rush())
	s.fault(t, wire.Fault{Kind: fault.SlowStore, For: time.Hour, Amount: 0.2})
	heard := make(chan error, 1)
	go func() {
		_, _, err := s.try(1, "k1")
		heard <- err
	}()
	until(t, "the submit under way", func() bool { c, _, _ := s.station.State(); return c.Inside == 1 })
	s.fault(t, wire.Fault{Kind: fault.Kill, Target: fault.Gateway, Amount: 15, For: time.Hour})
	last := s.instances[15]
	for i, in := range s.instances[:15] {
		if in.Up() {
			t.Errorf("instance %d is up", i)
		}
	}
	// Its instance is one of 16: kill the last one too when the first were spared.
	err := <-heard
	if o, _, tryErr := s.try(1, "k1"); tryErr != nil || o != "queued" {
		t.Errorf("the same key afterwards: %q, %v", o, tryErr)
	}
	if err == nil {
		t.Error("the killed gateway answered")
	}
	if !last.Up() {
		t.Error("the spared instance is down")
	}
	s.faults.end()
	for i, in := range s.instances {
		if !in.Up() {
			t.Errorf("instance %d stays down", i)
		}
	}
}

// An instance that stands still keeps its requests waiting and then answers them.
func TestPausedGateway(t *testing.T) {
	s := serve(t, rush())
	s.fault(t, wire.Fault{Kind: fault.Pause, Target: fault.Gateway, Amount: 15, For: 200 * time.Millisecond})
	for range 2 { // two in a row cannot both be the one that runs
		want(t, "status", s.statusAs(t, 1), booking.Open)
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if len(s.faults.active) != 0 {
		t.Error("paused instances answered")
	}
}

// A writer that dies in the middle of a batch: another, with another name, takes over
// what it had in hand.
func TestKilledWriter(t *testing.T) {
	s := serve(t, rush())
	// With Redis full the writer reads and commits, and cannot tell the result.
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Hour})
	var tickets []booking.Ticket
	for user := range 3 {
		x, _ := s.insist(t, user)
		tickets = append(tickets, x)
	}
	ctx := context.Background()
	pending := func(consumer string) int64 {
		p, err := s.stores.client.XPending(ctx, "{test}:queue", "ledger").Result()
		if err != nil {
			t.Fatal(err)
		}
		return p.Consumers[consumer]
	}
	s.fault(t, wire.Fault{Kind: fault.RedisFull, For: time.Hour})
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Nanosecond})
	until(t, "entries in the writer's hands", func() bool { return pending("writer-1") > 0 })
	held := pending("writer-1")
	s.fault(t, wire.Fault{Kind: fault.Kill, Target: fault.Writer, For: 50 * time.Millisecond})
	if err := s.writer.Drain(ctx); !errors.Is(err, errNoWriter) {
		t.Errorf("a dead writer drains: %v", err)
	}
	if n := pending("writer-1"); n != held {
		t.Errorf("the dead writer held %d entries, now %d", held, n)
	}
	s.fault(t, wire.Fault{Kind: fault.RedisFull, For: time.Nanosecond})
	s.calm(t)
	s.honest(t, tickets, 0)
	for _, x := range tickets {
		want(t, "the result", s.pollFor(t, x.String()), booking.Confirmed)
	}
	if s.writer.n != 2 {
		t.Errorf("writer %d writes, want the second", s.writer.n)
	}
}

// Redis comes back with its memory; meanwhile nobody is told more than is known.
func TestKilledRedis(t *testing.T) {
	s := serve(t, rush())
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Hour})
	first, _ := s.insist(t, 1)
	s.fault(t, wire.Fault{Kind: fault.Kill, Target: fault.Redis, For: time.Hour})
	if o, _, err := s.try(2, "k2"); err != nil || o != "unknown" {
		t.Errorf("a submit without Redis: %q, %v", o, err)
	}
	if r := s.adminCall(t, "POST", wire.PathAdminFaults, wire.Fault{Kind: fault.Pause, Target: fault.Redis, For: 1}); r.code != 400 || !strings.Contains(r.body, "kill:redis is under way") {
		t.Errorf("a second fault of the same Redis: %d %s", r.code, r.body)
	}
	s.faults.end()
	s.faults.over = false
	until(t, "the first ticket's row", func() bool { return s.pollFor(t, first.String()).outcome == "confirmed" })
	second, _ := s.insist(t, 2)
	s.honest(t, []booking.Ticket{first, second}, 0)
}

// A full disk holds bookings back; it makes no dead letters of them.
func TestDiskFull(t *testing.T) {
	c := rush()
	c.Queue.Depth = 1000
	s := serve(t, c)
	s.fault(t, wire.Fault{Kind: fault.DiskFull, For: time.Hour})
	var tickets []booking.Ticket
	for user := range 300 {
		x, _ := s.insist(t, user)
		tickets = append(tickets, x)
	}
	until(t, "a batch that fails", func() bool { return s.writer.Stats().Errors > 3 })
	if n, err := s.db.Rows(context.Background()); err != nil || n >= 300 {
		t.Errorf("%d rows on a full disk, %v", n, err)
	}
	if text := *s.lastError.Load(); !strings.Contains(text, "full") {
		t.Errorf("the error says %q", text)
	}
	s.faults.end()
	s.honest(t, tickets, 0)
	if st := s.writer.Stats(); st.Failed != 0 {
		t.Errorf("%d entries were given back for the disk's fault", st.Failed)
	}
}

// A lost answer is unknown, never failed: the work stands and the key tells.
func TestAckLost(t *testing.T) {
	s := serve(t, rush())
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Hour})
	s.fault(t, wire.Fault{Kind: fault.AckLost, Target: fault.Redis, Amount: 1, For: time.Hour})
	// A submit is several calls. Where an earlier answer is lost, that of a look at the sale
	// or that a script is not loaded yet, the work is not done; the next one gets further.
	user, done := 0, false
	for ; !done && user < 50; user++ {
		if o, _, err := s.try(user+1, fmt.Sprint("k", user+1)); err != nil || o != "unknown" {
			t.Fatalf("a submit whose answer is lost: %q, %v", o, err)
		}
		free, err := s.watch.store.Free(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		done = sum(free) == 399
	}
	if !done {
		t.Error("no submit whose answer was lost was done: want the work done")
	}
	s.fault(t, wire.Fault{Kind: fault.AckLost, Target: fault.Redis, Amount: 0.5, For: time.Nanosecond})
	first, _ := s.insist(t, user)

	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Nanosecond})
	s.fault(t, wire.Fault{Kind: fault.AckLost, Target: fault.Database, Amount: 0.5, For: time.Hour})
	tickets := []booking.Ticket{first}
	for user++; user < 120 && s.writer.Stats().Already == 0; user++ {
		x, _ := s.insist(t, user)
		tickets = append(tickets, x)
		until(t, "the result", func() bool { return s.pollFor(t, x.String()).outcome == "confirmed" })
	}
	s.faults.end()
	s.honest(t, tickets, 0)
	if st := s.writer.Stats(); st.Already == 0 || st.Failed != 0 {
		t.Errorf("%+v: want a row found already there, and none blamed", st)
	}
}

func TestRedisFull(t *testing.T) {
	s := serve(t, rush())
	first, _ := s.insist(t, 1)
	drained(t, s)
	s.fault(t, wire.Fault{Kind: fault.RedisFull, For: time.Hour})
	if o, _, err := s.try(2, "k2"); err != nil || o != "unknown" || !strings.Contains(*s.lastError.Load(), "OOM") {
		t.Errorf("a submit at the limit: %q, %v", o, err)
	}
	want(t, "a result at the limit", s.pollFor(t, first.String()), booking.Confirmed)
	want(t, "status at the limit", s.statusAs(t, 3), booking.Open)
}

func TestDuplicateDelivery(t *testing.T) {
	s := serve(t, rush())
	var tickets []booking.Ticket
	for user := range 4 {
		x, _ := s.insist(t, user)
		tickets = append(tickets, x)
	}
	drained(t, s)
	s.fault(t, wire.Fault{Kind: fault.Duplicate, Amount: 8, For: time.Hour})
	until(t, "all deliveries again", func() bool { return s.writer.Stats().Already == 8 })
	s.honest(t, tickets, 0)
}

// The edge serves the config it has, however old.
func TestEdgeStale(t *testing.T) {
	c := sale()
	c.Edge.ConfigLife = 10 * time.Millisecond
	c.Admission.Gate = policy.GateOriginal
	s := serve(t, c)
	config := func() string { return call(t, "GET", s.ready.URL+wire.PathConfig, "").body }
	before := config()
	s.fault(t, wire.Fault{Kind: fault.EdgeStale, For: time.Hour})
	p := 0.25
	s.change(t, wire.Change{Probability: &p})
	time.Sleep(3 * c.Edge.ConfigLife)
	if r := call(t, "GET", s.ready.URL+wire.PathConfig, ""); r.body != before || r.cache != "stale" {
		t.Errorf("past its life: %s %s, want the old copy", r.cache, r.body)
	}
	s.faults.end()
	until(t, "the new config", func() bool { return config() != before })
}

func TestOutage(t *testing.T) {
	s := serve(t, rush())
	s.insist(t, 1)
	s.fault(t, wire.Fault{Kind: fault.Outage, For: 200 * time.Millisecond})
	if o, _, err := s.try(2, "k2"); err == nil {
		t.Errorf("reached through an outage: %q", o)
	}
	want := s.clock.Now() + 5*time.Second
	_, unsure := s.insist(t, 2)
	if unsure == 0 || s.clock.Now() > want {
		t.Errorf("back after %d tries", unsure)
	}
}

// A step of the wall clock moves nothing that matters: the opening hours, the coin's
// epochs, the closed flag's life and the queue run on the process clock.
func TestClockStep(t *testing.T) {
	for _, step := range []float64{-3600, 3600} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			c := rush()
			c.CloseAt = time.Minute
			c.Admission = AdmissionConfig{Gate: policy.GateCoin, Probability: 1, Period: time.Second, Results: true}
			s := serve(t, c)
			var config wire.Config
			if err := json.Unmarshal([]byte(call(t, "GET", s.ready.URL+wire.PathConfig, "").body), &config); err != nil {
				t.Fatal(err)
			}
			before := s.run(s.clock.Now())
			s.fault(t, wire.Fault{Kind: fault.ClockStep, Amount: step, For: time.Hour})
			if now := s.run(s.clock.Now()); now < before || now > before+10*time.Second {
				t.Errorf("the run's clock went from %v to %v", before, now)
			}
			if d := time.Until(s.wall()); (d - time.Duration(step*1e9)).Abs() > time.Second {
				t.Errorf("the wall clock is %v away, want %v s", d, step)
			}
			coin, now := coinOf(t, config, s)
			var tickets []booking.Ticket
			for user := range booking.UserID(6) {
				body := fmt.Sprintf(`{"item":0,"epoch":%d}`, coin.Epoch(user, now))
				r := call(t, "POST", s.ready.URL+wire.PathBookings, body, wire.HeaderUser, fmt.Sprint(user), wire.HeaderKey, fmt.Sprint("k", user))
				want(t, "a submit with the coin of now", r, booking.Queued)
				x, err := booking.ParseTicket(r.answer.Ticket)
				if err != nil {
					t.Fatal(err)
				}
				tickets = append(tickets, x)
			}
			until(t, "the rows", func() bool { n, err := s.db.Rows(context.Background()); return err == nil && n == 6 })
			s.faults.end()
			s.honest(t, tickets, 0)
		})
	}
}

// What makes no sense here is refused in one line, and so is asked beforehand.
func TestFaultsRefused(t *testing.T) {
	s := serve(t, sale())
	c := sale()
	c.Mode = booking.ModeLossless
	c.Off = map[string]bool{"edge": true}
	direct := serve(t, c)
	for _, x := range []struct {
		s    *Stack
		in   wire.Fault
		want string
	}{
		{s, wire.Fault{Kind: "kil", Target: "writer", For: 1}, `fault "kil": one of writer-stop,`},
		{s, wire.Fault{Kind: fault.Kill, For: 1}, "fault kill: target is missing"},
		{s, wire.Fault{Kind: fault.Kill, Target: fault.Gateway, Amount: 16, For: 1}, "fault kill:gateway: amount 16: want a whole number from 1 to 15, one must stay"},
		{s, wire.Fault{Kind: fault.Outage}, "fault outage: for_ns 0"},
		{direct, wire.Fault{Kind: fault.Kill, Target: fault.Writer, For: 1}, "fault kill:writer: this process has no writer"},
		{direct, wire.Fault{Kind: fault.Cut, Target: fault.GatewayRedis, For: 1}, "fault cut:gateway-redis: this backend books in the database and has no Redis"},
		{direct, wire.Fault{Kind: fault.Poison, Amount: 1, For: 1}, "fault poison: this backend books in the database"},
		{direct, wire.Fault{Kind: fault.EdgeStale, For: 1}, "fault edge-stale: this backend has no edge"},
	} {
		for _, path := range []string{wire.PathAdminFaults, wire.PathAdminCheck} {
			if r := x.s.adminCall(t, "POST", path, x.in); r.code != 400 || !strings.HasPrefix(r.body, x.want) || strings.Count(r.body, "\n") > 1 {
				t.Errorf("%s %+v: %d %s", path, x.in, r.code, r.body)
			}
		}
	}
	if r := s.adminCall(t, "POST", wire.PathAdminCheck, wire.Fault{Kind: fault.Outage, For: time.Hour}); r.code != 204 {
		t.Errorf("asking for an outage: %d %s", r.code, r.body)
	}
	want(t, "status after asking", s.statusAs(t, 1), booking.Open)
}
