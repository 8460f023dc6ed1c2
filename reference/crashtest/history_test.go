package crashtest

import (
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"spillway/internal/booking"
	"spillway/internal/draw"
)

// input is what a client asked: a submit, or a poll of the ticket of that submit.
type input struct {
	poll bool
	user booking.UserID
	item int
	key  string
}

// history is every operation of clients, in the order of a count that stands for
// time: the scheduler lets one thing happen at a time.
type history struct {
	w     *world
	count int64
	ops   []porcupine.Operation
}

// begin notes the beginning of an operation; the returned func, called with w.mu
// held, its end. An operation without an answer never ends: it may take effect at
// any time, or never. The outcome 0 is one that is known to have done nothing.
func (h *history) begin(client int, in input) (end func(booking.Outcome)) {
	if h == nil {
		return func(booking.Outcome) {}
	}
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.count++
	call := h.count
	return func(out booking.Outcome) {
		if h.count++; out == 0 || in.poll && out == booking.Unknown {
			return // it says nothing and has changed nothing
		}
		op := porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: h.count}
		if out == booking.Unknown {
			op.Return = math.MaxInt64
		}
		h.ops = append(h.ops, op)
	}
}

// sale is the sequential model: what is free, and who holds which ticket, by the
// key of its submit.
type sale struct {
	free  [4]int
	holds [32]string
}

func (s sale) total() (n int) {
	for _, f := range s.free {
		n += f
	}
	return n
}

// seat is a user's place in holds; late buyers come after the clients.
func seat(u booking.UserID) int {
	if u >= lateFrom {
		return 12 + int(u-lateFrom)
	}
	return int(u)
}

// step says in which states the sale may be after an answer; none = the answer is
// wrong.
func (s sale) step(in input, out booking.Outcome) []any {
	same := []any{s}
	mine := s.holds[seat(in.user)]
	accepted := func() []any {
		s := s
		s.free[in.item]--
		s.holds[seat(in.user)] = in.key
		return []any{s}
	}
	could := mine == "" && s.free[in.item] > 0
	allowed := false
	if in.poll {
		allowed = (out == booking.Pending || out == booking.Confirmed) && mine == in.key || out == booking.Unknown
	} else {
		switch out {
		case booking.Queued:
			if could {
				return accepted()
			}
			allowed = mine == in.key
		case booking.Unknown:
			if could {
				return append(accepted(), same...)
			}
			allowed = true
		case booking.Duplicate:
			allowed = mine != "" && mine != in.key
		case booking.Closed:
			allowed = mine == "" && s.total() == 0
		case booking.SoldOut:
			allowed = mine == "" && s.free[in.item] == 0 && s.total() > 0
		case booking.Busy: // the queue is not in the model
			allowed = could
		}
	}
	if !allowed {
		return nil
	}
	return same
}

// linearizable checks a history of a sale of these items.
func linearizable(items []int, ops []porcupine.Operation) porcupine.CheckResult {
	var start sale
	copy(start.free[:], items)
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{start} },
		Step: func(state, in, out any) []any { return state.(sale).step(in.(input), out.(booking.Outcome)) },
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), ops, 10*time.Second)
}

// recorded is a schedule whose history is kept: without what makes the ledger
// refuse, and with Redis keeping its memory.
func recorded(seed draw.Seed, b *bug) plan {
	p := planOf(seed)
	p.record, p.bug = true, b
	var storm []fault
	for _, f := range p.storm {
		switch f.kind {
		case "empty", "double":
			f.kind = "kill-late"
		case "curse", "poison":
			f.kind = "lose"
		}
		storm = append(storm, f)
	}
	p.storm = storm
	return p
}

// TestLinearizable: every history of submits and polls is one that a single desk,
// serving one after the other, could have given.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	seeds, ops, open := 100, 0, 0
	if testing.Short() {
		seeds = 10
	}
	for seed := draw.Seed(1); seed <= draw.Seed(seeds); seed++ {
		w, bad := run(t, recorded(seed, nil))
		if len(bad) > 0 {
			t.Fatalf("seed %d: %v", seed, bad)
		}
		if got := linearizable(w.plan.items, w.ops.ops); got != porcupine.Ok {
			t.Errorf("seed %d: the history of %d operations is %v\n%v", seed, len(w.ops.ops), got, w.ops.ops)
		}
		ops += len(w.ops.ops)
		for _, o := range w.ops.ops {
			if o.Return == math.MaxInt64 {
				open++
			}
		}
	}
	t.Logf("%d histories, %d operations, %d of them without an answer", seeds, ops, open)
	if open == 0 {
		t.Error("no operation was ever left without an answer: the faults do not bite")
	}
}

// A planted bug is seen in the history alone.
func TestNotLinearizable(t *testing.T) {
	for _, name := range []string{"a repeated press takes stock before the duplicate check", "one user books twice"} {
		t.Run(name, func(t *testing.T) {
			for seed := draw.Seed(1); seed <= 40; seed++ {
				w, _ := run(t, recorded(seed, planted[name]))
				if linearizable(w.plan.items, w.ops.ops) == porcupine.Illegal {
					t.Logf("seen at seed %d", seed)
					return
				}
			}
			t.Error("40 histories pass as linearizable")
		})
	}
}
