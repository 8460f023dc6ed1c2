package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
)

// Source is the queue as the writer needs it.
type Source interface {
	// Read hands out at most n entries without waiting; they are in the caller's
	// hands until Ack or Fail.
	Read(ctx context.Context, n int) ([]booking.Delivery, error)
	// Ack takes entries off for good.
	Ack(ctx context.Context, ds ...booking.Delivery) error
	// Fail gives one back; dead reports that it became a dead letter.
	Fail(ctx context.Context, d booking.Delivery, reason string) (dead bool, err error)
	// Forget lets go of entries without a word: they were handed out before Redis
	// lost its memory, and what became of them since is not known here.
	Forget(ds ...booking.Delivery)
	// Depth is how many entries are not yet acknowledged.
	Depth(ctx context.Context) (int, error)
}

// Keeper is the table that the writer fills: a DB for bookings, its Entries for
// a lottery.
type Keeper interface {
	// WriteBatch writes rows in one transaction, idempotently; on an error none
	// stands. An error that is no row's wraps ErrDown.
	WriteBatch(ctx context.Context, rows []Row) ([]RowResult, error)
	// Probe fails when the database cannot be written to at all.
	Probe(ctx context.Context) error
}

var _ Keeper = (*DB)(nil)

// Limits and defaults of a Writer.
const (
	// FullBatch is the batch when nothing else bounds it: more rows a transaction
	// bring nothing on SQLite, and 500 take 2 to 8 ms.
	FullBatch = 500
	// DefaultEvery is the beat when WriterOptions.Every is zero.
	DefaultEvery = 50 * time.Millisecond
	// callLimit bounds one round of store calls, so that a hung store is an error.
	callLimit = 10 * time.Second
	// retryPause is the least wait after a failed round.
	retryPause = 100 * time.Millisecond
)

// WriterOptions sets up a Writer.
type WriterOptions struct {
	Source Source // required
	Keeper Keeper // required; a DB, or its Entries
	Cache  *Cache // filled after each commit; nil = none
	// Refund gives back the stock of a ticket that the ledger turned; it must be
	// idempotent. nil = nothing is given back.
	Refund func(ctx context.Context, a booking.Accepted) (bool, error)
	// Epoch is the fence's epoch, asked for before entries are read; see DB.Fence.
	// nil = rows are not fenced.
	Epoch func(ctx context.Context) (int64, error)
	// Rate is rows per second; 0 = as fast as it can. Fractions of a row a beat
	// are carried over exactly: 30/s at 50 ms writes 1, 2, 1, 2 rows.
	Rate  float64
	Every time.Duration // beat; 0 = 50 ms
	// FlushEvery makes this the timed writer: everything waiting is written each
	// time it has passed, at full speed, and Rate and Every are not used. 0 = off.
	FlushEvery time.Duration
	Clock      clock.Clock // required
	// OnRow is told of each row that is settled, on the writer's goroutine; nil = nobody.
	OnRow func(Settled)
	// OnBatch is told of each batch, on the writer's goroutine; nil = nobody.
	OnBatch func(Batch)
	// OnError is told of each failed round (one line); the writer goes on by
	// itself. nil = nobody.
	OnError func(error)
}

// Settled is one row that the ledger has judged.
type Settled struct {
	booking.Accepted
	Verdict Verdict       // Written or Turned
	At      time.Duration // offset of the judgement
	Waited  time.Duration // accepted to written
}

// Batch is one transaction of the writer.
type Batch struct {
	At   time.Duration // offset of its commit
	Rows int           // rows in it
	New  int           // of these, newly written
	Took time.Duration // the database's time, the fault's extra latency not included
}

// WriterStats counts what a Writer has done.
type WriterStats struct {
	Rows    int64 // newly written
	Already int64 // written before: repeated deliveries
	Turned  int64 // refused by the ledger
	Batches int64 // committed transactions
	Failed  int64 // rows given back to the queue
	Dead    int64 // of these, those that became dead letters
	Errors  int64 // rounds that failed and were tried again
}

// Writer empties the queue into the ledger, and fills the result cache, on one
// goroutine. Its methods are safe for concurrent use.
type Writer struct {
	opts WriterOptions

	work  sync.Mutex         // held during a beat and a drain; guards hand and beats
	hand  []booking.Delivery // read and not yet settled: tried again before more is read
	epoch int64              // the fence's before the hand was read
	// beats counts the beats of the rate, so that what a beat may write is a
	// difference of whole numbers and no rounding error adds up.
	beats int64

	mu      sync.Mutex
	stats   WriterStats
	stopped bool // by the fault
	standby bool // another writer's turn
	slow    time.Duration
	wake    chan struct{} // a change of stopped; capacity 1
	started bool
	closed  bool

	quit, done chan struct{}
}

// NewWriter makes a Writer that does nothing until Start.
func NewWriter(o WriterOptions) (*Writer, error) {
	switch {
	case o.Source == nil || o.Keeper == nil || o.Clock == nil:
		return nil, errors.New("ledger: the writer needs a source, a keeper and a clock")
	case o.Rate < 0 || math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0):
		return nil, fmt.Errorf("ledger: writer rate %v rows/s: want 0 (no limit) or more", o.Rate)
	case o.Every < 0 || o.FlushEvery < 0:
		return nil, errors.New("ledger: the writer's beat must not be negative")
	}
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	return &Writer{opts: o, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}, nil
}

// Start starts the writer's goroutine. Only the first call does.
func (w *Writer) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.closed {
		return
	}
	w.started = true
	go w.run()
}

// Stop is the fault: no batch begins until Resume. One under way ends.
func (w *Writer) Stop() { w.set(&w.stopped, true) }

// Resume ends the fault. The time stood still saves up no credit.
func (w *Writer) Resume() { w.set(&w.stopped, false) }

// Standby says that another writer of the event has its turn: no batch begins
// until Standby(false). It is apart from the fault, and two writers at once lose
// nothing: every step may be repeated.
func (w *Writer) Standby(on bool) { w.set(&w.standby, on) }

func (w *Writer) set(flag *bool, v bool) {
	w.mu.Lock()
	*flag = v
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // a wake-up is waiting already
	}
}

// SlowBy is the fault of a slow store: every batch takes d longer from now on; 0
// ends it.
func (w *Writer) SlowBy(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = max(0, d)
}

// Stats is what the writer has done so far.
func (w *Writer) Stats() WriterStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// Close stops the goroutine after the batch under way. What was not written
// stays in the queue. It never fails and may be called again.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.quit)
		if !w.started {
			close(w.done)
		}
	}
	w.mu.Unlock()
	<-w.done
	return nil
}

// Drain writes everything that waits, at full speed and even while stopped, and
// returns when the queue is empty. When ctx ends first it says how many are left.
// It also works after Close.
func (w *Writer) Drain(ctx context.Context) error {
	w.work.Lock()
	defer w.work.Unlock()
	var last error
	for {
		n, err := w.round(ctx, FullBatch, 0)
		if err == nil && n == 0 {
			depth, derr := w.opts.Source.Depth(ctx)
			if derr == nil && depth == 0 && len(w.hand) == 0 {
				return nil
			}
			// Entries given back become ready again after the queue's idle time.
			last = derr
			if !w.pause(ctx, DefaultEvery) {
				return w.undrained(depth, last)
			}
			continue
		}
		if err != nil {
			last = err
			if !w.pause(ctx, retryPause) {
				return w.undrained(-1, last)
			}
		}
		if ctx.Err() != nil {
			return w.undrained(-1, last)
		}
	}
}

func (w *Writer) undrained(depth int, last error) error {
	left := "some entries are"
	if depth >= 0 {
		left = fmt.Sprintf("%d entries are", depth)
	}
	if last != nil {
		return fmt.Errorf("ledger: draining ended early, %s still in the queue: %w", left, last)
	}
	return fmt.Errorf("ledger: draining ended early, %s still in the queue", left)
}

// pause waits on the clock; false when ctx ended first.
func (w *Writer) pause(ctx context.Context, d time.Duration) bool {
	ring := make(chan struct{})
	stop := w.opts.Clock.AfterFunc(d, func() { close(ring) })
	select {
	case <-ring:
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}

// run is the beat. next is the virtual moment of the next one: it moves by whole
// beats, not by when the timer rang, so late timers do not lower the rate.
func (w *Writer) run() {
	defer close(w.done)
	now := w.opts.Clock.Now
	every := w.opts.Every
	if w.opts.FlushEvery > 0 {
		every = w.opts.FlushEvery
	}
	next := now() + every
	for {
		if paused, ok := w.waitUntil(next); !ok {
			return
		} else if paused {
			next = now() // and forget what could have been written meanwhile
		}
		n, full, slow, err := w.beat()
		switch {
		case err != nil:
			next = max(next, now()) + max(every, retryPause)
		case full && w.opts.FlushEvery == 0 && w.opts.Rate == 0:
			next = now() // as fast as it can, and there is more
		case full || n < 0:
			next += max(every, slow)
		default: // the queue was empty: the beats missed so far would find nothing
			if next += max(every, slow); next <= now() {
				next += (now() - next + every) / every * every
			}
		}
	}
}

// waitUntil waits for a moment, and through a stop. It reports whether there was
// a stop, and false when the writer is closed.
func (w *Writer) waitUntil(at time.Duration) (paused, ok bool) {
	for {
		w.mu.Lock()
		stopped := w.stopped || w.standby
		w.mu.Unlock()
		if stopped {
			paused = true
			select {
			case <-w.wake:
				continue
			case <-w.quit:
				return paused, false
			}
		}
		d := at - w.opts.Clock.Now()
		if d <= 0 || paused {
			select {
			case <-w.quit:
				return paused, false
			default:
				return paused, true
			}
		}
		ring := make(chan struct{})
		stop := w.opts.Clock.AfterFunc(d, func() { close(ring) })
		select {
		case <-ring:
		case <-w.wake:
			stop()
		case <-w.quit:
			stop()
			return paused, false
		}
	}
}

// beat writes what one beat may: n rows, full when it was all it was allowed. A
// beat that may write no whole row yet has n < 0.
func (w *Writer) beat() (n int, full bool, slow time.Duration, err error) {
	w.work.Lock()
	defer w.work.Unlock()
	w.mu.Lock()
	slow = w.slow
	w.mu.Unlock()
	ctx := context.Background()
	if w.opts.FlushEvery > 0 {
		for {
			got, err := w.round(ctx, FullBatch, slow)
			if n += got; err != nil || got < FullBatch || w.quitting() {
				return n, true, 0, err // the timer's grid holds, whatever a flush took
			}
		}
	}
	allowed := FullBatch
	if w.opts.Rate > 0 {
		w.beats++
		if allowed = int(w.upTo(w.beats) - w.upTo(w.beats-1)); allowed == 0 {
			return -1, false, 0, nil
		}
	}
	// A high rate at a slow beat takes several transactions.
	for left := allowed; left > 0; {
		want := min(left, FullBatch)
		got, err := w.round(ctx, want, slow)
		n, left = n+got, left-got
		if err != nil || got < want {
			return n, false, slow, err
		}
	}
	return n, true, slow, nil
}

func (w *Writer) quitting() bool {
	select {
	case <-w.quit:
		return true
	default:
		return false
	}
}

// upTo is how many rows the rate allows in the first k beats.
func (w *Writer) upTo(k int64) int64 {
	// The tiny term undoes what floating point takes off a whole number.
	return int64(math.Floor(w.opts.Rate*(float64(k)*float64(w.opts.Every))/1e9 + 1e-6))
}

// round settles at most n entries: those in hand first, else newly read ones.
func (w *Writer) round(parent context.Context, n int, slow time.Duration) (int, error) {
	if slow > 0 {
		ring := make(chan struct{})
		stop := w.opts.Clock.AfterFunc(slow, func() { close(ring) })
		select {
		case <-ring:
		case <-w.quit:
			stop()
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), callLimit)
	defer cancel()
	if len(w.hand) == 0 {
		if w.opts.Epoch != nil {
			epoch, err := w.opts.Epoch(ctx)
			if err != nil {
				return 0, w.failed(err)
			}
			w.epoch = epoch
		}
		got, err := w.opts.Source.Read(ctx, n)
		w.hand = append(w.hand, got...)
		if err != nil {
			return 0, w.failed(err)
		}
	}
	if len(w.hand) == 0 {
		return 0, nil
	}
	n = len(w.hand)
	if err := w.settle(ctx, w.hand); err != nil {
		if errors.Is(err, ErrStale) {
			// Whoever rebuilt the sale has counted these, wherever he found them.
			w.opts.Source.Forget(w.hand...)
			w.hand = w.hand[:0]
		}
		return 0, w.failed(err)
	}
	w.hand = w.hand[:0]
	return n, nil
}

func (w *Writer) failed(err error) error {
	w.mu.Lock()
	w.stats.Errors++
	w.mu.Unlock()
	if w.opts.OnError != nil {
		w.opts.OnError(err)
	}
	return err
}

// settle takes entries through ledger, refund, result cache and acknowledgement.
// Each of these may be repeated, so after an error all of it is.
func (w *Writer) settle(ctx context.Context, ds []booking.Delivery) error {
	results, err := w.write(ctx, ds)
	if err == nil {
		return w.finish(ctx, ds, results)
	}
	if errors.Is(err, ErrStale) || w.down(ctx, err) {
		return err // nobody's fault: hold on to all of them
	}
	// The database lives, so something in the batch is bad. Find it.
	for _, d := range ds {
		results, err := w.write(ctx, []booking.Delivery{d})
		if err == nil {
			if err := w.finish(ctx, []booking.Delivery{d}, results); err != nil {
				return err
			}
			continue
		}
		if errors.Is(err, ErrStale) || w.down(ctx, err) {
			return err
		}
		dead, ferr := w.opts.Source.Fail(ctx, d, err.Error())
		if ferr != nil {
			return ferr
		}
		w.mu.Lock()
		w.stats.Failed++
		if dead {
			w.stats.Dead++
		}
		w.mu.Unlock()
	}
	return nil
}

// down reports whether the database, not a row, made a batch fail: the error says
// so, or nothing at all can be written.
func (w *Writer) down(ctx context.Context, err error) bool {
	return errors.Is(err, ErrDown) || w.opts.Keeper.Probe(ctx) != nil
}

func (w *Writer) write(ctx context.Context, ds []booking.Delivery) ([]RowResult, error) {
	began := w.opts.Clock.Now()
	rows := make([]Row, len(ds))
	for i, d := range ds {
		// The clocks of two machines differ by a little: nothing is written before
		// it was accepted.
		rows[i] = Row{Accepted: d.Accepted, Written: max(began, d.At), Epoch: w.epoch}
	}
	results, err := w.opts.Keeper.WriteBatch(ctx, rows)
	if err != nil {
		return nil, err
	}
	if len(results) != len(rows) {
		return nil, fmt.Errorf("ledger: %d answers to %d rows", len(results), len(rows))
	}
	at := w.opts.Clock.Now()
	b := Batch{At: at, Rows: len(rows), Took: at - began}
	for i, r := range results {
		if r.Verdict != Written {
			continue
		}
		b.New++
		if w.opts.OnRow != nil {
			w.opts.OnRow(Settled{Accepted: ds[i].Accepted, Verdict: Written, At: at, Waited: r.Waited})
		}
	}
	w.mu.Lock()
	w.stats.Batches++
	w.stats.Rows += int64(b.New)
	w.mu.Unlock()
	if w.opts.OnBatch != nil {
		w.opts.OnBatch(b)
	}
	return results, nil
}

// finish does what follows a commit. The refund comes before the answer, so that
// whoever reads "refused" can book again.
func (w *Writer) finish(ctx context.Context, ds []booking.Delivery, results []RowResult) error {
	told := make(map[booking.Ticket]Result, len(ds))
	var already, turned int64
	for i, r := range results {
		switch r.Verdict {
		case Turned:
			turned++
			if w.opts.Refund != nil {
				if _, err := w.opts.Refund(ctx, ds[i].Accepted); err != nil {
					return err
				}
			}
			told[ds[i].Ticket] = Result{Outcome: booking.Refused}
		default:
			if r.Verdict == Already {
				already++
			}
			told[ds[i].Ticket] = Result{Outcome: booking.Confirmed, Waited: r.Waited}
		}
	}
	if w.opts.Cache != nil {
		if err := w.opts.Cache.Put(ctx, told); err != nil {
			return err
		}
	}
	if err := w.opts.Source.Ack(ctx, ds...); err != nil {
		return err
	}
	w.mu.Lock()
	w.stats.Already += already
	w.stats.Turned += turned
	w.mu.Unlock()
	if w.opts.OnRow != nil {
		at := w.opts.Clock.Now()
		for i, r := range results {
			if r.Verdict == Turned {
				w.opts.OnRow(Settled{Accepted: ds[i].Accepted, Verdict: Turned, At: at, Waited: at - ds[i].At})
			}
		}
	}
	return nil
}
