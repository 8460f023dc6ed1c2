package reference

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

// tight is a backend with one slow slot: a status call takes 100 ms, and the room
// holds two.
func tight(off ...string) Config {
	c := sale()
	c.Gateway.Capacity, c.Gateway.UnitTime, c.Gateway.Room, c.Gateway.DropAfter = 10, 100*time.Millisecond, 2, 0
	c.Off = map[string]bool{}
	for _, layer := range off {
		c.Off[layer] = true
	}
	return c
}

// burst makes n status calls one after the other in order, without waiting for
// the replies, and counts the outcomes.
func burst(t *testing.T, s *Stack, n int, headers ...string) map[string]int {
	t.Helper()
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		c, _, _ := s.station.State()
		wg.Go(func() {
			r := s.statusAs(t, 1, headers...)
			mu.Lock()
			defer mu.Unlock()
			got[r.outcome]++
		})
		until(t, fmt.Sprint("arrival of call ", i), func() bool {
			now, _, _ := s.station.State()
			return now.Entered > c.Entered
		})
	}
	wg.Wait()
	return got
}

// Each switch has an effect that a visitor can see. The bursts of a tight backend
// take tens of milliseconds to arrive and hundreds to be served, so the counts
// that are wanted leave room for a slow machine.
func TestEachLayersSwitch(t *testing.T) {
	t.Run("room", func(t *testing.T) {
		if got := burst(t, serve(t, tight()), 8); got["shed"] < 3 {
			t.Errorf("on: %v", got)
		}
		if got := burst(t, serve(t, tight("room")), 8); got["open"] != 8 {
			t.Errorf("off: %v", got)
		}
	})
	t.Run("drop", func(t *testing.T) {
		c := tight("room")
		if got := burst(t, serve(t, c), 8, wire.HeaderDeadline, "250"); got["expired"] < 3 || got["open"] < 1 {
			t.Errorf("on: %v", got)
		}
		c.Off["drop"] = true
		if got := burst(t, serve(t, c), 8, wire.HeaderDeadline, "250"); got["open"] != 8 {
			t.Errorf("off: %v", got)
		}
		c = tight("room")
		c.Mode = booking.ModeLossless
		if got := burst(t, serve(t, c), 8, wire.HeaderDeadline, "250"); got["open"] != 8 {
			t.Errorf("lossless: %v", got)
		}
	})
	t.Run("inflight", func(t *testing.T) {
		c := tight("room")
		c.Gateway.InFlight = 2
		if got := burst(t, serve(t, c), 8); got["limited"] < 3 {
			t.Errorf("on: %v", got)
		}
		c.Off["inflight"] = true
		if got := burst(t, serve(t, c), 8); got["open"] != 8 {
			t.Errorf("off: %v", got)
		}
	})
	t.Run("budget", func(t *testing.T) {
		c := sale()
		c.Gateway.RetryRatio = 0.001
		s := serve(t, c)
		want(t, "a first attempt", s.statusAs(t, 1), booking.Open)
		r := s.statusAs(t, 1, wire.HeaderAttempt, "2")
		want(t, "a retry", r, booking.OverBudget)
		if r.code != 429 || r.retry != "no" {
			t.Errorf("status %d, retry %q", r.code, r.retry)
		}
		c.Off = map[string]bool{"budget": true}
		want(t, "a free retry", serve(t, c).statusAs(t, 1, wire.HeaderAttempt, "2"), booking.Open)
	})
	t.Run("ladder", func(t *testing.T) {
		c := tight()
		c.Gateway.Room = 10
		c.Gateway.Ladder = policy.Ladder{NoResults: 0.1, NoLow: 2, TopOnly: 2, Hold: time.Hour}
		s := serve(t, c)
		burst(t, s, 5)
		r := s.pollFor(t, strings.Repeat("ab", 16))
		want(t, "a poll on a high rung", r, booking.Degraded)
		c.Off["ladder"] = true
		s = serve(t, c)
		burst(t, s, 5)
		want(t, "a poll without a ladder", s.pollFor(t, strings.Repeat("ab", 16)), booking.Unknown)
	})
	t.Run("priority", func(t *testing.T) {
		c := tight("room")
		c.Classes = []booking.Class{{Name: "first", Share: 0.5, Priority: 1}, {Name: "last", Share: 0.5, Priority: 2}}
		var first, last int // a user of each class
		for u := range 100 {
			if policy.ClassOf(c.Classes, booking.UserID(u)) == 0 {
				first = u
			} else {
				last = u
			}
		}
		overtakes := func() bool {
			s := serve(t, c)
			var mu sync.Mutex
			var order []int
			var wg sync.WaitGroup
			for i, user := range []int{last, last, last, last, first} {
				wg.Go(func() {
					s.statusAs(t, user)
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
				})
				until(t, "arrival", func() bool { c, _, _ := s.station.State(); return c.Entered > uint64(i) })
			}
			wg.Wait()
			return order[len(order)-1] != 4
		}
		if !overtakes() {
			t.Error("on: the first class came last")
		}
		c.Off["priority"] = true
		if overtakes() {
			t.Error("off: the first class overtook")
		}
	})
	t.Run("edge", func(t *testing.T) {
		s := serve(t, sale())
		for i, how := range []string{"miss", "hit"} {
			r := call(t, "GET", s.ready.URL+wire.PathConfig+"?t="+strconv.Itoa(i), "")
			if r.cache != how || r.outcome != "ok" || r.header.Get("Age") == "" {
				t.Errorf("fetch %d with the path as key: %q", i, r.cache)
			}
		}
		before, _, _ := s.station.State()
		if before.OfferedUnits != 1 {
			t.Errorf("the edge's one miss cost %v units", before.OfferedUnits)
		}
		c := sale()
		c.Edge.KeyOnQuery = true
		s = serve(t, c)
		for i := range 2 {
			if r := call(t, "GET", s.ready.URL+wire.PathConfig+"?t="+strconv.Itoa(i), ""); r.cache != "miss" {
				t.Errorf("fetch %d with the whole URL as key: %q", i, r.cache)
			}
		}
		c.Off = map[string]bool{"edge": true}
		s = serve(t, c)
		for range 2 {
			r := call(t, "GET", s.ready.URL+wire.PathCatalogue+"zh.json", "")
			if r.cache != "" || r.outcome != "ok" || len(r.body) != 9300 {
				t.Errorf("without an edge: cache %q, outcome %q, %d bytes", r.cache, r.outcome, len(r.body))
			}
		}
		if c, _, _ := s.station.State(); c.OfferedUnits != 2 {
			t.Errorf("two fetches without an edge cost %v units", c.OfferedUnits)
		}
	})
	t.Run("admission", func(t *testing.T) {
		c := sale()
		c.Admission = AdmissionConfig{Gate: policy.GateCoin, Probability: 0, Period: time.Minute, Results: true}
		want(t, "on", serve(t, c).submitAs(t, 1, "a", 0), booking.BadCoin)
		c.Off = map[string]bool{"admission": true}
		s := serve(t, c)
		want(t, "off", s.submitAs(t, 1, "a", 0), booking.Queued)
		if r := call(t, "GET", s.ready.URL+wire.PathConfig, ""); !strings.Contains(r.body, `"gate":"off"`) {
			t.Errorf("the config says %s", r.body)
		}
	})
	t.Run("closed", func(t *testing.T) {
		c := sale()
		c.Stock.Items = []int{1}
		s := serve(t, c)
		want(t, "the only one", s.submitAs(t, 1, "a", 0), booking.Queued)
		until(t, "closed", func() bool { return s.statusAs(t, 2).outcome == "closed" })
		before := s.store.Stats().Submits
		want(t, "on", s.submitAs(t, 2, "b", 0), booking.Closed)
		if n := s.store.Stats().Submits - before; n != 0 {
			t.Errorf("on: %d late submits reached stock", n)
		}
		c.Off = map[string]bool{"closed": true}
		s = serve(t, c)
		want(t, "the only one", s.submitAs(t, 1, "a", 0), booking.Queued)
		want(t, "status off", s.statusAs(t, 2), booking.Open)
		want(t, "off", s.submitAs(t, 2, "b", 0), booking.Closed)
		if n := s.store.Stats().Submits; n != 2 {
			t.Errorf("off: %d submits reached stock, want 2", n)
		}
	})
	t.Run("batch", func(t *testing.T) {
		c := sale()
		c.Stock.Items, c.Stock.Linger = []int{100}, 200*time.Millisecond
		calls := func() int64 {
			s := serve(t, c)
			var wg sync.WaitGroup
			for u := range 16 {
				wg.Go(func() { want(t, "submit", s.submitAs(t, u, "k"+strconv.Itoa(u), 0), booking.Queued) })
			}
			wg.Wait()
			return s.store.Stats().Calls
		}
		if n := calls(); n > 4 {
			t.Errorf("on: %d calls for 16 submits", n)
		}
		c.Off = map[string]bool{"batch": true}
		if n := calls(); n != 16 {
			t.Errorf("off: %d calls for 16 submits", n)
		}
	})
	t.Run("queue", func(t *testing.T) {
		c := sale()
		want(t, "on", serve(t, c).submitAs(t, 1, "a", 0), booking.Queued)
		c.Off = map[string]bool{"queue": true}
		want(t, "off", serve(t, c).submitAs(t, 1, "a", 0), booking.Confirmed)
	})
}

// The lossless database is a queue that waiting visitors make longer.
func TestLosslessDatabaseIsTheBottleneck(t *testing.T) {
	c := sale()
	c.Mode = booking.ModeLossless
	c.Ledger.DatabaseRate, c.Ledger.ReadUnits = 20, 2 // a form takes 100 ms
	s := serve(t, c)
	began := s.clock.Now()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { want(t, "status", s.statusAs(t, 1), booking.Open) })
	}
	wg.Wait()
	if took := s.clock.Now() - began; took < 500*time.Millisecond {
		t.Errorf("five forms at 10 a second took %v", took)
	}
}

func TestFaultsEndByThemselves(t *testing.T) {
	s := serve(t, sale())
	// The writer stops: a booking stays pending, then comes.
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Hour})
	ticket := s.submitAs(t, 1, "a", 0).answer.Ticket
	time.Sleep(50 * time.Millisecond)
	want(t, "with the writer stopped", s.pollFor(t, ticket), booking.Pending)
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Millisecond}) // takes the other's place
	until(t, "a result", func() bool { return s.pollFor(t, ticket).outcome == "confirmed" })

	s.fault(t, wire.Fault{Kind: fault.SlowStore, For: 400 * time.Millisecond, Amount: 0.1})
	began := s.clock.Now()
	want(t, "with a slow store", s.submitAs(t, 2, "b", 0), booking.Queued)
	if took := s.clock.Now() - began; took < 100*time.Millisecond {
		t.Errorf("a store 0.1 s slow answered in %v", took)
	}
	until(t, "the store's speed", func() bool { return s.stores.slow.extra.Load() == 0 })

	s.fault(t, wire.Fault{Kind: fault.InstanceLoss, For: 300 * time.Millisecond, Amount: 12})
	if now, all := s.station.Slots(); now*4 != all {
		t.Errorf("%d of %d slots with 4 of 16 instances", now, all)
	}
	for range 32 {
		want(t, "with instances lost", s.statusAs(t, 1), booking.Open)
	}
	if s.failovers.Load() == 0 {
		t.Error("no request was passed over to another instance")
	}
	until(t, "the instances", func() bool { now, all := s.station.Slots(); return now == all && s.instances[15].Up() })
	for _, f := range []wire.Fault{{Kind: "fire", For: 1}, {Kind: fault.InstanceLoss, For: 1, Amount: 16}, {Kind: fault.SlowStore, For: 1, Amount: -1}, {Kind: fault.WriterStop}} {
		if r := s.adminCall(t, "POST", wire.PathAdminFaults, f); r.code != 400 {
			t.Errorf("fault %+v: %d", f, r.code)
		}
	}
}

// A stop ends a stopped writer's fault too, or nothing would ever be written.
func TestStopEndsFaults(t *testing.T) {
	c := sale()
	c.Dir = t.TempDir()
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	s.fault(t, wire.Fault{Kind: fault.WriterStop, For: time.Hour})
	want(t, "submit", s.submitAs(t, 1, "a", 0), booking.Queued)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	http.DefaultClient.CloseIdleConnections()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	c.Mode = booking.ModeLossless
	rep, err := Reconcile(ctx, s.Ready(), c, Reconciling{})
	if err != nil || rep.Sold != 1 {
		t.Errorf("%v, %d rows", err, rep.Sold)
	}
}

func TestSamplesAndMetrics(t *testing.T) {
	s := serve(t, sale())
	s.startAt(t, time.Second) // offset 0 is a second away
	want(t, "submit", s.submitAs(t, 1, "a", 0), booking.Wait)
	until(t, "the opening", func() bool { return s.statusAs(t, 1).outcome == "open" })
	want(t, "submit", s.submitAs(t, 1, "a", 0), booking.Queued)
	drained(t, s)
	var x wire.Samples
	until(t, "samples after the opening", func() bool {
		x = s.watch.since(-1 << 62)
		// A sample may fall between a row's commit and its acknowledgement.
		d, depth := x.Series[sampleWritten], x.Series[sampleQueueDepth]
		return len(d) > 0 && d[len(d)-1][1] == 1 && depth[len(depth)-1][1] == 0
	})
	if first := x.Series[sampleGatewayRoom][0][0]; first >= 0 || first < -1.1 {
		t.Errorf("the first sample is at %v s, want just before 0", first)
	}
	for _, name := range SampleNames() {
		if name == sampleDatabaseWait || name == sampleEdgeHits || name == sampleEdgeMisses {
			continue
		}
		if len(x.Series[name]) == 0 {
			t.Errorf("no samples of %s", name)
		}
	}
	if w := x.Waited["ledger"]; len(w) != 1 || w[0][0] <= 0 || w[0][1] <= 0 {
		t.Errorf("waited %v", w)
	}
	if later := s.watch.since(time.Duration(x.NowNanos)); len(later.Waited["ledger"]) != 0 {
		t.Errorf("since now: %v", later.Waited)
	}
	if x.Totals["replies.submit.queued"] != 1 || x.Totals["replies.submit.wait"] != 1 || x.Totals["ledger.rows"] != 1 {
		t.Errorf("totals %v", x.Totals)
	}
	text := call(t, "GET", s.ready.AdminURL+wire.PathMetrics, "").body
	for _, line := range []string{
		`spillway_gateway_replies_total{outcome="queued",step="submit"} 1`, `spillway_ledger_rows_total 1`, `spillway_queue_depth_entries 0`,
		`spillway_gateway_rung_number 1`, `spillway_queue_dead_letters 0`, `spillway_admission_coins_total{result="unchecked"}`,
		`spillway_stock_closed_flag_age_seconds`, `spillway_gateway_inflight_requests 0`, `spillway_gateway_room_fill_ratio 0`,
		`spillway_edge_replies_total{how="hit"} 0`, `spillway_ledger_batches_total 1`, `spillway_gateway_latency_seconds_count{step="submit"} 2`,
		`spillway_queue_oldest_age_seconds 0`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("metrics lack %s", line)
		}
	}
}
