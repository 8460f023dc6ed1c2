package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// Source tells whether all stock is gone.
type Source interface {
	SoldOut(ctx context.Context) (bool, error)
}

// Instance is one gateway: its own copy of the closed flag, its own counters and
// its own up or down. Work is done at the shared Station.
type Instance struct {
	ID     int
	check  policy.ClosedCheck
	source Source

	up     atomic.Bool
	life   atomic.Uint64
	halted atomic.Pointer[chan struct{}] // closed when it goes on; nil = it runs
	flag   atomic.Pointer[flag]
	mu     sync.Mutex // held while the flag is read anew
	errors atomic.Uint64
	tally  [booking.StepPoll + 1][booking.Unmapped + 1]atomic.Uint64
}

type flag struct {
	readAt, triedAt time.Duration
	soldOut         bool
}

// NewInstance makes an instance that is up. check.Life is the life of its closed
// flag; a source of nil means that stock is never asked.
func NewInstance(id int, check policy.ClosedCheck, source Source) *Instance {
	i := &Instance{ID: id, check: check, source: source}
	i.up.Store(true)
	return i
}

// Up reports whether the instance serves; SetUp changes it.
func (i *Instance) Up() bool { return i.up.Load() }

// SetUp takes the instance out of service or back.
func (i *Instance) SetUp(up bool) { i.up.Store(up) }

// Kill ends a life of the instance: what it holds in memory is gone, and requests
// that began in it have nobody left to answer them.
func (i *Instance) Kill() {
	i.life.Add(1)
	i.flag.Store(nil)
}

// Life is the number of the instance's present life.
func (i *Instance) Life() uint64 { return i.life.Load() }

// Halt makes whoever calls Wait wait until Halt(false).
func (i *Instance) Halt(on bool) {
	var next *chan struct{}
	if on {
		gate := make(chan struct{})
		next = &gate
	}
	if old := i.halted.Swap(next); old != nil {
		close(*old)
	}
}

// Wait returns at once while the instance runs. While it is halted it waits until
// it runs again or ctx ends.
func (i *Instance) Wait(ctx context.Context) {
	for {
		gate := i.halted.Load()
		if gate == nil {
			return
		}
		select {
		case <-*gate:
		case <-ctx.Done():
			return
		}
	}
}

// State is the closed check's answer. now is the clock that the flag's life is
// counted on and run the offset in the run, which the opening hours are. When
// stock cannot be read the last copy is used, however old: the flag's age is
// exported, and an early reader who is let through meets stock itself.
func (i *Instance) State(ctx context.Context, now, run time.Duration) booking.State {
	if s := i.check.State(run, false); s != booking.StatePreorder || i.source == nil {
		return s
	}
	f := i.flag.Load()
	if f == nil || !i.check.Fresh(f.triedAt, now) {
		f = i.refresh(ctx, now)
	}
	return i.check.State(run, f.soldOut)
}

func (i *Instance) refresh(ctx context.Context, now time.Duration) *flag {
	i.mu.Lock()
	defer i.mu.Unlock()
	old := i.flag.Load()
	if old != nil && i.check.Fresh(old.triedAt, now) {
		return old // read by another request meanwhile
	}
	soldOut, err := i.source.SoldOut(ctx)
	next := &flag{readAt: now, triedAt: now, soldOut: soldOut}
	if err != nil {
		i.errors.Add(1)
		next = &flag{triedAt: now, readAt: now}
		if old != nil {
			next.readAt, next.soldOut = old.readAt, old.soldOut
		}
	}
	i.flag.Store(next)
	return next
}

// FlagAge is how long ago the instance read its closed flag; ok is false when it
// never has.
func (i *Instance) FlagAge(now time.Duration) (age time.Duration, ok bool) {
	f := i.flag.Load()
	if f == nil {
		return 0, false
	}
	return now - f.readAt, true
}

// FlagErrors is how often the flag could not be read.
func (i *Instance) FlagErrors() uint64 { return i.errors.Load() }

// Count counts a reply. Values outside the enums are counted as unmapped.
func (i *Instance) Count(s booking.Step, o booking.Outcome) {
	if s > booking.StepPoll {
		s = 0
	}
	if o > booking.Unmapped {
		o = booking.Unmapped
	}
	i.tally[s][o].Add(1)
}

// Replies is how many replies of a step had an outcome; step 0 are those that
// belong to none.
func (i *Instance) Replies(s booking.Step, o booking.Outcome) uint64 {
	if s > booking.StepPoll || o > booking.Unmapped {
		return 0
	}
	return i.tally[s][o].Load()
}
