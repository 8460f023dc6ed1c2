package cli

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"spillway/internal/draw"
	"spillway/scenarios"
	"spillway/sim/station"
)

// stationConfig maps a station's file to the simulator's configuration and checks
// that it can be run.
func stationConfig(s *scenarios.Station, seed uint64) (station.Config, error) {
	st := s.Station
	c := station.Config{
		Servers: int(st.Servers), Places: int(st.Places), Rate: st.Arrivals.Rate, Regular: st.Arrivals.Process == scenarios.Regular,
		Service: stationLaw(st.Service), Patience: stationLaw(st.Patience), Classes: st.Classes,
		Seed: draw.Seed(seed), Blocks: int(st.Measure.Blocks), Customers: int(st.Measure.Customers), WarmUp: int(st.Measure.WarmUp),
		Confidence: st.Measure.Confidence,
	}
	if st.Retry.Probability > 0 {
		c.Retry = station.Retry{Probability: st.Retry.Probability, Delay: stationLaw(st.Retry.Delay), Attempts: int(st.Retry.Attempts)}
	}
	if st.Order == scenarios.OrderLIFO {
		c.Order = station.LIFO
	}
	if st.Measure.Method == scenarios.MethodBatchMeans {
		c.Method = station.BatchMeans
	}
	if err := c.Check(); err != nil {
		return c, badInput(fmt.Errorf("%s: %w", s.Name, err))
	}
	return c, nil
}

func stationLaw(l scenarios.LawSpec) station.Law {
	switch l.Law {
	case scenarios.LawExponential:
		return station.Exponential(l.Mean)
	case scenarios.LawLogNormal:
		return station.LogNormal(l.Mean, l.CV)
	case scenarios.LawDeterministic:
		return station.Constant(l.Mean)
	case scenarios.LawEmpirical:
		return station.Empirical(l.Values)
	}
	return station.Law{}
}

// stationWords is the station in words, a line or two.
func stationWords(s *scenarios.Station) []string {
	st := s.Station
	places := "no bound on places"
	switch n := int(st.Places); {
	case st.Places > 0 && st.Places == st.Servers:
		places = "no place to wait"
	case st.Places > 0:
		places = fmt.Sprintf("%s places, %s of them to wait in", count(n), count(n-int(st.Servers)))
	}
	order := "first come, first served"
	if st.Order == scenarios.OrderLIFO {
		order = "last come, first served"
	}
	arrivals := "Poisson"
	if st.Arrivals.Process == scenarios.Regular {
		arrivals = "regular"
	}
	servers := "1 server"
	if st.Servers != 1 {
		servers = count(int(st.Servers)) + " servers"
	}
	out := []string{
		fmt.Sprintf("%s, %s; %s arrivals, %s customers/s; %s", servers, places, arrivals, rateWords(st.Arrivals.Rate), order),
		"service " + lawWords(st.Service),
	}
	if st.Patience.Law != "" && st.Patience.Law != scenarios.LawNone {
		out = append(out, "customers leave the queue after a patience that is "+lawWords(st.Patience))
	}
	if r := st.Retry; r.Probability > 0 {
		most := "without limit"
		if r.Attempts > 0 {
			most = fmt.Sprintf("at most %g attempts", r.Attempts)
		}
		out = append(out, fmt.Sprintf("after a failed attempt %g %% come back, %s; delay %s", 100*r.Probability, most, lawWords(r.Delay)))
	}
	if len(st.Classes) > 0 {
		line := "priority classes, first served first, without preemption:"
		for _, share := range st.Classes {
			line += fmt.Sprintf(" %g %%", 100*share)
		}
		out = append(out, line)
	}
	return out
}

func rateWords(v float64) string {
	if v == math.Trunc(v) {
		return count(int64(v))
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func lawWords(l scenarios.LawSpec) string {
	switch l.Law {
	case scenarios.LawLogNormal:
		return fmt.Sprintf("log-normal, mean %v, cv %g", l.Mean, l.CV)
	case scenarios.LawEmpirical:
		var sum time.Duration
		for _, v := range l.Values {
			sum += v
		}
		return fmt.Sprintf("empirical, %d values, mean %v", len(l.Values), (sum / time.Duration(max(len(l.Values), 1))).Round(time.Microsecond))
	}
	return fmt.Sprintf("%s, mean %v", l.Law, l.Mean)
}

// explainStation says what a run of the station will measure and what theory knows
// of it, without running it.
func explainStation(a *app, c choice, line *kong.Context) error {
	if err := onlyForStations(c.Scenario, line, "set", "seed"); err != nil {
		return err
	}
	s, err := loadStation(c.Scenario, c.settings)
	if err != nil {
		return err
	}
	cfg, err := stationConfig(s, c.Seed)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", s.Name, s.Title)
	for _, l := range stationWords(s) {
		fmt.Fprintf(a.stdout, "  %s\n", l)
	}
	plan := cfg.Plan()
	fmt.Fprintf(a.stdout, "  load %.4g\n\nto be measured\n  %d %s of %s customers, the first %s of each run discarded; intervals of %s\n",
		cfg.Load(), plan.Blocks, plan.Method, count(plan.Customers), count(plan.WarmUp), levelWords(plan.Confidence))
	theory := cfg.Theory()
	if len(theory.Exact) == 0 {
		fmt.Fprintf(a.stdout, "\ntheory has no closed form for this station\n")
		return nil
	}
	names := map[string]station.Figure{}
	for _, f := range (&station.Result{ClassWait: make([]station.Estimate, len(cfg.Classes))}).Figures() {
		names[f.Key] = f
	}
	fmt.Fprintf(a.stdout, "\nwhat theory says (times in seconds)\n")
	for _, e := range theory.Exact {
		fmt.Fprintf(a.stdout, "  %-26s %-12.6g %s\n", names[e.Key].Name, e.Value, e.Formula)
	}
	return nil
}
