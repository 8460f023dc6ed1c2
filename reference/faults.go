package reference

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"spillway/internal/wire"
)

// Words of the faults.
const (
	faultWriterStop   = "writer-stop"
	faultSlowStore    = "slow-store"
	faultInstanceLoss = "instance-loss"
)

// Limits of a fault.
const (
	faultLongest = 24 * time.Hour
	slowestStore = 10.0 // seconds a call
)

// faults are the faults under way, one of a kind at a time: a later one of the
// same kind takes the place of the earlier.
type faults struct {
	s    *Stack
	mu   sync.Mutex
	stop map[string]func() bool // timer of the end
	gen  map[string]int         // so that the end of a replaced fault does nothing
	over bool
}

func newFaults(s *Stack) *faults {
	return &faults{s: s, stop: map[string]func() bool{}, gen: map[string]int{}}
}

// begin starts a fault that ends by itself. It fails, and does nothing, on a kind
// or value that makes no sense here.
func (f *faults) begin(in wire.Fault) error {
	if in.For <= 0 || in.For > faultLongest {
		return fmt.Errorf("fault %.40s: for_ns %d: want up to 24h and more than 0", in.Kind, in.For)
	}
	s := f.s
	switch in.Kind {
	case faultWriterStop:
		if s.writer == nil {
			return errors.New("fault writer-stop: this backend books at once and has no writer")
		}
		in.Amount = 1 // it has no strength
	case faultSlowStore:
		if !(in.Amount > 0 && in.Amount <= slowestStore) {
			return fmt.Errorf("fault slow-store: amount %v: want seconds a call, more than 0 and up to %v", in.Amount, slowestStore)
		}
	case faultInstanceLoss:
		n := len(s.instances)
		if in.Amount != float64(int(in.Amount)) || in.Amount < 1 || int(in.Amount) >= n {
			return fmt.Errorf("fault instance-loss: amount %v: want a whole number from 1 to %d, one must stay", in.Amount, n-1)
		}
	default:
		return fmt.Errorf("fault %.40q: one of writer-stop, slow-store, instance-loss", in.Kind)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return fmt.Errorf("fault %s: the backend is stopping", in.Kind)
	}
	if stop := f.stop[in.Kind]; stop != nil {
		stop()
	}
	f.gen[in.Kind]++
	gen := f.gen[in.Kind]
	f.set(in.Kind, in.Amount)
	f.stop[in.Kind] = s.clock.AfterFunc(in.For, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.gen[in.Kind] == gen && !f.over {
			f.set(in.Kind, 0)
			delete(f.stop, in.Kind)
		}
	})
	return nil
}

// set puts a fault in force; an amount of 0 ends it.
func (f *faults) set(kind string, amount float64) {
	s := f.s
	switch kind {
	case faultWriterStop:
		if amount != 0 {
			s.writer.Stop()
		} else {
			s.writer.Resume()
		}
	case faultSlowStore:
		d := time.Duration(amount * 1e9)
		s.stores.slow.extra.Store(int64(d))
		if s.writer != nil {
			s.writer.SlowBy(d)
		}
		if s.lossless != nil {
			s.lossless.SlowBy(d)
		}
	case faultInstanceLoss:
		up := len(s.instances) - int(amount)
		for i, in := range s.instances {
			in.SetUp(i < up)
		}
		s.station.SetUp(up)
	}
}

// end ends every fault at once and lets no other begin.
func (f *faults) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for _, kind := range []string{faultWriterStop, faultSlowStore, faultInstanceLoss} {
		if stop := f.stop[kind]; stop != nil {
			stop()
			f.set(kind, 0)
			delete(f.stop, kind)
		}
	}
}
