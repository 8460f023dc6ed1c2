package model

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// admission is the gate's server side: the config that is in force and what can
// be checked on submit. Clients hold older copies, so a claim is checked under the
// largest probability that any of them may still hold.
type admission struct {
	e    *evening
	off  bool
	now  policy.Runtime
	past []held
	coin policy.Coin
	keep time.Duration // how long a client may hold an older config
}

// held is an older config and until when a client may hold it.
type held struct {
	gate        policy.Gate
	probability float64
	until       time.Duration
}

// pastMax bounds the remembered configs, as the reference backend does.
const pastMax = 600

func (e *evening) openAdmission() {
	sc := e.sc
	a := &e.admission
	*a = admission{e: e, off: !sc.On("admission"), keep: sc.Visitor.ConfigLife + sc.Admission.Period}
	if sc.On("edge") {
		a.keep += sc.Edge.ConfigLife
	}
	// The salt that the reference backend draws from the same seed, so that both
	// arms have the same luck.
	a.coin = policy.Coin{K0: e.luck.U64(booking.DrawCoin, 1<<63, 0), K1: e.luck.U64(booking.DrawCoin, 1<<63, 1),
		Period: max(sc.Admission.Period.Truncate(time.Millisecond), time.Millisecond)}
	a.now = sc.RuntimeAt(0)
}

// change puts another config in force.
func (a *admission) change(next policy.Runtime, now time.Duration) {
	kept := a.past[:0]
	for _, h := range a.past {
		if now < h.until {
			kept = append(kept, h)
		}
	}
	a.past = append(kept, held{a.now.Gate, a.now.Probability, now + a.keep})
	if n := len(a.past); n > pastMax {
		a.past = append(a.past[:0], a.past[n-pastMax:]...)
	}
	a.now = next
}

// check checks the claim of a submit: OK, or BadCoin when no config that the
// client may hold lets it pass.
func (a *admission) check(r *request, now time.Duration) booking.Outcome {
	if a.off || a.now.Gate != policy.GateCoin && !r.hasEpoch {
		return booking.OK
	}
	free, p := a.now.Gate != policy.GateCoin, 0.0
	if !free {
		p = a.now.Probability
	}
	for _, h := range a.past {
		switch {
		case now >= h.until:
		case h.gate == policy.GateCoin:
			p = max(p, h.probability)
		default:
			free = true
		}
	}
	if free || r.hasEpoch && a.coin.Check(r.user, r.epoch, now, p) {
		return booking.OK
	}
	return booking.BadCoin
}
