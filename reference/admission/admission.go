package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

// Options set the admission. Offsets are offsets of the run.
type Options struct {
	Seed        draw.Seed
	Off         bool // the layer is switched off: every press passes
	Gate        policy.Gate
	Probability float64           // 0..1
	Period      time.Duration     // of the coin; > 0 when the gate is or may become the coin
	Results     bool              // the entry to the result list is on
	ClientLife  time.Duration     // how long clients may keep a config
	EdgeLife    time.Duration     // how long the edge may
	Controller  policy.Controller // moves the probability; nil = Fixed
}

// Counts are the results of the checks on submit.
type Counts struct{ Passed, Refused, Unchecked uint64 }

// Admission is the gate's server side. Its methods may be called from any
// goroutine.
type Admission struct {
	o          Options
	mu         sync.Mutex // for changes
	unixMs     int64
	controller policy.Controller
	now        atomic.Pointer[view]

	passed, refused, unchecked atomic.Uint64
}

// held is an older config and the offset until which a client may hold it.
type held struct {
	gate        policy.Gate
	probability float64
	until       time.Duration
}

// view is all that a request needs, swapped as a whole.
type view struct {
	config wire.Config
	body   []byte
	gate   policy.Gate
	coin   policy.Coin
	past   []held // older configs that clients may still hold
}

// New makes the admission with its first config, version 1. unixMs is the epoch 0
// of the coin as clients know it and origin the same moment as an offset.
func New(o Options, unixMs int64, origin time.Duration) (*Admission, error) {
	if o.Off {
		o.Gate, o.Probability = policy.GateOff, 1
	}
	if o.Gate < policy.GateOff || o.Gate > policy.GateCoin {
		return nil, fmt.Errorf("admission: unknown gate %d: one of off, original, coin", o.Gate)
	}
	if !(o.Probability >= 0 && o.Probability <= 1) {
		return nil, fmt.Errorf("admission: probability %v: want 0 to 1", o.Probability)
	}
	// Whole milliseconds, since the config says no less.
	o.Period = max(o.Period.Truncate(time.Millisecond), 0)
	if o.Gate == policy.GateCoin && o.Period == 0 {
		return nil, errors.New("admission: the coin needs a period of at least 1ms")
	}
	a := &Admission{o: o, unixMs: unixMs, controller: o.Controller}
	if a.controller == nil {
		a.controller = policy.Fixed(o.Probability)
	}
	a.set(view{gate: o.Gate, coin: policy.Coin{
		K0:     o.Seed.U64(booking.DrawCoin, 1<<63, 0), // no visit has this id
		K1:     o.Seed.U64(booking.DrawCoin, 1<<63, 1),
		Period: o.Period, Origin: origin,
	}, config: wire.Config{Version: 1, Probability: o.Probability, Results: o.Results}})
	return a, nil
}

// set makes v current, with the wire's form filled in. The caller holds mu, or
// nobody else has a yet.
func (a *Admission) set(v view) {
	c := &v.config
	c.Gate, c.LifeMillis, c.Coin = v.gate.String(), a.o.ClientLife.Milliseconds(), nil
	if v.gate == policy.GateCoin {
		c.Coin = &wire.CoinConfig{Salt: fmt.Sprintf("%016x%016x", v.coin.K0, v.coin.K1),
			PeriodMillis: v.coin.Period.Milliseconds(), OriginUnixMs: a.unixMs}
	}
	v.body, _ = json.Marshal(c) // finite numbers and words: cannot fail
	a.now.Store(&v)
}

// Config is the present config and its bytes, which the caller must not change.
func (a *Admission) Config() (wire.Config, []byte) {
	v := a.now.Load()
	return v.config, v.body
}

// Results reports whether the entry to the result list is on.
func (a *Admission) Results() bool { return a.now.Load().config.Results }

// Rebase moves epoch 0 of the coin, when the run's offset 0 becomes known. Copies
// of older configs are forgotten: their offsets mean nothing any more.
func (a *Admission) Rebase(unixMs int64, origin time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := *a.now.Load()
	v.coin.Origin, v.past = origin, nil
	v.config.Version++
	a.unixMs = unixMs
	a.set(v)
}

// Change changes the config at offset now; unset fields stay. Kill is not of the
// config and is left to the caller. It fails, and changes nothing, on a value out
// of range.
func (a *Admission) Change(now time.Duration, c wire.Change) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := *a.now.Load()
	was := v
	if c.Gate != nil {
		g, err := policy.ParseGate(*c.Gate)
		if err != nil {
			return fmt.Errorf("admission: gate: %w", err)
		}
		if g == policy.GateCoin && v.coin.Period == 0 {
			return errors.New("admission: gate coin: this backend was started without a period for it")
		}
		v.gate = g
	}
	if c.Probability != nil {
		if !(*c.Probability >= 0 && *c.Probability <= 1) {
			return fmt.Errorf("admission: probability %v: want 0 to 1", *c.Probability)
		}
		v.config.Probability = *c.Probability
		a.controller = policy.Fixed(*c.Probability)
	}
	if c.Results != nil {
		v.config.Results = *c.Results
	}
	if v.gate == was.gate && v.config.Probability == was.config.Probability && v.config.Results == was.config.Results {
		return nil
	}
	a.replace(was, v, now)
	return nil
}

// replace makes v current and remembers was for as long as clients may hold it.
func (a *Admission) replace(was, v view, now time.Duration) {
	v.past = nil
	for _, h := range was.past {
		if now < h.until {
			v.past = append(v.past, h)
		}
	}
	v.past = append(v.past, held{was.gate, was.config.Probability, now + a.o.ClientLife + a.o.EdgeLife + a.o.Period})
	// A config changed without end must not grow without end: the oldest go, and
	// a client that still holds one is told "bad coin" and fetches a new one.
	if n := len(v.past); n > pastMax {
		v.past = v.past[n-pastMax:]
	}
	v.config.Version++
	a.set(v)
}

// pastMax bounds the remembered configs: a change a second for ten minutes, the
// original's client life, fits.
const pastMax = 600

// Steer asks the controller for the probability and changes the config when it
// moves. depthShare is the queue's depth over its bound (0 when unbounded) and
// refusals those since the last call.
func (a *Admission) Steer(now time.Duration, depthShare float64, refusals int) {
	if a.o.Off {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	was := *a.now.Load()
	p := a.controller.Probability(now, depthShare, refusals)
	if !(p >= 0 && p <= 1) || p == was.config.Probability {
		return
	}
	v := was
	v.config.Probability = p
	a.replace(was, v, now)
}

// Check checks the claim of a submit at offset now: OK, or BadCoin when no config
// that the client may hold lets it pass.
func (a *Admission) Check(user booking.UserID, epoch *int64, now time.Duration) booking.Outcome {
	v := a.now.Load()
	if a.o.Off || v.gate != policy.GateCoin && epoch == nil {
		a.unchecked.Add(1)
		return booking.OK
	}
	free, p := v.gate != policy.GateCoin, 0.0
	if v.gate == policy.GateCoin {
		p = v.config.Probability
	}
	for _, h := range v.past {
		switch {
		case now >= h.until:
		case h.gate == policy.GateCoin:
			p = max(p, h.probability)
		default:
			free = true
		}
	}
	switch {
	case free:
		// A config without a coin is about: with it no claim is due, so none
		// can be held against the submit.
		a.unchecked.Add(1)
		return booking.OK
	case epoch != nil && v.coin.Check(user, *epoch, now, p):
		a.passed.Add(1)
		return booking.OK
	}
	a.refused.Add(1)
	return booking.BadCoin
}

// Counts reads the results of the checks.
func (a *Admission) Counts() Counts {
	return Counts{a.passed.Load(), a.refused.Load(), a.unchecked.Load()}
}
