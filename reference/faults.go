package reference

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"spillway/internal/fault"
	"spillway/internal/wire"
)

// faultLongest bounds the length of a fault.
const faultLongest = 24 * time.Hour

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

// check says what of a fault makes no sense here, and returns the amount in force.
func (f *faults) check(in wire.Fault) (amount float64, err error) {
	row, err := fault.Find(in.Kind, in.Target)
	if err != nil {
		return 0, err
	}
	if in.For <= 0 || in.For > faultLongest {
		return 0, fmt.Errorf("fault %.40s: for_ns %d: want up to 24h and more than 0", in.Kind, in.For)
	}
	if amount, err = row.Amount(in.Amount); err != nil {
		return 0, err
	}
	s := f.s
	switch in.Kind {
	case fault.WriterStop:
		if s.writer == nil {
			return 0, errors.New("fault writer-stop: this backend books at once and has no writer")
		}
		amount = 1
	case fault.SlowStore:
	case fault.InstanceLoss:
		if n := len(s.instances); int(amount) >= n {
			return 0, fmt.Errorf("fault instance-loss: amount %v: want a whole number from 1 to %d, one must stay", amount, n-1)
		}
	default:
		return 0, fmt.Errorf("fault %s: this backend cannot do it", fault.Name(in.Kind, in.Target))
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
	s := f.s
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
	case fault.WriterStop:
		if amount != 0 {
			s.writer.Stop()
		} else {
			s.writer.Resume()
		}
	case fault.SlowStore:
		d := time.Duration(amount * 1e9)
		s.stores.slow.extra.Store(int64(d))
		if s.writer != nil {
			s.writer.SlowBy(d)
		}
		if s.lossless != nil {
			s.lossless.SlowBy(d)
		}
	case fault.InstanceLoss:
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
	for _, kind := range []string{fault.WriterStop, fault.SlowStore, fault.InstanceLoss} {
		if stop := f.stop[kind]; stop != nil {
			stop()
			f.set(kind, 0)
			delete(f.stop, kind)
		}
	}
}
