package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/record"
	"spillway/scenarios"
)

// Estimated is a constant taken from measurements, with its 95 % interval. The
// JSON form is in seconds.
type Estimated struct {
	Value, Low, High time.Duration
	N                uint64 // requests behind it
	Of               string // what was measured, in one line
}

// Reached is a capacity as a run reached it.
type Reached struct {
	Name       string  `json:"name"`       // as in record.Header.Capacity
	Configured float64 `json:"configured"` // of the run; 0 = the record does not say
	Value      float64 `json:"value"`      // per second of the run
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	N          uint64  `json:"n"`        // rows or samples behind it
	LowerBound bool    `json:"at_least"` // the stage was never full: it can do at least this
	Of         string  `json:"of"`       // what was measured
	Scenario   string  `json:"scenario"` // of the run
	Settings   string  `json:"settings"` // what a sweep had set in it
	Seed       uint64  `json:"seed"`     // of the run
}

// Source is a record that a calibration stands on.
type Source struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	Digest   string `json:"digest"` // of the record
	Machine  string `json:"machine"`
	Commit   string `json:"commit"`
	Requests uint64 `json:"requests"`
}

// Calibration is what measured runs say that a scenario does not.
type Calibration struct {
	Network  Estimated `json:"network"`  // see Options.Network
	Overhead Estimated `json:"overhead"` // see Options.Overhead
	Lateness Estimated `json:"lateness"` // the generator's own median; response times have it in, a simulation has not
	// EdgeNoise and GatewayNoise are what measured response times have and a simulation
	// has not, as 1,000 quantiles in seconds: the generator's lateness and what the
	// timers and the scheduler of a shared machine add. For objects of the edge it is
	// the response time less the median network; for calls of a gateway the quantiles
	// of status and check less those of the simulation and the overhead.
	// See AsMeasured.
	EdgeNoise    []float64  `json:"edge_noise"`
	GatewayNoise []float64  `json:"gateway_noise"`
	Steps        []StepCost `json:"steps"`
	Capacities   []Reached  `json:"capacities"`
	From         []Source   `json:"from"`
}

// StepCost is what one step took beyond the simulation without any overhead. The
// constant Overhead is the mean over the steps, weighted by their requests: that
// steps differ is what a single constant cannot say.
type StepCost struct {
	Step      string    `json:"step"`
	Measured  Estimated `json:"measured"`  // median service time, from the send
	Simulated float64   `json:"simulated"` // the same of the simulation, network included, seconds
	Overhead  Estimated `json:"overhead"`
}

// Options are those of a simulation of the measured system; unscaled, for code
// does not run faster when a scenario's time does.
func (c *Calibration) Options() Options {
	some := func(d time.Duration) time.Duration {
		if d <= 0 {
			return -1 // none; 0 would be the default
		}
		return d
	}
	return Options{Network: some(c.Network.Value), Overhead: some(c.Overhead.Value), Unscaled: true}
}

// noiseSteps is the number of quantiles that the noise is kept as.
const noiseSteps = 1000

// AsMeasured adds the calibration run's noise to the response times of a simulated
// record's calls, so that they mean what an attack on the same machine measures:
// from the due moment, by a generator that shares the machine. It changes no
// count, no queue and no sale, and not the times of whole bookings, beside which
// it is nothing. The noise is spread evenly over the samples (a golden-ratio
// sequence over the quantiles), so equal records stay equal.
func (c *Calibration) AsMeasured(r *record.Record) {
	if len(c.EdgeNoise) == 0 || len(c.GatewayNoise) == 0 {
		return
	}
	steps := booking.Steps()
	at := 0.5
	for _, k := range r.Keys() {
		if k.Clock != record.Response || !slices.Contains(steps, k.Span) || k.Outcome == booking.Timeout.String() {
			continue
		}
		noise := c.GatewayNoise
		if k.Span == booking.StepConfig.String() || k.Span == booking.StepCatalogue.String() {
			noise = c.EdgeNoise
		}
		noisy := &record.Hist{}
		for _, b := range r.Hists[k].Buckets() {
			for range b.Count {
				at += golden
				if at >= 1 {
					at--
				}
				d := noise[min(int(at*float64(len(noise))), len(noise)-1)]
				noisy.Add(min(b.Top, r.Hists[k].Max()) + time.Duration(d*1e9))
			}
		}
		r.Hists[k] = noisy
	}
	n := len(c.GatewayNoise)
	r.Header.Notes = append(r.Header.Notes, fmt.Sprintf("response times carry the noise of the calibration run (lateness, timers, scheduler; at a gateway p50 %.2g ms, p99 %.2g ms)",
		1e3*c.GatewayNoise[n/2], 1e3*c.GatewayNoise[n*99/100]))
}

// golden is the fraction of the golden ratio: its multiples fill [0, 1) evenly.
const golden = 0.6180339887498949

// ErrUnfit says that a record cannot be calibrated from.
var ErrUnfit = errors.New("not fit to calibrate from")

// Fit reports why a record cannot be calibrated from, wrapping ErrUnfit; nil when
// it can. What a verdict adds (objectives about lateness) is the caller's to ask.
func Fit(r *record.Record) error {
	h := &r.Header
	late := r.Merged(record.Select{Span: record.SpanLateness})
	no := func(format string, args ...any) error {
		return fmt.Errorf("run %s seed %d: %w: %s", h.Scenario, h.Seed, ErrUnfit, fmt.Sprintf(format, args...))
	}
	switch {
	case h.Partial:
		return no("it was interrupted; run it to its end")
	case h.Shards > 1:
		return no("only a part of its %d shards is here; merge them first", h.Shards)
	case h.Saturated:
		return no("the generator lagged, its times are the generator's own; thin people further")
	case late.Count() == 0:
		return no("it sent nothing (no lateness was measured), a simulation cannot calibrate a simulation")
	case h.Native:
		return no("gateway.native is on, its service times are not those of the scenario; set gateway.native=off")
	}
	return nil
}

// calibrated are the steps whose service time calibrates, with the outcomes that
// took the whole way through a gateway.
var calibrated = []struct {
	step     string
	outcomes []string
}{
	{"status", []string{"open"}},
	{"check", []string{"open"}},
	{"submit", []string{"queued"}},
	{"poll", []string{"pending", "confirmed"}},
}

// Calibrate takes the simulator's constants from records of an attack, most simply
// of one short run below capacity. Each run is simulated again without overhead;
// what the measured medians have beyond it is the overhead, so that queueing and
// the spread of service times are not counted as such. The network is the median
// service time of an object from the edge. Intervals are 95 % order-statistic
// intervals of the medians.
func Calibrate(ctx context.Context, recs ...*record.Record) (*Calibration, error) {
	if len(recs) == 0 {
		return nil, errors.New("calibrate: no record; name a measured run")
	}
	c := &Calibration{}
	edge, due, late := &record.Hist{}, &record.Hist{}, &record.Hist{}
	measured := make([]*record.Hist, len(calibrated))
	simulated := make([]*record.Hist, len(calibrated))
	for i := range calibrated {
		measured[i], simulated[i] = &record.Hist{}, &record.Hist{}
	}
	service := func(r *record.Record, span string, outcomes []string) *record.Hist {
		return r.Merged(record.Select{Span: span, Clock: record.Service, Outcomes: outcomes, NotGroup: record.GroupBots})
	}
	for _, r := range recs {
		if err := Fit(r); err != nil {
			return nil, fmt.Errorf("calibrate: %w", err)
		}
		c.From = append(c.From, Source{r.Header.Scenario, r.Header.Seed, r.Digest(), r.Header.Machine, r.Header.Commit, r.Header.Achieved})
		for _, step := range []string{"config", "catalogue"} {
			edge.Merge(service(r, step, []string{"ok"}))
			due.Merge(r.Merged(record.Select{Span: step, Clock: record.Response, Outcomes: []string{"ok"}, NotGroup: record.GroupBots}))
		}
		late.Merge(r.Merged(record.Select{Span: record.SpanLateness}))
	}
	if !record.Carries(0.5, edge.Count()) {
		return nil, fmt.Errorf("calibrate: %w: only %d answers from the edge, a median needs 20; run a longer window", ErrUnfit, edge.Count())
	}
	c.Network = median(edge, "objects from the edge, from the send")
	for i := range noiseSteps {
		d := due.Quantile((float64(i)+0.5)/noiseSteps) - c.Network.Value
		c.EdgeNoise = append(c.EdgeNoise, max(d, 0).Seconds())
	}
	c.Lateness = median(late, "sent after the due moment")
	calls, twins := &record.Hist{}, &record.Hist{}
	for _, r := range recs {
		sc, err := again(r)
		if err != nil {
			return nil, fmt.Errorf("calibrate: run %s seed %d: its scenario cannot be simulated again: %w", r.Header.Scenario, r.Header.Seed, err)
		}
		twin, err := Run(ctx, sc, Options{Network: c.Network.Value, Overhead: -1, Unscaled: true})
		if err != nil {
			return nil, fmt.Errorf("calibrate: run %s seed %d: %w", r.Header.Scenario, r.Header.Seed, err)
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("calibrate: %w", context.Cause(ctx))
		}
		for i, x := range calibrated {
			measured[i].Merge(service(r, x.step, x.outcomes))
			simulated[i].Merge(service(twin, x.step, x.outcomes))
			if x.step == "status" || x.step == "check" {
				response := record.Select{Span: x.step, Clock: record.Response, Outcomes: x.outcomes, NotGroup: record.GroupBots}
				calls.Merge(r.Merged(response))
				twins.Merge(twin.Merged(response))
			}
		}
		c.Capacities = append(c.Capacities, capacities(r)...)
	}
	var sum, low, high, n float64
	for i, x := range calibrated {
		m, s := measured[i], simulated[i]
		if !record.Carries(0.5, m.Count()) || !record.Carries(0.5, s.Count()) {
			continue
		}
		base := s.Quantile(0.5)
		e := median(m, "median service of "+x.step+", beyond the simulation's")
		over := e
		over.Value, over.Low, over.High = e.Value-base, e.Low-base, e.High-base
		e.Of = "median service of " + x.step
		c.Steps = append(c.Steps, StepCost{x.step, e, base.Seconds(), over})
		w := float64(m.Count())
		sum, n = sum+w*over.Value.Seconds(), n+w
		low, high = low+w*over.Low.Seconds(), high+w*over.High.Seconds()
	}
	if n == 0 {
		return nil, fmt.Errorf("calibrate: %w: no step of a gateway has the 20 answers that a median needs; run a longer window", ErrUnfit)
	}
	span := func(v float64) time.Duration { return time.Duration(math.Round(v / n * 1e9)) }
	c.Overhead = Estimated{max(span(sum), 0), max(span(low), 0), max(span(high), 0), uint64(n),
		"mean over the steps, weighted by their requests, of what they take beyond the simulation"}
	for i := range noiseSteps {
		q := (float64(i) + 0.5) / noiseSteps
		d := calls.Quantile(q) - twins.Quantile(q) - c.Overhead.Value
		c.GatewayNoise = append(c.GatewayNoise, max(d, 0).Seconds())
	}
	slices.Sort(c.GatewayNoise)
	return c, nil
}

// again is the scenario that a record was made of, at its scale and seed.
func again(r *record.Record) (*scenarios.Scaled, error) {
	spec, err := scenarios.Parse([]byte(r.Header.Text), r.Header.Scenario)
	if err != nil {
		return nil, err
	}
	sc, err := scenarios.ScaleWithin(spec, r.Header.People, r.Header.TimeScale, scenarios.Unbounded)
	if err != nil {
		return nil, err
	}
	return sc.WithSeed(draw.Seed(r.Header.Seed)), nil
}

// median with its 95 % interval: the order statistics n/2 ± 0.98 √n, and what the
// width of a histogram's bucket (1/256) hides.
func median(h *record.Hist, of string) Estimated {
	n := float64(h.Count())
	half := 0.98 / math.Sqrt(n)
	return Estimated{Value: h.Quantile(0.5), N: h.Count(), Of: of,
		Low:  time.Duration(float64(h.Quantile(max(0.5-half, 0))) * (1 - 1.0/256)),
		High: h.Quantile(min(0.5+half, 1))}
}

// capacities a run reached. The simulator takes capacities from the scenario; that
// the backend keeps them is what these numbers are for.
func capacities(r *record.Record) (out []Reached) {
	h := &r.Header
	base := Reached{Scenario: h.Scenario, Seed: h.Seed}
	for i, v := range h.Vary {
		if i > 0 {
			base.Settings += " "
		}
		base.Settings += v.Key + "=" + v.Value
	}
	if x, ok := writerRate(r); ok {
		x.Name, x.Configured = "ledger.rows/s", h.Capacity["ledger.rows/s"]
		x.Scenario, x.Settings, x.Seed = base.Scenario, base.Settings, base.Seed
		out = append(out, x)
	}
	if x, ok := gatewayRate(r); ok {
		x.Scenario, x.Settings, x.Seed = base.Scenario, base.Settings, base.Seed
		out = append(out, x)
	}
	return out
}

// writerRate is the longest stretch of samples with entries waiting, over which the
// writer had no reason to rest. Rows come in batches, so either end may be one
// batch off: that is the interval.
func writerRate(r *record.Record) (Reached, bool) {
	depth, rows := r.Samples[record.SampleQueueDepth], r.Samples[record.SampleWritten]
	n := min(len(depth), len(rows))
	best, from, end := 0, 0, 0
	for i := 0; i < n; {
		j := i
		for j < n && depth[j].Value > 0 {
			j++
		}
		if j-i > best {
			best, from, end = j-i, i, j-1
		}
		i = max(j, i+1)
	}
	if best < 3 {
		return Reached{}, false
	}
	batch := 0.0
	for i := from + 1; i <= end; i++ {
		batch = max(batch, rows[i].Value-rows[i-1].Value)
	}
	took := (rows[end].At - rows[from].At).Seconds()
	wrote := rows[end].Value - rows[from].Value
	if !(took > 0) || !(wrote > 0) {
		return Reached{}, false
	}
	return Reached{Value: wrote / took, Low: max(wrote-batch, 0) / took, High: (wrote + batch) / took, N: uint64(wrote),
		Of: fmt.Sprintf("rows written while entries waited, %.3g s of the run; ± one batch", took)}, true
}

// gatewayRate is the work offered in the busiest second: above a load of 1 that is
// demand and the capacity was reached, below it the gateways can do at least this.
func gatewayRate(r *record.Record) (Reached, bool) {
	capacity := r.Header.Capacity["gateway.units/s"]
	points := r.Samples[record.SampleGatewayLoad]
	var best []float64
	top := 0.0
	for i := 0; i < len(points); {
		var vs []float64
		sum := 0.0
		for second := points[i].At / time.Second; i < len(points) && points[i].At/time.Second == second; i++ {
			vs, sum = append(vs, points[i].Value), sum+points[i].Value
		}
		if m := sum / float64(len(vs)); m > top {
			top, best = m, vs
		}
	}
	if !(capacity > 0) || len(best) < 2 {
		return Reached{}, false
	}
	sq := 0.0
	for _, v := range best {
		sq += (v - top) * (v - top)
	}
	half := 1.96 * math.Sqrt(sq/float64(len(best)-1)/float64(len(best)))
	x := Reached{Name: "gateway.units/s", Configured: capacity, Value: top * capacity,
		Low: max(top-half, 0) * capacity, High: (top + half) * capacity, N: uint64(len(best)), LowerBound: top < 1,
		Of: "work offered in the busiest second; ± 1.96 standard errors of its samples"}
	if top >= 1 {
		// More was offered than can be done: what is done is the capacity.
		x.Value, x.Low, x.High = capacity, capacity, capacity
		x.Of = "full: more was offered in the busiest second than the gateways do"
	}
	return x, true
}

type estimatedJSON struct {
	Value float64 `json:"seconds"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	N     uint64  `json:"n"`
	Of    string  `json:"of"`
}

// MarshalJSON writes seconds.
func (e Estimated) MarshalJSON() ([]byte, error) {
	return json.Marshal(estimatedJSON{e.Value.Seconds(), e.Low.Seconds(), e.High.Seconds(), e.N, e.Of})
}

// UnmarshalJSON reads seconds.
func (e *Estimated) UnmarshalJSON(b []byte) error {
	var j estimatedJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	for _, v := range []float64{j.Value, j.Low, j.High} {
		if math.Abs(v) > 60 {
			return fmt.Errorf("%g seconds: no constant of a network or a gateway is above a minute", v)
		}
	}
	d := func(v float64) time.Duration { return time.Duration(math.Round(v * 1e9)) }
	*e = Estimated{d(j.Value), d(j.Low), d(j.High), j.N, j.Of}
	return nil
}

// calibrationFormat is the version of the file.
const calibrationFormat = 1

type calibrationFile struct {
	Format int `json:"spillway_calibration"`
	*Calibration
}

// Encode is the calibration as a JSON file.
func (c *Calibration) Encode() ([]byte, error) {
	text, err := json.MarshalIndent(calibrationFile{calibrationFormat, c}, "", "  ")
	return append(text, '\n'), err
}

// ReadCalibration reads a file that Encode wrote.
func ReadCalibration(name string) (*Calibration, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("calibration %s: cannot be read; make one with: spillway calibrate RECORD", name)
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return nil, fmt.Errorf("calibration %s: not a file of spillway calibrate", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("calibration %s: %w", name, err)
	}
	return parseCalibration(text, name)
}

func parseCalibration(text []byte, name string) (*Calibration, error) {
	f := calibrationFile{Calibration: &Calibration{}}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("calibration %s: not a file of spillway calibrate: %w", name, err)
	}
	switch {
	case f.Format != calibrationFormat:
		return nil, fmt.Errorf("calibration %s: format %d, this program reads %d; calibrate again", name, f.Format, calibrationFormat)
	case f.Network.Value < 0 || f.Overhead.Value < 0 || slices.Contains([]uint64{f.Network.N, f.Overhead.N}, 0):
		return nil, fmt.Errorf("calibration %s: network and overhead must be 0 or more, with the n behind them; calibrate again", name)
	case slices.ContainsFunc(slices.Concat(f.EdgeNoise, f.GatewayNoise), func(v float64) bool { return !(v >= 0 && v < 60) }):
		return nil, fmt.Errorf("calibration %s: noise must be seconds of 0 or more; calibrate again", name)
	}
	return f.Calibration, nil
}
