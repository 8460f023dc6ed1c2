package reference

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/fault"
	"spillway/internal/wire"
	"spillway/reference/queue"
)

// shared is a config of a deployment whose stores live as long as the test.
func shared(t *testing.T) (Config, *miniredis.Miniredis) {
	t.Helper()
	m := miniredis.RunT(t)
	c := sale()
	c.Redis, c.Database = "redis://"+m.Addr(), "sqlite:"+filepath.Join(t.TempDir(), "ledger.db")
	c.Secret, c.AdminToken = "a secret of the test, and of it alone", "token"
	return c, m
}

func as(role string, c Config) Config { c.Role = role; return c }

func TestRolesShareASale(t *testing.T) {
	c, _ := shared(t)
	w := serve(t, as(RoleWriter, c))
	if w.Ready().URL != "" {
		t.Errorf("the writer serves visitors at %s", w.Ready().URL)
	}
	born := w.clock.Now()
	until(t, "a gateway clearly younger than the writer", func() bool { return w.clock.Now()-born > 300*time.Millisecond })
	a, b := serve(t, as(RoleGateway, c)), serve(t, as(RoleGateway, c))
	asked := a.clock.Now()
	first := a.submitAs(t, 1, "k", 0)
	want(t, "a submit at one gateway", first, booking.Queued)
	again := b.submitAs(t, 1, "k", 0)
	want(t, "the same at the other", again, booking.Queued)
	if again.answer.Ticket != first.answer.Ticket {
		t.Errorf("tickets %s and %s, want the same", first.answer.Ticket, again.answer.Ticket)
	}
	want(t, "the same user at the other", b.submitAs(t, 1, "l", 0), booking.Duplicate)
	var r reply
	until(t, "a confirmed result", func() bool { r = b.pollFor(t, first.answer.Ticket); return r.outcome == "confirmed" })
	// Accepted by one process and written by another: the wait is a wait.
	if waited := time.Duration(r.answer.WaitedMicros) * time.Microsecond; waited <= 0 || waited > a.clock.Now()-asked {
		t.Errorf("waited %v", waited)
	}
	for user := 2; user <= 10; user++ {
		want(t, "a submit", []*Stack{a, b}[user%2].submitAs(t, user, fmt.Sprint("k", user), (user+1)%2), booking.Queued)
	}
	want(t, "nothing left", a.submitAs(t, 11, "m", 0), booking.Closed)
	until(t, "closed at both", func() bool {
		return a.statusAs(t, 11).outcome == "closed" && b.statusAs(t, 11).outcome == "closed"
	})
	rep, err := Reconcile(context.Background(), w.Ready(), c, Reconciling{Drained: drained(t, w), DemandLeft: true})
	if err != nil || !rep.OK() || rep.Sold != 10 {
		t.Errorf("reconciling: %v, sold %d\n%v", err, rep.Sold, rep)
	}
	var x wire.Samples
	if err := json.Unmarshal([]byte(w.adminCall(t, "GET", wire.PathAdminSamples, nil).body), &x); err != nil {
		t.Fatal(err)
	}
	for _, row := range x.Waited["ledger"] {
		if row[1] < 0 || row[1] > 30 {
			t.Errorf("the ledger says that a booking waited %v s", row[1])
		}
	}
	if len(x.Waited["ledger"]) != 10 || x.Series[sampleQueueAge] == nil || x.Series[sampleGatewayBusy] != nil {
		t.Errorf("%d waits, series %v", len(x.Waited["ledger"]), len(x.Series))
	}
}

// A gateway whose store has no sale says that it does not know, never that all
// is gone.
func TestGatewayBeforeTheSale(t *testing.T) {
	c, m := shared(t)
	opened := make(chan *Stack, 1)
	go func() {
		g, err := Open(context.Background(), as(RoleGateway, c)) // waits for the writer's tables
		if err != nil {
			t.Error(err)
		}
		opened <- g
	}()
	serve(t, as(RoleWriter, c))
	g := <-opened
	if g == nil {
		t.FailNow()
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	until(t, "ready", func() bool { return call(t, "GET", g.Ready().URL+wire.PathReady, "").code == 200 })
	want(t, "a submit after the writer", g.submitAs(t, 1, "a", 0), booking.Queued)
	m.FlushAll()
	want(t, "a submit to a store without memory", g.submitAs(t, 2, "b", 0), booking.Unknown)
	want(t, "a status call there", g.statusAs(t, 2), booking.Open)
	until(t, "not ready", func() bool { return call(t, "GET", g.Ready().URL+wire.PathReady, "").code == 503 })
}

// Whoever starts in mid-run learns offset 0 and what was changed.
func TestLateMemberJoinsTheRun(t *testing.T) {
	c, m := shared(t)
	c.OpenAt = time.Hour
	w := serve(t, as(RoleWriter, c))
	a := serve(t, as(RoleGateway, c))
	want(t, "before the opening", a.statusAs(t, 1), booking.Wait)
	p, off, on := 0.25, false, true
	for _, s := range []*Stack{a, w} { // as control does
		s.startAt(t, -2*time.Hour)
		s.change(t, wire.Change{Probability: &p})
		s.change(t, wire.Change{Results: &off, Kill: &on})
	}
	b := serve(t, as(RoleGateway, c))
	if d := b.run(b.clock.Now()) - a.run(a.clock.Now()); d < -time.Second || d > time.Second {
		t.Errorf("the two gateways are %v apart in the run", d)
	}
	want(t, "after the opening", b.statusAs(t, 1), booking.Open)
	want(t, "a submit while killed", b.submitAs(t, 1, "a", 0), booking.Off)
	if config, _ := b.admission.Config(); config.Probability != p || config.Results {
		t.Errorf("the late gateway's config is %+v", config)
	}
	// Redis loses its memory: the word of the run is left again.
	m.FlushAll()
	until(t, "the word of the run again", func() bool { return m.HGet("{test}:run", "start") != "" })
	if m.HGet("{test}:run", "kill") != "true" {
		t.Error("the kill switch was forgotten with Redis's memory")
	}
}

// The active writer dies with entries in its hands; the other one writes them,
// once each, soon after the lease has ended.
func TestWriterTakesOver(t *testing.T) {
	c, m := shared(t)
	c.Stock.Items = []int{50, 50}
	w := serve(t, as(RoleWriter, c))
	until(t, "the lease", w.lease.held)
	g := serve(t, as(RoleGateway, c))
	const dead, each = "dead-1", 20
	// What a dead writer leaves: its lease, just renewed, and entries that it read.
	w.writer.Standby(true)
	w.lease.mine.Store(false)
	m.HSet("{test}:writer", "name", dead, "until", fmt.Sprint(time.Now().Add(leaseFor).UnixMilli()))
	died := w.clock.Now()
	var tickets []string
	book := func(from int) {
		for user := from; user < from+each; user++ {
			r := g.submitAs(t, user, fmt.Sprint("k", user), user%2)
			want(t, "a submit", r, booking.Queued)
			tickets = append(tickets, r.answer.Ticket)
		}
	}
	book(0)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	q, err := queue.New(client, queue.Options{Event: "test", Consumer: dead, Clock: clock.NewWall()})
	if err != nil {
		t.Fatal(err)
	}
	if in, err := q.Read(context.Background(), each); err != nil || len(in) != each {
		t.Fatalf("the dead writer took %d entries, %v", len(in), err)
	}
	book(100)
	until(t, "the take-over", w.lease.held)
	drained(t, w)
	if took := w.clock.Now() - died; took < leaseFor/2 || took > 10*time.Second {
		t.Errorf("the take-over took %v", took)
	} else {
		t.Logf("written %v after the death", took.Round(10*time.Millisecond))
	}
	for _, ticket := range tickets {
		want(t, "a result", g.pollFor(t, ticket), booking.Confirmed)
	}
	rep, err := Reconcile(context.Background(), w.Ready(), c, Reconciling{Drained: true})
	if err != nil || !rep.OK() || rep.Sold != 2*each {
		t.Errorf("reconciling: %v, sold %d\n%v", err, rep.Sold, rep)
	}
}

// A gateway is the origin of the edge before it: it states the lives of what is
// static, and refuses the edge while the fault says so.
func TestGatewayIsTheOrigin(t *testing.T) {
	c, _ := shared(t)
	w := serve(t, as(RoleWriter, c))
	g := serve(t, as(RoleGateway, c))
	r := call(t, "GET", g.Ready().URL+wire.PathConfig, "")
	if want(t, "the config", r, booking.OK); !strings.Contains(r.header.Get("Cache-Control"), "s-maxage=60") {
		t.Errorf("Cache-Control %q", r.header.Get("Cache-Control"))
	}
	if r := w.adminCall(t, "POST", wire.PathAdminFaults, wire.Fault{Kind: fault.EdgeStale, For: time.Hour}); r.code != 400 {
		t.Errorf("the writer takes edge-stale: %d", r.code)
	}
	g.fault(t, wire.Fault{Kind: fault.EdgeStale, For: time.Hour})
	if r := call(t, "GET", g.Ready().URL+wire.PathConfig, ""); r.code != 500 {
		t.Errorf("the origin answers %d while the edge is cut off", r.code)
	}
	want(t, "a status call meanwhile", g.statusAs(t, 1), booking.Open)
}

// Two writers keep the rate of one, and the second writes on when the first stops
// in order, without waiting for the lease to end.
func TestOneWriterAtATime(t *testing.T) {
	c, _ := shared(t)
	first, err := Open(context.Background(), as(RoleWriter, c))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the lease", first.lease.held)
	second := serve(t, as(RoleWriter, c))
	g := serve(t, as(RoleGateway, c))
	for user := range 5 {
		want(t, "a submit", g.submitAs(t, user, fmt.Sprint("k", user), 0), booking.Queued)
	}
	drained(t, g)
	if second.lease.held() || second.writer.Stats().Rows != 0 || first.writer.Stats().Rows != 5 {
		t.Errorf("rows %d and %d, want 5 and 0", first.writer.Stats().Rows, second.writer.Stats().Rows)
	}
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for user := range 5 {
		want(t, "a submit", g.submitAs(t, 50+user, fmt.Sprint("l", user), 1), booking.Queued)
	}
	drained(t, g)
	if n := second.writer.Stats().Rows; n != 5 {
		t.Errorf("the second writer wrote %d rows, want 5", n)
	}
}

func TestRolesRefuse(t *testing.T) {
	good, _ := shared(t)
	for name, x := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"an unknown role":      {func(c *Config) { c.Role = "boss" }, "role"},
		"no secret":            {func(c *Config) { c.Secret = "" }, "secret"},
		"a short secret":       {func(c *Config) { c.Secret = "short" }, "secret"},
		"no Redis":             {func(c *Config) { c.Redis = "" }, "URLs"},
		"no database":          {func(c *Config) { c.Database = "" }, "URLs"},
		"no queue":             {func(c *Config) { c.Off = map[string]bool{"queue": true} }, "queue"},
		"lossless":             {func(c *Config) { c.Mode = booking.ModeLossless }, "queue"},
		"a share of more":      {func(c *Config) { c.Share = 1.5 }, "share"},
		"a share of less":      {func(c *Config) { c.Share = -1 }, "share"},
		"control in this way":  {func(c *Config) { c.Role = RoleControl }, "role"},
		"a capacity of a fool": {func(c *Config) { c.Gateway.Capacity = 0 }, "capacity"},
	} {
		c := as(RoleGateway, good)
		x.change(&c)
		s, err := Open(context.Background(), c)
		if err == nil {
			_ = s.Close(context.Background())
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), x.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line that says %q", name, err, x.says)
		}
	}
}

// A gateway's part of the pooled limits has whole slots.
func TestShareHasAFloor(t *testing.T) {
	c, _ := shared(t)
	c.Gateway.Capacity, c.Gateway.UnitTime, c.Gateway.Room, c.Gateway.InFlight, c.Share = 1600, 5*time.Millisecond, 800, 1000, 1./16
	serve(t, as(RoleWriter, c))
	g := serve(t, as(RoleGateway, c))
	if _, all := g.station.Slots(); all != 1 { // pooled: 8 for all
		t.Errorf("%d slots, want 1", all)
	}
	if x := g.config.Gateway; x.Capacity != 100 || x.Room != 50 || x.InFlight != 63 || x.Instances != 1 {
		t.Errorf("%+v", x)
	}
}
