package attack

import "time"

// sleeper lets one goroutine wait for a moment and others end the wait early.
type sleeper interface {
	// ready forgets earlier wakes. It is called before others may learn that the
	// owner is about to sleep.
	ready()
	// sleep returns after d, or early when wake was called since ready. It may
	// also return early for no reason. Only the owner calls it.
	sleep(d time.Duration)
	// wake ends the sleep. Any goroutine may call it.
	wake()
	// close releases what the sleeper holds. Nobody may sleep in it any more.
	close() error
}

// timerSleeper waits on a runtime timer: right on every system and in a
// testing/synctest bubble, but late by up to a millisecond on an idle machine.
type timerSleeper struct {
	woken chan struct{}
	timer *time.Timer
}

var _ sleeper = (*timerSleeper)(nil)

func newTimerSleeper() *timerSleeper {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &timerSleeper{woken: make(chan struct{}, 1), timer: t}
}

func (s *timerSleeper) ready() {
	select {
	case <-s.woken:
	default:
	}
}

func (s *timerSleeper) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	s.timer.Reset(d)
	select {
	case <-s.timer.C:
	case <-s.woken:
		s.timer.Stop()
	}
}

func (s *timerSleeper) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *timerSleeper) close() error { return nil }
