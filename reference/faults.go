package reference

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"spillway/internal/fault"
	"spillway/internal/netfault"
	"spillway/internal/wire"
	"spillway/reference/queue"
)

// faultLongest bounds the length of a fault.
const faultLongest = 24 * time.Hour

const (
	jitterShare = 0.1                   // of a slow link's delay, drawn on top of it
	injectLimit = 2 * time.Second       // of a store call that a fault makes
	endLimit    = 15 * time.Second      // of one that ends a fault: longer than a batch may take
	stepBeat    = 20 * time.Millisecond // how often a stepped clock is set anew
)

// errStale is what the edge hears while it cannot revalidate.
var errStale = errors.New("the origin cannot be reached")

// faults are the faults under way, one of a kind and target at a time: a later one
// takes the place of the earlier.
type faults struct {
	s      *Stack
	mu     sync.Mutex
	active map[string]active // by fault.Name
	gen    int               // so that the end of a replaced fault does nothing
	over   bool
	stale  atomic.Bool // edge-stale is on
	paused bool        // the embedded Redis' lock is held
	step   func() bool // timer of the stepped clock
}

type active struct {
	wire.Fault
	gen  int
	stop func() bool // timer of the end
}

func newFaults(s *Stack) *faults { return &faults{s: s, active: map[string]active{}} }

// check says what of a fault makes no sense here, and returns the amount in force.
func (f *faults) check(in wire.Fault) (amount float64, err error) {
	row, err := fault.Find(in.Kind, in.Target)
	if err != nil {
		return 0, err
	}
	name := fault.Name(in.Kind, in.Target)
	if in.For <= 0 || in.For > faultLongest {
		return 0, fmt.Errorf("fault %s: for_ns %d: want up to 24h and more than 0", name, in.For)
	}
	if amount, err = row.Amount(in.Amount); err != nil {
		return 0, err
	}
	s := f.s
	needs := func(word string) bool { return strings.Contains(in.Target, word) }
	switch n := len(s.instances); {
	case s.queue != nil && s.writer == nil && in.Kind == fault.Poison, // one of a deployment's processes is enough
		s.writer == nil && (in.Kind == fault.WriterStop || in.Kind == fault.Duplicate || needs(fault.Writer)):
		return 0, fmt.Errorf("fault %s: this process has no writer", name)
	case s.queue == nil && (needs(fault.Redis) || slices.Contains([]string{fault.RedisEmpty, fault.RedisFull, fault.Poison}, in.Kind)):
		return 0, fmt.Errorf("fault %s: this backend books in the database and has no Redis", name)
	case s.stores.embedded == nil && (in.Kind == fault.RedisEmpty || name == fault.Name(fault.Kill, fault.Redis)):
		return 0, fmt.Errorf("fault %s: this Redis is another process, which has to be killed itself", name)
	case in.Kind == fault.DiskFull && !strings.HasPrefix(s.stores.databaseURL, "sqlite:"):
		return 0, fmt.Errorf("fault %s: the disk of this database is out of reach", name)
	case in.Kind == fault.EdgeStale && (!s.serves() || !s.on("edge")):
		return 0, fmt.Errorf("fault %s: this backend has no edge", name)
	case row.Unit == fault.Instances && int(amount) >= n:
		return 0, fmt.Errorf("fault %s: amount %v: want a whole number from 1 to %d, one must stay", name, amount, n-1)
	}
	return amount, nil
}

// begin starts a fault that ends by itself. It fails, and does nothing, on a kind
// or value that makes no sense here.
func (f *faults) begin(in wire.Fault) error {
	amount, err := f.check(in)
	if err != nil {
		return err
	}
	in.Amount = amount
	name := fault.Name(in.Kind, in.Target)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return fmt.Errorf("fault %s: the backend is stopping", name)
	}
	// Those that take the embedded Redis itself exclude each other.
	if alone := []string{"kill:redis", "pause:redis", fault.RedisEmpty, fault.ClockStep}; slices.Contains(alone, name) && f.s.stores.embedded != nil {
		for _, other := range alone {
			if _, on := f.active[other]; on && name != other {
				return fmt.Errorf("fault %s: fault %s is under way, and there is one Redis", name, other)
			}
		}
	}
	old, again := f.active[name]
	if again {
		old.stop()
	}
	f.gen++
	a := active{Fault: in, gen: f.gen}
	f.active[name] = a
	if err := f.apply(a.Fault, true, again); err != nil {
		delete(f.active, name)
		if again {
			f.note(f.apply(old.Fault, false, false))
		}
		return fmt.Errorf("fault %s: %w", name, err)
	}
	a.stop = f.s.clock.AfterFunc(in.For, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.active[name].gen == a.gen && !f.over {
			f.finish(name)
		}
	})
	f.active[name] = a
	return nil
}

// finish ends a fault. The mutex is held.
func (f *faults) finish(name string) {
	a := f.active[name]
	delete(f.active, name)
	f.note(f.apply(a.Fault, false, false))
}

func (f *faults) note(err error) {
	if err != nil {
		f.s.failed(err)
	}
}

// end ends every fault at once and lets no other begin.
func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for _, name := range slices.Sorted(maps.Keys(f.active)) {
		f.active[name].stop()
		f.finish(name)
	}
}

// apply puts a fault in force or ends it; again says that it only takes the place of
// one like it. Links and instances follow from all that are active.
func (f *faults) apply(in wire.Fault, on, again bool) error {
	s := f.s
	amount := in.Amount
	if !on {
		amount = 0
	}
	switch in.Kind {
	case fault.WriterStop:
		if on {
			s.writer.Stop()
		} else {
			s.writer.Resume()
		}
	case fault.SlowStore:
		d := ofSeconds(amount)
		s.stores.slow.extra.Store(int64(d))
		if s.writer != nil {
			s.writer.SlowBy(d)
		}
		if s.lossless != nil {
			s.lossless.SlowBy(d)
		}
	case fault.Kill:
		switch {
		case in.Target == fault.Gateway && on:
			for _, i := range s.instances[:int(amount)] {
				i.Kill()
			}
		case in.Target == fault.Writer && on:
			s.writer.Kill()
		case in.Target == fault.Writer:
			s.writer.Revive()
		case in.Target == fault.Redis && !again:
			return f.redis(on, false)
		}
	case fault.Pause:
		if in.Target == fault.Redis && s.stores.embedded != nil && f.paused != on {
			// As a process that is stopped: what is sent to it waits in its sockets.
			if f.paused = on; on {
				s.stores.embedded.Lock()
			} else {
				s.stores.embedded.Unlock()
			}
		}
	case fault.RedisEmpty:
		if !again {
			return f.redis(on, true)
		}
	case fault.RedisFull:
		s.stores.net.full.full.Store(on)
	case fault.DiskFull:
		limit := injectLimit
		if !on {
			limit = endLimit
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if s.stores.writerDB != nil {
			return s.stores.writerDB.Full(ctx, on)
		}
		return s.db.Full(ctx, on)
	case fault.ClockStep:
		f.stepClock(ofSeconds(amount))
	case fault.AckLost:
		if in.Target == fault.Redis {
			s.stores.net.lostRedis.set(amount)
		} else {
			s.stores.net.lostDatabase.set(amount)
		}
	case fault.Poison:
		if on {
			return f.poison(int(amount))
		}
	case fault.Duplicate:
		s.writer.Repeat(int(amount))
	case fault.EdgeStale:
		f.stale.Store(on)
	}
	if in.Kind == fault.InstanceLoss || in.Target == fault.Gateway {
		f.instances()
	}
	f.links()
	return nil
}

func ofSeconds(s float64) time.Duration { return time.Duration(s * 1e9) }

// redis takes the embedded Redis away or brings it back, with its memory or empty.
func (f *faults) redis(away, empty bool) error {
	m := f.s.stores.embedded
	if away {
		m.Close()
		return nil
	}
	if empty {
		m.FlushAll()
	}
	if err := m.Restart(); err != nil {
		return fmt.Errorf("the embedded Redis did not come back: %w", err)
	}
	return nil
}

// instances puts the instances up or down, and halts them: those that are lost are
// the last, those that were killed or stand still the first.
func (f *faults) instances() {
	s := f.s
	n := len(s.instances)
	lost := n - int(f.active[fault.InstanceLoss].Amount)
	killed := int(f.active[fault.Name(fault.Kill, fault.Gateway)].Amount)
	halted := int(f.active[fault.Name(fault.Pause, fault.Gateway)].Amount)
	up := 0
	for i, in := range s.instances {
		serves := i < lost && i >= killed
		in.SetUp(serves)
		in.Halt(i < halted)
		if serves {
			up++
		}
	}
	s.station.SetUp(up)
}

// links sets every link to what the active faults together make of it.
func (f *faults) links() {
	for pair, link := range f.s.stores.net.to { // in no order: each is its own
		var st netfault.State
		ends := strings.Split(pair, "-")
		for _, a := range f.active { // as above: the result is a maximum and a sum
			between := a.Target == pair
			touches := slices.Contains(ends, a.Target)
			switch {
			case a.Kind == fault.Cut && between, a.Kind == fault.Outage && pair == fault.VisitorGateway,
				touches && a.Kind == fault.Kill && a.Target == fault.Database,
				a.Kind == fault.ConnectionsFull && ends[1] == fault.Database:
				st.Mode = netfault.Cut
			case touches && a.Kind == fault.Pause && (a.Target != fault.Redis || f.s.stores.embedded == nil) && a.Target != fault.Gateway:
				st.Mode = max(st.Mode, netfault.Stalled)
			case a.Kind == fault.Slow && between:
				st.Delay += ofSeconds(a.Amount)
				st.Jitter += ofSeconds(a.Amount * jitterShare)
			}
		}
		if st != link.State() {
			link.Set(st)
		}
	}
}

// poison puts entries into the queue that nobody can read: text that is none, an
// entry without its field, one that breaks off.
func (f *faults) poison(n int) error {
	if f.s.lease != nil && !f.s.lease.held() {
		return nil // the writer whose turn it is does it
	}
	ctx, cancel := context.WithTimeout(context.Background(), injectLimit)
	defer cancel()
	values := [][]string{{"e", "\x00\xff{poison}"}, {"poison", "no field e"}, {"e", strings.Repeat("9", 40)}}
	_, err := f.s.stores.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range n {
			p.XAdd(ctx, &redis.XAddArgs{Stream: queue.StreamKey(f.s.config.Event), NoMkStream: true, Values: values[i%len(values)]})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("adding %d entries to the queue: %w", n, err)
	}
	return nil
}

// stepClock moves the wall clock of the backend and of the embedded Redis by d from
// where it really is; 0 brings it back.
func (f *faults) stepClock(d time.Duration) {
	s := f.s
	s.skew.Store(int64(d))
	if f.step != nil {
		f.step()
		f.step = nil
	}
	m := s.stores.embedded
	switch {
	case m == nil:
	case d == 0:
		m.SetTime(time.Time{})
	default:
		f.tick()
	}
}

// tick sets the embedded Redis' clock, which would stand still otherwise, and comes
// again while the clock is stepped. The mutex is held.
func (f *faults) tick() {
	f.s.stores.embedded.SetTime(f.s.wall())
	f.step = f.s.clock.AfterFunc(stepBeat, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.s.skew.Load() != 0 && !f.over {
			f.tick()
		}
	})
}
