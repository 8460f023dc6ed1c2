package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/reference/ledger"
	"spillway/reference/ledger/ledgertest"
)

// line is a queue in memory. An entry can be read once its At has come.
type line struct {
	clock clock.Clock
	mu    sync.Mutex
	wait  []booking.Delivery
	next  int
	held  map[string]booking.Delivery
	dead  []booking.Delivery
	err   error // of every call while set
}

func newLine(c clock.Clock) *line { return &line{clock: c, held: map[string]booking.Delivery{}} }

// add appends n entries that are accepted now, then one every gap.
func (l *line) add(n int, gap time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.clock.Now()
	for range n {
		i := l.next
		l.next++
		r := ledgertest.Row(i, i, i%3)
		r.At = at
		l.wait = append(l.wait, booking.Delivery{Accepted: r.Accepted, ID: strconv.Itoa(i)})
		at += gap
	}
}

func (l *line) Read(_ context.Context, n int) (out []booking.Delivery, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && len(out) < n && len(l.wait) > 0 && l.wait[0].At <= l.clock.Now() {
		d := l.wait[0]
		d.Count++
		l.wait = l.wait[1:]
		l.held[d.ID] = d
		out = append(out, d)
	}
	return out, l.err
}

func (l *line) Ack(_ context.Context, ds ...booking.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, d := range ds {
		delete(l.held, d.ID)
	}
	return nil
}

func (l *line) Fail(_ context.Context, d booking.Delivery, _ string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, d.ID)
	if d.Count >= 3 {
		l.dead = append(l.dead, d)
		return true, l.err
	}
	l.wait = append(l.wait, d)
	return false, l.err
}

func (l *line) Forget(ds ...booking.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range ds {
		delete(l.held, d.ID)
	}
}

func (l *line) Depth(context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.wait) + len(l.held), l.err
}

// book is a table in memory.
type book struct {
	mu   sync.Mutex
	rows map[booking.Ticket]bool
	down bool           // the database does not answer
	full bool           // its disk is full: a probe still finds room
	bad  booking.UserID // a batch with this user's row fails; 0 = none
}

func newBook() *book { return &book{rows: map[booking.Ticket]bool{}} }

var errDown = errors.New("the database is down")

func (b *book) WriteBatch(_ context.Context, rows []ledger.Row) ([]ledger.RowResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, errDown
	}
	if b.full {
		return nil, fmt.Errorf("no space: %w", ledger.ErrDown)
	}
	for _, r := range rows {
		if b.bad != 0 && r.User == b.bad {
			return nil, errors.New("this row cannot be written")
		}
	}
	out := make([]ledger.RowResult, len(rows))
	for i, r := range rows {
		out[i] = ledger.RowResult{Verdict: ledger.Written, Waited: r.Written - r.At}
		if b.rows[r.Ticket] {
			out[i].Verdict = ledger.Already
		}
		b.rows[r.Ticket] = true
	}
	return out, nil
}

func (b *book) Probe(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errDown
	}
	return nil
}

func (b *book) set(f func(*book)) { b.mu.Lock(); defer b.mu.Unlock(); f(b) }

// lateClock rings its timers late, as a busy machine does, up to max.
type lateClock struct {
	clock.Clock
	max  time.Duration
	mu   sync.Mutex
	n    uint32
	seed draw.Seed
}

func (c *lateClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	c.n++
	late := c.seed.Between(booking.DrawJitter, 1, c.n, 0, c.max)
	c.mu.Unlock()
	return c.Clock.AfterFunc(d+late, f)
}

// written collects what a writer reports.
type written struct {
	mu      sync.Mutex
	rows    []ledger.Settled
	batches []ledger.Batch
}

func (w *written) row(s ledger.Settled) { w.mu.Lock(); defer w.mu.Unlock(); w.rows = append(w.rows, s) }
func (w *written) batch(b ledger.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches = append(w.batches, b)
}
func (w *written) by(t time.Duration) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.rows {
		if r.At <= t {
			n++
		}
	}
	return n
}

func start(t testing.TB, l *line, k ledger.Keeper, c clock.Clock, change func(*ledger.WriterOptions)) (*ledger.Writer, *written) {
	t.Helper()
	seen := &written{}
	o := ledger.WriterOptions{Source: l, Keeper: k, Rate: 40, Every: 50 * time.Millisecond, Clock: c,
		OnRow: seen.row, OnBatch: seen.batch}
	if change != nil {
		change(&o)
	}
	w, err := ledger.NewWriter(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Start()
	return w, seen
}

// The rate holds exactly: after every beat the rows written are the whole part of
// rate x time, on punctual timers, and by then or by the next late ring otherwise.
func TestWriterRate(t *testing.T) {
	for _, rate := range []float64{40, 30, 7, 0.5, 1000.0 / 3, 4000, 20000} {
		for _, late := range []time.Duration{0, 130 * time.Millisecond} {
			t.Run(fmt.Sprintf("%.4g per s, timers late by %v", rate, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := clock.Clock(clock.NewWall())
					if late > 0 {
						c = &lateClock{Clock: c, max: late, seed: 1}
					}
					length := 20 * time.Second
					if rate > 1000 {
						length = 2 * time.Second // enough rows to see a drift of one
					}
					l := newLine(c)
					l.add(int(rate*length.Seconds())+100, 0)
					w, seen := start(t, l, newBook(), c, func(o *ledger.WriterOptions) { o.Rate = rate })
					for at := time.Duration(0); at <= length; at += 50 * time.Millisecond {
						time.Sleep(at - c.Now() + time.Microsecond)
						synctest.Wait()
						got := float64(seen.by(at + time.Microsecond))
						most := math.Floor(rate*at.Seconds() + 1e-6)
						least := math.Floor(rate*max(0, at-late-50*time.Millisecond).Seconds() + 1e-6)
						if late == 0 {
							least = most
						}
						if got > most || got < least {
							t.Fatalf("after %v: %v rows, want %v to %v", at, got, least, most)
						}
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
				})
			})
		}
	}
}

// Batches are what the rate allows in one beat: no more after a stop or idleness.
func TestWriterSavesNoCredit(t *testing.T) {
	for name, idle := range map[string]func(w *ledger.Writer, l *line){
		"idle":    func(_ *ledger.Writer, _ *line) { time.Sleep(10 * time.Second) },
		"stopped": func(w *ledger.Writer, _ *line) { w.Stop(); time.Sleep(10 * time.Second); w.Resume() },
		"stopped, with entries": func(w *ledger.Writer, l *line) {
			w.Stop()
			l.add(20, 0)
			time.Sleep(10 * time.Second)
			w.Resume()
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := clock.NewWall()
				l := newLine(c)
				w, seen := start(t, l, newBook(), c, nil)
				idle(w, l)
				synctest.Wait()
				from, base := c.Now(), seen.by(time.Hour)
				l.add(200, 0)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := seen.by(from+2*time.Second) - base; got < 78 || got > 82 {
					t.Errorf("%d rows in 2 s at 40 per s", got)
				}
				for _, b := range seen.batches {
					if b.Rows > 2 {
						t.Fatalf("a batch of %d at %v", b.Rows, b.At)
					}
				}
				_ = w.Close()
			})
		})
	}
}

func TestWriterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l := newLine(c)
		l.add(1000, 0)
		w, seen := start(t, l, newBook(), c, nil)
		time.Sleep(time.Second + time.Millisecond)
		w.Stop()
		synctest.Wait()
		before := seen.by(time.Hour)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := seen.by(time.Hour); n != before || before != 40 {
			t.Errorf("%d rows in the first second, %d by the end of the stop", before, n)
		}
		_ = w.Close() // while stopped
	})
}

// A slow store lowers the rate: batches of a beat's rows, one per latency.
func TestWriterSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l := newLine(c)
		l.add(1000, 0)
		w, seen := start(t, l, newBook(), c, nil)
		w.SlowBy(200 * time.Millisecond)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := seen.by(time.Hour); n < 96 || n > 100 { // 2 rows per 200 ms
			t.Errorf("%d rows in 10 s", n)
		}
		w.SlowBy(0)
		time.Sleep(time.Second)
		base := seen.by(time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := seen.by(time.Hour) - base; n < 38 || n > 42 {
			t.Errorf("%d rows a second after the fault", n)
		}
		_ = w.Close()
	})
}

func TestTimedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l := newLine(c)
		l.add(5000, time.Millisecond) // five seconds of them
		w, seen := start(t, l, newBook(), c, func(o *ledger.WriterOptions) { o.FlushEvery = 2 * time.Second })
		for _, want := range []struct {
			at   time.Duration
			rows int
		}{{1999 * time.Millisecond, 0}, {2001 * time.Millisecond, 2001}, {3999 * time.Millisecond, 2001}, {4001 * time.Millisecond, 4001}, {6001 * time.Millisecond, 5000}} {
			time.Sleep(want.at - c.Now())
			synctest.Wait()
			if n := seen.by(time.Hour); n != want.rows {
				t.Fatalf("at %v: %d rows, want %d", want.at, n, want.rows)
			}
		}
		_ = w.Close()
	})
}

func TestWriterAsFastAsItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l := newLine(c)
		l.add(10_000, 0)
		w, seen := start(t, l, newBook(), c, func(o *ledger.WriterOptions) { o.Rate = 0 })
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if n := seen.by(time.Hour); n != 10_000 {
			t.Errorf("%d rows", n)
		}
		_ = w.Close()
	})
}

// An outage of the database, however long, costs nobody an attempt; one of the
// queue neither. Afterwards everything is written, at the rate.
func TestWriterOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l, b := newLine(c), newBook()
		l.add(100, 0)
		w, seen := start(t, l, b, c, nil)
		time.Sleep(500 * time.Millisecond)
		b.set(func(b *book) { b.down = true })
		time.Sleep(time.Minute)
		b.set(func(b *book) { b.down, b.full = false, true })
		time.Sleep(time.Minute)
		b.set(func(b *book) { b.full = false })
		l.mu.Lock()
		l.err = errors.New("the store is down")
		l.mu.Unlock()
		time.Sleep(time.Minute)
		l.mu.Lock()
		l.err = nil
		l.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n, _ := l.Depth(context.Background()); n != 0 || len(l.dead) != 0 || len(b.rows) != 100 {
			t.Errorf("%d left, %d dead, %d written", n, len(l.dead), len(b.rows))
		}
		st := w.Stats()
		if st.Rows != 100 || st.Failed != 0 || st.Errors == 0 || len(seen.rows) != 100 {
			t.Errorf("%+v, %d reported", st, len(seen.rows))
		}
		for _, s := range seen.batches {
			if s.Rows > 2 {
				t.Fatalf("a batch of %d after the outage", s.Rows)
			}
		}
		_ = w.Close()
	})
}

// One bad row becomes a dead letter; its neighbours are written.
func TestWriterBadRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l, b := newLine(c), newBook()
		b.bad = 5
		l.add(20, 0)
		w, _ := start(t, l, b, c, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		st := w.Stats()
		if len(l.dead) != 1 || l.dead[0].User != 5 || len(b.rows) != 19 || st.Failed != 3 || st.Dead != 1 {
			t.Errorf("dead %+v, %d written, %+v", l.dead, len(b.rows), st)
		}
		_ = w.Close()
	})
}

func TestWriterDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.NewWall()
		l, b := newLine(c), newBook()
		l.add(5000, 0)
		w, _ := start(t, l, b, c, nil)
		time.Sleep(time.Second)
		_ = w.Close()
		_ = w.Close()
		if err := w.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		if len(b.rows) != 5000 {
			t.Errorf("%d written", len(b.rows))
		}
		b.down = true
		l.add(1, 0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := w.Drain(ctx); !errors.Is(err, errDown) {
			t.Errorf("drained into a database that is down: %v", err)
		}
	})
}

func TestNewWriterRefuses(t *testing.T) {
	c := clock.NewWall()
	for name, o := range map[string]ledger.WriterOptions{
		"nothing":    {},
		"rate < 0":   {Source: newLine(c), Keeper: newBook(), Clock: c, Rate: -1},
		"rate NaN":   {Source: newLine(c), Keeper: newBook(), Clock: c, Rate: math.NaN()},
		"every < 0":  {Source: newLine(c), Keeper: newBook(), Clock: c, Every: -1},
		"no keeper":  {Source: newLine(c), Clock: c},
		"flush < 0":  {Source: newLine(c), Keeper: newBook(), Clock: c, FlushEvery: -1},
		"rate = inf": {Source: newLine(c), Keeper: newBook(), Clock: c, Rate: math.Inf(1)},
	} {
		if _, err := ledger.NewWriter(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The lossless station serves in order at its rate, works for clients that have
// left, and says how far behind it is. Virtual time: 10 units at 100 per second.
func TestLosslessStation(t *testing.T) {
	db := openSQLite(t)
	// The database is real and its calls take real time, so the bubble is not used;
	// a hand-turned clock is.
	c := &handClock{}
	l, err := ledger.NewLossless(db, ledger.LosslessOptions{Rate: 100, ReadUnits: 2, WriteUnits: 10, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := l.Fill(ctx, []int{100}); err != nil {
		t.Fatal(err)
	}
	if l.Backlog() != 0 {
		t.Fatal("a backlog from the start")
	}
	done := make(chan int, 20)
	for i := range 10 {
		gone, cancel := context.WithCancel(ctx)
		cancel() // its client has left
		go func() {
			r, err := l.Book(gone, ledgertest.Row(i, i, 0).Accepted)
			if err != nil || r.Outcome != booking.Confirmed {
				t.Errorf("booking %d: %+v, %v", i, r, err)
			}
			done <- i
		}()
		c.waitTimers(t, i+1)
	}
	if got := l.Backlog(); got != time.Second {
		t.Fatalf("backlog %v, want 1 s", got)
	}
	for i := range 10 {
		c.turn(100*time.Millisecond - 1)
		select {
		case j := <-done:
			t.Fatalf("booking %d was done before its time", j)
		default:
		}
		c.turn(1)
		if j := <-done; j != i {
			t.Fatalf("booking %d was done in place %d", j, i)
		}
	}
	if l.Backlog() != 0 || l.Waiting() != 0 {
		t.Fatalf("backlog %v, %d waiting", l.Backlog(), l.Waiting())
	}
	// Idleness saves nothing up; a read costs 20 ms; the fault adds to it.
	c.turn(time.Hour)
	l.SlowBy(time.Second)
	go func() { _, err := l.ReadForm(ctx); done <- map[bool]int{true: 1, false: 0}[err == nil] }()
	c.waitTimers(t, 11)
	if got := l.Backlog(); got != 1020*time.Millisecond {
		t.Fatalf("backlog %v, want 1.02 s", got)
	}
	go func() { _, err := l.ReadForm(ctx); done <- map[bool]int{true: 1, false: 0}[err == nil] }()
	c.waitTimers(t, 12)
	c.turn(1020 * time.Millisecond)
	if <-done != 1 {
		t.Fatal("the read failed")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if <-done != 0 {
		t.Fatal("work that waited at Close was done")
	}
}

// handClock moves only when turned.
type handClock struct {
	mu     sync.Mutex
	now    time.Duration
	timers []*handTimer
}

type handTimer struct {
	at   time.Duration
	f    func()
	gone bool
}

func (c *handClock) Now() time.Duration { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *handClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &handTimer{at: c.now + d, f: f}
	c.timers = append(c.timers, h)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		was := h.gone
		h.gone = true
		return !was
	}
}

func (c *handClock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += d
	for _, h := range c.timers {
		if !h.gone && h.at <= c.now {
			h.gone = true
			go h.f()
		}
	}
}

// waitTimers waits until n timers have ever been set.
func (c *handClock) waitTimers(t *testing.T, n int) {
	t.Helper()
	for range 5000 {
		c.mu.Lock()
		have := len(c.timers)
		c.mu.Unlock()
		if have >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d timers were never set", n)
}
