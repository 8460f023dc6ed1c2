package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/scenarios"
	"spillway/sim/des"
)

// Options are what a scenario does not say and a simulation needs. The zero value
// has the defaults.
type Options struct {
	// Network is the round trip of a request without any service, at full size;
	// half of it each way. 0 = DefaultNetwork, negative = none.
	Network time.Duration
	// Overhead is what a gateway adds to a request that it serves beyond the modelled
	// service, at full size. 0 = DefaultOverhead, negative = none.
	Overhead time.Duration
	// Unscaled leaves service times, network and the code's own constants as they
	// are whatever the time scale, as the attack has to. By default they shrink with
	// time, so that the similarity law is exact.
	Unscaled bool
	// Phase is when after offset 0 the writer's beat (in the mode timed-writer: its
	// timer) first comes, at full size. 0 = drawn from the seed, since the backend is
	// started long before and nobody knows.
	Phase time.Duration
	// Plain runs the plain sequential engine: the oracle. By default people are
	// simulated in windows of time, on all cores, which gives the same record sooner.
	Plain bool
	// Progress is told how far the run is, every few thousand events, by one goroutine at
	// a time, not always the same. nil = nobody watches.
	Progress func(Progress)

	windowShift   uint // for tests: a window of 2^n ns; 0 = chosen
	shardBits     int  // for tests: 2^(n-1) shards; 0 = chosen
	foresee       bool // for tests: however small the run is
	exactPressers int  // for tests: pressers that are remembered one by one; 0 = chosen

	unforeseen foreseen // answers that came otherwise than was foreseen in an earlier attempt
}

// Defaults of Options: the medians that the attack measured between its workers
// and the bundled backend on one machine (loopback, 1,000 requests/s, default
// scenario, seed 1): 0.185 ms for an object from the edge, and 5.60 ms for a
// status call of 5 ms.
const (
	DefaultNetwork  = 185 * time.Microsecond
	DefaultOverhead = 415 * time.Microsecond
)

// Progress is the state of a run under way.
type Progress struct {
	Elapsed time.Duration // run time
	Length  time.Duration // of the whole run
	Visits  uint64        // begun so far
	Events  uint64        // run so far
	Alive   int           // visits under way
}

// Errors of Run.
var (
	// ErrNative says that the scenario's gateways run at the code's own capacity,
	// which a simulation cannot know.
	ErrNative = errors.New("gateway.native is on: a simulation does not know the code's own capacity; calibrate, or set gateway.native=off")
	// ErrBooks says that something was not conserved: a defect of the simulator.
	ErrBooks = errors.New("the simulator's books do not balance")
)

// Constants of the reference backend that no scenario sets, at full size.
const (
	grace        = 2 * time.Second        // how long after the run's end replies are awaited (scenarios/attack.Grace)
	storeTimeout = 3 * time.Second        // of one call of stock's script
	idle         = time.Second            // the queue looks for left-overs every half of it
	resultsPause = 5 * time.Second        // advised when the result list is off and nothing else is set
	sampleEvery  = 100 * time.Millisecond // of run time, whatever the scale
	samplesMax   = 36_000                 // a series in a record; longer runs are sampled less often
	batchMax     = 500                    // rows of one transaction of the writer
)

// Order of what happens in one moment: what the scenario does to the system, then
// the servers, then visitors, then whoever looks.
const (
	first int8 = iota - 1
	servers
	people
	watcher
)

// evening is one run.
type evening struct {
	sc      *scenarios.Scaled
	opt     Options
	luck    draw.Seed
	program policy.Program
	lucky   policy.Luck // luck, made an interface once
	kernel  *des.Kernel
	rec     *record.Record
	end     time.Duration // events of visitors due here or later are not of this run
	last    time.Duration // nothing is awaited beyond this
	half    time.Duration // network, one way
	extra   time.Duration // overhead of a gateway
	direct  bool          // submits are booked synchronously in the database

	closedCheck bool // instances keep a copy of the closed flag
	err         error

	visitors
	requests
	edge      edge
	admission admission
	gateway   gateway
	stock     stock
	ledger    ledger
	watch     watch
	windows   *windows      // nil in the plain engine
	slow      time.Duration // what a call of the store takes longer now
	noRedis   bool          // the gateways do not reach Redis
	fullRedis bool          // Redis takes nothing new
	outages   outages

	// What follows a constant delay needs no heap: requests on their way, services of
	// a status call and others, answers on their way.
	toServer, leaving, leavingLater, toVisitor *des.Lane
	patience                                   *des.Lane // timers of clients, most of them stopped

	onWake, onReply, onTimeout, onArrive, onLeave, onWork func(uint64)
}

// Run simulates a scaled scenario visit by visit and returns its record, complete
// but for label, commit and machine. When ctx ends, the run ends there and the
// record is marked partial. The same scenario, seed and options give the same
// record, whatever the machine does meanwhile.
func Run(ctx context.Context, sc *scenarios.Scaled, opt Options) (*record.Record, error) {
	if sc.Gateway.Native {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, ErrNative)
	}
	e, err := newEvening(sc, opt)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	if err := checkFaults(sc, e.direct); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	partial := e.run(ctx)
	if e.err == errMistaken {
		if e.windows.wrong&^opt.unforeseen == 0 {
			return nil, fmt.Errorf("scenario %s, seed %d: %w: answers %b came otherwise than nobody had foreseen", sc.Name, sc.Seed, ErrBooks, e.windows.wrong)
		}
		opt.unforeseen |= e.windows.wrong
		return Run(ctx, sc, opt)
	}
	if err := cmp.Or(e.err, e.kernel.Err()); err != nil {
		return nil, fmt.Errorf("scenario %s, seed %d: %w", sc.Name, sc.Seed, err)
	}
	if err := e.finish(partial); err != nil {
		return nil, fmt.Errorf("scenario %s, seed %d: %w", sc.Name, sc.Seed, err)
	}
	return e.rec, nil
}

func newEvening(sc *scenarios.Scaled, opt Options) (*evening, error) {
	e := &evening{sc: sc, opt: opt, luck: sc.Seed, lucky: sc.Seed, program: sc.Program(), kernel: des.New(),
		rec: record.New(sc.Header()), end: sc.Length,
		direct:      sc.Mode == booking.ModeLossless || !sc.On("queue"),
		closedCheck: sc.On("closed") && sc.Mode != booking.ModeLottery}
	e.last = e.end + e.constant(grace)
	orDefault := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			d = otherwise
		}
		return e.constant(max(d, 0))
	}
	e.toServer, e.toVisitor = e.kernel.NewLane(), e.kernel.NewLane()
	e.leaving, e.leavingLater = e.kernel.NewLane(), e.kernel.NewLane()
	e.patience = e.kernel.NewLane()
	e.patience.Forget(e.patient)
	e.half = orDefault(opt.Network, DefaultNetwork) / 2
	e.extra = orDefault(opt.Overhead, DefaultOverhead)
	e.openAdmission()
	if err := e.openVisitors(); err != nil {
		return nil, err
	}
	e.outages = outagesOf(sc)
	e.openEdge()
	e.openGateway()
	e.openStock()
	e.openLedger()
	e.onWake, e.onReply, e.onTimeout = e.wake, e.reply, e.timeout
	e.onArrive, e.onLeave, e.onWork = e.arriveAtServer, e.leave, e.work
	e.schedule()
	e.openWatch()
	if opt.Plain || len(e.runtimes) > versionsMax || e.half >= 1<<shiftMax {
		e.clients = make([]client, int(sc.Population.Users))
	} else {
		e.openWindows()
	}
	return e, nil
}

// constant is a time of the code in run time: quickened like every other one,
// unless the run keeps to what the attack can do.
func (e *evening) constant(d time.Duration) time.Duration {
	if e.opt.Unscaled || e.sc.K == 1 {
		return d
	}
	return time.Duration(math.Round(float64(d) / e.sc.K))
}

// askEvery is how many arrivals, or events, pass between two looks at the context.
const askEvery = 4096

// run plays the evening and reports whether it was cut short.
func (e *evening) run(ctx context.Context) (partial bool) {
	if e.windows != nil {
		return e.windows.run(ctx)
	}
	n := 0
	look := func() bool {
		if n++; n%askEvery == 0 {
			if ctx.Err() != nil {
				return true
			}
			e.progress()
		}
		return false
	}
	for visit, at := range e.sc.Arrivals() {
		// Step by step, so that a queue that runs away can be interrupted too.
		for e.err == nil {
			due, ok := e.kernel.Next()
			if !ok || due > at {
				break
			}
			e.kernel.Step()
			if e.kernel.Err() != nil || look() {
				return true
			}
		}
		if e.err != nil || e.kernel.Run(at) != nil {
			return true
		}
		e.begin(visit, e.sc.UserOf(visit), 0, at)
		if look() {
			return true
		}
	}
	if e.drain(look) {
		return true
	}
	e.progress()
	return false
}

// drain runs what is left once nobody comes any more: to the end of the run, and
// then for as long as somebody waits for an answer. It ends early when stop says so.
func (e *evening) drain(stop func() bool) (stopped bool) {
	for e.err == nil {
		due, ok := e.kernel.Next()
		if !ok || due > e.last || due > e.end && e.requests.open == 0 {
			return false
		}
		e.kernel.Step()
		if e.kernel.Err() != nil || stop != nil && stop() {
			return true
		}
	}
	return false
}

func (e *evening) progress() {
	if e.opt.Progress == nil {
		return
	}
	p := Progress{Elapsed: min(e.kernel.Now(), e.end), Length: e.end, Visits: e.begun,
		Events: e.kernel.Counts().Ran + e.begun, Alive: e.alive}
	if e.windows != nil {
		all := &e.windows.stands
		p.Visits += all.begun
		p.Alive += all.alive
		p.Events += all.begun + all.events
	}
	e.opt.Progress(p)
}

// fail notes the first defect; the run stops at it.
func (e *evening) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%w: "+format, append([]any{ErrBooks}, args...)...)
	}
}

// finish closes the books and writes what is left into the record.
func (e *evening) finish(partial bool) error {
	e.cutOff()
	if e.windows != nil {
		e.windows.close()
	}
	e.closeVisitors()
	e.closeTally()
	e.watch.into(e.rec)
	if err := e.check(); err != nil {
		return err
	}
	e.rec.Invariants = e.invariants()
	e.rec.Header.Partial = partial
	return e.err
}
