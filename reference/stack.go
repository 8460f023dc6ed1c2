package reference

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/fault"
	"spillway/internal/policy"
	"spillway/reference/admission"
	"spillway/reference/edge"
	"spillway/reference/gateway"
	"spillway/reference/ledger"
	"spillway/reference/lottery"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

// Stack is a backend that serves. Its methods may be called from any goroutine.
type Stack struct {
	config Config
	name   string // among the writers
	floor  string // of the limiter, for the notes of a run
	clock  clock.Clock
	shift  atomic.Int64 // offset of the run = process clock - shift
	skew   atomic.Int64 // how far a fault has stepped the wall clock
	lowest int          // the largest priority number in use

	stores     *stores
	db         *ledger.DB
	store      *stock.Store       // nil when direct
	queue      *queue.Queue       // nil when direct
	writer     *writers           // nil when direct, and in a gateway
	lease      *lease             // of a writer with a role; nil = it writes alone
	board      *board             // of a role; nil = one process is all there is
	lossless   *ledger.Lossless   // nil when streamed
	guarding   *guardLoop         // nil when direct
	desk       *lottery.Desk      // lottery only
	receiptKey ed25519.PrivateKey // of lottery entries; nil = their receipts are not signed
	mode       mode
	edge       *edge.Edge // nil when off, or before the gateway
	catalogues [2]edge.Object
	admission  *admission.Admission
	station    *gateway.Station
	instances  []*gateway.Instance

	turn      atomic.Uint64 // whose turn it is among the instances
	failovers atomic.Uint64 // requests that a lost instance was passed over for
	errors    atomic.Uint64 // failures of a store that a request met
	lastError atomic.Pointer[string]

	tickets *stock.Tickets
	abuses  abuseCounts // clients refused, by kind
	doors   [2]*door    // of the visitors' part (none in a writer) and the admin part

	registry *prometheus.Registry
	latency  [booking.StepPoll + 1]prometheus.Observer
	watch    *watch
	faults   *faults

	work       context.Context // of the requests' own work; ends only when Close is out of patience
	abandon    context.CancelFunc
	visitor    *http.Server
	admin      *http.Server
	serving    sync.WaitGroup
	ready      Ready
	accepting  atomic.Bool
	closeOnce  sync.Once
	closeError error
}

// Open checks the config, opens the stores, fills the stock and serves. The
// optional clock replaces the wall clock. The context bounds the opening alone. Errors of the machine wrap ErrEnvironment; what was opened is
// closed again.
func Open(ctx context.Context, c Config, clocks ...clock.Clock) (*Stack, error) {
	floor := c.Floor()
	c = c.defaults()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	s := &Stack{config: c, floor: floor, clock: clock.WallFrom(time.Unix(0, 0)), lowest: policy.LowestPriority(c.Classes)}
	if len(clocks) > 0 {
		s.clock = clocks[0]
	}
	s.shift.Store(int64(s.clock.Now()))
	var err error
	if c.ReceiptKey != "" {
		if s.receiptKey, err = lottery.ParsePrivateKey([]byte(c.ReceiptKey)); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	if s.name, err = memberName(c.Role); err != nil {
		return nil, err
	}
	s.work, s.abandon = context.WithCancel(context.Background())
	if err := s.open(ctx); err != nil {
		s.abandon()
		s.shut()
		return nil, err
	}
	return s, nil
}

// open opens everything in order; shut closes whatever part of it was reached.
func (s *Stack) open(ctx context.Context) error {
	c := s.config
	most := c.Connections
	if room := files() - filesKept; most == 0 {
		most = min(connectionsMax, max(room, 1))
	} else if most > room {
		return environment{fmt.Errorf("connections: %d wanted, but this process may have only %d files open; raise the limit (ulimit -n) to %d",
			most, files(), most+filesKept)}
	}
	admin, err := listen(ctx, c.AdminListen)
	if err != nil {
		return err
	}
	var visitors net.Listener // nil in a writer
	fail := func(err error) error {
		if visitors != nil {
			_ = visitors.Close() // nothing was served on it
		}
		_ = admin.Close() // as above
		return err
	}
	if s.serves() {
		if visitors, err = listen(ctx, c.Listen); err != nil {
			return fail(err)
		}
	}
	if s.stores, err = openStores(ctx, c, s.clock); err != nil {
		return fail(err)
	}
	s.db = s.stores.db
	s.watch = newWatch(s)
	if err := s.openMode(ctx); err != nil {
		return fail(err)
	}
	if err := s.openFront(); err != nil {
		return fail(err)
	}
	if c.AdminToken, err = tokenOr(c.AdminToken); err != nil {
		return fail(err)
	}
	s.config.AdminToken = c.AdminToken
	if err := s.join(ctx); err != nil {
		return fail(err)
	}
	if err := s.watch.connect(ctx); err != nil {
		return fail(err)
	}
	if c.Role == RoleWriter {
		// On the watch's connections: a slow store must not take the lease away.
		s.lease = newLease(s.watch.stores.client, c.Event, s.name, s.clock, s.writer.Standby)
	}
	s.faults = newFaults(s)
	s.metrics()
	s.ready = Ready{AdminURL: "http://" + admin.Addr().String(), AdminToken: c.AdminToken,
		Redis: s.stores.redisURL, Database: s.stores.databaseURL, Event: c.Event, PID: os.Getpid()}
	if s.writer != nil {
		s.writer.Start()
	}
	if s.guarding != nil {
		s.guarding.start()
	}
	if s.lease != nil {
		s.lease.start()
	}
	s.watch.start()
	s.accepting.Store(true)
	if s.serves() {
		s.ready.URL = "http://" + visitors.Addr().String()
		s.doors[0] = &door{Listener: s.stores.net.visitors(visitors), max: most, counts: &s.abuses}
		s.visitor = s.doors[0].server(s.visitors)
		s.serving.Go(func() { _ = s.visitor.Serve(s.doors[0]) }) // it ends when Close shuts it down
	}
	s.doors[1] = &door{Listener: admin, max: adminConnections, counts: &s.abuses}
	s.admin = s.doors[1].server(s.adminHandler().ServeHTTP)
	s.serving.Go(func() { _ = s.admin.Serve(s.doors[1]) }) // as above
	return nil
}

// serves reports whether this process has the visitors' part.
func (s *Stack) serves() bool { return s.config.Role != RoleWriter }

// writes reports whether this process sets up the sale and writes the ledger.
func (s *Stack) writes() bool { return s.config.Role != RoleGateway }

// tokenOr is the given admin token, or one made by chance.
func tokenOr(token string) (string, error) {
	if token != "" {
		return token, nil
	}
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", environment{fmt.Errorf("admin token: no randomness: %w", err)}
	}
	return hex.EncodeToString(b[:]), nil
}

// listen opens a listener.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, environment{fmt.Errorf("cannot listen on %s: %w; choose another address or port", address, err)}
	}
	return l, nil
}

// openMode opens the stores' side: stock, queue and ledger as the mode wants them.
func (s *Stack) openMode(ctx context.Context) error {
	c := s.config
	tickets, err := stock.NewTickets(c.key())
	if err != nil {
		return environment{err}
	}
	s.tickets = tickets
	if s.direct() {
		s.lossless, err = ledger.NewLossless(s.db, ledger.LosslessOptions{Rate: c.Ledger.DatabaseRate,
			ReadUnits: c.Ledger.ReadUnits, WriteUnits: c.Ledger.WriteUnits, Clock: s.clock})
		if err != nil {
			return err
		}
		if err := s.lossless.Fill(ctx, c.Stock.Items); err != nil {
			return err
		}
		s.mode = &direct{s: s, book: s.lossless, tickets: tickets, forms: c.Mode == booking.ModeLossless, noted: map[booking.Ticket]bool{}}
		return nil
	}
	depth, attempts := c.Queue.Depth, c.Queue.Attempts
	if c.Mode == booking.ModeTimedWriter {
		depth = 0 // there was no queue yet, so nothing bounded it
	}
	lots := c.Mode == booking.ModeLottery
	batch := c.Stock.BatchMax
	if !s.on("batch") {
		batch = 1
	}
	qo := queue.Options{Event: c.Event, Consumer: s.name, Attempts: attempts, Clock: s.clock}
	if s.queue, err = queue.New(s.stores.client, qo); err != nil {
		return err
	}
	so := stock.Options{Event: c.Event, Items: len(c.Stock.Items), Stream: queue.StreamKey(c.Event), Depth: depth,
		Results: ledger.ResultsKey(c.Event), Entries: lots, Rules: c.Lottery, BatchMax: batch, Linger: c.Stock.Linger, Tickets: tickets, Clock: s.clock}
	if s.store, err = stock.New(s.stores.client, so); err != nil {
		return err
	}
	cache, err := ledger.NewCache(s.stores.client, c.Event, s.db)
	if err != nil {
		return err
	}
	s.guarding = newGuardLoop(s)
	m := &streamed{s: s, store: s.store, cache: cache}
	if lots {
		s.desk = NewDesk(s.store, s.db, cache, c.Lottery, s.clock)
		m.desk = s.desk
	}
	s.mode = m
	if !s.writes() {
		return nil // a submit that comes before the writer has set up the sale is unknown
	}
	s.guarding.guard, err = NewGuard(GuardOptions{DB: s.db, Store: s.store, Queue: s.queue, Cache: cache, Items: c.Stock.Items, Lottery: lots,
		Grace: c.Stock.Grace, Clock: s.clock})
	if err != nil {
		return err
	}
	if err := s.fill(ctx); err != nil {
		return err
	}
	seat := func(name string) (*seat, error) { return s.seat(name, qo, so) }
	s.writer, err = newWriters(cmp.Or(s.name, "writer"), seat, s.failed)
	return err
}

// seat makes a writer with connections of its own, under a name of its own among the
// queue's consumers. It talks to nobody yet.
func (s *Stack) seat(name string, qo queue.Options, so stock.Options) (*seat, error) {
	c := s.config
	client, _, err := redisClient(s.stores.redisURL, s.stores.net.to[fault.WriterRedis])
	if err != nil {
		return nil, err
	}
	client.AddHook(s.stores.net.full)
	client.AddHook(s.stores.net.lostRedis)
	if tap := c.crashTap(); tap != nil {
		client.AddHook(TapRedis(tap))
	}
	fail := func(err error) (*seat, error) {
		_ = client.Close() // the first error is the one that tells
		return nil, err
	}
	qo.Consumer = name
	q, err := queue.New(client, qo)
	if err != nil {
		return fail(err)
	}
	store, err := stock.New(client, so)
	if err != nil {
		return fail(err)
	}
	cache, err := ledger.NewCache(client, c.Event, nil)
	if err != nil {
		return fail(err)
	}
	db := s.stores.writerDB
	out := &seat{client: client, source: &repeater{Source: q}, life: newLife()}
	keeper := ledger.Keeper(db)
	if c.Mode == booking.ModeLottery {
		keeper = db.Entries(c.Lottery)
	}
	wo := ledger.WriterOptions{Source: out.source, Keeper: mortalKeeper{keeper, out.life}, Cache: cache, Refund: store.Refund, Epoch: db.Epoch, Rate: c.Ledger.Rate,
		Every: c.Ledger.Every, Clock: s.clock, OnRow: s.watch.onRow, OnBatch: s.watch.onBatch}
	wo.OnError = func(err error) {
		if out.life.ctx.Err() == nil { // the dead tell nothing
			s.failed(err)
		}
	}
	if c.Mode == booking.ModeTimedWriter {
		wo.FlushEvery = c.Ledger.FlushEvery
	}
	if out.Writer, err = ledger.NewWriter(wo); err != nil {
		return fail(err)
	}
	return out, nil
}

// fill sets up the sale, or what the ledger and the gateways say is left of it when
// the store lost its memory, before anything is sold.
func (s *Stack) fill(ctx context.Context) error {
	items := s.config.Stock.Items
	if sum(items) == 0 && s.config.Mode != booking.ModeLottery {
		return errors.New("stock: no item has any reservation; there is nothing to sell")
	}
	free, err := unsold(ctx, s.db, items)
	if err != nil {
		return err
	}
	if s.stores.embedded != nil && sum(free) == 0 && s.config.Mode != booking.ModeLottery {
		return errors.New("stock: the ledger holds a finished sale; choose another folder or database")
	}
	err = s.guarding.guard.Open(ctx)
	if err != nil && !errors.Is(err, stock.ErrRunning) {
		err = environment{err}
	}
	return err
}

// openFront opens the gateways' side.
func (s *Stack) openFront() error {
	c := s.config
	g := c.Gateway
	var err error
	life := c.Edge.ConfigLife
	if !s.on("edge") {
		life = 0
	}
	unixMs, origin := s.epoch()
	s.admission, err = admission.New(admission.Options{Seed: draw.Seed(c.Seed), Off: !s.on("admission"),
		Gate: c.Admission.Gate, Probability: c.Admission.Probability, Period: c.Admission.Period, Results: c.Admission.Results,
		ClientLife: c.Edge.ClientLife, EdgeLife: life}, unixMs, origin)
	if err != nil {
		return err
	}
	o := gateway.Options{Clock: s.clock, Seed: draw.Seed(c.Seed), Capacity: g.Capacity, UnitTime: g.UnitTime, ServiceCV: g.ServiceCV,
		Native: c.Native, Instances: g.Instances, Room: g.Room, NoRoom: !s.on("room"), Drop: policy.Drop{After: g.DropAfter},
		NoDrop: !s.on("drop") || c.Mode == booking.ModeLossless, Lowest: s.lowest, Plain: !s.on("priority")}
	if s.on("inflight") && g.InFlight > 0 {
		o.Limiter = policy.StaticLimit(g.InFlight)
	}
	if s.on("ladder") {
		o.Ladder = g.Ladder
	}
	if s.on("budget") {
		o.Budget = policy.Budget{Ratio: g.RetryRatio, Cap: max(10, 10*g.RetryRatio*g.Capacity)}
	}
	s.station = gateway.New(o)
	check := policy.ClosedCheck{OpenAt: c.OpenAt, CloseAt: c.CloseAt, Life: c.Stock.ClosedLife}
	var source gateway.Source
	switch {
	case !s.on("closed"):
		check.CloseAt = 0 // "preorder from the opening on"
	case c.Mode == booking.ModeLottery: // entries take no stock
	case s.direct():
		source = rows{s.db, sum(c.Stock.Items)}
	default:
		source = s.store
	}
	for i := range g.Instances {
		s.instances = append(s.instances, gateway.NewInstance(i, check, source))
	}
	s.catalogues = catalogues(c)
	if s.on("edge") && c.Role == RoleAll { // else it is a proxy before the gateways
		s.edge = edge.New(edge.Options{Clock: s.clock, Origin: misses{s}, KeyOnQuery: c.Edge.KeyOnQuery, StaleFor: 10 * max(c.Edge.ConfigLife, c.Edge.CatalogueLife)})
	}
	return nil
}

// direct reports whether submits are booked synchronously in the database.
func (s *Stack) direct() bool { return s.config.direct() }

// on reports whether a layer is switched on.
func (s *Stack) on(layer string) bool { return !s.config.Off[layer] }

// run is the offset of the run at a moment of the process clock.
func (s *Stack) run(now time.Duration) time.Duration { return now - time.Duration(s.shift.Load()) }

// epoch is the start of epoch 0 of the coin: offset 0 of the run, in whole
// milliseconds of Unix time since the config says no less, and what is left over
// as an offset.
func (s *Stack) epoch() (unixMs int64, offset time.Duration) {
	wall := s.wall().UnixNano() - int64(s.run(s.clock.Now()))
	unixMs = wall / 1e6
	return unixMs, time.Duration(unixMs*1e6 - wall)
}

// wall is what the machine's clock says. Nothing but the coin's epoch and the start of
// a run is read from it; all else runs on the process clock, which no step moves.
func (s *Stack) wall() time.Time { return clock.NewWall().Origin().Add(time.Duration(s.skew.Load())) }

// start makes the given instant offset 0 of the run.
func (s *Stack) start(unixNano int64) {
	at := clock.WallFrom(time.Unix(0, unixNano-s.skew.Load()))
	s.shift.Store(int64(s.clock.Now() - at.Now()))
	unixMs := unixNano / 1e6
	s.admission.Rebase(unixMs, time.Duration(unixMs*1e6-unixNano))
	if s.edge != nil {
		s.edge.Purge() // of configs with the old epoch
	}
	s.watch.clear()
}

// key keys the tickets: by the secret, or in a test run by the seed; seed 0
// leaves them to chance.
func (c Config) key() []byte {
	if c.Secret != "" {
		return []byte(c.Secret)
	}
	if c.Seed == 0 {
		return nil
	}
	var b []byte
	for i := range uint32(4) {
		b = binary.BigEndian.AppendUint64(b, draw.Seed(c.Seed).U64(booking.DrawTicket, 0, i))
	}
	return b
}

// failed notes a failure of a store that a request met.
func (s *Stack) failed(err error) {
	s.errors.Add(1)
	text := err.Error()
	s.lastError.Store(&text)
}

// Ready tells where the backend serves.
func (s *Stack) Ready() Ready { return s.ready }

// patience is how long a stop lets work wait for the database in the modes that
// book synchronously.
const patience = time.Second

// Close stops accepting, finishes the requests in flight, writes what is queued
// and closes the stores. When ctx ends first it gives up waiting and says how
// much was left behind. Calling it again returns the first call's error.
func (s *Stack) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeError = s.close(ctx) })
	return s.closeError
}

func (s *Stack) close(ctx context.Context) error {
	s.accepting.Store(false)
	if s.lossless != nil {
		// Work that still waits for the database was promised to nobody, and most
		// of its clients are gone. It is turned away, which it would be at the end
		// of ctx in any case, only by force.
		defer s.clock.AfterFunc(patience, func() { _ = s.lossless.Close() })() // never fails
	}
	var failed error
	if s.visitor != nil {
		if err := s.visitor.Shutdown(ctx); err != nil {
			failed = errors.New("stopping: requests were still in flight and were cut off")
			s.abandon()
			_ = s.visitor.Close() // there is no gentler way left
		}
	}
	s.faults.end()
	if s.store != nil {
		_ = s.store.Close() // never fails
	}
	if s.guarding != nil {
		s.guarding.stop()
	}
	if s.writer != nil && s.lease == nil { // what a writer with a role leaves, the other takes
		if err := s.writer.Drain(ctx); err != nil && failed == nil {
			failed = environment{fmt.Errorf("stopping: the queue was not emptied: %w; what is left stays in Redis", err)}
		}
	}
	if err := s.admin.Shutdown(ctx); err != nil {
		_ = s.admin.Close() // as above
	}
	s.abandon()
	s.serving.Wait()
	s.shut()
	return failed
}

// shut closes what has no more users.
func (s *Stack) shut() {
	if s.guarding != nil {
		s.guarding.stop()
	}
	if s.writer != nil {
		_ = s.writer.Close() // what it had in hand stays in the queue
	}
	if s.lease != nil {
		s.lease.stop()
	}
	if s.watch != nil {
		s.watch.stop()
	}
	if s.edge != nil {
		s.edge.Close()
	}
	if s.lossless != nil {
		_ = s.lossless.Close() // never fails
	}
	if s.stores != nil {
		s.stores.close()
	}
}
