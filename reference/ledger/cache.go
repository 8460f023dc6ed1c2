package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
)

// ResultsKey is the key of an event's result cache: one hash, a field a ticket.
// Stock's script notes acceptances in it as pending.
func ResultsKey(event string) string { return "{" + event + "}:results" }

// Cache is the result cache that clients poll. It is safe for concurrent use. It
// holds a field for each ticket ever accepted, about 100 bytes, and no
// time-to-live: it is deleted with the sale.
type Cache struct {
	client redis.UniversalClient
	key    string
	db     *DB
}

// NewCache makes a Cache that falls back to db; a nil db means no fallback.
func NewCache(client redis.UniversalClient, event string, db *DB) (*Cache, error) {
	if client == nil {
		return nil, errors.New("ledger: the result cache needs a client")
	}
	if event == "" || strings.ContainsAny(event, "{} \r\n") {
		return nil, fmt.Errorf("ledger: event %.70q: want a name without braces or spaces", event)
	}
	return &Cache{client, ResultsKey(event), db}, nil
}

// Get is the result of a ticket. A ticket the cache does not know is looked up in
// the database; one that is in neither is unknown. When the store cannot be asked
// the database is, and the error is returned only when that fails too.
func (c *Cache) Get(ctx context.Context, t booking.Ticket) (Result, error) {
	text, err := c.client.HGet(ctx, c.key, t.String()).Result()
	if err == nil {
		if r, err := parseResult(text); err == nil {
			return r, nil
		}
	}
	if c.db == nil {
		if err != nil && !errors.Is(err, redis.Nil) {
			return Result{Outcome: booking.Unknown}, fmt.Errorf("ledger: reading the result cache: %w", err)
		}
		return Result{Outcome: booking.Unknown}, nil
	}
	return c.db.Result(ctx, t)
}

// Put notes results; the writer does, after the commit and before the
// acknowledgement.
func (c *Cache) Put(ctx context.Context, results map[booking.Ticket]Result) error {
	if len(results) == 0 {
		return nil
	}
	values := make([]any, 0, 2*len(results))
	for t, r := range results { // a hash has no order to keep
		values = append(values, t.String(), r.encode())
	}
	if err := c.client.HSet(ctx, c.key, values...).Err(); err != nil {
		return fmt.Errorf("ledger: filling the result cache: %w", err)
	}
	return nil
}

// Drop takes a ticket out of the cache; a poll then asks the database.
func (c *Cache) Drop(ctx context.Context, t booking.Ticket) error {
	if err := c.client.HDel(ctx, c.key, t.String()).Err(); err != nil {
		return fmt.Errorf("ledger: taking ticket %s out of the result cache: %w", t, err)
	}
	return nil
}

// All calls f for every ticket in the cache, in no stated order; one may come
// twice while it is written to. It stops at f's first error. A field that cannot
// be read comes as unmapped.
func (c *Cache) All(ctx context.Context, f func(booking.Ticket, booking.Outcome) error) error {
	var cursor uint64
	for {
		kv, next, err := c.client.HScan(ctx, c.key, cursor, "", 500).Result()
		if err != nil {
			return fmt.Errorf("ledger: reading the result cache: %w", err)
		}
		for i := 0; i+1 < len(kv); i += 2 {
			t, err := booking.ParseTicket(kv[i])
			if err != nil {
				return fmt.Errorf("ledger: the result cache holds a strange field: %w", err)
			}
			r, err := parseResult(kv[i+1])
			if err != nil {
				r.Outcome = booking.Unmapped
			}
			if err := f(t, r.Outcome); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// encode is the text form: the outcome's word, then the wait in nanoseconds when
// confirmed.
func (r Result) encode() string {
	if r.Outcome == booking.Confirmed {
		return r.Outcome.String() + " " + strconv.FormatInt(int64(r.Waited), 10)
	}
	return r.Outcome.String()
}

func parseResult(s string) (Result, error) {
	word, wait, has := strings.Cut(s, " ")
	o, err := booking.ParseOutcome(word)
	if err != nil {
		return Result{}, err
	}
	switch o {
	case booking.Pending, booking.Refused:
		if !has {
			return Result{Outcome: o}, nil
		}
	case booking.Confirmed:
		n, err := strconv.ParseInt(wait, 10, 64)
		if err == nil && wait == strconv.FormatInt(n, 10) {
			return Result{Outcome: o, Waited: time.Duration(n)}, nil
		}
	}
	return Result{}, fmt.Errorf("result %.60q: want pending, refused or confirmed and a number", s)
}
