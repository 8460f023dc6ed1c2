package attack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/internal/wire"
	"spillway/scenarios"
)

// Grace is how long after its length a run may go on, to send what was due and to
// wait for replies.
const Grace = 2 * time.Second

// DefaultInFlight is the upper bound of requests under way when Options does not
// say: at the 2,400 a second of the default evening, five seconds of a backend
// that answers nothing, for about 200 MB.
const DefaultInFlight = 12000

// lead is how far in the future offset 0 is put, so that the backend has heard of
// it before it comes.
const lead = 300 * time.Millisecond

// progressEvery is the beat of Options.Progress.
const progressEvery = 250 * time.Millisecond

// lateMax is how late a request may go out before the generator counts as
// saturated. Finer limits are the scenario's objectives.
const lateMax = time.Second

// Errors of Run, to be told apart with errors.Is.
var (
	// ErrInput says that what was given cannot be run: a URL that is none, or more
	// than the generator holds.
	ErrInput = errors.New("attack: bad input")
	// ErrTarget says that the target does not answer, or not in the contract's words.
	ErrTarget = errors.New("attack: target cannot be used")
	// ErrAdmin says that the scenario changes or breaks something during the run,
	// which takes the target's admin part.
	ErrAdmin = errors.New("attack: the scenario needs the target's admin part")
)

// Options says where a run goes and who watches.
type Options struct {
	Target string // base URL of the visitor's part, "http://HOST:PORT"
	Admin  *Admin // nil = the target has none, or none that we may use
	// MaxInFlight bounds the requests under way; what is due beyond it waits and
	// counts as late. 0 = DefaultInFlight, and never more than the files that this
	// process may open.
	MaxInFlight int
	// Progress is called every 250 ms from a goroutine of its own, never twice at
	// once, and not after Run has returned. nil = nobody watches.
	Progress func(Progress)
	// Inject is asked first for every fault of the scenario; what it does not handle
	// is posted to the admin part. It is called one fault at a time, must return at
	// once and end the fault by itself after For. Before the run it is called for each
	// fault with a For of 0: then it does nothing, says whether it will handle the
	// fault, and refuses by an error. nil = every fault is posted.
	Inject func(ctx context.Context, f wire.Fault) (handled bool, err error)
	// OnAccepted is called for each submit that was told "queued" or "confirmed",
	// from one goroutine at a time. It must be quick. nil = nobody asks.
	OnAccepted func(Accepted)
}

// Accepted is a submit that the target accepted.
type Accepted struct {
	Ticket booking.Ticket // zero when the target gave none
	User   booking.UserID
	Item   int
}

// Progress is the state of a run under way.
type Progress struct {
	Elapsed      time.Duration // run time; negative before the start
	ScenarioTime time.Duration
	Phase        string  // name of the window, "end" after the last
	Planned      float64 // actions that became due per second, over the last second
	Achieved     float64 // requests sent per second, over the last second
	InFlight     int     // requests under way
	Waiting      int     // visitors who wait for a moment, not for a reply
	Admitted     int     // submits that were told "queued" or "confirmed"
	Refused      []Refusal
	QueueDepth   float64 // as last sampled; -1 = not known
	LatenessP50  time.Duration
	LatenessP99  time.Duration
}

// Refusal counts the refusals with one cause, over all steps.
type Refusal struct {
	Outcome booking.Outcome
	Count   int
}

// Run drives the scenario once and returns its record. When ctx ends, the run ends
// there and the record is marked partial. Errors are ErrInput, ErrTarget,
// ErrAdmin or a defect; what goes wrong in mid-run is in the record and its notes.
func Run(ctx context.Context, sc *scenarios.Scaled, opt Options) (*record.Record, error) {
	header := sc.Header()
	t, err := newTarget(opt.Target, sc.Mode, uint64(sc.Seed))
	if err != nil {
		return nil, err
	}
	due, err := posts(sc)
	if err != nil {
		return nil, err
	}
	var adm *admin
	if opt.Admin != nil {
		if adm, err = newAdmin(opt.Admin, sc.Length); err != nil {
			return nil, err
		}
		defer adm.close()
		adm.inject = opt.Inject
	} else if len(due) > 0 {
		return nil, fmt.Errorf("%w: %s at %v; give the admin part's URL and token", ErrAdmin, due[0].what, due[0].at)
	}

	workers := opt.MaxInFlight
	if workers <= 0 {
		workers = DefaultInFlight
	}
	if most := maxSockets(); workers > most {
		header.Notes = append(header.Notes, fmt.Sprintf("at most %d requests could be under way, not %d: the limit of open files", most, workers))
		workers = most
	}
	if adm != nil {
		if err := adm.refuse(ctx, due); err != nil {
			return nil, err
		}
	}
	clk, config, err := begin(ctx, t, adm)
	if err != nil {
		return nil, err
	}
	inner := newInner(t, clk, workers)
	defer inner.CloseIdleConnections()
	rec := record.New(header)
	s, err := newSessions(planOf(sc, config), rec)
	if err != nil {
		return nil, err
	}
	if f := opt.OnAccepted; f != nil {
		s.accepted = func(t booking.Ticket, u booking.UserID, item int) { f(Accepted{t, u, item}) }
	}
	slp, err := newSleeper()
	if err != nil {
		return nil, err
	}
	defer slp.close()
	e := newEngine(clk, slp, s, t, inner, workers, sc.Length, Grace)

	// The helpers live as long as the run.
	side, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	if adm != nil {
		wg.Go(func() { adm.serve(side, clk, due) })
	}
	if opt.Progress != nil {
		wg.Go(func() { watch(side, e, s, adm, &header, opt.Progress) })
	}
	runErr := e.run(ctx)
	wall := clk.Now()
	stop()
	wg.Wait()
	if adm != nil && ctx.Err() == nil {
		adm.sample(ctx) // what was written after the last beat
	}
	if err := s.close(); err != nil {
		return nil, errors.Join(runErr, err)
	}
	if runErr != nil {
		return nil, runErr
	}
	if adm != nil {
		adm.into(rec, s.groups[0].Name)
	}
	rec.Header.Partial = ctx.Err() != nil && wall < sc.Length
	conclude(rec, s.tally)
	rec.Header.WallStart = clk.Origin()
	rec.Header.WallSeconds = wall.Seconds()
	return rec, nil
}

// conclude writes what the generator has to say of itself into the header.
func conclude(rec *record.Record, t *tally) {
	h := &rec.Header
	h.Label = "attack"
	h.Requested, h.Achieved = t.sent+t.unsent, t.sent
	// Who interrupts a run may do so at the moment when something is due: only a longer
	// wait is the generator's.
	h.Saturated = t.unsent > 0 && (!h.Partial || t.waited > lateMax) || t.latest > lateMax
	if t.unsent > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("%d of %d requests were due and could not be sent before the run ended", t.unsent, h.Requested))
	}
	if t.latest > lateMax {
		h.Notes = append(h.Notes, fmt.Sprintf("the generator was up to %v late", t.latest.Round(time.Millisecond)))
	}
	if t.cut > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("%d requests were still unanswered when the run ended, the oldest after %v: they are in no percentile",
			t.cut, t.oldest.Round(time.Millisecond)))
	}
}

// transport is the client side of the wire.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// newInner is our own connections for plain HTTP and net/http's for the rest.
func newInner(t *target, clk clock.Clock, workers int) transport {
	if t.base.Scheme != "http" {
		return newTransport(workers)
	}
	addr := t.base.Host
	if t.base.Port() == "" {
		addr = net.JoinHostPort(t.base.Hostname(), "80")
	}
	return newConns(addr, clk)
}

// newTransport is net/http's client side. Its buffers are small, since thousands
// of connections have two each: replies take some 300 bytes.
func newTransport(workers int) *http.Transport {
	return &http.Transport{
		Proxy:               nil, // a proxy of the environment would be what is measured
		DialContext:         (&net.Dialer{KeepAlive: -1}).DialContext,
		MaxIdleConnsPerHost: workers,
		DisableCompression:  true,
		ReadBufferSize:      1 << 10,
		WriteBufferSize:     1 << 10,
	}
}

// begin makes sure that the target answers, agrees with it on offset 0 and
// fetches its config.
func begin(ctx context.Context, t *target, adm *admin) (clock.Wall, *policy.Runtime, error) {
	var (
		origin time.Time
		clk    = clock.NewWall()
		inner  = newTransport(1)
	)
	defer inner.CloseIdleConnections()
	for try := 0; ; try++ {
		clk = clock.WallFrom(clk.Origin().Add(clk.Now() + lead))
		origin = clk.Origin()
		if adm != nil {
			if err := adm.start(ctx, origin); err != nil {
				return clk, nil, err
			}
		}
		t.origin.Store(origin.UnixNano())
		config, err := preflight(ctx, t, inner)
		if err != nil {
			return clk, nil, err
		}
		// A first answer may be slow: a cold cache, a cold machine. Then the moment
		// that was agreed is gone, and a later one is agreed.
		if clk.Now() < -lead/4 || try == 3 {
			return clk, config, nil
		}
	}
}

// preflight fetches the config; nil when the target has an answer but no config.
func preflight(ctx context.Context, t *target, inner http.RoundTripper) (*policy.Runtime, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	fail := func(err error) error {
		return fmt.Errorf("%w: %s: %w; start the backend or correct the target", ErrTarget, t.base, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.at(wire.PathConfig).String(), nil)
	if err != nil {
		return nil, fail(err)
	}
	resp, err := inner.RoundTrip(req)
	if err != nil {
		return nil, fail(cause(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxBody))
	if err != nil {
		return nil, fail(err)
	}
	if resp.Header.Get(wire.HeaderOutcome) == "" {
		return nil, fail(fmt.Errorf("%s answered %s without %s, so it does not speak the contract", wire.PathConfig, resp.Status, wire.HeaderOutcome))
	}
	rt, ok := t.config(body, true)
	if !ok {
		return nil, nil
	}
	return &rt, nil
}

// planOf is the plan of a scenario. config is what the target serves now; it
// lends its coin's salt to the copies that clients hold from before the run.
func planOf(sc *scenarios.Scaled, config *policy.Runtime) plan {
	return plan{
		program: sc.Program(), luck: sc.Seed, classes: sc.Population.Classes,
		arrivals: sc.Arrivals(), userOf: sc.UserOf, bots: sc.Bots(),
		held: func(u booking.UserID) (policy.Runtime, time.Duration, bool) {
			at, ok := sc.ConfigCopy(u)
			if !ok {
				return policy.Runtime{}, 0, false
			}
			rt := sc.RuntimeAt(at)
			rt.Coin = policy.Coin{}
			if rt.Gate == policy.GateCoin {
				if config == nil || config.Gate != policy.GateCoin {
					// Without the salt there is no coin: as if the copy had been lost.
					return policy.Runtime{}, 0, false
				}
				rt.Coin = config.Coin
			}
			return rt, at, true
		},
	}
}

// watch reports the run's state until ctx ends.
func watch(ctx context.Context, e *engine, s *sessions, adm *admin, h *record.Header, show func(Progress)) {
	const span = int(time.Second / progressEvery)
	type beat struct {
		at        time.Duration
		due, sent uint64
	}
	var past []beat
	for at := e.clk.Now(); sleepUntil(ctx, e.clk, at); at = max(at+progressEvery, e.clk.Now()) {
		e.mu.Lock()
		now := e.clk.Now()
		t := s.tally
		const most = 100_000
		arrivals := s.arrivedBy(min(now, e.end-1)) - s.begun
		b := beat{now, e.dispatched + uint64(e.backlog(now, most)) + uint64(max(arrivals, 0)), e.dispatched}
		p := Progress{Elapsed: now, ScenarioTime: h.ScenarioTime(now), InFlight: int(e.dispatched - e.folded),
			Admitted:   int(t.outcomes[booking.StepSubmit][booking.Queued] + t.outcomes[booking.StepSubmit][booking.Confirmed]),
			QueueDepth: -1, LatenessP50: t.late.Quantile(0.5), LatenessP99: t.late.Quantile(0.99)}
		p.Waiting = max(s.alive-p.InFlight, 0)
		for o := booking.OK; o <= booking.Unmapped; o++ {
			n := 0
			for step := range t.outcomes {
				n += int(t.outcomes[step][o])
			}
			if n > 0 && o.Refusal() {
				p.Refused = append(p.Refused, Refusal{o, n})
			}
		}
		e.mu.Unlock()
		if past = append(past, b); len(past) > span+1 {
			past = past[1:]
		}
		if d := (b.at - past[0].at).Seconds(); d > 0 {
			p.Planned = (float64(b.due) - float64(past[0].due)) / d
			p.Achieved = (float64(b.sent) - float64(past[0].sent)) / d
		}
		p.Phase = "end"
		for _, w := range h.Windows {
			if p.ScenarioTime < w.To {
				p.Phase = w.Name
				break
			}
		}
		if adm != nil {
			adm.mu.Lock()
			if adm.hasAny {
				p.QueueDepth = adm.depth
			}
			adm.mu.Unlock()
		}
		show(p)
	}
}
