package reference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/reference/ledger"
)

// writers is the writer of a backend and, when it was killed, the next one. It has
// the methods of a ledger.Writer and passes them to the one that lives.
type writers struct {
	name string                           // of all of them; a number follows
	open func(name string) (*seat, error) // makes one, with connections of its own
	fail func(error)

	mu      sync.Mutex
	now     *seat
	n       int
	past    ledger.WriterStats // of those that are dead
	started bool
	closed  bool
	stopped bool
	standby bool
	slow    time.Duration
	repeat  int            // entries that are still to be delivered again
	dying   sync.WaitGroup // the killed ones, until their last call has failed
}

// seat is one writer and what is its own: when it is killed, all of that fails.
type seat struct {
	*ledger.Writer
	client redis.UniversalClient
	source *repeater
	life   *life
}

// newWriters makes the first writer, which does nothing until Start.
func newWriters(name string, open func(name string) (*seat, error), fail func(error)) (*writers, error) {
	w := &writers{name: name, open: open, fail: fail}
	return w, w.next()
}

// next puts a new writer in the place of the last. The mutex is held, or nobody else
// knows w yet.
func (w *writers) next() error {
	s, err := w.open(fmt.Sprintf("%s-%d", w.name, w.n+1))
	if err != nil {
		return err
	}
	w.n++
	w.now = s
	if w.stopped {
		s.Stop()
	}
	s.Standby(w.standby)
	s.SlowBy(w.slow)
	s.source.again(w.repeat)
	if w.started {
		s.Start()
	}
	return nil
}

// Kill ends the writer as SIGKILL would: whatever call it is in fails, whether its
// work was done or not, and it makes no other. What it had in hand stays pending.
func (w *writers) Kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.now
	if s == nil || w.closed {
		return
	}
	w.now = nil
	s.life.end()
	_ = s.client.Close() // the calls under way fail, which is what is wanted
	w.dying.Go(func() {
		_ = s.Close() // never fails
		w.mu.Lock()
		defer w.mu.Unlock()
		add(&w.past, s.Stats())
	})
}

// Revive starts another writer, which claims what the killed one had in hand.
func (w *writers) Revive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now != nil || w.closed {
		return
	}
	if err := w.next(); err != nil {
		w.fail(err)
	}
}

// each calls f for the writer that lives, if one does.
func (w *writers) each(f func(*seat)) {
	if w.now != nil {
		f(w.now)
	}
}

// Start starts the writer, and later ones at once.
func (w *writers) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = true
	w.each(func(s *seat) { s.Start() })
}

// Stop lets no batch begin until Resume.
func (w *writers) Stop() { w.setStopped(true) }

// Resume ends a stop.
func (w *writers) Resume() { w.setStopped(false) }

func (w *writers) setStopped(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = on
	w.each(func(s *seat) {
		if on {
			s.Stop()
		} else {
			s.Resume()
		}
	})
}

// Standby lets no batch begin while another process has its turn.
func (w *writers) Standby(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.standby = on
	w.each(func(s *seat) { s.Standby(on) })
}

// SlowBy makes every batch take d longer.
func (w *writers) SlowBy(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = d
	w.each(func(s *seat) { s.SlowBy(d) })
}

// Repeat lets n entries be delivered again; 0 ends it.
func (w *writers) Repeat(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.repeat = n
	w.each(func(s *seat) { s.source.again(n) })
}

// Stats is what all writers have done.
func (w *writers) Stats() ledger.WriterStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.past
	w.each(func(s *seat) { add(&all, s.Stats()) })
	return all
}

func add(to *ledger.WriterStats, x ledger.WriterStats) {
	to.Rows += x.Rows
	to.Already += x.Already
	to.Turned += x.Turned
	to.Batches += x.Batches
	to.Failed += x.Failed
	to.Dead += x.Dead
	to.Errors += x.Errors
}

var errNoWriter = errors.New("the writer is dead")

// Drain writes everything that waits.
func (w *writers) Drain(ctx context.Context) error {
	w.mu.Lock()
	s := w.now
	w.mu.Unlock()
	if s == nil {
		return errNoWriter
	}
	return s.Drain(ctx)
}

// Close stops the writer and lets no other come.
func (w *writers) Close() error {
	w.mu.Lock()
	s := w.now
	w.closed = true
	w.mu.Unlock()
	if s != nil {
		_ = s.Close()        // what it had in hand stays in the queue
		_ = s.client.Close() // nobody is left who could be told
	}
	w.dying.Wait()
	return nil
}

// life is that of a process which may be killed: its calls end with it.
type life struct {
	ctx context.Context
	end context.CancelFunc
}

func newLife() *life {
	l := &life{}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

var errKilled = errors.New("the process was killed")

// do makes a call of the process. Killed, it does not hear the answer.
func (l *life) do(ctx context.Context, call func(context.Context) error) error {
	if l.ctx.Err() != nil {
		return errKilled
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	err := call(ctx)
	if l.ctx.Err() != nil {
		return errKilled
	}
	return err
}

// mortalKeeper is a keeper as a process that may be killed has it.
type mortalKeeper struct {
	ledger.Keeper
	life *life
}

var _ ledger.Keeper = mortalKeeper{}

// WriteBatch implements ledger.Keeper.
func (k mortalKeeper) WriteBatch(ctx context.Context, rows []ledger.Row) (out []ledger.RowResult, err error) {
	err = k.life.do(ctx, func(ctx context.Context) error {
		out, err = k.Keeper.WriteBatch(ctx, rows)
		return err
	})
	return out, err
}

// Probe implements ledger.Keeper.
func (k mortalKeeper) Probe(ctx context.Context) error { return k.life.do(ctx, k.Keeper.Probe) }

// repeater is a queue that delivers entries again after they were acknowledged.
type repeater struct {
	ledger.Source
	left atomic.Int64

	mu   sync.Mutex
	last []booking.Delivery // the latest acknowledged
}

var _ ledger.Source = (*repeater)(nil)

// repeatsMost bounds what a repeater remembers, in entries.
const repeatsMost = 1000

func (r *repeater) again(n int) { r.left.Store(int64(n)) }

// Read implements ledger.Source.
func (r *repeater) Read(ctx context.Context, n int) ([]booking.Delivery, error) {
	if left := r.left.Load(); left > 0 {
		r.mu.Lock()
		k := min(n, len(r.last), int(left))
		again := append([]booking.Delivery(nil), r.last[len(r.last)-k:]...)
		r.mu.Unlock()
		if k > 0 {
			r.left.Add(-int64(k))
			return again, nil
		}
	}
	return r.Source.Read(ctx, n)
}

// Ack implements ledger.Source.
func (r *repeater) Ack(ctx context.Context, ds ...booking.Delivery) error {
	err := r.Source.Ack(ctx, ds...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = append(r.last, ds...)
	r.last = r.last[max(0, len(r.last)-repeatsMost):]
	return err
}
