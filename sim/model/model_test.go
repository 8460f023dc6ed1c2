package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/fault"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/scenarios"
)

func scaled(t testing.TB, name string, people, k float64, seed draw.Seed, settings ...string) *scenarios.Scaled {
	t.Helper()
	spec, err := scenarios.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []record.Setting
	for i := 0; i < len(settings); i += 2 {
		all = append(all, record.Setting{Key: settings[i], Value: settings[i+1]})
	}
	if err := spec.SetAll(all...); err != nil {
		t.Fatal(err)
	}
	return withSpec(t, spec, people, k, seed)
}

func withSpec(t testing.TB, spec *scenarios.Spec, people, k float64, seed draw.Seed) *scenarios.Scaled {
	t.Helper()
	sc, err := scenarios.ScaleWithin(spec, people, k, scenarios.Unbounded)
	if err != nil {
		t.Fatal(err)
	}
	return sc.WithSeed(seed)
}

// possible leaves out the faults that a simulation cannot do.
func possible(sc *scenarios.Scaled) *scenarios.Scaled {
	out := *sc
	out.Full.Faults = nil
	for _, f := range sc.Full.Faults {
		one := *sc
		one.Full.Faults = []scenarios.Fault{f}
		if !errors.Is(checkFaults(&one, sc.Mode == booking.ModeLossless || !sc.On("queue")), ErrFault) {
			out.Full.Faults = append(out.Full.Faults, f)
		}
	}
	return &out
}

func run(t testing.TB, sc *scenarios.Scaled, opt Options) *record.Record {
	t.Helper()
	rec, err := Run(context.Background(), sc, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range rec.Invariants {
		if x.Broken != 0 {
			t.Errorf("invariant %s is broken %d times: %s", x.Name, x.Broken, x.Detail)
		}
	}
	for _, g := range rec.Groups {
		var ended uint64
		for _, n := range g.Finals {
			ended += n
		}
		if ended != g.Visitors {
			t.Errorf("group %s: %d visits, %d ends", g.Name, g.Visitors, ended)
		}
	}
	return rec
}

// outcomes counts the answers of some steps (all when there are none) with an outcome.
func outcomes(rec *record.Record, o booking.Outcome, steps ...booking.Step) (n uint64) {
	if len(steps) == 0 {
		steps = []booking.Step{booking.StepConfig, booking.StepStatus, booking.StepCatalogue, booking.StepCheck, booking.StepSubmit, booking.StepPoll}
	}
	for _, s := range steps {
		n += rec.OutcomeCount(s.String(), o.String())
	}
	return n
}

func most(t testing.TB, rec *record.Record, sample string) float64 {
	t.Helper()
	v, ok := rec.MaxSample(sample)
	if !ok {
		t.Errorf("no sample %s", sample)
	}
	return v
}

func response(rec *record.Record, span string, outcomes ...string) *record.Hist {
	return rec.Merged(record.Select{Span: span, Clock: record.Response, Outcomes: outcomes})
}

// Every shipped scenario, with each layer off in turn: the books balance at every
// sample (Run fails when they do not) and every promise is kept.
func TestBooksBalance(t *testing.T) {
	for _, name := range scenarios.Names() {
		layers := append([]string{""}, scenarios.LayerWords()...)
		if testing.Short() && name != "smoke" {
			layers = layers[:1]
		}
		for _, layer := range layers {
			t.Run(name+"/"+layer, func(t *testing.T) {
				var set []string
				if layer != "" {
					set = []string{"layers." + layer, "off"}
				}
				rec := run(t, possible(scaled(t, name, 1.0/1000, 4, 3, set...)), Options{})
				var sent, counted uint64
				for _, c := range []string{record.CountRequests, record.CountPolls} {
					for _, n := range rec.Counters[c] {
						sent += n
					}
				}
				for _, o := range booking.Outcomes() {
					for _, s := range booking.Steps() {
						counted += rec.OutcomeCount(s, o)
					}
				}
				for _, n := range rec.Counters[record.CountCut] {
					counted += n
				}
				if sent != counted || sent != rec.Header.Requested {
					t.Errorf("%d requests sent, %d have an end, %d in the header", sent, counted, rec.Header.Requested)
				}
			})
		}
	}
}

// Scaling time is exact: the run at k = 4 is the run at k = 1, four times as fast.
// Moments are rounded to a nanosecond, so a visit in ten thousand may go another way.
func TestTimeScalingIsExact(t *testing.T) {
	slow := run(t, scaled(t, "suikang-2020-01-31", 1.0/200, 1, 5), Options{})
	fast := run(t, scaled(t, "suikang-2020-01-31", 1.0/200, 4, 5), Options{})
	for _, f := range policy.Finals() {
		a, b := float64(slow.Final(f.String(), true)), float64(fast.Final(f.String(), true))
		if math.Abs(a-b) > 3+a/1000 {
			t.Errorf("%v: %.0f at k = 1, %.0f at k = 4", f, a, b)
		}
	}
	a, b := slow.Marks[record.MarkSoldOut], 4*fast.Marks[record.MarkSoldOut]
	if d := (a - b).Abs(); d > 20*time.Millisecond {
		t.Errorf("sold out at %v and %v", a, b)
	}
	p, q := response(slow, "status", "open").Quantile(0.99), 4*response(fast, "status", "open").Quantile(0.99)
	if d := (p - q).Abs(); d > p/50 {
		t.Errorf("p99 of status %v and %v", p, q)
	}
	// And with the attack's means it is not: service times do not shrink.
	held := run(t, scaled(t, "suikang-2020-01-31", 1.0/200, 4, 5), Options{Unscaled: true})
	if u := response(held, "status", "open").Quantile(0.5); u < 5*time.Millisecond {
		t.Errorf("unscaled, a status call of 5 ms takes %v", u)
	}
}

// With no queue anywhere a request takes exactly its service and its way.
func TestResponseOfAnIdleService(t *testing.T) {
	sc := scaled(t, "suikang-2020-01-31", 1.0/5000, 1, 1, "gateway.capacity", "1_000_000 units/s")
	rec := run(t, sc, Options{Network: 2 * time.Millisecond, Overhead: time.Millisecond})
	for span, want := range map[string]time.Duration{"status": 8 * time.Millisecond, "submit": 8*time.Millisecond + 18*time.Millisecond, "poll": 8 * time.Millisecond} {
		h := response(rec, span)
		if h.Count() == 0 || h.Min() != want || h.Max() != want {
			t.Errorf("%s: %d answers in %v to %v, want %v", span, h.Count(), h.Min(), h.Max(), want)
		}
	}
	// At the edge only the first of each object waits for a gateway.
	if h := response(rec, "catalogue"); h.Min() != 2*time.Millisecond || h.Quantile(0.5) > 2*time.Millisecond+10*time.Microsecond {
		t.Errorf("catalogue in %v, median %v", h.Min(), h.Quantile(0.5))
	}
}

// The lot of one layer at a time, on one small evening.
func TestLayers(t *testing.T) {
	const people = 1.0 / 500
	base := run(t, scaled(t, "suikang-2020-01-31", people, 1, 1), Options{})
	with := func(settings ...string) *record.Record {
		return run(t, scaled(t, "suikang-2020-01-31", people, 1, 1, settings...), Options{})
	}
	atLeast := func(what string, got, want float64) {
		t.Helper()
		if !(got >= want) {
			t.Errorf("%s: %v, want at least %v", what, got, want)
		}
	}
	atMost := func(what string, got, want float64) {
		t.Helper()
		if !(got <= want) {
			t.Errorf("%s: %v, want at most %v", what, got, want)
		}
	}
	misses := func(r *record.Record) float64 { return most(t, r, record.SampleEdgeMisses) }

	atMost("misses of an edge keyed on the path", misses(base), 20)
	configs := float64(outcomes(base, booking.OK, booking.StepConfig))
	atLeast("misses of an edge keyed on the URL", misses(with("edge.cache_key", "url")), 0.8*configs)
	off := with("layers.edge", "off")
	if len(off.Samples[record.SampleEdgeHits]) != 0 {
		t.Error("an edge that is off reports its hits")
	}
	atLeast("load without the edge", mean(off, record.SampleGatewayLoad), 1.3*mean(base, record.SampleGatewayLoad))

	// A gate that is open, few servers: the ladder sheds classes, the room the rest.
	few := []string{"admission.gate", "off", "gateway.capacity", "4_000 units/s"}
	crush := with(few...)
	atLeast("refused by class", float64(outcomes(crush, booking.Degraded)), 100)
	noLadder := with(append(few, "layers.ladder", "off")...)
	atLeast("shed by the room", float64(outcomes(noLadder, booking.Shed)), 100)
	atMost("refused by class without a ladder", float64(outcomes(noLadder, booking.Degraded)), 0)
	atMost("fill of the room", most(t, noLadder, record.SampleGatewayRoom), 1)
	noRoom := with(append(few, "layers.ladder", "off", "layers.room", "off")...)
	atMost("shed without a bound", float64(outcomes(noRoom, booking.Shed)), 0)
	atLeast("dropped at dequeue", float64(outcomes(noRoom, booking.Expired)), 100)
	noDrop := with(append(few, "layers.ladder", "off", "layers.room", "off", "layers.drop", "off")...)
	atMost("dropped without the drop", float64(outcomes(noDrop, booking.Expired)), 0)
	atLeast("timeouts without the drop", float64(outcomes(noDrop, booking.Timeout)), 50)
	// Abandoned work is served all the same: goodput falls, work does not.
	limited := with(append(few, "layers.ladder", "off", "layers.room", "off", "gateway.in_flight", "20_000 requests")...)
	atLeast("refused at the in-flight limit", float64(outcomes(limited, booking.Limited)), 100)
	atMost("in flight", most(t, limited, record.SampleGatewayBusy), 40)
	budget := with(append(few, "gateway.retry_ratio", "10 %")...)
	atLeast("retries over budget", float64(outcomes(budget, booking.OverBudget)), 50)
	atMost("retries over a budget that is off", float64(outcomes(with(append(few, "gateway.retry_ratio", "10 %", "layers.budget", "off")...), booking.OverBudget)), 0)

	// Priorities: under pressure the first class waits less than the last.
	p := func(r *record.Record, group string) float64 {
		return r.Merged(record.Select{Span: "status", Clock: record.Response, Groups: []string{group}, Outcomes: []string{"open"}}).Mean().Seconds()
	}
	atLeast("wait of the last class over the first's", p(noLadder, "elsewhere-new"), 2*p(noLadder, "guangzhou-regular"))
	plain := with(append(few, "layers.ladder", "off", "layers.priority", "off")...)
	atMost("the same without priorities", p(plain, "elsewhere-new"), 1.2*p(plain, "guangzhou-regular"))

	atMost("depth", most(t, base, record.SampleQueueDepth), 40)
	deep := with("queue.depth", "40_000 entries", "admission.gate", "off")
	atLeast("depth of a deep queue", most(t, deep, record.SampleQueueDepth), 60)
	busy := with("queue.depth", "500 entries")
	atLeast("busy at a short queue", float64(outcomes(busy, booking.Busy)), 100)
	atMost("depth of a short queue", most(t, busy, record.SampleQueueDepth), 1)
	sync := with("layers.queue", "off")
	if outcomes(sync, booking.Queued) != 0 || outcomes(sync, booking.Confirmed, booking.StepSubmit) == 0 {
		t.Error("without a queue a submit is confirmed at once")
	}
	// Without the closed check every late press reaches stock.
	atLeast("submits without the closed check", float64(sumOf(with("layers.closed", "off"), record.CountOffered)), 3*float64(sumOf(base, record.CountOffered)))
	atMost("polls answered while the result list is off", float64(outcomes(with("admission.results", "off"), booking.Confirmed, booking.StepPoll)), 0)
}

func mean(rec *record.Record, sample string) float64 {
	sum := 0.0
	for _, p := range rec.Samples[sample] {
		sum += p.Value
	}
	return sum / float64(max(len(rec.Samples[sample]), 1))
}

func sumOf(rec *record.Record, counter string) (n uint64) {
	for _, c := range rec.Counters[counter] {
		n += c
	}
	return n
}

func TestModes(t *testing.T) {
	// Lossless: the database is the queue, clients leave, rows are written for them.
	rec := run(t, scaled(t, "suikang-lossless", 0, 0, 1), Options{})
	if n := outcomes(rec, booking.Timeout); n < 6500 || n > 8000 {
		t.Errorf("%d timeouts; the attack measured 7,216", n)
	}
	if rows := response(rec, record.SpanLedger).Count(); rows <= rec.Stage(record.StageConfirmed, true) {
		t.Errorf("%d rows and %d visitors who know: some should be written for people who left", rows, rec.Stage(record.StageConfirmed, true))
	}
	if b := most(t, rec, record.SampleDatabaseWait); b < 80 || b > 95 {
		t.Errorf("backlog of %v s; the attack measured 88", b)
	}
	// Timed writer: nobody is refused for the queue, and all waits are below the timer.
	rec = run(t, scaled(t, "suikang-timed-writer", 0, 0, 1), Options{})
	waits := response(rec, record.SpanLedger)
	if outcomes(rec, booking.Busy) != 0 || waits.Max() > 5*time.Second || waits.Max() < 4*time.Second {
		t.Errorf("%d busy, waits up to %v", outcomes(rec, booking.Busy), waits.Max())
	}
	// Lottery: one entry a user, nothing sold, nobody told that it is over.
	rec = run(t, scaled(t, "suikang-lottery", 1.0/10, 1, 1), Options{})
	if outcomes(rec, booking.Queued) == 0 || outcomes(rec, booking.Closed)+outcomes(rec, booking.SoldOut) != 0 || len(rec.Samples[record.SampleStockFree]) != 0 {
		t.Errorf("%d entries, %d told closed", outcomes(rec, booking.Queued), outcomes(rec, booking.Closed))
	}
}

func TestBotsAndTheCoin(t *testing.T) {
	share := func(name string) float64 {
		rec := run(t, scaled(t, name, 0, 0, 1), Options{})
		for _, g := range rec.Groups {
			if g.Name == record.GroupBots {
				return float64(g.Stages[record.StageConfirmed]) / 756
			}
		}
		t.Fatal("no bots")
		return 0
	}
	if open, coin := share("suikang-bots"), share("suikang-coin"); !(open > 0.04 && coin == 0) {
		t.Errorf("bots win %.1f %% past the original gate and %.1f %% past the coin", 100*open, 100*coin)
	}
	rec := run(t, scaled(t, "suikang-coin", 0, 0, 1), Options{})
	for _, g := range rec.Groups {
		bad := rec.Merged(record.Select{Span: "submit", Clock: record.Response, Outcomes: []string{"bad-coin"}, Groups: []string{g.Name}}).Count()
		if (bad > 0) != (g.Name == record.GroupBots) {
			t.Errorf("%d bad coins of group %s", bad, g.Name)
		}
	}
}

// Faults: the writer's stop fills the queue to its bound and nothing is lost; a slow
// store delays submits by what each call takes longer; lost instances take their
// share of the capacity.
func TestFaults(t *testing.T) {
	broken := func(f scenarios.Fault, settings ...string) *record.Record {
		spec, err := scenarios.Load("suikang-2020-01-31")
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(settings); i += 2 {
			if err := spec.Set(settings[i], settings[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		spec.Faults = []scenarios.Fault{f}
		return run(t, withSpec(t, spec, 1.0/500, 1, 1), Options{})
	}
	at, span := 12*time.Second, 5*time.Second
	from, to := 22*time.Second, 27*time.Second // the same in run time
	rec := broken(scenarios.Fault{At: at, Kind: fault.WriterStop, For: span})
	if d := most(t, rec, record.SampleQueueDepth); d != 40 {
		t.Errorf("depth %v while the writer stands, want the bound of 40", d)
	}
	var first, last float64 = -1, -1
	for _, p := range rec.Samples[record.SampleWritten] {
		if p.At > from && p.At < to {
			if first < 0 {
				first = p.Value
			}
			last = p.Value
		}
	}
	if first != last {
		t.Errorf("%v rows were written while the writer stood", last-first)
	}
	const slow = 400 * time.Millisecond
	rec = broken(scenarios.Fault{At: at, Kind: fault.SlowStore, For: span, Amount: slow.Seconds()})
	in := rec.Merged(record.Select{Span: "submit", Clock: record.Service, Outcomes: []string{"queued"}, From: 23, To: 26})
	if in.Count() == 0 || in.Min() < slow || in.Quantile(0.5) > 3*slow {
		t.Errorf("submits at a slow store: %d in %v to %v, median %v", in.Count(), in.Min(), in.Max(), in.Quantile(0.5))
	}
	rec = broken(scenarios.Fault{At: at, Kind: fault.SlowStore, For: span, Amount: 4})
	if outcomes(rec, booking.Unknown, booking.StepSubmit) == 0 {
		t.Error("a call that takes 4 s is given up after 3: the state of its submit is unknown")
	}
	few := []string{"layers.ladder", "off", "admission.gate", "off"}
	whole := broken(scenarios.Fault{At: at, Kind: fault.InstanceLoss, For: time.Nanosecond, Amount: 1}, few...)
	rec = broken(scenarios.Fault{At: at, Kind: fault.InstanceLoss, For: span, Amount: 12}, few...)
	if a, b := outcomes(whole, booking.Shed), outcomes(rec, booking.Shed); b < 2*a {
		t.Errorf("%d shed with all instances, %d with 4 of 16", a, b)
	}
}

// A change reaches clients as their copies expire: some still toss the old coin
// long after it, and those who fetch anew do not.
func TestConfigChangeSpreads(t *testing.T) {
	passes := func(change bool) float64 {
		spec, err := scenarios.Load("suikang-2020-01-31")
		if err != nil {
			t.Fatal(err)
		}
		if err := spec.Set("edge.config_life", "1s"); err != nil {
			t.Fatal(err)
		}
		if change {
			spec.Changes = []scenarios.Change{{At: -9 * time.Second, Key: scenarios.ChangeProbability, To: "100 %"}}
		}
		rec := run(t, withSpec(t, spec, 1.0/200, 1, 1), Options{})
		return float64(sumOf(rec, record.CountCoinPassed)) / float64(sumOf(rec, record.CountPresses))
	}
	before, after := passes(false), passes(true)
	if math.Abs(before-0.21) > 0.02 || after < 0.3 || after > 0.8 {
		t.Errorf("%.2f pass without the change, %.2f with it", before, after)
	}
}

// The station against the recursion of a first-in-first-out queue with c servers:
// a job starts at its arrival or when the earliest server is free.
func TestStationIsAQueue(t *testing.T) {
	sc := scaled(t, "suikang-2020-01-31", 1.0/200, 1, 1, "layers.room", "off", "layers.drop", "off", "layers.ladder", "off",
		"layers.inflight", "off", "layers.priority", "off", "gateway.service_cv", "0.7 x")
	e, err := newEvening(sc, Options{Network: -1, Overhead: -1})
	if err != nil {
		t.Fatal(err)
	}
	free := make([]time.Duration, e.gateway.all)
	var now time.Duration
	waited, began := 0, map[uint32]time.Duration{}
	e.onLeave = func(i uint64) { // nobody waits for the answer; keep the request
		r := &e.all[i]
		began[uint32(i)] = r.began
		e.gateway.left(r, e.kernel.Now(), true)
	}
	want := map[uint32]time.Duration{} // by request, of those that have not begun
	for n := range uint64(3000) {
		gap := draw.Exp(e.luck.U64(1, n, 0)) / (0.8 * sc.PooledCapacity() / 2)
		now += time.Duration(gap * 1e9)
		if err := e.kernel.Run(now); err != nil {
			t.Fatal(err)
		}
		i, r := e.take()
		r.exempt = true
		r.step, r.user, r.attempt, r.units = booking.StepStatus, booking.UserID(n), uint16(n), 2
		if o := e.gateway.enter(i, r, now); o != booking.OK {
			t.Fatalf("job %d: %v", n, o)
		}
		least := slices.Index(free, slices.Min(free))
		begins := max(now, free[least])
		d := e.luck.LogNormal(booking.DrawService, e.gateway.turn<<3^uint64(booking.StepStatus), uint32(max(n, 1)),
			time.Duration(math.Round(2*e.gateway.unit)), 0.7)
		free[least] = begins + d
		if begins > now {
			waited++
		}
		want[i] = begins
	}
	if err := e.kernel.Run(now + time.Minute); err != nil {
		t.Fatal(err)
	}
	if waited < 300 || waited > 2700 {
		t.Errorf("%d of 3000 jobs waited: the test shows little", waited)
	}
	if c := e.gateway.c; c.served != 3000 || c.inside != 0 {
		t.Errorf("%d served, %d inside", c.served, c.inside)
	}
	if len(began) != 3000 {
		t.Fatalf("%d jobs have begun", len(began))
	}
	for i, at := range began {
		if want[i] != at {
			t.Fatalf("a job began at %v, want %v", at, want[i])
		}
	}
}

func TestRefusesNative(t *testing.T) {
	_, err := Run(context.Background(), scaled(t, "smoke", 0, 0, 1, "gateway.native", "on"), Options{})
	if !errors.Is(err, ErrNative) {
		t.Errorf("error %v", err)
	}
}

// No bin of a long run reaches over the edge of a window, and every second has one.
func TestBins(t *testing.T) {
	h := record.Header{TimeScale: 1, From: -2 * time.Hour, To: 4 * time.Hour}
	for _, cut := range []time.Duration{0, 8 * time.Second, 25 * time.Second, 47*time.Minute + 13*time.Second} {
		h.Windows = append(h.Windows, record.Window{Name: fmt.Sprint(cut), From: cut})
	}
	b := binsOf(&h)
	if b.width != 44 {
		t.Errorf("width %d, want 21,600/500", b.width)
	}
	seen := map[int32]bool{}
	for sec := range int32(6 * 3600) {
		at := b.of(sec)
		if at > sec || sec-at >= b.width || b.of(at) != at {
			t.Fatalf("second %d goes to %d, which goes to %d", sec, at, b.of(at))
		}
		for _, edge := range b.edges {
			if (at < edge) != (sec < edge) {
				t.Fatalf("second %d goes to %d, over the edge %d", sec, at, edge)
			}
		}
		if sec >= 7200-60 && sec < 7200+600 && at != sec {
			t.Fatalf("second %d near the opening goes to %d", sec, at)
		}
		seen[at] = true
	}
	if len(seen) > 660+520 {
		t.Errorf("%d bins", len(seen))
	}
	short := binsOf(&record.Header{TimeScale: 1, To: 50 * time.Second})
	if short.of(49) != 49 {
		t.Error("a short run keeps every second")
	}
}

// The writer's beat stands where Options.Phase says, else where the seed does.
func TestPhase(t *testing.T) {
	beat := func(seed draw.Seed, phase time.Duration) time.Duration {
		return run(t, scaled(t, "suikang-2020-01-31", 1.0/500, 1, seed), Options{Phase: phase}).Marks[record.MarkLastConfirmed] % (50 * time.Millisecond)
	}
	if got := beat(1, 1030*time.Millisecond); got != 30*time.Millisecond {
		t.Errorf("told to beat at 30 ms, it beats at %v", got)
	}
	if a, b := beat(1, 0), beat(2, 0); a == b {
		t.Errorf("two seeds, one phase of %v", a)
	}
}
