package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
)

// driver decides what events lead to. The engine calls it from one goroutine at a
// time.
type driver interface {
	// next is the earliest arrival that has not begun; ok is false when there are
	// no more.
	next() (ev event, ok bool)
	// handle takes an event that is due. reply is the exchange of an evReply, else
	// nil. What follows is told by the move; for a Send, out has been filled in.
	handle(ev event, reply *exchange, out *exchange) (move policy.Move, ref uint32)
	// fold counts an exchange that was sent, or is known never to be.
	fold(x *exchange)
}

// engine runs a driver's actions through vegeta.
type engine struct {
	clk     clock.Clock
	sleeper sleeper
	driver  driver
	target  *target
	inner   http.RoundTripper
	conns   *conns    // inner, when it is one of ours
	origin  time.Time // with conns: the wall moment of offset 0
	workers int       // upper bound of requests under way

	grace time.Duration
	woke  time.Duration // when the dispatcher last woke
	brief bool          // end as soon as nothing is left to do, not at the run's length

	// mu is held by whoever takes decisions: the dispatcher, except while it sleeps
	// or is in vegeta's hands.
	mu         sync.Mutex
	end        time.Duration // events due here or later are not of this run
	agenda     agenda
	xs         exchanges
	spare      *exchange
	dispatched uint64 // handed to vegeta
	folded     uint64 // came back
	err        error

	out chan uint32 // from Pace to Targeter: never more than workers + 1

	box struct {
		sync.Mutex
		replies []uint32
		asleep  bool
		until   time.Duration // asleep: when the sleep ends by itself
	}
	emptied []uint32 // the other half of box.replies

	ctx    context.Context // of all requests
	cancel context.CancelFunc

	hits, misfits uint64 // results that vegeta told of, and those it should not
}

// quantum is the shortest time between the ends of two sleeps: what falls due
// within it after a wake goes out together at its end. An action alone is not
// delayed. At 5,000 a second, where every wake of an idle machine costs as much as
// the request itself, the median lateness is 0.16 ms with it (0.05 without) and the
// processor time a third less (BenchmarkAtRate, two cores).
const quantum = 250 * time.Microsecond

// stubs are what vegeta is told instead of the real reply.
var (
	stubSent   = &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Body: http.NoBody}
	stubUnsent = &http.Response{Status: "503 unsent", StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}
)

// newEngine makes an engine for one run of the given length.
func newEngine(clk clock.Clock, s sleeper, d driver, t *target, inner http.RoundTripper, workers int, length, grace time.Duration) *engine {
	e := &engine{clk: clk, sleeper: s, driver: d, target: t, inner: inner, workers: workers, end: length, grace: grace}
	if c, ok := inner.(*conns); ok {
		e.conns = c
		if wall, ok := clk.(clock.Wall); ok {
			e.origin = wall.Origin()
		}
	}
	e.out = make(chan uint32, workers+2)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// startWorkers is how many workers vegeta starts with; it adds more as needed.
const startWorkers = 32

// run drives the whole run and returns when every worker is back. When ctx ends
// the run ends there: what was due later is not part of it.
func (e *engine) run(ctx context.Context) error {
	defer e.cancel()
	stop := context.AfterFunc(ctx, e.interrupt)
	defer stop()
	// vegeta does not ask the pacer while all its workers are busy, so the last
	// moment needs a clock of its own.
	if e.conns != nil {
		defer context.AfterFunc(e.ctx, e.conns.abort)()
	}
	last := e.clk.AfterFunc(e.end+e.grace-e.clk.Now(), e.cancel)
	defer last()

	a := vegeta.NewAttacker(
		vegeta.Client(&http.Client{Transport: e, CheckRedirect: noRedirect}),
		vegeta.Workers(uint64(min(startWorkers, e.workers))),
		vegeta.MaxWorkers(uint64(e.workers)),
		vegeta.MaxBody(0),
	)
	for r := range a.Attack(e.aim, e, 0, "") {
		e.hits++
		if r.Error != "" && r.Code != uint16(stubUnsent.StatusCode) {
			e.misfits++
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.drain()
	e.finish()
	switch {
	case e.err != nil:
		return e.err
	case e.hits != e.dispatched || e.folded != e.dispatched || e.misfits != 0:
		return fmt.Errorf("attack: %d requests handed to vegeta, %d results, %d replies, %d of them not ours: the count must agree",
			e.dispatched, e.hits, e.folded, e.misfits)
	}
	return nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// interrupt ends the run now.
func (e *engine) interrupt() {
	e.cancel()
	e.mu.Lock()
	e.end, e.grace = min(e.end, max(e.clk.Now(), 0)), 0
	e.mu.Unlock()
	e.sleeper.wake()
}

// Rate implements vegeta.Pacer: it is only a label there.
func (e *engine) Rate(time.Duration) float64 { return 0 }

// Pace implements vegeta.Pacer: it returns when a request is due, with no wait
// left, or when the run is over.
func (e *engine) Pace(time.Duration, uint64) (wait time.Duration, stop bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		e.drain()
		now := e.clk.Now()
		if now >= e.end+e.grace || e.err != nil {
			e.cancel()
			return 0, true
		}
		ev, fromAgenda, ok := e.earliest()
		if !ok && e.brief && e.dispatched == e.folded {
			return 0, true
		}
		ok = ok && ev.due < e.end
		if ok && ev.due <= now {
			if e.step(ev, fromAgenda) {
				return 0, false
			}
			continue
		}
		until := e.end
		switch {
		case ok:
			until = ev.due
		case now >= e.end && e.dispatched == e.folded:
			return 0, true
		case now >= e.end:
			until = e.end + e.grace
		}
		e.sleep(now, max(until, e.woke+quantum))
	}
}

// sleep waits with the lock released, unless a reply is in the box already and
// the last wake is not too fresh.
func (e *engine) sleep(now, until time.Duration) {
	e.sleeper.ready()
	e.box.Lock()
	if len(e.box.replies) > 0 {
		until = min(until, e.woke+quantum)
	}
	if until <= now {
		e.box.Unlock()
		return
	}
	e.box.asleep, e.box.until = true, until
	e.box.Unlock()
	e.mu.Unlock()
	e.sleeper.sleep(until - now)
	e.mu.Lock()
	e.woke = e.clk.Now()
	e.box.Lock()
	e.box.asleep = false
	e.box.Unlock()
}

// earliest is the next event of the agenda and the arrivals together.
func (e *engine) earliest() (ev event, fromAgenda, ok bool) {
	ev, ok = e.agenda.first()
	if next, more := e.driver.next(); more && (!ok || next.before(ev)) {
		return next, false, true
	}
	return ev, true, ok
}

// step takes one event and reports whether a request was handed to vegeta.
func (e *engine) step(ev event, fromAgenda bool) bool {
	x := e.take(ev, fromAgenda)
	if x == nil {
		return false
	}
	e.dispatched++
	e.out <- x.index
	return true
}

// take takes one event and returns the request that it leads to, if any.
func (e *engine) take(ev event, fromAgenda bool) *exchange {
	if fromAgenda {
		e.agenda.pop()
	}
	if e.spare == nil {
		x, err := e.xs.take()
		if err != nil {
			e.err = err
			return nil
		}
		e.spare = x
	}
	x := e.spare
	var reply *exchange
	if ev.kind == evReply {
		reply = e.xs.at(ev.ref)
	}
	move, ref := e.driver.handle(ev, reply, x)
	if reply != nil {
		e.xs.give(reply)
	}
	switch move.Kind {
	case policy.Wait:
		e.agenda.push(event{due: max(move.At, ev.due), visit: ev.visit, ref: ref, kind: evWake})
	case policy.Send:
		e.spare = nil
		x.ref, x.visit, x.intended = ref, ev.visit, ev.due
		return x
	}
	return nil
}

// drain folds what came back and enters it in the agenda.
func (e *engine) drain() {
	e.box.Lock()
	got := e.box.replies
	e.box.replies = e.emptied[:0]
	e.box.Unlock()
	for _, i := range got {
		x := e.xs.at(i)
		e.folded++
		e.driver.fold(x)
		if x.unsent || x.cut || x.done >= e.end {
			e.xs.give(x) // the run is over for its visitor
			continue
		}
		e.agenda.push(event{due: x.done, visit: x.visit, ref: i, kind: evReply})
	}
	e.emptied = got
}

// finish counts what was due before the end and never sent.
func (e *engine) finish() {
	for e.err == nil {
		ev, fromAgenda, ok := e.earliest()
		if !ok || ev.due >= e.end {
			return
		}
		if x := e.take(ev, fromAgenda); x != nil {
			x.unsent, x.done = true, max(e.clk.Now(), x.intended)
			e.driver.fold(x)
			e.xs.give(x)
		}
	}
}

// aim is the vegeta.Targeter: it names the exchange that Pace handed over.
func (e *engine) aim(t *vegeta.Target) error {
	x := e.xs.at(<-e.out)
	t.Method, t.URL, t.Header = http.MethodGet, "http://spillway/", x.header
	return nil
}

// RoundTrip implements http.RoundTripper: it sends the real request, which it
// makes out of vegeta's own, and answers with a stub.
func (e *engine) RoundTrip(req *http.Request) (*http.Response, error) {
	i, err := strconv.ParseUint(req.Header.Get(headerIndex), 10, 32)
	if err != nil || !e.xs.has(i) {
		return nil, errors.New("attack: a hit without its index")
	}
	x := e.xs.at(uint32(i))
	if e.ctx.Err() != nil {
		x.unsent, x.done = true, e.clk.Now()
		e.post(x)
		return stubUnsent, nil
	}
	var ctx context.Context
	var cancel context.CancelFunc
	if e.conns != nil {
		ctx, cancel = until{e.ctx, e.origin.Add(e.clk.Now() + x.timeout)}, func() {}
	} else {
		ctx, cancel = context.WithTimeout(e.ctx, x.timeout)
	}
	defer cancel()
	req = req.WithContext(ctx)
	e.target.fill(x, req)
	x.sent = e.clk.Now()
	resp, err := e.inner.RoundTrip(req)
	if err == nil {
		err = e.target.read(x, resp)
		_ = resp.Body.Close() // read to its end, or given up
	}
	x.done = e.clk.Now()
	if err != nil {
		x.reply = policy.Reply{Outcome: booking.Failed}
		var ne net.Error
		switch {
		case e.ctx.Err() != nil:
			x.cut = true
		case ctx.Err() != nil, errors.As(err, &ne) && ne.Timeout():
			x.reply.Outcome = booking.Timeout
		}
	}
	e.post(x)
	return stubSent, nil
}

// post hands an exchange back to the dispatcher. x is no longer the caller's.
func (e *engine) post(x *exchange) {
	e.box.Lock()
	e.box.replies = append(e.box.replies, x.index)
	wake := e.box.asleep && x.done+quantum < e.box.until // else it is near anyway
	if wake {
		e.box.asleep = false
	}
	e.box.Unlock()
	if wake {
		e.sleeper.wake()
	}
}

// backlog is how many events are due and not taken yet, counted to a limit.
func (e *engine) backlog(now time.Duration, limit int) int {
	return e.agenda.dueBy(min(now, e.end-1), limit)
}
