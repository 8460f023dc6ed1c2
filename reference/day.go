package reference

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/policy"
	"spillway/reference/ledger"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

// ErrUnwritten is wrapped by CloseDay when something that was accepted before the
// seal is still not written.
var ErrUnwritten = errors.New("a list is closed only when all of it is written")

// closeLook is the pause between two looks at what still waits.
const closeLook = 200 * time.Millisecond

// CloseDay ends what takes part in the draw of a day, once its seal has come. First
// nothing with a moment before the seal is accepted any more, by whatever gateway's
// clock; then everything that was is written, for which it waits so long; then the
// ledger closes the list (ledger.DB.CloseDay). From there on DrawEntries gives the same
// for ever. A dead letter from before the seal must be replayed or discarded first:
// its person was told that the entry is in. Again it does nothing. The URLs are those
// of the ready line; without that of Redis the ledger alone is closed, for a backend that has stopped,
// and so has emptied its queue.
//
// What Redis has lost, and a gateway offers again only after this, counts from the
// seal on: it is of the next draw.
func CloseDay(ctx context.Context, at Ready, c Config, day policy.Day, within time.Duration) error {
	c = c.defaults()
	if at.Event != "" {
		c.Event = at.Event
	}
	if c.Mode != booking.ModeLottery || len(c.Stock.Items) == 0 {
		return errors.New("closing a day: want the config of a lottery, with its items")
	}
	tap := c.crashTap()
	db, err := ledger.Open(ctx, at.Database, ledger.DBOptions{Tap: tap})
	if err != nil {
		if errors.Is(err, ledger.ErrDatabase) {
			return fmt.Errorf("closing %v: %w", day, err)
		}
		return environment{fmt.Errorf("closing %v: %w", day, err)}
	}
	defer db.Close() // what had to be durable is committed
	var client redis.UniversalClient
	if at.Redis != "" {
		if client, err = dialRedis(ctx, at.Redis, nil); err != nil {
			return err
		}
		defer client.Close() // nothing to lose
		if tap != nil {
			client.AddHook(TapRedis(tap))
		}
	}
	return CloseDayStores(ctx, client, db, c, clock.WallFrom(time.Unix(0, 0)), day, within)
}

// CloseDayStores is CloseDay over stores that are open already; client may be nil. The
// clock counts Unix time.
func CloseDayStores(ctx context.Context, client redis.UniversalClient, db *ledger.DB, c Config, clk clock.Clock, day policy.Day, within time.Duration) error {
	c = c.defaults()
	seals, now := c.Lottery.SealsAt(day), clk.Now()
	if now < seals {
		return fmt.Errorf("closing %v: its list is open for another %v", day, (seals - now).Round(time.Second))
	}
	if client != nil {
		b, err := newBooks(client, nil, c, clk, "closer")
		if err != nil {
			return err
		}
		for {
			err := b.written(ctx, seals)
			if err == nil {
				break
			}
			if again := errors.Is(err, stock.ErrNotOpen) || errors.Is(err, errWaiting); !again || clk.Now()-now >= within || !pause(ctx, clk, closeLook) {
				return fmt.Errorf("closing %v: %w", day, err)
			}
		}
	}
	return db.CloseDay(ctx, day, c.Lottery)
}

// errWaiting says that the writer is still at it.
var errWaiting = fmt.Errorf("the writer is not there yet: %w", ErrUnwritten)

// written says whether all is written that was accepted before a moment, and lets no
// more of it in.
func (b *books) written(ctx context.Context, before time.Duration) error {
	if err := b.stock.Seal(ctx, before); err != nil {
		return err
	}
	waiting := 0
	count := func(a booking.Accepted) error {
		if a.At < before {
			waiting++
		}
		return nil
	}
	// In the direction in which they move: offers to the queue, that to the letters, and
	// these back.
	for _, each := range []func(context.Context, func(booking.Accepted) error) error{b.stock.Offered, b.queue.Entries} {
		if err := each(ctx, count); err != nil {
			return err
		}
	}
	letters, first := 0, ""
	if err := b.queue.Letters(ctx, func(l queue.Letter) error {
		if l.Decoded && l.Accepted.At < before || !l.Decoded && !l.Accepted.Ticket.IsZero() {
			if letters++; first == "" {
				first = l.ID
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := b.queue.Entries(ctx, count); err != nil { // a replayed one has gone back
		return err
	}
	switch {
	case waiting > 0:
		return errWaiting
	case letters > 0:
		return fmt.Errorf("%d dead letters are from before the seal, the first %s; replay or discard them: %w", letters, first, ErrUnwritten)
	}
	return nil
}
