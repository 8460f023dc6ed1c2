package scenarios

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/fault"
	"spillway/internal/policy"
	"spillway/internal/record"
)

// Bounds of a credible run.
const (
	// MaxHTTP is how many requests a second two shared cores carry with
	// generator and backend on the same machine, with room to spare.
	MaxHTTP = 4000
	// MaxBias is how much of the client timeout an unscaled service time may
	// take: beyond it latency is mostly a product of the scale.
	MaxBias = 0.05
)

// Bounds overrides what a run is refused for. The zero value has the constants
// above; a negative number means no bound.
type Bounds struct {
	MaxHTTP float64 // predicted requests per second at the peak
	MaxBias float64 // k·S/timeout
}

// Unbounded is for a run that sends nothing and scales service times too: the
// simulator's.
var Unbounded = Bounds{MaxHTTP: -1, MaxBias: -1}

// How the similarity law treats a value; what it does not name stays as it is:
// probabilities, attempts, priorities, ratios, work units, and the service time,
// which is the machine's own.
type rule uint8

const (
	byPeople rule = iota + 1 // × s
	whole                    // × s, rounded, at least 1; 0 stays 0
	byRate                   // × s·k
	byTime                   // ÷ k
)

// law is the similarity law: every value that changes with the scale. Limits are
// pooled over the gateways, so the number of instances stays and each carries
// less.
var law = []struct {
	path string
	rule rule
}{
	{"population.users", whole},
	{"arrivals.visits", byPeople},
	{"arrivals.build_up", byTime}, {"arrivals.rise", byTime}, {"arrivals.decay", byTime}, {"arrivals.ebb", byTime},
	{"visitor.notice", byTime}, {"visitor.form", byTime}, {"visitor.lock", byTime},
	{"visitor.human_min", byTime}, {"visitor.human_max", byTime}, {"visitor.timeout", byTime},
	{"visitor.config_life", byTime}, {"visitor.poll_every", byTime}, {"visitor.poll_jitter", byTime},
	{"bots.count", whole}, {"bots.every", byTime},
	{"edge.config_life", byTime}, {"edge.catalogue_life", byTime},
	{"admission.period", byTime},
	{"gateway.capacity", byRate}, {"gateway.room", byTime}, {"gateway.drop_after", byTime},
	{"gateway.in_flight", whole}, {"gateway.ladder_hold", byTime}, {"gateway.retry_after", byTime},
	{"stock.reservations", whole}, {"stock.closed_life", byTime},
	{"queue.depth", whole},
	{"ledger.rate", byRate}, {"ledger.every", byTime}, {"ledger.flush_every", byTime}, {"ledger.database_rate", byRate},
}

// Scale makes a run of a scenario: people thinned by people (0 < s <= 1), time
// quickened by time (k > 0); 0 means the scenario's own. It refuses, with the
// reason, where the result would not be credible. Use WithSeed on the result.
func Scale(s *Spec, people, time float64) (*Scaled, error) {
	return ScaleWithin(s, people, time, Bounds{})
}

// ScaleWithin is Scale with bounds of the caller's.
func ScaleWithin(s *Spec, people, quicken float64, bounds Bounds) (*Scaled, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if people == 0 {
		people = s.Scale.People
	}
	if quicken == 0 {
		quicken = s.Scale.Time
	}
	if !(people > 0 && people <= 1) {
		return nil, fmt.Errorf("scenario %s: people scale %g: want above 0 and up to 1 (1:100 is 0.01)", s.Name, people)
	}
	if !(quicken > 0 && quicken <= 1000) {
		return nil, fmt.Errorf("scenario %s: time scale %g: want above 0 and up to 1000", s.Name, quicken)
	}
	curve, err := NewCurve(s.Arrivals)
	if err != nil { // Validate has solved it once
		return nil, err
	}
	sc := &Scaled{Full: *s, S: people, K: quicken, curve: curve}
	sc.Full.own()
	sc.Spec = sc.Full
	sc.Spec.own()
	sc.apply()
	sc.Length = divide(s.Window.To-s.Window.From, quicken)
	sc.OpenAt = divide(-s.Window.From, quicken)
	for i := range sc.Population.Classes {
		c := &sc.Population.Classes[i]
		c.From, c.Until = divide(c.From, quicken), divide(c.Until, quicken)
	}
	rt := sc.RuntimeAt(0)
	sc.Admission.Gate, sc.Admission.Probability, sc.Admission.Results = rt.Gate, rt.Probability, rt.Results
	sc.history = newHistory(curve, s.Arrivals.DayFrom, s.Window.From, s.Population.Users)

	for _, p := range []string{"population.users", "stock.reservations"} {
		if v := s.number(p) * people; v < 1 {
			return nil, fmt.Errorf("scenario %s: at %s, %s is %.3g: nothing is left to run; use a larger people scale", s.Name, scaleWord(people), p, v)
		}
	}
	sc.Prediction = sc.predict()
	if err := sc.credible(bounds); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	return sc, nil
}

// apply writes the run values and notes what could not be kept exactly.
func (sc *Scaled) apply() {
	for _, l := range law {
		sc.each(func(p, unit string, v reflect.Value) {
			if p != l.path {
				return
			}
			switch l.rule {
			case byPeople:
				v.SetFloat(v.Float() * sc.S)
			case byRate:
				v.SetFloat(v.Float() * sc.S * sc.K)
			case byTime:
				v.SetInt(int64(divide(time.Duration(v.Int()), sc.K)))
			case whole:
				exact := v.Float() * sc.S
				if exact == 0 {
					return
				}
				v.SetFloat(max(math.Round(exact), 1))
				if off := v.Float()/exact - 1; math.Abs(off) > 1e-9 {
					sc.Rounded = append(sc.Rounded, fmt.Sprintf("%s: %.6g %s, the law has %.6g (%+.2g %%)", p, v.Float(), unit, exact, 100*off))
				}
			}
		})
	}
	if slots := sc.PooledCapacity() * sc.Gateway.UnitTime.Seconds(); slots < 1 && !sc.Gateway.Native {
		sc.Rounded = append(sc.Rounded, fmt.Sprintf("gateway: %.3g slots of %v; a server has at least 1, so the gateways carry more than the law's %.4g units/s",
			slots, sc.Gateway.UnitTime, sc.PooledCapacity()))
	}
	if sc.Stock.Reservations < sc.Stock.Shops {
		sc.Rounded = append(sc.Rounded, fmt.Sprintf("stock: %g reservations for %g shops: some have none", sc.Stock.Reservations, sc.Stock.Shops))
	}
}

// credible refuses a run that would mislead or not fit the machine.
func (sc *Scaled) credible(b Bounds) error {
	if b.MaxBias == 0 {
		b.MaxBias = MaxBias
	}
	if b.MaxHTTP == 0 {
		b.MaxHTTP = MaxHTTP
	}
	p := sc.Prediction
	if b.MaxBias > 0 && !sc.Gateway.Native && p.BiasK > b.MaxBias {
		return fmt.Errorf("time scale %g: a submit's %v counts %g-fold against the timeout of %v (k·S/timeout = %.3g, at most %g): use at most k = %.3g",
			sc.K, sc.submitTime(), sc.K, sc.Full.Visitor.Timeout, p.BiasK, b.MaxBias, sc.K*b.MaxBias/p.BiasK)
	}
	if b.MaxHTTP > 0 && p.PeakHTTP > b.MaxHTTP {
		return fmt.Errorf("at %s, k = %g the peak is %.0f requests/s, over the bound of %.0f for one machine: use at most %s",
			scaleWord(sc.S), sc.K, p.PeakHTTP, b.MaxHTTP, scaleWord(sc.S*b.MaxHTTP/p.PeakHTTP))
	}
	return nil
}

// submitTime is the service time of a submit, which the law leaves as it is.
func (sc *Scaled) submitTime() time.Duration {
	return time.Duration(sc.Gateway.Submit * float64(sc.Gateway.UnitTime))
}

func scaleWord(s float64) string {
	if n := 1 / s; n >= 10 {
		return fmt.Sprintf("1:%.0f", math.Ceil(n-1e-9))
	}
	return fmt.Sprintf("1:%.3g", 1/s)
}

// number is the value of a key whose value is a number.
func (s *Spec) number(path string) (out float64) {
	s.each(func(p, _ string, v reflect.Value) {
		if p == path && v.CanFloat() {
			out = v.Float()
		}
	})
	return out
}

// WithSeed is the same run under another seed.
func (sc *Scaled) WithSeed(seed draw.Seed) *Scaled {
	out := *sc
	out.Seed = seed
	return &out
}

// Curve is the arrival curve at full size and in scenario time.
func (sc *Scaled) Curve() *Curve { return sc.curve }

// PooledCapacity is the gateways' capacity together, in units per second of run time.
func (sc *Scaled) PooledCapacity() float64 { return sc.Gateway.Capacity * sc.Gateway.Instances }

// RoomUnits is how much work may wait at the gateways together, in units.
func (sc *Scaled) RoomUnits() float64 {
	return sc.PooledCapacity() * sc.Gateway.Room.Seconds()
}

// Items is the stock of each shop, which add up to the stock exactly: shop 0 has
// its express share, the others are alike to within one.
func (sc *Scaled) Items() []int {
	n, total := int(sc.Stock.Shops), int(sc.Stock.Reservations)
	items := make([]int, n)
	rest := items
	if sc.Stock.ExpressShare > 0 {
		items[0] = int(math.Round(float64(total) * sc.Stock.ExpressShare))
		total -= items[0]
		rest = items[1:]
	}
	for i := range rest {
		rest[i] = total*(i+1)/len(rest) - total*i/len(rest)
	}
	return items
}

// Program is the visitors' behaviour in run terms.
func (sc *Scaled) Program() policy.Program {
	v := sc.Visitor
	return policy.Program{
		BookingShare: v.BookingShare, Notice: v.Notice, Form: v.Form, ThinkCV: v.ThinkCV,
		Lock: v.Lock, HumanMin: v.HumanMin, HumanMax: v.HumanMax, GiveUp: v.GiveUp,
		Timeout: v.Timeout, ConfigLife: v.ConfigLife, PollEvery: v.PollEvery, PollJitter: v.PollJitter,
		Jitter: v.Jitter, HonoursRetryAfter: v.HonoursRetryAfter,
		Items: int(sc.Stock.Shops), ExpressShare: sc.Stock.ExpressShare,
		English: sc.Population.English, BotEvery: sc.Spec.Bots.Every,
	}
}

// ConfigChange is a change of the runtime config: its moment in run time and the
// config in force from then on.
type ConfigChange struct {
	At      time.Duration
	Key, To string
	Runtime policy.Runtime
}

// RuntimeAt is the runtime config in force at an offset of the run, which may lie
// before it: version 1 as the file has it, and one more with each change. The
// coin's salt is keyed by the seed; a client of a live backend takes the
// backend's instead.
func (sc *Scaled) RuntimeAt(at time.Duration) policy.Runtime {
	rt := sc.firstRuntime()
	for _, c := range sc.allChanges(rt) {
		if c.At > at {
			break
		}
		rt = c.Runtime
	}
	return rt
}

// ChangesWithin lists the changes that come after offset 0 and up to the end of
// the run, in order.
func (sc *Scaled) ChangesWithin() []ConfigChange {
	var out []ConfigChange
	for _, c := range sc.allChanges(sc.firstRuntime()) {
		if c.At > 0 && c.At <= sc.Length {
			out = append(out, c)
		}
	}
	return out
}

// Runtimes lists every runtime config of the scenario by its version, from 1 on.
func (sc *Scaled) Runtimes() []policy.Runtime {
	out := []policy.Runtime{sc.firstRuntime()}
	for _, c := range sc.allChanges(out[0]) {
		out = append(out, c.Runtime)
	}
	return out
}

func (sc *Scaled) firstRuntime() policy.Runtime {
	rt := policy.Runtime(sc.Full.base())
	rt.Coin = policy.Coin{
		K0: sc.Seed.U64(booking.DrawCoin, math.MaxUint64, 0), K1: sc.Seed.U64(booking.DrawCoin, math.MaxUint64, 1),
		Period: sc.Admission.Period,
	}
	if !sc.On("admission") {
		rt.Gate = policy.GateOff
	}
	return rt
}

func (sc *Scaled) allChanges(rt policy.Runtime) []ConfigChange {
	var out []ConfigChange
	for _, ch := range sc.Full.Changes {
		next := rt
		if err := config(rt).apply(ch, &next); err != nil {
			continue // Validate has refused it
		}
		if !sc.On("admission") {
			next.Gate = policy.GateOff
		}
		rt = next
		out = append(out, ConfigChange{At: sc.runTime(ch.At), Key: ch.Key, To: ch.To, Runtime: rt})
	}
	return out
}

// FaultsWithin lists the faults of the window in run time, ordered by their
// start. One that began before the window has what is left of it at offset 0.
// Amounts are those in force: seconds are quickened like every wait, messages and
// entries thinned like people, but never to none.
func (sc *Scaled) FaultsWithin() []Fault {
	var out []Fault
	for _, f := range sc.Full.Faults {
		from, until := sc.runTime(f.At), sc.runTime(f.At+f.For)
		f.At = max(from, 0)
		f.For = min(until, sc.Length) - f.At
		if row, err := fault.Find(f.Kind, f.Target); err == nil { // Validate has refused others
			f.Amount, _ = row.Amount(f.Amount) // as above
			switch row.Unit {
			case fault.Seconds:
				f.Amount /= sc.K
			case fault.Messages, fault.Entries:
				f.Amount = math.Ceil(f.Amount * sc.S)
			}
		}
		if f.For > 0 {
			out = append(out, f)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].At < out[j].At })
	return out
}

// Header is the head of the run's record; the caller adds label, commit, what was
// varied, and what happened.
func (sc *Scaled) Header() record.Header {
	full := &sc.Full
	title := full.Title
	if title == "" {
		title = full.Name
	}
	h := record.Header{
		Scenario: full.Name, Title: title, Text: full.Text, Digest: full.Digest(), Seed: uint64(sc.Seed),
		Mode: full.Mode.String(), People: sc.S, TimeScale: sc.K,
		From: full.Window.From, To: full.Window.To, Windows: full.Windows(),
		Capacity: map[string]float64{
			"gateway.units/s": sc.PooledCapacity(), "stock.reservations": sc.Stock.Reservations,
		},
		Margin: sc.Prediction.Margin, Switched: full.Switched(), Objectives: slices.Clone(full.Objectives),
		Assumptions: full.Assumptions(), Shards: 1, Native: sc.Gateway.Native, Baseline: full.Baseline,
	}
	switch full.Mode {
	case booking.ModeLossless:
		h.Capacity["ledger.units/s"] = sc.Ledger.DatabaseRate
	case booking.ModeQueued:
		h.Capacity["queue.depth"] = sc.Queue.Depth
		fallthrough
	default:
		h.Capacity["ledger.rows/s"] = sc.Ledger.Rate
	}
	return h
}

// Digest is the SHA-256 of Text, hex: the scenario's identity.
func (s *Spec) Digest() string {
	sum := sha256.Sum256([]byte(s.Text))
	return hex.EncodeToString(sum[:])
}

// Switched lists the layers that are off, in the order of LayerWords.
func (s *Spec) Switched() []string {
	var out []string
	for _, w := range LayerWords() {
		if !s.On(w) {
			out = append(out, w)
		}
	}
	return out
}

// Assumptions lists every assumed value in the order of the file.
func (s *Spec) Assumptions() []record.Assumption {
	var out []record.Assumption
	for _, p := range s.notedPaths() {
		if n := s.Notes[p]; n.Why != "" {
			out = append(out, record.Assumption{Key: p, Low: n.Low, Base: n.Value, High: n.High, Why: n.Why})
		}
	}
	return out
}

// notedPaths lists the keys that were given, in the order of the file's grammar;
// items of lists come last.
func (s *Spec) notedPaths() []string {
	order := map[string]int{}
	s.each(func(p, _ string, _ reflect.Value) { order[p] = len(order) })
	paths := sortedKeys(s.Notes)
	sort.SliceStable(paths, func(i, j int) bool {
		a, okA := order[paths[i]]
		b, okB := order[paths[j]]
		return okA && (!okB || a < b)
	})
	return paths
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), strings.Compare)
}
