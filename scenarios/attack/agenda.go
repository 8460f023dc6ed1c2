package attack

import (
	"time"

	"spillway/internal/booking"
)

// event is one entry of the agenda: something that happens to a visit.
type event struct {
	due   time.Duration
	visit booking.VisitID
	ref   uint32 // the visitor's place; for a reply, the exchange's index
	kind  eventKind
}

type eventKind uint8

const (
	evWake eventKind = iota + 1
	evReply
	evArrive
)

// before is the stated total order: by due moment, then by visit. A visit waits
// for one thing at a time, so no two entries are equal.
func (a event) before(b event) bool {
	return a.due < b.due || a.due == b.due && a.visit < b.visit
}

// agenda is a 4-ary min-heap of events: half as deep as a binary one, and the
// four children share two cache lines. Not safe for concurrent use.
type agenda struct{ es []event }

func (a *agenda) len() int { return len(a.es) }

// first is the earliest event; ok is false when there is none.
func (a *agenda) first() (ev event, ok bool) {
	if len(a.es) == 0 {
		return event{}, false
	}
	return a.es[0], true
}

func (a *agenda) push(ev event) {
	a.es = append(a.es, ev)
	i := len(a.es) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !ev.before(a.es[up]) {
			break
		}
		a.es[i] = a.es[up]
		i = up
	}
	a.es[i] = ev
}

// pop removes the earliest event. The agenda must not be empty.
func (a *agenda) pop() event {
	top := a.es[0]
	n := len(a.es) - 1
	last := a.es[n]
	a.es = a.es[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		least := c
		for j := c + 1; j < min(c+4, n); j++ {
			if a.es[j].before(a.es[least]) {
				least = j
			}
		}
		if !a.es[least].before(last) {
			break
		}
		a.es[i] = a.es[least]
		i = least
	}
	a.es[i] = last
	return top
}

// dueBy counts the events due at t or before, up to limit: it walks only them.
func (a *agenda) dueBy(t time.Duration, limit int) int {
	n := 0
	var walk func(i int)
	walk = func(i int) {
		if i >= len(a.es) || n >= limit || a.es[i].due > t {
			return
		}
		n++
		for c := 4*i + 1; c <= 4*i+4; c++ {
			walk(c)
		}
	}
	walk(0)
	return n
}
