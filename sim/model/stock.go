package model

import (
	"time"
	"unsafe"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/sim/window"
)

// stock is what can be taken: duplicate check, stock, the queue's bound and the
// enqueue in one step that nothing can come between.
type stock struct {
	e      *evening
	free   []int // of each item
	filled []int
	total  int
	held   holders
	bound  policy.QueueLimit
	lots   bool // lottery: entries take no stock
}

func (e *evening) openStock() {
	sc := e.sc
	s := &e.stock
	*s = stock{e: e, free: sc.Items(), filled: sc.Items(), lots: sc.Mode == booking.ModeLottery,
		held: newHolders(int(sc.Population.Users)+int(sc.Spec.Bots.Count), int(sc.Stock.Reservations))}
	for _, n := range s.free {
		s.total += n
	}
	if sc.Mode != booking.ModeTimedWriter {
		s.bound.Depth = int(sc.Queue.Depth)
	}
}

// take judges a submit and enqueues it when it may be.
func (s *stock) take(r *request, now time.Duration) booking.Outcome {
	held := s.held.row(r.user)
	switch {
	case held != 0 && (!r.bot || s.lots):
		// A person's client repeats its idempotency key and gets its ticket again; a
		// repeated entry to a lottery gets the first one's.
		r.ticket = held
		return booking.Queued
	case held != 0:
		return booking.Duplicate // a bot makes a new key for each post
	case !s.lots && s.total == 0:
		return booking.Closed
	case !s.lots && s.free[r.item] == 0:
		return booking.SoldOut
	case !s.bound.Allows(s.e.ledger.depth()):
		return booking.Busy
	}
	s.remove(r, now)
	return booking.Queued
}

// book judges a submit at the database and writes it when it may be.
func (s *stock) book(r *request, now time.Duration) booking.Outcome {
	held := s.held.row(r.user)
	switch {
	case held != 0 && !r.bot:
		r.ticket = held
		return booking.Confirmed
	case held != 0:
		return booking.Duplicate
	case s.total == 0:
		return booking.Closed
	case s.free[r.item] == 0:
		return booking.SoldOut
	}
	s.remove(r, now)
	l := &s.e.ledger
	l.write(now)
	l.shown, l.acked = l.written, l.written
	return booking.Confirmed
}

// remove takes one reservation out of stock and gives the submit its ticket.
func (s *stock) remove(r *request, now time.Duration) {
	if !s.lots {
		s.free[r.item]--
		s.total--
		if s.total == 0 {
			s.e.rec.Marks[record.MarkSoldOut] = now
		}
	}
	at := now
	if s.e.direct {
		at = r.began // accepted when its work began; its wait includes the database's queue
	}
	l := &s.e.ledger
	l.rows = append(l.rows, row{user: uint32(r.user), item: r.item, at: at})
	r.ticket = uint32(len(l.rows))
	s.held.set(r.user, r.ticket)
}

// holders says which row of the ledger a user has: a table when most may have one, a
// map when few can.
type holders struct {
	table []uint32 // row plus one; 0 = none
	few   map[uint32]uint32
}

func newHolders(users, stock int) holders {
	if stock < users/16 { // an entry of the map takes as much as a dozen of the table
		return holders{few: map[uint32]uint32{}}
	}
	return holders{table: window.Make[uint32](users)}
}

// row is the user's row, plus one; 0 = none.
func (h *holders) row(user booking.UserID) uint32 {
	if h.table == nil {
		return h.few[uint32(user)]
	}
	return h.table[user]
}

// line is where a user's entry is; nil when it is not known.
func (h *holders) line(user uint32) unsafe.Pointer {
	if h.table == nil {
		return nil
	}
	return unsafe.Pointer(&h.table[user])
}

func (h *holders) set(user booking.UserID, row uint32) {
	if h.table == nil {
		h.few[uint32(user)] = row
		return
	}
	h.table[user] = row
}
