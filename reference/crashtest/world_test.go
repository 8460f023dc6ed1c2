package crashtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/reference"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

// Errors that a schedule injects.
var (
	errKilled = errors.New("the process was killed")
	errLost   = errors.New("the answer was lost: i/o timeout")
	errDown   = errors.New("connection refused")
	errDisk   = errors.New("database or disk is full")
)

const event = "crash"

// world is one schedule: stores, processes and their scheduler, all inside a
// synctest bubble. Every step that changes a store waits at its crash point until
// the scheduler lets it go, one at a time, so that the seed alone says what
// happens.
type world struct {
	t    *testing.T
	plan plan
	draw func() uint64 // the scheduler's own, by count of calls

	redis *miniredis.Miniredis
	admin *redis.Client // not a process: never killed, never scheduled
	dir   string
	books *ledger.DB // the oracle's own view
	start time.Time
	phase time.Duration // next actor's place within a microsecond

	gateways []*process
	writers  []*process
	person   *process
	closer   *process // of the lottery's lists; nil = no lottery
	clients  sync.WaitGroup

	mu        sync.Mutex
	ids       int
	parked    []*call
	killed    bool     // somebody died in the call under way
	locked    *process // holds the database's write lock
	downUntil time.Duration
	cursed    map[booking.UserID]bool
	tally     map[string]int // passings of each crash point
	crashes   map[string]int // crashes at each
	faults    map[string]int // faults that were put in force
	trace     []byte
	acting    bool    // the person is at a letter
	cutOff    bool    // a person gave up half-way
	sprung    bool    // the planted bug has done its harm
	armed     []fault // those that wait for a call to meet

	oracle *oracle
	ops    *history // nil = not recorded
	lists  []closedList
}

// action is what happens to a call.
type action int

const (
	proceed  action = iota
	fail            // it is not done, its caller is told so
	lose            // it is done, its caller is told that it failed
	kill            // its process is killed before
	killLate        // its process is killed when it is done
)

// call is a step that waits for the scheduler.
type call struct {
	p     *process
	point string
	grant chan action
}

// process is one gateway, writer or person, until it is killed.
type process struct {
	w       *world
	id      int
	name    string
	dead    bool // guarded by w.mu
	stalled time.Duration
	client  *redis.Client
	store   *stock.Store
	cache   *ledger.Cache
	db      *ledger.DB
	queue   *queue.Queue
	writer  *ledger.Writer
	guard   *reference.Guard
	letters *reference.Letters
	desk    *lottery.Desk
	quit    chan struct{}
	running sync.WaitGroup
}

// now is the offset since the schedule began.
func (w *world) now() time.Duration { return time.Since(w.start) }

// slot is a clock whose timers ring at a moment of its own within each
// microsecond, so that no two actors ever wake at once.
type slot struct {
	w  *world
	at time.Duration
}

var _ clock.Clock = slot{}

func (c slot) Now() time.Duration { return c.w.now() }

func (c slot) AfterFunc(d time.Duration, f func()) func() bool {
	due := c.w.now() + max(0, d)
	due += (c.at - due%time.Microsecond + time.Microsecond) % time.Microsecond
	return time.AfterFunc(due-c.w.now(), f).Stop
}

func (c slot) sleep(d time.Duration, quit <-chan struct{}) bool {
	ring := make(chan struct{})
	stop := c.AfterFunc(d, func() { close(ring) })
	select {
	case <-ring:
		return true
	case <-quit:
		stop()
		return false
	}
}

func (w *world) slot() slot {
	w.phase = w.phase%999 + 1
	return slot{w, w.phase}
}

// tickets are made alike by all gateways.
func tickets() *stock.Tickets {
	t, err := stock.NewTickets([]byte("a secret that all gateways share"))
	if err != nil {
		panic(err) // it is long enough
	}
	return t
}

// newWorld opens the stores. It must be called inside the bubble.
func newWorld(t *testing.T, dir string, p plan) *world {
	w := &world{t: t, plan: p, dir: dir, start: time.Now(), cursed: map[booking.UserID]bool{}, tally: map[string]int{},
		crashes: map[string]int{}, faults: map[string]int{}}
	var n uint32
	w.draw = func() uint64 { n++; return p.seed.U64(uint8(booking.DrawFault), 1, n) }
	w.redis = miniredis.NewMiniRedis()
	w.admin = w.dial(nil)
	var err error
	if w.books, err = ledger.Open(context.Background(), w.url(), ledger.DBOptions{Readers: 1}); err != nil {
		t.Fatal(err)
	}
	w.oracle = newOracle(w)
	if p.record {
		w.ops = &history{w: w}
	}
	if p.bug != nil && p.bug.start != nil {
		p.bug.start(w)
	}
	return w
}

func (w *world) url() string { return "sqlite:" + filepath.Join(w.dir, "ledger.db") }

func (w *world) dial(p *process) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1, Protocol: 2, DisableIdentity: true, PoolSize: 16,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return w.redis.Dial() }})
	if p != nil {
		c.AddHook(alive{p})
		c.AddHook(reference.TapRedis(p.tap))
		if w.plan.bug != nil {
			c.AddHook(bugs{w}) // next to the store, where the others do not see it
		}
	}
	return c
}

// alive fails every call of a dead process, and every call while Redis is down.
type alive struct{ p *process }

func (h alive) check() error {
	h.p.w.mu.Lock()
	defer h.p.w.mu.Unlock()
	switch {
	case h.p.dead:
		return errKilled
	case h.p.w.now() < h.p.w.downUntil:
		return errDown
	}
	return nil
}

func (h alive) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h alive) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := h.check(); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (h alive) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if err := h.check(); err != nil {
			for _, c := range cmds {
				c.SetErr(err)
			}
			return err
		}
		return next(ctx, cmds)
	}
}

// tap is where a process meets the scheduler.
func (p *process) tap(ctx context.Context, point string) error {
	w := p.w
	if strings.HasSuffix(point, ".after") {
		return p.done(point)
	}
	w.mu.Lock()
	step := strings.TrimSuffix(point, ".before")
	if p.dead {
		p.release(step)
		w.mu.Unlock()
		return errKilled
	}
	c := &call{p: p, point: step, grant: make(chan action, 1)}
	w.parked = append(w.parked, c)
	w.mu.Unlock()
	var a action
	select {
	case a = <-c.grant:
	case <-ctx.Done():
		w.unpark(c)
		w.mu.Lock()
		defer w.mu.Unlock()
		p.release(step)
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[c.point+".before"]++
	onDB := strings.HasPrefix(c.point, "ledger.")
	switch {
	case p.dead:
		p.release(c.point)
		return errKilled
	case a == kill:
		w.crashes[c.point+".before"]++
		w.die(p)
		p.release(c.point)
		return errKilled
	case a == fail, !onDB && w.now() < w.downUntil:
		p.release(c.point)
		if onDB {
			return errDisk
		}
		return errDown
	}
	if c.point == "ledger.begin" {
		w.locked = p
	}
	return nil
}

// done is the passing of a point after its step.
func (p *process) done(point string) error {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[point]++
	step := strings.TrimSuffix(point, ".after")
	if step == "ledger.commit" || step == "ledger.rollback" {
		p.release("ledger.rollback")
	}
	if p.dead {
		return errKilled
	}
	a := w.meets(step, lose, killLate)
	if a != proceed {
		w.note("%s#%d %s meets %d", p.name, p.id, point, a)
	}
	switch a {
	case lose:
		return errLost
	case killLate:
		w.crashes[point]++
		w.die(p)
		return errKilled
	}
	return nil
}

// release gives the write lock back when a transaction is over; w.mu is held.
func (p *process) release(step string) {
	if p.w.locked == p && step == "ledger.rollback" {
		p.w.locked = nil
	}
}

func (w *world) unpark(c *call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, x := range w.parked {
		if x == c {
			w.parked = append(w.parked[:i], w.parked[i+1:]...)
			return
		}
	}
}

// die kills a process; w.mu is held. What it has parked is let go, to fail. A
// transaction under way ends by the same taps.
func (w *world) die(p *process) {
	p.dead, w.killed = true, true
	close(p.quit)
	kept := w.parked[:0]
	for _, c := range w.parked {
		if c.p == p {
			c.grant <- proceed
		} else {
			kept = append(kept, c)
		}
	}
	w.parked = kept
}

// open makes a process of the given kind over the stores.
func (w *world) open(kind string, n int) *process {
	w.mu.Lock()
	w.ids++
	p := &process{w: w, id: w.ids, name: fmt.Sprintf("%s-%d", kind, n), quit: make(chan struct{})}
	w.mu.Unlock()
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			w.t.Fatalf("seed %d: opening %s: %v", w.plan.seed, p.name, err)
		}
	}
	var err error
	p.client = w.dial(p)
	clk := w.slot()
	p.store, err = stock.New(p.client, stock.Options{Event: event, Items: len(w.plan.items), Stream: queue.StreamKey(event), Depth: w.plan.depth,
		Results: ledger.ResultsKey(event), Entries: w.plan.lottery, Rules: quick, BatchMax: w.plan.batch, Linger: time.Millisecond, Tickets: tickets(), Clock: clk})
	must(err)
	if kind == "gateway" {
		p.cache, err = ledger.NewCache(p.client, event, w.books)
		must(err)
		p.desk = reference.NewDesk(p.store, w.books, p.cache, quick, clk)
		p.loop(100*time.Millisecond, func() { _ = p.store.Tend(ctx) }) // it tries again
		return p
	}
	p.db, err = ledger.Open(ctx, w.url(), ledger.DBOptions{Readers: 1, Tap: p.tap})
	must(err)
	p.cache, err = ledger.NewCache(p.client, event, p.db)
	must(err)
	switch kind {
	case "closer":
		return p
	case "person":
		p.letters, err = reference.NewLetters(p.client, p.db, w.config(), clk)
		must(err)
		return p
	}
	p.queue, err = queue.New(p.client, queue.Options{Event: event, Consumer: p.name, Attempts: 3, Clock: w.slot()})
	must(err)
	p.guard, err = reference.NewGuard(reference.GuardOptions{DB: p.db, Store: p.store, Queue: p.queue, Cache: p.cache, Items: w.plan.items,
		Lottery: w.plan.lottery, Grace: grace, Clock: w.slot()})
	must(err)
	var keeper ledger.Keeper = p.db
	if w.plan.lottery {
		keeper = p.db.Entries(quick)
	}
	keeper = curse{keeper, w}
	var source ledger.Source = p.queue
	if b := w.plan.bug; b != nil {
		if b.keeper != nil {
			keeper = b.keeper(keeper)
		}
		if b.source != nil {
			source = b.source(w, source)
		}
	}
	p.writer, err = ledger.NewWriter(ledger.WriterOptions{Source: source, Keeper: keeper, Cache: p.cache, Refund: p.store.Refund,
		Epoch: p.db.Epoch, Rate: w.plan.rate, Clock: w.slot()})
	must(err)
	p.writer.Start()
	p.loop(100*time.Millisecond, func() { _, _ = p.guard.Look(ctx) }) // it tries again
	return p
}

// grace is longer than two looks of a gateway.
const grace = 250 * time.Millisecond

func (w *world) config() reference.Config {
	c := reference.Config{Mode: booking.ModeQueued, Event: event, Stock: reference.StockConfig{Items: w.plan.items}}
	if w.plan.lottery {
		c.Mode, c.Lottery = booking.ModeLottery, quick
	}
	return c
}

// loop does something again and again while the process lives.
func (p *process) loop(every time.Duration, f func()) {
	clk := p.w.slot()
	p.running.Go(func() {
		for clk.sleep(every, p.quit) {
			f()
		}
	})
}

// shut waits until a dead process has come to rest.
func (p *process) shut() {
	if p.writer != nil {
		_ = p.writer.Close() // never fails
	}
	_ = p.store.Close() // never fails
	p.running.Wait()
	_ = p.client.Close() // nothing is lost with it
	if p.db != nil {
		_ = p.db.Close() // as above
	}
}

// curse fails every batch with a row of a cursed user, as a constraint would that
// only this row breaks.
type curse struct {
	ledger.Keeper
	w *world
}

func (k curse) WriteBatch(ctx context.Context, rows []ledger.Row) ([]ledger.RowResult, error) {
	k.w.mu.Lock()
	for _, r := range rows {
		if k.w.cursed[r.User] {
			k.w.mu.Unlock()
			return nil, fmt.Errorf("row of user %d: value out of range", r.User)
		}
	}
	k.w.mu.Unlock()
	return k.Keeper.WriteBatch(ctx, rows)
}

func (w *world) dead(p *process) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return p.dead
}

// revive puts a new process in the place of a dead one. Opening the database
// writes to it, so it waits while a transaction is under way.
func (w *world) revive() {
	synctest.Wait()
	w.mu.Lock()
	busy := w.locked != nil
	w.mu.Unlock()
	if busy {
		return
	}
	next := func(p *process, kind string, i int, seat **process) {
		if p == nil || !w.dead(p) {
			return
		}
		p.shut()
		p = w.open(kind, i)
		w.mu.Lock()
		*seat = p
		w.mu.Unlock()
	}
	for i, p := range w.gateways {
		next(p, "gateway", i, &w.gateways[i])
	}
	for i, p := range w.writers {
		next(p, "writer", i, &w.writers[i])
	}
	next(w.person, "person", 0, &w.person)
	next(w.closer, "closer", 0, &w.closer)
}

// gateway is whoever is the n-th gateway now, counted round.
func (w *world) gateway(n int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gateways[n%len(w.gateways)]
}

// desk is whoever is the person now.
func (w *world) desk() *reference.Letters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.person.letters
}

// note adds a line to the trace.
func (w *world) note(format string, args ...any) {
	if w.plan.verbose {
		w.trace = append(w.trace, fmt.Sprintf("%12v ", w.now())+fmt.Sprintf(format, args...)+"\n"...)
	}
}

// step is one move of the scheduler: it lets time pass, or one call go. It reports
// whether somebody died.
func (w *world) step() bool {
	synctest.Wait()
	w.mu.Lock()
	var free []*call
	for _, c := range w.parked {
		if (c.point != "ledger.begin" || w.locked == nil) && w.now() >= c.p.stalled {
			free = append(free, c)
		}
	}
	u := w.draw()
	if len(free) == 0 || u%5 == 0 {
		w.mu.Unlock()
		d := time.Duration(1+u>>8%8) * time.Millisecond
		if len(free) == 0 {
			d *= 4
		}
		time.Sleep(d)
		return false
	}
	c := free[u>>8%uint64(len(free))]
	w.killed = false
	for i, x := range w.parked {
		if x == c {
			w.parked = append(w.parked[:i], w.parked[i+1:]...)
			break
		}
	}
	a := w.meets(c.point, fail, kill)
	w.note("%s#%d %s %d", c.p.name, c.p.id, c.point, a)
	w.mu.Unlock()
	c.grant <- a
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed
}

// hold puts in force the armed faults that wait for a state of things. It reports
// which of them lets the gateways and Redis's memory go, "" = none.
func (w *world) hold() (kind string) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.armed {
		f := &w.armed[i]
		if f.kind == "letters" && w.admin.XLen(context.Background(), "{"+event+"}:dead").Val() > 0 {
			w.armed = append(slices.Delete(w.armed, i, i+1), fault{kind: "hold", point: "stock.open", nth: 1, stays: true})
			return "letters"
		}
		if f.kind != "hold" && f.kind != "stale" {
			continue
		}
		for _, c := range w.parked {
			if c.point != f.point || w.now() < c.p.stalled || w.locked == c.p {
				continue
			}
			if f.nth--; f.nth > 0 {
				break
			}
			c.p.stalled = w.now() + 1300*time.Millisecond
			w.note("%s#%d is held up at %s", c.p.name, c.p.id, c.point)
			kind = f.kind
			w.armed = slices.Delete(w.armed, i, i+1)
			if kind == "stale" {
				return kind
			}
			return ""
		}
	}
	return ""
}

// meets takes the first armed fault, of two kinds, that waits for this call; w.mu
// is held.
func (w *world) meets(point string, this, that action) action {
	for i := range w.armed {
		f := &w.armed[i]
		a := actions[f.kind]
		if a != this && a != that || f.point != "" && f.point != point {
			continue
		}
		if f.nth--; f.nth > 0 {
			continue
		}
		w.armed = slices.Delete(w.armed, i, i+1)
		return a
	}
	return proceed
}

// seedOf makes a draw of the plan: keyed by what it is for.
func seedOf(seed draw.Seed, id uint64, n uint32, below int) int {
	return int(seed.U64(uint8(booking.DrawFault), id, n) % uint64(below))
}
