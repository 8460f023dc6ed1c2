package reference_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/reference/ledger"
	"spillway/reference/queue"
	"spillway/reference/stock"
)

var errCrash = errors.New("the process died here")

// fate makes calls to the stores fail by keyed draws: before they had any effect,
// or after it, so that only the answer is lost.
type fate struct {
	mu    sync.Mutex
	seed  draw.Seed
	n     uint32
	share float64 // of the calls; 0 = none fails
}

// next says how the next call goes: 0 well, 1 dies before, 2 dies after.
func (f *fate) next() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	u := f.seed.Uniform(booking.DrawFault, 1, f.n)
	switch {
	case u < f.share/2:
		return 1
	case u < f.share:
		return 2
	}
	return 0
}

func (f *fate) around(call func() error) error {
	switch f.next() {
	case 1:
		return errCrash
	case 2:
		if err := call(); err != nil {
			return err
		}
		return errCrash
	}
	return call()
}

// The go-redis hooks: every command and every transaction may die.
func (f *fate) DialHook(next redis.DialHook) redis.DialHook { return next }
func (f *fate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := f.around(func() error { return next(ctx, cmd) })
		if errors.Is(err, errCrash) {
			cmd.SetErr(err)
		}
		return err
	}
}
func (f *fate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := f.around(func() error { return next(ctx, cmds) })
		if errors.Is(err, errCrash) {
			for _, c := range cmds {
				c.SetErr(err)
			}
		}
		return err
	}
}

// mortal is the database, whose answers may be lost too.
type mortal struct {
	*ledger.DB
	fate *fate
}

func (m mortal) WriteBatch(ctx context.Context, rows []ledger.Row) (out []ledger.RowResult, err error) {
	err = m.fate.around(func() error { out, err = m.DB.WriteBatch(ctx, rows); return err })
	return out, err
}

// Stock, queue and ledger survive a process that dies at any call to a store: no
// oversell, nothing accepted is lost, nothing stays unsold, nobody books twice.
// Clients repeat a submit whose answer they never got, with the same key.
func TestCrashAnywhere(t *testing.T) {
	crashes := 0
	for seed := range draw.Seed(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { crashes += crashAnywhere(t, seed) })
	}
	if crashes == 0 {
		t.Error("no writer ever died: the test shows nothing")
	}
}

// crashAnywhere is one history; it returns how many writers died in it.
func crashAnywhere(t *testing.T, seed draw.Seed) (crashes int) {
	ctx := context.Background()
	clk := clock.NewWall()
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DialerRetries: 1, Protocol: 2})
	defer client.Close()
	db, err := ledger.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "ledger.db"), ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const event = "crash"
	items := []int{7, 5, 3}
	newQueue := func() *queue.Queue {
		q, err := queue.New(client, queue.Options{Event: event, Attempts: 1000, Idle: 2 * time.Millisecond, Clock: clk})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	if err := newQueue().Open(ctx); err != nil {
		t.Fatal(err)
	}
	store, err := stock.New(client, stock.Options{Event: event, Items: len(items), Stream: queue.StreamKey(event), Depth: 4,
		Results: ledger.ResultsKey(event), BatchMax: 8, Linger: time.Millisecond, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Fill(ctx, items); err != nil {
		t.Fatal(err)
	}
	cache, err := ledger.NewCache(client, event, db)
	if err != nil {
		t.Fatal(err)
	}
	f := &fate{seed: seed, share: 0.2}
	client.AddHook(f)

	// The writer's process: at the first error it dies and another takes its place,
	// which knows nothing but what the stores hold.
	stop, stopped := make(chan struct{}), make(chan struct{})
	newWriter := func(died chan<- struct{}) *ledger.Writer {
		w, err := ledger.NewWriter(ledger.WriterOptions{Source: newQueue(), Keeper: mortal{db, f}, Cache: cache, Refund: store.Refund,
			Every: time.Millisecond, Clock: clk, OnError: func(error) {
				select {
				case died <- struct{}{}:
				default:
				}
			}})
		if err != nil {
			t.Error(err)
		}
		return w
	}
	go func() {
		defer close(stopped)
		for {
			died := make(chan struct{}, 1)
			w := newWriter(died)
			w.Start()
			select {
			case <-died:
				crashes++
				_ = w.Close()
			case <-stop:
				_ = w.Close()
				return
			}
		}
	}()

	const users = 40
	var wg sync.WaitGroup
	var mu sync.Mutex
	var accepted []ledger.AcceptedTicket
	for u := range users {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for try := range 4000 {
				in := stock.Submit{User: booking.UserID(u), Item: (u + try) % len(items), Key: fmt.Sprintf("%d-%d", u, try)}
				r, err := store.Take(ctx, in)
				for r.Outcome == booking.Unknown { // the answer was lost: the same key tells
					r, err = store.Take(ctx, in)
				}
				if err != nil {
					t.Error(err)
				}
				switch r.Outcome {
				case booking.Queued:
					mu.Lock()
					accepted = append(accepted, ledger.AcceptedTicket{Ticket: r.Ticket, Told: booking.Queued})
					mu.Unlock()
					return
				case booking.Closed:
					return
				case booking.Busy:
					time.Sleep(time.Millisecond)
				case booking.SoldOut:
				default:
					t.Errorf("user %d: %v", u, r.Outcome)
					return
				}
			}
			t.Errorf("user %d was never answered for good", u)
		}()
	}
	wg.Wait()
	close(stop)
	<-stopped
	f.mu.Lock()
	f.share = 0
	calls := f.n
	f.mu.Unlock()
	last := newWriter(nil)
	defer last.Close()
	within, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := last.Drain(within); err != nil {
		t.Fatal(err)
	}
	q := newQueue()
	rep, err := ledger.Reconcile(ctx, db, &ledger.View{Free: store.Free, Holders: store.Holders, Queued: q.Entries, Dead: q.Dead,
		Resolved: q.Resolved, Results: cache.All},
		ledger.Books{Items: items, Mode: booking.ModeQueued, Accepted: accepted, Drained: true, DemandLeft: true})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Sold != 15 || len(accepted) != 15 {
		t.Fatalf("%d tickets given, %d rows; %d calls, %d crashes\n%v", len(accepted), rep.Sold, calls, crashes, rep)
	}
	return crashes
}
