package reference

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/ledger"
	"spillway/reference/queue"
)

// Discrepancy is one thing in which the stores do not agree, with its safe repair.
type Discrepancy = ledger.Discrepancy

// Repairing says how Repair works.
type Repairing struct {
	Apply bool   // do it; else the discrepancies are only named
	Who   string // for the audit trail; required to apply
	Why   string
}

// Repaired is a discrepancy and what was done about it.
type Repaired struct {
	Discrepancy
	Done bool `json:"done"`
}

// Repair names every discrepancy between the stores, and with Apply repairs those
// that can be repaired safely: each is written into the audit trail first. It
// never books anything itself: a ticket without a fate is queued again, and the
// writer judges it like any other. What is counted is corrected last, and only
// while the queue is empty. Running it again is safe; a second run finds nothing
// but what has no repair. The URLs are those of the ready line.
func Repair(ctx context.Context, at Ready, c Config, in Repairing) ([]Repaired, error) {
	c = c.defaults()
	if at.Event != "" {
		c.Event = at.Event
	}
	switch {
	case len(c.Stock.Items) == 0:
		return nil, errors.New("repair: the config names no items")
	case c.direct():
		return nil, errors.New("repair: this mode has one store alone; there is nothing that could disagree")
	case at.Redis == "":
		return nil, errors.New("repair: this mode keeps its queue in Redis; give the URL of the ready line")
	}
	db, err := ledger.OpenReadOnly(ctx, at.Database, ledger.DBOptions{})
	if err != nil {
		if errors.Is(err, ledger.ErrDatabase) {
			return nil, fmt.Errorf("repair: %w", err)
		}
		return nil, environment{fmt.Errorf("repair: %w", err)}
	}
	defer db.Close() // read only: nothing to lose
	client, err := dialRedis(ctx, at.Redis, nil)
	if err != nil {
		return nil, err
	}
	defer client.Close() // as above
	return RepairStores(ctx, client, db, c, clock.NewWall(), in)
}

// RepairStores is Repair over stores that are open already.
func RepairStores(ctx context.Context, client redis.UniversalClient, db *ledger.DB, c Config, clk clock.Clock, in Repairing) ([]Repaired, error) {
	if in.Apply && in.Who == "" {
		return nil, fmt.Errorf("repair: %w", queue.ErrNobody)
	}
	c = c.defaults()
	r := repairer{db: db, in: in}
	var err error
	if r.books, err = newBooks(client, db, c, clk, "repair"); err != nil {
		return nil, err
	}
	// What is put right first may put right what is counted.
	var out []Repaired
	for _, counted := range []bool{false, true} {
		found, err := ledger.Discrepancies(ctx, db, r.view(), ledger.Books{Items: c.Stock.Items, Mode: c.Mode})
		if err != nil {
			return out, err
		}
		for _, d := range found {
			if (d.Kind == ledger.Drift) != counted {
				continue
			}
			x := Repaired{Discrepancy: d}
			if in.Apply && d.Fix != "" {
				if x.Done, err = r.repair(ctx, d); err != nil {
					return out, err
				}
			}
			out = append(out, x)
		}
	}
	return out, nil
}

type repairer struct {
	books
	db *ledger.DB
	in Repairing
}

// repair does one repair, whose every step may be repeated.
func (r *repairer) repair(ctx context.Context, d Discrepancy) (done bool, err error) {
	why := d.Detail + ": " + d.Fix
	if r.in.Why != "" {
		why += " (" + r.in.Why + ")"
	}
	if err := r.queue.Note(ctx, "repair", r.in.Who, why, d.Ticket); err != nil {
		return false, err
	}
	a := booking.Accepted{Ticket: d.Ticket, User: d.User, Item: d.Item}
	switch d.Kind {
	case ledger.Stranded:
		return true, r.queue.Put(ctx, d.Accepted)
	case ledger.Unrefunded:
		if err := r.settle(ctx, d.Ticket, booking.Refused); err != nil {
			return false, err
		}
		return r.stock.Refund(ctx, a)
	case ledger.StaleLetter:
		if done, err = r.closeLetter(ctx, d.Ticket); err != nil || !d.Refund {
			return done, err
		}
		if err := r.settle(ctx, d.Ticket, booking.Refused); err != nil {
			return false, err
		}
		_, err := r.stock.Refund(ctx, a)
		return done, err
	case ledger.WrongResult:
		return true, r.settle(ctx, d.Ticket, d.Result.Outcome)
	case ledger.Unheld:
		return r.stock.Hold(ctx, a)
	case ledger.Drift:
		return r.stock.SetFree(ctx, d.Item, d.Was, d.Want)
	}
	return false, nil
}

// settle makes the result cache say what the ledger does, or without a row of the
// ledger what the other stores do.
func (r *repairer) settle(ctx context.Context, t booking.Ticket, o booking.Outcome) error {
	res, err := r.db.Result(ctx, t)
	if err != nil {
		return err
	}
	if res.Outcome == booking.Unknown {
		if o == 0 {
			return r.cache.Drop(ctx, t)
		}
		res = ledger.Result{Outcome: o}
	}
	return r.cache.Put(ctx, map[booking.Ticket]ledger.Result{t: res})
}

func (r *repairer) closeLetter(ctx context.Context, t booking.Ticket) (done bool, err error) {
	var ids []string
	if err := r.queue.Letters(ctx, func(l queue.Letter) error {
		if l.Accepted.Ticket == t {
			ids = append(ids, l.ID)
		}
		return nil
	}); err != nil {
		return false, err
	}
	for _, id := range ids {
		if err := r.queue.Close(ctx, id, r.in.Who, "its ticket is settled"); err != nil && !errors.Is(err, queue.ErrNoLetter) {
			return done, err
		}
		done = true
	}
	return done, nil
}
