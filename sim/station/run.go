package station

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"spillway/internal/draw"
)

// Purposes of the draws. A station has seeds of its own, so these need not differ
// from a visitor's.
const (
	forGap uint8 = iota + 1
	forService
	forPatience
	forCoin
	forDelay
	forClass
	forRun
)

// run is one run of a station with its laws made ready.
type run struct {
	Config
	seed                     draw.Seed
	warm                     int
	meanGap                  float64 // nanoseconds
	service, patience, delay sampler
	came                     func(more uint64) // nil = nobody asks
	told                     uint64
}

// tell says how many customers have come.
func (r *run) tell(id uint64) {
	if r.came != nil && id > r.told {
		r.came(id - r.told)
		r.told = id
	}
}

// gap is the time between customer id and the one before.
func (r *run) gap(id uint64) int64 {
	if r.Regular {
		// From the moments, so that rounding does not add up.
		return int64(math.Round(float64(id+1)*r.meanGap)) - int64(math.Round(float64(id)*r.meanGap))
	}
	return int64(float64(r.meanGap*draw.FastExp(r.seed.U64(forGap, id, 1))) + 0.5)
}

func (r *run) gaps(dst []int64, id uint64) {
	if r.Regular {
		for i := range dst {
			dst[i] = r.gap(id + uint64(i))
		}
		return
	}
	s := sampler{kind: KindExponential, mean: r.meanGap}
	s.fill(dst, r.seed, forGap, id)
}

// Run simulates the station and returns what it measured. The same Config gives
// the same Result on any number of cores. Errors: see Check; ErrBalance; that of
// ctx when it ends first, beside which stand the replications that were complete by
// then, when there are two, as a Partial result.
func Run(ctx context.Context, c Config) (*Result, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	runs, blocks := c.Blocks, 1
	if c.Method == BatchMeans {
		runs, blocks = 1, c.Blocks
	}
	rows := make([][]float64, c.Blocks)
	errs := make([]error, runs)
	var came func(uint64)
	if c.Progress != nil {
		var sum atomic.Uint64
		all := uint64(runs) * (uint64(c.warmUp()) + uint64(blocks)*uint64(c.Customers))
		came = func(more uint64) { c.Progress(min(sum.Add(more), all), all) }
	}
	one := func(n int) error {
		r := &run{Config: c, warm: c.warmUp(), meanGap: 1e9 / c.Rate, service: c.Service.sampler(),
			patience: c.Patience.sampler(), delay: c.Retry.Delay.sampler(),
			seed: draw.Seed(c.Seed.U64(forRun, uint64(n), 0)), came: came}
		tallies := make([]*tally, blocks)
		for i := range tallies {
			tallies[i] = new(tally)
		}
		simulate := r.kernel
		if r.isFast() {
			simulate = r.fast
		}
		if err := simulate(ctx, tallies); err != nil {
			return err
		}
		r.tell(uint64(r.warm) + uint64(blocks)*uint64(c.Customers))
		for i, t := range tallies {
			if r.isFast() { // nobody comes back: one attempt each, and what fails is lost
				t.attempts, t.lost = t.customers, t.blocked+t.abandoned
			}
			if t.customers != uint64(c.Customers) || t.customers != t.served+t.lost {
				return fmt.Errorf("%w: block %d: %d came, %d served, %d lost", ErrBalance, n*blocks+i+1, t.customers, t.served, t.lost)
			}
			rows[n*blocks+i] = t.row(c.Servers)
		}
		return nil
	}
	// Each run writes its own rows, so the order in which they end does not matter.
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(runs, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for n := range work {
				errs[n] = one(n)
			}
		})
	}
	for n := range runs {
		work <- n
	}
	close(work)
	wg.Wait()
	for n, err := range errs {
		switch {
		case err == nil:
		case ctx.Err() != nil && n >= 2 && c.Method == Replications:
			// The first ones, not all that were quick: those with few attempts are.
			c.Blocks = n
			r := c.result(rows[:n])
			r.Partial = true
			return r, err
		default:
			return nil, err
		}
	}
	return c.result(rows), nil
}

func (c *Config) isFast() bool { return !c.Kernel && c.fastable() }
