package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
)

// Options sets up a Queue.
type Options struct {
	Event    string // hash tag of all keys, as stock's
	Consumer string // name of this process in the group; "" = "writer"
	// Attempts is how often an entry is handed out before it becomes a dead
	// letter; 0 = 5.
	Attempts int
	// Idle is how long an entry stays with a silent consumer before another gets
	// it, and how long one that was given back waits; 0 = 1 s. It counts on the
	// store's clock.
	Idle  time.Duration
	Clock clock.Clock // required
}

// Defaults of Options.
const (
	DefaultAttempts = 5
	DefaultIdle     = time.Second
)

// ReadMax is the most entries one Read hands out. Deleting costs miniredis time
// in proportion to the backlog for each entry, so batches are kept moderate.
const ReadMax = 1000

const group = "ledger"

// ErrNotOpen is wrapped when the stream or its group is missing: Open was never
// called, or Redis lost its memory.
var ErrNotOpen = errors.New("the queue is not set up in the store; open it first")

// StreamKey is the key of an event's stream.
func StreamKey(event string) string { return "{" + event + "}:queue" }

// Queue is one consumer's view of an event's queue. It is safe for concurrent use.
type Queue struct {
	client             redis.UniversalClient
	opts               Options
	stream, dead, acts string

	mu      sync.Mutex
	held    map[string]bool // in this process's hands, by entry id
	claimAt time.Duration   // next look for left-overs
}

// New makes a Queue over a client and talks to nobody.
func New(client redis.UniversalClient, o Options) (*Queue, error) {
	if client == nil || o.Clock == nil {
		return nil, errors.New("queue: a client and a clock are required")
	}
	if o.Event == "" || strings.ContainsAny(o.Event, "{} \r\n") {
		return nil, fmt.Errorf("queue: event %.70q: want a name without braces or spaces", o.Event)
	}
	if o.Attempts < 0 || o.Idle < 0 {
		return nil, errors.New("queue: attempts and idle must not be negative")
	}
	if o.Consumer == "" {
		o.Consumer = "writer"
	}
	if o.Attempts == 0 {
		o.Attempts = DefaultAttempts
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	tag := "{" + o.Event + "}:"
	return &Queue{client: client, opts: o, stream: StreamKey(o.Event), dead: tag + "dead", acts: tag + "audit",
		held: map[string]bool{}, claimAt: o.Clock.Now()}, nil
}

// Open makes the stream and its consumer group; calling it again does nothing.
func (q *Queue) Open(ctx context.Context) error {
	err := q.client.XGroupCreateMkStream(ctx, q.stream, group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("queue: making the consumer group: %w", err)
	}
	return nil
}

// Read hands out at most count entries (1..ReadMax), left-overs first, oldest
// first, and does not wait: an empty answer means that nothing is ready. The
// entries are in the caller's hands until Ack or Fail.
func (q *Queue) Read(ctx context.Context, count int) ([]booking.Delivery, error) {
	if count < 1 {
		return nil, nil
	}
	count = min(count, ReadMax)
	out, err := q.leftOvers(ctx, count)
	if err != nil || len(out) >= count {
		return out, err
	}
	res, err := q.client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: q.opts.Consumer, Streams: []string{q.stream, ">"},
		Count: int64(count - len(out)), Block: -1, // negative: do not block
	}).Result()
	if errors.Is(err, redis.Nil) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("queue: reading: %w", missing(err))
	}
	for _, s := range res {
		for _, m := range s.Messages {
			if out, err = q.take(ctx, out, m, 1); err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// take decodes an entry and puts it into the caller's hands; one that cannot be
// decoded is buried.
func (q *Queue) take(ctx context.Context, out []booking.Delivery, m redis.XMessage, count int) ([]booking.Delivery, error) {
	text, _ := m.Values["e"].(string)
	a, err := booking.ParseAccepted(text)
	if err != nil {
		if text == "" {
			err = fmt.Errorf("entry has no field e, but %d others", len(m.Values))
		}
		return out, q.bury(ctx, m.ID, text, count, "cannot be decoded: "+err.Error())
	}
	q.mu.Lock()
	q.held[m.ID] = true
	q.mu.Unlock()
	return append(out, booking.Delivery{Accepted: a, ID: m.ID, Count: count}), nil
}

// leftOvers hands out entries that were handed out before and then forgotten,
// looking for them at most twice within Idle.
func (q *Queue) leftOvers(ctx context.Context, count int) ([]booking.Delivery, error) {
	now := q.opts.Clock.Now()
	q.mu.Lock()
	if now < q.claimAt {
		q.mu.Unlock()
		return nil, nil
	}
	q.claimAt = now + q.opts.Idle/2
	held := len(q.held)
	q.mu.Unlock()

	// What this process holds is in the list too; ask for that many more.
	pending, err := q.client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: q.stream, Group: group, Idle: q.opts.Idle, Start: "-", End: "+", Count: int64(count + held),
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("queue: looking for left-overs: %w", missing(err))
	}
	var ids []string
	counts := map[string]int{}
	for _, p := range pending {
		q.mu.Lock()
		mine := q.held[p.ID]
		q.mu.Unlock()
		if mine || len(ids) >= count {
			continue
		}
		if int(p.RetryCount) >= q.opts.Attempts {
			if err := q.buryByID(ctx, p.ID, int(p.RetryCount)); err != nil {
				return nil, err
			}
			continue
		}
		ids = append(ids, p.ID)
		counts[p.ID] = int(p.RetryCount) + 1
	}
	if len(ids) == 0 {
		return nil, nil
	}
	msgs, err := q.client.XClaim(ctx, &redis.XClaimArgs{
		Stream: q.stream, Group: group, Consumer: q.opts.Consumer, MinIdle: q.opts.Idle, Messages: ids,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("queue: claiming left-overs: %w", missing(err))
	}
	var out []booking.Delivery
	for _, m := range msgs {
		if out, err = q.take(ctx, out, m, counts[m.ID]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Ack takes entries off the queue for good. Acknowledging again does nothing.
func (q *Queue) Ack(ctx context.Context, ds ...booking.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = d.ID
	}
	_, err := q.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XAck(ctx, q.stream, group, ids...)
		p.XDel(ctx, q.stream, ids...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("queue: acknowledging %d entries: %w", len(ids), err)
	}
	q.letGo(ids...)
	return nil
}

// Fail gives an entry back: it is handed out again after Idle, or, when it has
// had its Attempts deliveries, becomes a dead letter with the reason (dead true).
func (q *Queue) Fail(ctx context.Context, d booking.Delivery, reason string) (dead bool, err error) {
	if d.Count < q.opts.Attempts {
		q.letGo(d.ID)
		return false, nil
	}
	return true, q.bury(ctx, d.ID, d.Encode(), d.Count, reason)
}

// Forget lets go of entries without a word to the store: they come back after
// Idle, to whoever is first, if they are still there.
func (q *Queue) Forget(ds ...booking.Delivery) {
	for _, d := range ds {
		q.letGo(d.ID)
	}
}

func (q *Queue) letGo(ids ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		delete(q.held, id)
	}
}

// Put enqueues one accepted submit past stock's script and its bound.
func (q *Queue) Put(ctx context.Context, a booking.Accepted) error {
	err := q.client.XAdd(ctx, &redis.XAddArgs{Stream: q.stream, NoMkStream: true, Values: []string{"e", a.Encode()}}).Err()
	if errors.Is(err, redis.Nil) {
		return fmt.Errorf("queue: %w", ErrNotOpen)
	}
	if err != nil {
		return fmt.Errorf("queue: enqueuing ticket %s: %w", a.Ticket, err)
	}
	return nil
}

// Depth is how many entries are not yet acknowledged.
func (q *Queue) Depth(ctx context.Context) (int, error) {
	n, err := q.client.XLen(ctx, q.stream).Result()
	if err != nil {
		return 0, fmt.Errorf("queue: reading the depth: %w", err)
	}
	return int(n), nil
}

// OldestAge is how long ago the first entry was accepted; 0 when none waits.
func (q *Queue) OldestAge(ctx context.Context) (time.Duration, error) {
	// A few more than one, since the first may be undecodable.
	ms, err := q.client.XRangeN(ctx, q.stream, "-", "+", 8).Result()
	if err != nil {
		return 0, fmt.Errorf("queue: reading the oldest entry: %w", err)
	}
	for _, m := range ms {
		text, _ := m.Values["e"].(string)
		if a, err := booking.ParseAccepted(text); err == nil {
			return max(0, q.opts.Clock.Now()-a.At), nil
		}
	}
	return 0, nil
}

// Entries calls f for everything that waits, in order, delivered or not;
// entries that cannot be decoded are left out. It stops at f's first error.
func (q *Queue) Entries(ctx context.Context, f func(booking.Accepted) error) error {
	return q.scan(ctx, q.stream, func(m redis.XMessage) error {
		text, _ := m.Values["e"].(string)
		a, err := booking.ParseAccepted(text)
		if err != nil {
			return nil // it becomes a dead letter at the next Read
		}
		return f(a)
	})
}

// scan calls f for each message of a stream, in order.
func (q *Queue) scan(ctx context.Context, key string, f func(redis.XMessage) error) error {
	const page = 500
	for start := "-"; ; {
		ms, err := q.client.XRangeN(ctx, key, start, "+", page).Result()
		if err != nil {
			return fmt.Errorf("queue: reading %s: %w", key, err)
		}
		for _, m := range ms {
			if err := f(m); err != nil {
				return err
			}
		}
		if len(ms) < page {
			return nil
		}
		start = "(" + ms[len(ms)-1].ID
	}
}

// missing turns the store's "no such group" into ErrNotOpen.
func missing(err error) error {
	if strings.HasPrefix(err.Error(), "NOGROUP") {
		return fmt.Errorf("%w (%v)", ErrNotOpen, err)
	}
	return err
}
