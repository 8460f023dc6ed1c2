package station

import (
	"fmt"
	"math"
	"strings"
)

// Estimate is a measured value with its confidence interval Value ± Half. NaN in
// Value: the blocks are too small to carry it.
type Estimate struct{ Value, Half float64 }

// Low and High are the ends of the interval.
func (e Estimate) Low() float64  { return e.Value - e.Half }
func (e Estimate) High() float64 { return e.Value + e.Half }

// Holds reports whether x lies inside the interval.
func (e Estimate) Holds(x float64) bool { return math.Abs(x-e.Value) <= e.Half }

// Times are the mean and percentiles of a duration, in seconds. A percentile
// needs ten values beyond it in every block.
type Times struct{ Mean, P50, P90, P95, P99 Estimate }

// Result is what a run measured. Every interval is across the blocks, by
// Student's t.
type Result struct {
	Method     Method
	Blocks     int     // replications or batches
	Customers  int     // measured in each
	WarmUp     int     // customers discarded at the start of each run
	Hasty      bool    // the rule of the warm-up asks for more: the start may still show
	Enough     int     // customers that a block should have at least: fewer bias its percentiles and narrow the intervals
	Partial    bool    // interrupted: the replications that were complete
	Confidence float64 // of each interval by itself
	Engine     string  // "recursion" or "kernel"
	Load       float64 // offered by first attempts: rate × mean service ÷ servers

	Wait    Times // in the queue, of the attempts that were served
	Sojourn Times // first attempt to end of service, of the customers served

	Utilisation Estimate // share of the servers' time spent serving
	Lost        Estimate // share of customers never served
	Blocked     Estimate // share of attempts that found no place
	Abandoned   Estimate // share of attempts that left the queue
	Attempts    Estimate // per customer
	InQueue     Estimate // mean number waiting, over time
	InService   Estimate // mean number in service
	InSystem    Estimate // mean number waiting or in service
	InOrbit     Estimate // mean number between two attempts
	Throughput  Estimate // customers served per second of the block's span

	ClassWait []Estimate // mean wait of each priority class, seconds; empty with one class

	// Lag is the correlation between the mean waits of neighbouring blocks. Batches
	// are long enough only when it is near 0: beyond ± 2/√Blocks the intervals of
	// BatchMeans are too narrow. Replications are independent by construction.
	Lag float64
}

// Unit is what a figure is counted in.
type Unit uint8

// The units.
const (
	Seconds Unit = iota + 1
	Share        // 0..1
	Number       // of customers, or attempts per customer
	Rate         // customers per second
)

// Figure is one measured figure under its name.
type Figure struct {
	Key  string // as in Theory: "wait.mean", "wait.p95", "utilisation", "class.1.wait"
	Name string // for people
	Unit Unit
	Estimate
}

// Figures lists every figure, in the order of a table.
func (r *Result) Figures() []Figure {
	var out []Figure
	add := func(key, name string, u Unit, e Estimate) { out = append(out, Figure{key, name, u, e}) }
	for _, of := range []struct {
		what string
		t    Times
	}{{"wait", r.Wait}, {"sojourn", r.Sojourn}} {
		for i, e := range []Estimate{of.t.Mean, of.t.P50, of.t.P90, of.t.P95, of.t.P99} {
			q := []string{"mean", "p50", "p90", "p95", "p99"}[i]
			add(of.what+"."+q, of.what+" "+q, Seconds, e)
		}
	}
	for i, e := range r.ClassWait {
		add(classKey(i), fmt.Sprintf("wait mean, class %d", i+1), Seconds, e)
	}
	add("utilisation", "utilisation", Share, r.Utilisation)
	add("lost", "lost (of customers)", Share, r.Lost)
	add("blocked", "blocked (of attempts)", Share, r.Blocked)
	add("abandoned", "abandoned (of attempts)", Share, r.Abandoned)
	add("attempts", "attempts per customer", Number, r.Attempts)
	add("in_queue", "mean number waiting", Number, r.InQueue)
	add("in_service", "mean number in service", Number, r.InService)
	add("in_system", "mean number in station", Number, r.InSystem)
	add("in_orbit", "mean number in orbit", Number, r.InOrbit)
	add("throughput", "served", Rate, r.Throughput)
	return out
}

func classKey(i int) string { return fmt.Sprintf("class.%d.wait", i+1) }

// Wider is how many times as wide the intervals are that hold all together, over so
// many comparisons, save with probability luck (Bonferroni).
func (r *Result) Wider(comparisons int, luck float64) float64 {
	dof := r.Blocks - 1
	return studentT(1-luck/2/float64(comparisons), dof) / studentT((1+r.Confidence)/2, dof)
}

// The columns of a block's row.
const (
	waitMean = iota
	wait50
	wait90
	wait95
	wait99
	sojournMean
	sojourn50
	sojourn90
	sojourn95
	sojourn99
	utilisation
	lost
	blocked
	abandoned
	attempts
	inQueue
	inService
	inSystem
	inOrbit
	throughput
	metrics
)

var quantiles = [...]float64{0.5, 0.9, 0.95, 0.99}

// row is a block's estimates: the columns above, then one for each class.
func (t *tally) row(servers int) []float64 {
	r := make([]float64, metrics, metrics+len(t.classes))
	span := float64(t.span)
	share := func(n, of uint64) float64 { return float64(n) / float64(of) }
	r[waitMean], r[sojournMean] = t.wait.mean()/1e9, t.sojourn.mean()/1e9
	for i, q := range quantiles {
		r[wait50+i], r[sojourn50+i] = t.wait.quantile(q)/1e9, t.sojourn.quantile(q)/1e9
	}
	r[lost] = share(t.lost, t.customers)
	r[blocked] = share(t.blocked, t.attempts)
	r[abandoned] = share(t.abandoned, t.attempts)
	r[attempts] = share(t.attempts, t.customers)
	r[inQueue] = t.queueArea.float() / span
	r[inService] = t.serviceArea.float() / span
	r[inSystem] = r[inQueue] + r[inService]
	r[inOrbit] = t.orbitArea.float() / span
	r[utilisation] = r[inService] / float64(servers)
	r[throughput] = float64(t.served) / span * 1e9
	for _, c := range t.classes {
		r = append(r, c.total.float()/float64(c.n)/1e9)
	}
	return r
}

func (c *Config) result(rows [][]float64) *Result {
	n := float64(len(rows))
	t := studentT((1+c.Confidence)/2, len(rows)-1)
	est := func(column int) Estimate {
		var sum, squares float64
		for _, r := range rows {
			sum += r[column]
		}
		mean := sum / n
		for _, r := range rows {
			d := r[column] - mean
			squares += float64(d * d)
		}
		return Estimate{mean, t * math.Sqrt(squares/(n-1)/n)}
	}
	times := func(first int) Times {
		return Times{est(first), est(first + 1), est(first + 2), est(first + 3), est(first + 4)}
	}
	r := &Result{Method: c.Method, Blocks: c.Blocks, Customers: c.Customers, WarmUp: c.warmUp(), Hasty: c.hasty(), Enough: c.enough(), Confidence: c.Confidence,
		Engine: "kernel", Load: c.Load(), Wait: times(waitMean), Sojourn: times(sojournMean),
		Utilisation: est(utilisation), Lost: est(lost), Blocked: est(blocked), Abandoned: est(abandoned), Attempts: est(attempts),
		InQueue: est(inQueue), InService: est(inService), InSystem: est(inSystem), InOrbit: est(inOrbit), Throughput: est(throughput)}
	if c.isFast() {
		r.Engine = "recursion"
	}
	for column := metrics; column < len(rows[0]); column++ {
		r.ClassWait = append(r.ClassWait, est(column))
	}
	var products, squares float64
	for i, row := range rows {
		d := row[waitMean] - r.Wait.Mean.Value
		squares += float64(d * d)
		if i > 0 {
			products += float64(d * (rows[i-1][waitMean] - r.Wait.Mean.Value))
		}
	}
	if squares > 0 {
		r.Lag = products / squares
	}
	return r
}

// String is the result as a table, and how it was measured.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "load %.4g · %d %s of %d customers, the first %d of each run discarded · %g %% intervals, Student's t · engine: %s\n",
		r.Load, r.Blocks, r.Method, r.Customers, r.WarmUp, math.Round(r.Confidence*1e6)/1e4, r.Engine)
	if r.Method == BatchMeans {
		fmt.Fprintf(&b, "correlation of neighbouring batches %.2f (good: within ± %.2f)\n", r.Lag, 2/math.Sqrt(float64(r.Blocks)))
	}
	line := func(what string, e Estimate, unit float64, suffix string) {
		if math.IsNaN(e.Value) {
			fmt.Fprintf(&b, "%-34s n/a\n", what)
			return
		}
		fmt.Fprintf(&b, "%-34s %s%s\n", what, interval(e.Value*unit, e.Half*unit), suffix)
	}
	for _, of := range []struct {
		what string
		t    Times
	}{{"wait", r.Wait}, {"sojourn", r.Sojourn}} {
		for i, e := range []Estimate{of.t.Mean, of.t.P50, of.t.P90, of.t.P95, of.t.P99} {
			line(of.what+" "+[]string{"mean", "p50", "p90", "p95", "p99"}[i], e, 1e3, " ms")
		}
	}
	for i, e := range r.ClassWait {
		line(fmt.Sprintf("wait mean, class %d", i+1), e, 1e3, " ms")
	}
	line("utilisation", r.Utilisation, 100, " %")
	line("lost (of customers)", r.Lost, 100, " %")
	line("blocked (of attempts)", r.Blocked, 100, " %")
	line("abandoned (of attempts)", r.Abandoned, 100, " %")
	line("attempts per customer", r.Attempts, 1, "")
	line("mean number waiting", r.InQueue, 1, "")
	line("mean number in service", r.InService, 1, "")
	line("mean number in system", r.InSystem, 1, "")
	line("mean number in orbit", r.InOrbit, 1, "")
	line("throughput", r.Throughput, 1, "/s")
	return b.String()
}

// interval writes the half width to two digits and the value to the same place.
func interval(value, half float64) string {
	if half == 0 {
		return fmt.Sprintf("%g", value) // the same in every block
	}
	places := max(0, 1-int(math.Floor(math.Log10(half))))
	return fmt.Sprintf("%.*f ± %.*f", places, value, places, half)
}

// studentT is the quantile p > ½ of Student's t with dof degrees of freedom, by
// bisection of the distribution function: Abramowitz and Stegun, Handbook of
// Mathematical Functions, 26.7.3 (odd) and 26.7.4 (even).
func studentT(p float64, dof int) float64 {
	within := func(t float64) float64 { // P(|T| < t)
		v := float64(dof)
		sin2 := t * t / (v + float64(t*t))
		cos2 := v / (v + float64(t*t))
		sum, term := 0.0, 1.0
		if dof%2 == 0 {
			for j := 1; j < dof; j += 2 {
				sum += term
				term *= float64(cos2*float64(j)) / float64(j+1)
			}
			return math.Sqrt(sin2) * sum
		}
		for j := 2; j < dof; j += 2 {
			sum += term
			term *= float64(cos2*float64(j)) / float64(j+1)
		}
		return 2 / math.Pi * (math.Atan(t/math.Sqrt(v)) + float64(math.Sqrt(sin2*cos2)*sum))
	}
	lo, hi := 0.0, 1.0
	for within(hi) < 2*p-1 && hi < 1e15 {
		hi *= 2
	}
	for range 200 {
		if mid := (lo + hi) / 2; within(mid) < 2*p-1 {
			lo = mid
		} else {
			hi = mid
		}
	}
	// Rounded, so that a last bit of the arctangent does not reach a result.
	scale := math.Pow(10, 10-math.Ceil(math.Log10(hi)))
	return math.Round(hi*scale) / scale
}
