package reference

import (
	"context"
	"math"
	"runtime"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/wire"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

// The names of the samples, as records write them; the walls test holds them
// against those of package record, which this package may not import.
const (
	sampleGatewayLoad  = "gateway.load"
	sampleGatewayRoom  = "gateway.room"
	sampleGatewayBusy  = "gateway.inflight"
	sampleRung         = "gateway.rung"
	sampleStockFree    = "stock.free"
	sampleClosedAge    = "stock.closed-age"
	sampleQueueDepth   = "queue.depth"
	sampleQueueAge     = "queue.age"
	sampleDead         = "queue.dead"
	sampleWritten      = "ledger.written"
	sampleDatabaseWait = "ledger.backlog"
	sampleEdgeHits     = "edge.hits"
	sampleEdgeMisses   = "edge.misses"
	sampleProbability  = "admission.probability"
	sampleMemory       = "process.memory"
	sampleHeap         = "process.heap"
	sampleGoroutines   = "process.goroutines"
	sampleDescriptors  = "process.descriptors"

	markSoldOut       = "sold-out"
	markLastConfirmed = "last-confirmed"
)

// SampleNames lists the samples that a backend may report, MarkNames its marks.
// A backend without the layer leaves them out.
func SampleNames() []string { return append([]string(nil), sampleNames[:]...) }

// MarkNames lists the marks.
func MarkNames() []string { return []string{markSoldOut, markLastConfirmed} }

var sampleNames = [...]string{sampleGatewayLoad, sampleGatewayRoom, sampleGatewayBusy, sampleRung, sampleStockFree,
	sampleClosedAge, sampleQueueDepth, sampleQueueAge, sampleDead, sampleWritten, sampleDatabaseWait, sampleEdgeHits,
	sampleEdgeMisses, sampleProbability, sampleMemory, sampleHeap, sampleGoroutines, sampleDescriptors}

const (
	samplePeriod = 100 * time.Millisecond
	samplesMax   = 36_000  // an hour
	waitedMax    = 1 << 20 // rows; 16 MB
	steerEvery   = 10      // samples between two calls of the controller: a second
	watchTimeout = 2 * time.Second
)

// sample is one look at the backend. A value that this backend does not have, or
// could not read, is NaN.
type sample struct {
	at     time.Duration // process clock
	values [len(sampleNames)]float64
}

func (x *sample) set(name string, v float64) {
	for i, n := range sampleNames {
		if n == name {
			x.values[i] = v
			return
		}
	}
}

func (x *sample) get(name string) float64 {
	for i, n := range sampleNames {
		if n == name {
			return x.values[i]
		}
	}
	return math.NaN()
}

// ring keeps the last max values.
type ring[T any] struct {
	max  int
	from int // index of the oldest, once full
	all  []T
}

func (r *ring[T]) push(v T) {
	if len(r.all) < r.max {
		r.all = append(r.all, v)
		return
	}
	r.all[r.from] = v
	r.from = (r.from + 1) % r.max
}

// each calls f from the oldest on.
func (r *ring[T]) each(f func(T)) {
	for i := range r.all {
		f(r.all[(r.from+i)%len(r.all)])
	}
}

// watch looks at the backend ten times a second and remembers.
type watch struct {
	s *Stack
	// The watch has connections of its own, so that a slow store slows the
	// requests and not those who measure them.
	stores *stores
	store  *stock.Store
	queue  *queue.Queue

	mu            sync.Mutex
	samples       ring[sample]
	waited        ring[[2]time.Duration] // written at (process clock), accepted to written
	last          sample
	lastOffered   float64
	lastRefusals  uint64
	lastConfirmed time.Duration
	confirmed     uint64
	soldOutAt     time.Duration
	soldOut       bool
	batchMax      int
	blind         error // why the last look failed; nil = it did not

	steps    int
	stopOnce sync.Once
	started  bool
	quit     chan struct{}
	done     chan struct{}
}

func newWatch(s *Stack) *watch {
	return &watch{s: s, samples: ring[sample]{max: samplesMax}, waited: ring[[2]time.Duration]{max: waitedMax},
		quit: make(chan struct{}), done: make(chan struct{})}
}

// connect opens the watch's own view of the store.
func (w *watch) connect(ctx context.Context) error {
	s := w.s
	if s.direct() {
		return nil
	}
	client, err := dialRedis(ctx, s.stores.redisURL, nil)
	if err != nil {
		return err
	}
	w.stores = &stores{client: client}
	if w.store, err = stock.New(client, stock.Options{Event: s.config.Event, Items: len(s.config.Stock.Items), Clock: s.clock}); err != nil {
		return err
	}
	if !s.writes() {
		return nil // one look at the queue is enough, the writer's
	}
	w.queue, err = queue.New(client, queue.Options{Event: s.config.Event, Consumer: "watch", Clock: s.clock})
	return err
}

func (w *watch) start() {
	w.started = true
	go w.loop()
}

func (w *watch) stop() {
	w.stopOnce.Do(func() {
		close(w.quit)
		if w.started {
			<-w.done
		}
		if w.stores != nil {
			w.stores.close()
		}
	})
}

func (w *watch) loop() {
	defer close(w.done)
	next := w.s.clock.Now()
	for {
		w.look()
		// On the beat, so that a late look does not move the later ones.
		next += samplePeriod
		if now := w.s.clock.Now(); next < now {
			next = now
		}
		tick := make(chan struct{})
		stop := w.s.clock.AfterFunc(next-w.s.clock.Now(), func() { close(tick) })
		select {
		case <-tick:
		case <-w.quit:
			stop()
			return
		}
	}
}

// look takes one sample.
func (w *watch) look() {
	s := w.s
	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	x := sample{at: s.clock.Now()}
	for i := range x.values {
		x.values[i] = math.NaN()
	}
	c, fill, rung := s.station.State()
	if s.serves() {
		x.set(sampleGatewayBusy, float64(c.Inside))
		x.set(sampleRung, float64(rung))
		if !s.config.Native {
			x.set(sampleGatewayRoom, fill)
		}
	}
	depth := math.NaN()
	if w.queue != nil {
		if n, err := w.queue.Depth(ctx); err == nil {
			depth = float64(n)
			x.set(sampleQueueDepth, depth)
		}
		if age, err := w.queue.OldestAge(ctx); err == nil {
			x.set(sampleQueueAge, age.Seconds())
		}
		if n, err := w.queue.DeadCount(ctx); err == nil {
			x.set(sampleDead, float64(n))
		}
		x.set(sampleWritten, float64(s.writer.Stats().Rows))
	}
	if s.board != nil && s.writes() && w.steps%steerEvery == 0 {
		s.note(s.board.keep(ctx, w.stores.client))
	}
	var free []int
	var err error
	if w.store != nil {
		free, err = w.store.Free(ctx)
	} else {
		free, err = s.lossless.Free(ctx)
		x.set(sampleDatabaseWait, s.lossless.Backlog().Seconds())
	}
	switch {
	case err != nil: // the stock's figure stays out; readyz tells
	case s.config.Mode != booking.ModeLottery: // entries take no stock
		x.set(sampleStockFree, float64(sum(free)))
		if s.lossless != nil {
			x.set(sampleWritten, float64(sum(s.config.Stock.Items)-sum(free)))
		}
	}
	if age, ok := s.flagAge(x.at); ok {
		x.set(sampleClosedAge, age.Seconds())
	}
	if s.edge != nil {
		st := s.edge.Stats()
		x.set(sampleEdgeHits, float64(st.Hits))
		x.set(sampleEdgeMisses, float64(st.Misses))
	}
	if s.serves() {
		config, _ := s.admission.Config()
		x.set(sampleProbability, config.Probability)
	}

	x.set(sampleGoroutines, float64(runtime.NumGoroutine()))
	x.set(sampleMemory, resident())
	if err == nil {
		x.set(sampleHeap, live()-w.kept(free))
	}
	x.set(sampleDescriptors, descriptors())

	w.mu.Lock()
	defer w.mu.Unlock()
	if dt := (x.at - w.last.at).Seconds(); dt > 0 && s.serves() && !s.config.Native && w.last.at != 0 {
		x.set(sampleGatewayLoad, (c.OfferedUnits-w.lastOffered)/(s.config.Gateway.Capacity*dt))
	}
	w.lastOffered, w.last, w.blind = c.OfferedUnits, x, err
	if err == nil && s.lossless != nil && sum(free) == 0 && !w.soldOut {
		w.soldOut, w.soldOutAt = true, w.lastConfirmed // the row that took the last one
	}
	w.samples.push(x)
	if w.steps++; w.steps%steerEvery == 0 {
		refusals := c.Shed + c.Expired + c.Limited + c.Degraded + c.OverBudget
		share := 0.0
		if d := s.config.Queue.Depth; d > 0 && depth > 0 {
			share = depth / float64(d)
		}
		s.admission.Steer(s.run(x.at), share, int(refusals-w.lastRefusals))
		w.lastRefusals = refusals
	}
}

// bookingBytes is what one booking takes of this process's heap when Redis is
// embedded: a field each in the hashes of holders, keys and results, with 64-bit
// users and keys of 32 digits. Measured, and held by TestBookingBytes.
const bookingBytes = 420

// kept is what the embedded Redis must keep, in bytes: no leak, and in no real
// deployment this process's memory.
func (w *watch) kept(free []int) float64 {
	if w.s.stores.embedded == nil || w.store == nil {
		return 0
	}
	return float64(sum(w.s.config.Stock.Items)-sum(free)) * bookingBytes
}

// latest is the last sample and the writer's largest batch.
func (w *watch) latest() (last sample, batchMax int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.batchMax
}

// sees reports whether the store answered the last look.
func (w *watch) sees() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.blind == nil
}

// flagAge is the age of the oldest closed flag among the instances that serve.
func (s *Stack) flagAge(now time.Duration) (oldest time.Duration, ok bool) {
	for _, in := range s.instances {
		if age, has := in.FlagAge(now); has && in.Up() {
			oldest, ok = max(oldest, age), true
		}
	}
	return oldest, ok
}

// onRow hears of each row that the writer has settled.
func (w *watch) onRow(r ledger.Settled) {
	if r.Verdict != ledger.Written {
		return
	}
	w.settled(r.At, r.Waited)
}

// settled notes a confirmed booking.
func (w *watch) settled(at, waited time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waited.push([2]time.Duration{at, waited})
	w.lastConfirmed = max(w.lastConfirmed, at)
	w.confirmed++
}

// onBatch hears of each batch of the writer.
func (w *watch) onBatch(b ledger.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batchMax = max(w.batchMax, b.Rows)
}

// clear forgets what was before offset 0 was known.
func (w *watch) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = ring[sample]{max: samplesMax}
	w.waited = ring[[2]time.Duration]{max: waitedMax}
}

// since are the samples after an offset of the run.
func (w *watch) since(after time.Duration) wire.Samples {
	s := w.s
	out := wire.Samples{NowNanos: int64(s.run(s.clock.Now())), Series: map[string][][2]float64{}, Marks: map[string]float64{},
		Totals: s.totals(), Waited: map[string][][2]float64{"ledger": {}}}
	if s.floor != "" {
		out.Notes = []string{s.floor}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples.each(func(x sample) {
		at := s.run(x.at)
		if at <= after {
			return
		}
		for i, v := range x.values {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				out.Series[sampleNames[i]] = append(out.Series[sampleNames[i]], [2]float64{at.Seconds(), v})
			}
		}
	})
	w.waited.each(func(x [2]time.Duration) {
		if at := s.run(x[0]); at > after {
			out.Waited["ledger"] = append(out.Waited["ledger"], [2]float64{at.Seconds(), x[1].Seconds()})
		}
	})
	if s.store != nil {
		if at, ok := s.store.SoldOutAt(); ok {
			out.Marks[markSoldOut] = s.run(at).Seconds()
		}
	} else if w.soldOut {
		out.Marks[markSoldOut] = s.run(w.soldOutAt).Seconds()
	}
	if w.confirmed > 0 {
		out.Marks[markLastConfirmed] = s.run(w.lastConfirmed).Seconds()
	}
	return out
}

// totals are counters since the start: "replies.STEP.OUTCOME" of the gateways, and
// "LAYER.WHAT" of the layers.
func (s *Stack) totals() map[string]float64 {
	t := map[string]float64{}
	for _, name := range booking.Steps() {
		step, _ := booking.ParseStep(name) // its own words
		for _, word := range booking.Outcomes() {
			o, _ := booking.ParseOutcome(word)
			var n uint64
			for _, in := range s.instances {
				n += in.Replies(step, o)
			}
			if n > 0 {
				t["replies."+name+"."+word] = float64(n)
			}
		}
	}
	c, _, _ := s.station.State()
	t["gateway.entered"], t["gateway.served"] = float64(c.Entered), float64(c.Served)
	t["gateway.offered-units"], t["gateway.begun-units"] = c.OfferedUnits, c.WorkSum
	t["gateway.failovers"] = float64(s.failovers.Load())
	a := s.admission.Counts()
	t["admission.passed"], t["admission.refused"], t["admission.unchecked"] = float64(a.Passed), float64(a.Refused), float64(a.Unchecked)
	t["stores.errors"] = float64(s.errors.Load())
	if s.edge != nil {
		e := s.edge.Stats()
		t["edge.hits"], t["edge.misses"], t["edge.stale"] = float64(e.Hits), float64(e.Misses), float64(e.Stale)
		t["edge.fetches"], t["edge.failures"], t["edge.coalesced"] = float64(e.Fetches), float64(e.Failures), float64(e.Coalesced)
	}
	if s.store != nil {
		st := s.store.Stats()
		t["stock.calls"], t["stock.submits"], t["stock.failed"] = float64(st.Calls), float64(st.Submits), float64(st.Failed)
	}
	if s.writer != nil {
		st := s.writer.Stats()
		t["ledger.rows"], t["ledger.turned"], t["ledger.batches"] = float64(st.Rows), float64(st.Turned), float64(st.Batches)
		t["ledger.dead"], t["ledger.errors"] = float64(st.Dead), float64(st.Errors)
	}
	if s.desk != nil {
		x := s.desk.Counts()
		t["lottery.entries"], t["lottery.repeated"] = float64(x.Taken), float64(x.Repeated)
		t["lottery.edits"], t["lottery.withdrawals"] = float64(x.Edits), float64(x.Withdrawals)
		for _, reason := range lottery.Reasons() {
			if n := x.Refused[reason]; n > 0 {
				t["lottery.refused."+reason] = float64(n)
			}
		}
	}
	return t
}
