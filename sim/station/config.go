package station

import (
	"errors"
	"fmt"
	"math"
	"time"

	"spillway/internal/draw"
)

// ErrConfig is wrapped by every error about a Config.
var ErrConfig = errors.New("station")

// ErrUnstable is wrapped, together with ErrConfig, when the station would never
// settle: work comes at least as fast as it can be done and nothing bounds it.
var ErrUnstable = errors.New("no steady state")

// ErrBalance is a defect of the simulator: customers came out of nowhere or were lost.
var ErrBalance = errors.New("station: customers do not balance")

// Order is the order in which waiting customers of one class are served.
type Order uint8

// The orders.
const (
	FIFO Order = iota // first come, first served; the zero value
	LIFO              // the newest first
)

// Method is how the confidence intervals come about.
type Method uint8

// The methods.
const (
	Replications Method = iota // independent runs, each with a warm-up; the zero value
	BatchMeans                 // one run with one warm-up, cut into consecutive batches
)

// String is the method as a reader sees it.
func (m Method) String() string {
	if m == BatchMeans {
		return "batch means"
	}
	return "independent replications"
}

// Retry sends a customer who found no place, or left the queue, back after a
// delay: until then it is in the orbit.
type Retry struct {
	Probability float64 // of coming back after each failed attempt, 0..1; 0 = nobody does
	Delay       Law     // time in the orbit, each customer its own (the classical policy)
	Attempts    int     // attempts of a customer in all, the first included; 0 = no limit
}

// Config describes a station and how to measure it.
type Config struct {
	Servers  int     // c, at least 1
	Places   int     // K: customers waiting and in service; 0 = no bound, else at least Servers
	Rate     float64 // customers per second, 1e-6 to 1e9: first attempts
	Regular  bool    // arrivals evenly spaced; false = Poisson
	Service  Law
	Patience Law // a customer leaves the queue after this long; KindNone = never
	Retry    Retry
	Order    Order
	Classes  []float64 // shares of the priority classes, first served first, without preemption; empty = one class

	Seed       draw.Seed
	Method     Method
	Blocks     int     // replications or batches, at least 2; 0 = 20
	Customers  int     // measured customers in each block; 0 = 100,000
	WarmUp     int     // customers not counted at the start of each run; 0 = chosen, see Result.WarmUp; -1 = none
	Confidence float64 // of each interval, between 0 and 1; 0 = 0.95
	Kernel     bool    // run on the plain kernel even where the fast loop would do: the oracle

	// Progress, when set, is told now and then how many of how many customers have
	// come in all runs together, from several goroutines at once.
	Progress func(came, all uint64)
}

func (c Config) withDefaults() Config {
	if c.Blocks == 0 {
		c.Blocks = 20
	}
	if c.Customers == 0 {
		c.Customers = 100_000
	}
	if c.Confidence == 0 {
		c.Confidence = 0.95
	}
	return c
}

// Plan is the configuration with what was left to the defaults and to the rule of
// the warm-up filled in.
func (c Config) Plan() Config {
	c = c.withDefaults()
	c.WarmUp = c.warmUp()
	return c
}

// Load is the offered load of first attempts: rate × mean service ÷ servers.
func (c Config) Load() float64 {
	s := c.Service.sampler()
	return c.Rate * s.average() / 1e9 / float64(c.Servers)
}

// Check reports the first fault of the configuration, nil when it can be run.
// Errors wrap ErrConfig, and ErrUnstable where that is the fault.
func (c Config) Check() error {
	c = c.withDefaults()
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrConfig, fmt.Errorf(format, args...))
	}
	switch {
	case c.Servers < 1 || c.Servers > 1<<20:
		return bad("%d servers, give 1 to %d", c.Servers, 1<<20)
	case c.Places != 0 && c.Places < c.Servers || c.Places < 0:
		return bad("%d places, give 0 for no bound or at least one for each of the %d servers", c.Places, c.Servers)
	case !(c.Rate >= 1e-6 && c.Rate <= 1e9):
		return bad("rate %v/s, give 1e-6 to 1e9", c.Rate)
	case c.Blocks < 2 || c.Blocks > 1<<20:
		return bad("%d %s, give at least 2: an interval needs them", c.Blocks, c.Method)
	case c.Customers < 1:
		return bad("%d customers, give at least 1", c.Customers)
	case !(c.Confidence > 0 && c.Confidence < 1):
		return bad("confidence %v, give one between 0 and 1", c.Confidence)
	case !(c.Retry.Probability >= 0 && c.Retry.Probability <= 1):
		return bad("retry probability %v, give 0 to 1", c.Retry.Probability)
	case c.Retry.Attempts < 0:
		return bad("%d attempts, give 0 for no limit or at least 1", c.Retry.Attempts)
	case c.Order > LIFO || c.Method > BatchMeans:
		return bad("unknown order %d or method %d", c.Order, c.Method)
	case len(c.Classes) > 256:
		return bad("%d classes, at most 256", len(c.Classes))
	}
	for i, share := range c.Classes {
		if !(share >= 0) || math.IsInf(share, 0) {
			return bad("class %d has share %v, give a number of 0 or more", i+1, share)
		}
	}
	if err := c.Service.check("service"); err != nil {
		return err
	}
	if c.Patience.Kind != KindNone {
		if err := c.Patience.check("patience"); err != nil {
			return err
		}
	}
	if c.Retry.Probability > 0 {
		if err := c.Retry.Delay.check("retry delay"); err != nil {
			return err
		}
	}
	load := c.Load()
	forever := c.Retry.Probability == 1 && c.Retry.Attempts == 0
	switch {
	case load < 1:
	case c.Places == 0 && c.Patience.Kind == KindNone:
		return bad("%w: load %.4g with no bound on places and no patience: the queue would grow for ever; lower the rate, add servers, or bound places or patience", ErrUnstable, load)
	case forever:
		return bad("%w: load %.4g and customers who retry for ever: the orbit would grow for ever; lower the rate, add servers, or bound the attempts", ErrUnstable, load)
	}
	// Virtual time is an int64 of nanoseconds, 292 years; a quarter is room enough
	// for what is still waiting at the end.
	if span := (float64(c.Customers)*float64(c.Blocks) + float64(c.warmUp())) / c.Rate; span > math.MaxInt64/4/1e9 {
		return bad("%.3g s of virtual time, at most %v: fewer customers or a higher rate", span, time.Duration(math.MaxInt64/4))
	}
	return nil
}

// warmUp is the number of customers discarded at the start of each run.
func (c Config) warmUp() int {
	switch {
	case c.WarmUp > 0:
		return c.WarmUp
	case c.WarmUp < 0:
		return 0
	}
	return int(min(c.settling(), c.warmUpMax()))
}

// warmUpMax bounds a warm-up that is chosen: near a load of 1 the rule asks for
// more than anybody would wait for.
func (c Config) warmUpMax() float64 { return 10*float64(c.Customers) + 1e5 }

// hasty reports whether a chosen warm-up is shorter than its rule asks for.
func (c Config) hasty() bool { return c.WarmUp == 0 && c.settling() > c.warmUpMax() }

// settling is the rule of a chosen warm-up: until an empty start is forgotten, and
// at least a tenth of a block.
func (c Config) settling() float64 {
	return max(float64(c.Customers/10), 1000, c.forgetting())
}

// enough is how many customers a block needs so that its percentiles are hardly
// biased and Student's t holds: five times the warm-up's rule, a hundred relaxation
// times. With 15 of them 84 % of the figures of M/M/16 lie in intervals of 95 %.
func (c Config) enough() int { return int(min(5*c.forgetting(), 1e12)) }

// forgetting is how many customers come until the station has forgotten its state.
func (c Config) forgetting() (n float64) {
	// Twenty relaxation times 1/(√(cμ)-√λ)² of M/M/c (Newell, Applications of
	// Queueing Theory, 2nd ed. 1982, ch. 5, for M/M/1), times the variability of the
	// service: e^-20 of the empty start is left.
	s := c.Service.sampler()
	load := c.Load()
	if load < 1 {
		cv2 := 1.0
		if c.Service.Kind == KindLogNormal {
			cv2 = max(1, c.Service.CV*c.Service.CV)
		}
		root := math.Sqrt(float64(c.Servers)/s.average()*1e9) - math.Sqrt(c.Rate)
		n = max(n, 20*c.Rate/(root*root)*cv2)
		if c.Retry.Probability > 0 {
			d := c.Retry.Delay.sampler()
			n = max(n, 20*c.Rate*d.average()/1e9/(1-load))
		}
		return n
	}
	// Overload fills the places, or the queue for as long as patience lasts, and the
	// orbit for as many delays as a customer comes back.
	if c.Places > 0 {
		k := float64(c.Places)
		n = max(n, 2*k/max(1-1/load, 1/k))
	}
	if c.Patience.Kind != KindNone {
		p := c.Patience.sampler()
		n = max(n, 10*c.Rate*p.average()/1e9)
	}
	if c.Retry.Probability > 0 {
		d := c.Retry.Delay.sampler()
		returns := 1 / max(1-c.Retry.Probability, 1e-9)
		if c.Retry.Attempts > 0 {
			returns = min(returns, float64(c.Retry.Attempts))
		}
		n = max(n, 20*c.Rate*d.average()/1e9*returns)
	}
	return n
}
