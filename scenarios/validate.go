package scenarios

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/policy"
	"spillway/internal/record"
)

// windowMax bounds a run's window in scenario time: two days.
const windowMax = 48 * time.Hour

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,63}$`)

// checks collects the first thing that is wrong with a spec.
type checks struct {
	s *Spec
	findings
}

// findings collects the first thing that is wrong with a file and says where.
type findings struct {
	name  string            // of the scenario
	notes map[string]Note   // the keys that were given
	at    map[string]string // their places
	root  reflect.Value     // the struct
	err   error
}

// fail notes a failure at a key, unless there was one before.
func (c *findings) fail(path, format string, args ...any) {
	if c.err != nil {
		return
	}
	where := c.at[path]
	for p := path; where == "" && strings.Contains(p, "."); { // a missing key: its section's place
		p = p[:strings.LastIndexByte(p, '.')]
		where = c.at[p]
	}
	if where == "" {
		where = "scenario " + c.name
	}
	c.err = fmt.Errorf("%s: %s: %s", where, path, fmt.Sprintf(format, args...))
}

func (c *findings) that(ok bool, path, format string, args ...any) {
	if !ok {
		c.fail(path, format, args...)
	}
}

// positive wants a value above 0; an absent one reads as missing.
func (c *findings) positive(paths ...string) {
	for _, p := range paths {
		v, unit := c.leaf(p)
		zero := v.CanFloat() && v.Float() <= 0 || v.CanInt() && v.Int() <= 0
		if !zero {
			continue
		}
		if _, said := c.notes[p]; said {
			c.fail(p, "must be above 0")
		} else {
			c.fail(p, "is missing: give it a value above 0 in %s, or extend a shipped scenario", unitWords(unit))
		}
	}
}

func (c *findings) whole(paths ...string) {
	for _, p := range paths {
		if v, unit := c.leaf(p); v.Float() != math.Trunc(v.Float()) {
			c.fail(p, "%g is not a whole number of %s", v.Float(), unit)
		}
	}
}

func (c *findings) leaf(path string) (v reflect.Value, unit string) {
	eachLeaf(c.root, "", func(p, u string, fv reflect.Value) {
		if p == path {
			v, unit = fv, u
		}
	})
	return v, unit
}

func unitWords(unit string) string {
	switch unit {
	case "time", "moment":
		return "time"
	case "%":
		return "per cent"
	}
	return unit
}

// Validate checks everything that a single value cannot show: what is missing,
// what does not fit together, what the mode needs, what objectives name. The
// error is one line with the place in the file, where there is one.
func (s *Spec) Validate() error {
	c := &checks{s, findings{name: s.Name, notes: s.Notes, at: s.at, root: reflect.ValueOf(s).Elem()}}
	c.limits()
	c.that(nameForm.MatchString(s.Name), "name", "%.40q: want a name of lower-case letters, digits, dots and dashes", s.Name)
	c.that(!strings.ContainsAny(s.Name+s.Title, "\n"), "title", "want one line")
	c.that(s.Mode != 0, "mode", "is missing: one of %s", strings.Join(booking.Modes(), ", "))
	c.window()
	c.people()
	c.layers()
	c.events()
	for i, text := range s.Objectives {
		p := "objectives." + strconv.Itoa(i)
		o, err := record.ParseObjective(text)
		if err != nil {
			c.fail(p, "%s", oneLine(err.Error()))
			continue
		}
		for _, w := range s.Windows() {
			c.that(w.Name != o.Window || w.From < w.To, p, "%q names the window %q, which is empty here", text, o.Window)
		}
	}
	return c.err
}

// limits holds for specs made in code too, which no parser has checked.
func (c *findings) limits() {
	eachLeaf(c.root, "", func(p, unit string, v reflect.Value) {
		switch {
		case v.CanFloat():
			f := v.Float()
			switch {
			case math.IsNaN(f) || math.IsInf(f, 0):
				c.fail(p, "is not a finite number")
			case f < 0:
				c.fail(p, "is negative")
			case unit == "%" && f > 1:
				c.fail(p, "is over 100 %%")
			case f > countMax:
				c.fail(p, "is over %g", float64(countMax))
			}
		case unit == "time" || unit == "moment":
			d := time.Duration(v.Int())
			c.that(d >= 0 || unit == "moment", p, "is negative")
			c.that(d <= timeMax && d >= -timeMax, p, "is longer than %v", timeMax)
		}
	})
}

func (c *checks) window() {
	s, w := c.s, c.s.Window
	c.positive("scale.people", "scale.time")
	c.that(s.Scale.People <= 1, "scale.people", "is over 1:1")
	c.that(s.Scale.Time <= 1000, "scale.time", "is over 1000 x")
	c.that(w.From < w.To, "window.to", "%v is not after window.from, %v", w.To, w.From)
	c.that(w.To-w.From <= windowMax, "window.to", "the window is longer than %v", windowMax)
	c.that(w.Peak >= 0, "window.peak", "%v is before the opening", w.Peak)
	c.that(w.Peak >= w.From, "window.peak", "%v is before window.from, %v", w.Peak, w.From)
	c.that(w.Recovery >= w.Peak, "window.recovery", "%v is before window.peak, %v", w.Recovery, w.Peak)
	c.that(w.To >= w.Recovery, "window.recovery", "%v is after window.to, %v", w.Recovery, w.To)
	a := s.Arrivals
	c.positive("arrivals.visits", "arrivals.build_up", "arrivals.rise", "arrivals.decay", "arrivals.ebb")
	c.that(a.DayFrom < 0, "arrivals.day_from", "%v: the day begins before the opening", a.DayFrom)
	c.that(a.DayTo > rush, "arrivals.day_to", "%v: the day ends after the first ten minutes", a.DayTo)
	c.that(a.DayTo-a.DayFrom <= windowMax, "arrivals.day_to", "the day is longer than %v", windowMax)
	c.that(w.From >= a.DayFrom, "window.from", "%v is before arrivals.day_from, %v", w.From, a.DayFrom)
	c.that(w.To <= a.DayTo, "window.to", "%v is after arrivals.day_to, %v", w.To, a.DayTo)
	c.that(a.RushShare <= a.EveningShare, "arrivals.rush_share", "is more than arrivals.evening_share, which holds it")
	if c.err == nil {
		if _, err := NewCurve(a); err != nil {
			c.fail("arrivals", "%s", err)
		}
	}
}

func (c *checks) people() {
	s, p, v := c.s, c.s.Population, c.s.Visitor
	c.positive("population.users")
	c.whole("population.users", "bots.count")
	c.that(len(p.Classes) <= 100, "population.classes", "at most 100")
	var sum float64
	for i, k := range p.Classes {
		at := "population.classes." + strconv.Itoa(i)
		c.that(k.Name != "" && k.Name != record.GroupBots && len(k.Name) <= 60, at+".name", "%.40q: want a name, not %q", k.Name, record.GroupBots)
		for _, other := range p.Classes[:i] {
			c.that(other.Name != k.Name, at+".name", "%q is there twice", k.Name)
		}
		c.that(k.Share > 0 && k.Share <= 1, at+".share", "want a share above 0 %% and up to 100 %%")
		c.that(k.Priority >= 1, at+".priority", "want a rank from 1")
		c.that(k.From <= k.Until, at+".until", "%v is before its from, %v", k.Until, k.From)
		sum += k.Share
	}
	c.that(len(p.Classes) == 0 || math.Abs(sum-1) < 1e-9, "population.classes", "the shares add up to %.4g %%, not 100 %%", 100*sum)
	c.positive("visitor.booking_share", "visitor.lock", "visitor.timeout", "visitor.config_life", "visitor.poll_every")
	c.that(v.ThinkCV <= 5, "visitor.think_cv", "is over 5 x")
	c.that(v.HumanMin <= v.HumanMax, "visitor.human_max", "%v is less than visitor.human_min, %v", v.HumanMax, v.HumanMin)
	if s.Bots.Count > 0 {
		c.positive("bots.every")
		c.that(s.Bots.Count <= 1e7, "bots.count", "is over 10 million")
	}
}

func (c *checks) layers() {
	s := c.s
	for _, w := range sortedKeys(s.Layers) {
		c.that(Layers[w] != "", "layers."+w, "is no layer")
	}
	c.positive("edge.config_life", "edge.catalogue_life", "edge.catalogue_size")
	c.that(s.Edge.CacheKey != "", "edge.cache_key", "is missing: path or url")

	a := s.Admission
	c.that(a.Gate != 0, "admission.gate", "is missing: off, original or coin")
	c.gate(a.Gate, a.Probability, "admission.probability")
	if a.Gate == policy.GateCoin {
		c.positive("admission.period")
	}

	g := s.Gateway
	c.positive("gateway.instances", "gateway.capacity", "gateway.status", "gateway.poll", "gateway.submit")
	c.whole("gateway.instances", "gateway.in_flight")
	c.that(g.Instances <= 10_000, "gateway.instances", "is over 10,000")
	if !g.Native {
		c.positive("gateway.unit_time")
	}
	c.that(g.ServiceCV <= 10, "gateway.service_cv", "is over 10 x")
	last, lastKey := 0.0, ""
	for _, t := range []struct {
		key string
		v   float64
	}{{"ladder_no_results", g.NoResults}, {"ladder_no_low", g.NoLow}, {"ladder_top_only", g.TopOnly}} {
		if t.v > 0 { // 0 = the rung is never reached
			c.that(t.v >= last, "gateway."+t.key, "is below %s: a higher rung starts at a fuller room", lastKey)
			last, lastKey = t.v, "gateway."+t.key
		}
	}

	k := s.Stock
	_, said := s.Notes["stock.reservations"]
	c.that(k.Reservations > 0 || !said, "stock.reservations", "a stock of 0 has nothing to sell: give at least 1")
	c.positive("stock.reservations", "stock.shops")
	c.whole("stock.reservations", "stock.shops", "queue.depth", "queue.attempts")
	c.that(k.Shops <= 60_000, "stock.shops", "is over 60,000")
	c.that(k.Reservations >= k.Shops, "stock.shops", "%g shops share %g reservations: each needs one", k.Shops, k.Reservations)
	c.that(k.ExpressShare < 1, "stock.express_share", "leaves nothing to the other shops")
	c.that(k.ExpressShare == 0 || k.Shops >= 2, "stock.express_share", "needs at least 2 shops")
	c.that(s.Queue.Depth <= 1e9, "queue.depth", "is over a billion")

	switch s.Mode {
	case booking.ModeQueued:
		c.positive("queue.attempts", "ledger.rate", "ledger.every")
	case booking.ModeTimedWriter:
		c.positive("ledger.rate", "ledger.flush_every")
	case booking.ModeLossless:
		c.positive("ledger.database_rate", "ledger.read", "ledger.write")
	}
	if s.Mode == booking.ModeQueued && !s.On("queue") {
		c.positive("ledger.database_rate", "ledger.write")
	}
}

// gate checks a probability against its gate.
func (c *checks) gate(g policy.Gate, p float64, path string) {
	if g == policy.GateOriginal {
		c.that(math.Abs(p*100-math.Round(p*100)) < 1e-9, path,
			"%g %%: the original gate takes whole per cents only: round it, or use gate coin", p*100)
	}
}

func (c *checks) events() {
	s := c.s
	c.that(len(s.Changes) <= 1000, "changes", "at most 1,000")
	c.that(len(s.Faults) <= 1000, "faults", "at most 1,000")
	for i, ch := range s.Changes {
		p := "changes." + strconv.Itoa(i)
		c.that(ch.Key != "", p+".key", "is missing: one of %s", strings.Join(words["changes.key"], ", "))
		c.that(i == 0 || ch.At >= s.Changes[i-1].At, p+".at", "%v is before the change above it: put them in order", ch.At)
		c.that(ch.At <= s.Window.To, p+".at", "%v is after window.to, %v", ch.At, s.Window.To)
		if c.err != nil {
			return
		}
		var rt policy.Runtime
		if err := s.base().apply(ch, &rt); err != nil {
			c.fail(p+".to", "%s", err)
		}
	}
	if c.err == nil {
		rt := s.base()
		for i, ch := range s.Changes {
			next := rt
			if err := rt.apply(ch, (*policy.Runtime)(&next)); err != nil {
				return
			}
			rt = next
			c.gate(rt.Gate, rt.Probability, "changes."+strconv.Itoa(i)+".to")
			c.that(rt.Gate != policy.GateCoin || s.Admission.Period > 0, "admission.period", "is missing: the coin needs a period")
		}
	}
	for i, f := range s.Faults {
		p := "faults." + strconv.Itoa(i)
		c.that(f.Kind != "", p+".kind", "is missing: one of %s", strings.Join(words["faults.kind"], ", "))
		c.that(f.For > 0, p+".for", "a fault lasts for some time: give it")
		c.that(f.At < s.Window.To && f.At+f.For > s.Window.From, p+".at", "the fault lies outside the window")
		c.fault(f, p)
	}
}

// fault checks a fault's target and amount against its row of the table.
func (c *checks) fault(f Fault, path string) {
	if c.err != nil {
		return
	}
	row, err := fault.Find(f.Kind, f.Target)
	if err != nil {
		c.fail(path+".target", "%s%s", err, didYouMean(f.Target, fault.Targets(f.Kind)))
		return
	}
	note, said := c.s.Notes[path+".amount"]
	unit := amountUnit(note.Value)
	c.that(!said || row.Unit != "", path+".amount", "fault %s has none: leave it out", f.Kind)
	c.that(!said || unit == row.Unit || unit == "x", path+".amount", "has the unit %.20q: fault %s wants %q", unit, f.Kind, row.Unit)
	if _, err := row.Amount(f.Amount); err != nil {
		c.fail(path+".amount", "%s", err)
	}
	c.that(row.Unit != fault.Instances || f.Amount <= c.s.Gateway.Instances, path+".amount", "want how many of the %g instances", c.s.Gateway.Instances)
}

// config is a runtime config that changes can be applied to.
type config policy.Runtime

// base is the config that the file starts with: version 1, no coin salt.
func (s *Spec) base() config {
	return config{Version: 1, Gate: s.Admission.Gate, Probability: s.Admission.Probability, Results: s.Admission.Results}
}

// apply writes the config after a change to next.
func (r config) apply(ch Change, next *policy.Runtime) error {
	*next = policy.Runtime(r)
	next.Version++
	var err error
	switch ch.Key {
	case ChangeProbability:
		next.Probability, _, err = parseNumber(ch.To, "%", false)
	case ChangeGate:
		next.Gate, err = policy.ParseGate(strings.TrimSpace(ch.To))
	case ChangeResults:
		switch strings.TrimSpace(ch.To) {
		case "on":
			next.Results = true
		case "off":
			next.Results = false
		default:
			err = fmt.Errorf("%.40q: want on or off", ch.To)
		}
	default:
		err = fmt.Errorf("%.40q cannot be changed: one of %s", ch.Key, strings.Join(words["changes.key"], ", "))
	}
	return err
}
