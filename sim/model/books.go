package model

import (
	"fmt"
	"slices"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// check holds the books against each other: whatever comes in goes out by exactly
// one door, or is still inside. It is done at every sample.
func (e *evening) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: at %v of the run "+format, append([]any{ErrBooks, e.kernel.Now()}, args...)...)
	}
	var begun, ended uint64
	for i := range e.groups {
		begun += e.started[i]
		for _, n := range e.ended[i] {
			ended += n
		}
	}
	if w := e.windows; w != nil {
		ended, begun = ended+w.returned, begun+w.handed
	}
	q := &e.requests
	switch {
	case ended+uint64(e.alive) != begun:
		return wrong("%d visits began, %d ended, %d are under way", begun, ended, e.alive)
	case q.open < 0 || q.sent != q.told+q.cut+uint64(q.open):
		return wrong("%d requests were sent, %d answered, %d cut off, %d are open", q.sent, q.told, q.cut, q.open)
	}
	var outcomes uint64
	for s := range q.outcomes {
		for _, n := range q.outcomes[s] {
			outcomes += n
		}
	}
	if c := &e.gateway.c; c.inside < 0 || c.entered != c.served+c.refused+uint64(c.inside) || outcomes != q.told {
		return wrong("the gateways were entered %d times, served %d, refused %d, hold %d; %d answers have %d outcomes",
			c.entered, c.served, c.refused, c.inside, q.told, outcomes)
	}
	s, l := &e.stock, &e.ledger
	filled, free := 0, 0
	for i := range s.filled {
		filled, free = filled+s.filled[i], free+s.free[i]
	}
	taken := len(l.rows)
	if s.lots {
		taken = 0
	}
	if free != s.total || filled != free+taken {
		return wrong("stock had %d, %d were taken and %d are free (%d by items)", filled, taken, s.total, free)
	}
	if !(l.acked <= l.shown && l.shown <= l.written && l.written <= len(l.rows)) {
		return wrong("%d rows accepted, %d written, %d in the result cache, %d acknowledged", len(l.rows), l.written, l.shown, l.acked)
	}
	return nil
}

// invariants proves the six promises from the rows, after writing what still
// waits, as a backend does that is stopped.
func (e *evening) invariants() []record.Invariant {
	s, l := &e.stock, &e.ledger
	drained := len(l.rows) - l.written
	sold := make([]int, len(s.filled))
	holders := make([]uint64, int(e.sc.Population.Users+e.sc.Spec.Bots.Count)/64+1) // bit = the user has a row
	var oversell, balance, lost, duplicate, contradiction int64
	for i, r := range l.rows {
		sold[r.item]++
		if word, bit := &holders[r.user/64], uint64(1)<<(r.user%64); *word&bit != 0 {
			duplicate++
		} else {
			*word |= bit
		}
		if held := s.held.row(booking.UserID(r.user)); int(held) != i+1 {
			lost++ // somebody was accepted whom nobody remembers
		}
		if r.told == booking.Confirmed && i >= l.written {
			contradiction++
		}
	}
	for i, n := range s.filled {
		if !s.lots {
			oversell += int64(max(sold[i]-n, 0))
			off := n - sold[i] - s.free[i]
			balance += int64(max(off, -off))
		}
	}
	toldGone := e.outcomes[booking.StepStatus][booking.Closed]+e.outcomes[booking.StepCheck][booking.Closed]+
		e.outcomes[booking.StepSubmit][booking.Closed] > 0
	undersell, why := int64(0), fmt.Sprintf("%d free, demand was exhausted", s.total)
	if toldGone && !s.lots {
		undersell, why = int64(s.total), fmt.Sprintf("%d free and demand was left", s.total)
	}
	total := 0
	for _, n := range s.filled {
		total += n
	}
	selling := func(detail string) string {
		if s.lots {
			return "a lottery sells nothing before the draw"
		}
		return detail
	}
	out := []record.Invariant{
		{Name: "oversell", Broken: oversell, Detail: selling(fmt.Sprintf("%d rows for %d reservations, no item above its own", len(l.rows), total))},
		{Name: "undersell", Broken: undersell, Detail: selling(why)},
		{Name: "balance", Broken: balance, Detail: selling(fmt.Sprintf("%d sold + %d free, item by item", len(l.rows), s.total))},
		{Name: "lost", Broken: lost, Detail: fmt.Sprintf("each of %d accepted tickets has its row, %d of them written after the run", len(l.rows), drained)},
		{Name: "duplicate", Broken: duplicate, Detail: "no user has two reservations of one cycle"},
		{Name: "contradiction", Broken: contradiction, Detail: fmt.Sprintf("clients and ledger agree on %d tickets", len(l.rows))},
	}
	return slices.Clip(out)
}
