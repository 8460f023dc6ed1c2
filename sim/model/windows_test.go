package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/record"
	"spillway/scenarios"
)

// differences lists where two records differ, a line each.
func differences(a, b *record.Record) (out []string) {
	say := func(format string, args ...any) {
		if len(out) < 12 {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for _, k := range slices.Concat(a.Keys(), b.Keys()) {
		x, y := a.Hists[k], b.Hists[k]
		if x.Count() != y.Count() || x.Mean() != y.Mean() || x.Max() != y.Max() {
			say("%v: %d, mean %v, max %v · %d, mean %v, max %v", k, x.Count(), x.Mean(), x.Max(), y.Count(), y.Mean(), y.Max())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Counters)) {
		if !slices.Equal(a.Counters[name], b.Counters[name]) {
			say("counter %s: %v · %v", name, a.Counters[name], b.Counters[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Samples)) {
		x, y := a.Samples[name], b.Samples[name]
		if len(x) != len(y) {
			say("%d and %d samples %s", len(x), len(y), name)
			continue
		}
		for i := range x {
			if x[i] != y[i] {
				say("sample %s at %v: %v · %v", name, x[i].At, x[i].Value, y[i].Value)
				break
			}
		}
	}
	for i := range a.Groups {
		if x, y := fmt.Sprint(a.Groups[i]), fmt.Sprint(b.Groups[i]); x != y {
			say("%s\n%s", x, y)
		}
	}
	if x, y := fmt.Sprint(a.Deciles), fmt.Sprint(b.Deciles); x != y {
		say("%s · %s", x, y)
	}
	if x, y := fmt.Sprint(a.Marks, a.Invariants), fmt.Sprint(b.Marks, b.Invariants); x != y {
		say("%s · %s", x, y)
	}
	if x, y := fmt.Sprint(a.Header.Notes, a.Header.Requested), fmt.Sprint(b.Header.Notes, b.Header.Requested); x != y {
		say("%s · %s", x, y)
	}
	return out
}

func sameAsPlain(t *testing.T, sc *scenarios.Scaled, opts ...Options) {
	t.Helper()
	sameAs(t, sc, run(t, sc, Options{Plain: true}), opts...)
}

func sameAs(t *testing.T, sc *scenarios.Scaled, want *record.Record, opts ...Options) {
	t.Helper()
	for _, opt := range opts {
		got := run(t, sc, opt)
		if want.Digest() == got.Digest() {
			continue
		}
		for _, d := range differences(want, got) {
			t.Errorf("windows of 2^%d ns, shards %d: plain · windows: %s", opt.windowShift, opt.shardBits, d)
		}
		if !t.Failed() {
			t.Error("the digests differ")
		}
	}
}

// Every shipped scenario, with each layer off in turn, gives the plain engine's
// record byte for byte, whatever the width of the windows and the number of shards.
func TestWindowsGiveThePlainRecord(t *testing.T) {
	for _, name := range scenarios.Names() {
		layers := append([]string{""}, scenarios.LayerWords()...)
		if testing.Short() && name != "smoke" {
			layers = layers[:1]
		}
		for _, layer := range layers {
			t.Run(name+"/"+layer, func(t *testing.T) {
				var set []string
				if layer != "" {
					set = []string{"layers." + layer, "off"}
				}
				sameAsPlain(t, possible(scaled(t, name, 1.0/1000, 4, 3, set...)), Options{}, Options{windowShift: 25, shardBits: 1}, Options{windowShift: 27, shardBits: 4, foresee: true})
			})
		}
	}
}

// So few users and so slow a network that people open the program again while their
// config is on its way, that clients are moved and come back, and that nothing fits.
func TestWindowsGiveThePlainRecordWhenCrowded(t *testing.T) {
	people := 1.0 / 200
	if testing.Short() {
		people = 1.0 / 1000
	}
	for name, set := range map[string][]string{
		"same people":      {"population.users", "2_000 users", "visitor.config_life", "1s", "edge.config_life", "10s"},
		"and a full queue": {"population.users", "20_000 users", "stock.reservations", "10_000_000 reservations", "ledger.rate", "300 rows/s"},
		"hardly a pass":    {"admission.gate", "coin", "admission.probability", "1%", "visitor.give_up", "5%"},
		"short locks":      {"visitor.lock", "300ms", "visitor.human_min", "0s"},
		"short forms":      {"visitor.form", "300ms", "visitor.notice", "100ms"},
		"no think time":    {"visitor.form", "1ms", "visitor.notice", "0s", "visitor.think_cv", "0 x"},
		"slow edge":        {"edge.config_life", "1s", "edge.catalogue_life", "1s", "edge.origin", "5 units"},
		"key on the url":   {"edge.cache_key", "url"},
		"spread service":   {"gateway.service_cv", "0.5 x"},
		"a budget":         {"gateway.retry_ratio", "20%"},
		"in-flight limit":  {"gateway.in_flight", "20_000 requests"},
		"overload":         {"gateway.capacity", "3_000 units/s"},
		"polite":           {"visitor.honours_retry_after", "on", "visitor.jitter", "on", "gateway.retry_after", "7s", "gateway.capacity", "4_000 units/s"},
		"no results":       {"admission.results", "off"},
	} {
		t.Run(name, func(t *testing.T) {
			sc := scaled(t, "suikang-2020-01-31", people, 1, 3, append([]string{"window.from", "-30s", "window.to", "60s"}, set...)...)
			slow := Options{Network: 20 * time.Millisecond}
			wide, narrow := slow, slow
			wide.windowShift, wide.shardBits, wide.foresee = 29, 4, true
			narrow.windowShift, narrow.shardBits = 23, 2
			sameAsPlain(t, sc, Options{})
			sameAs(t, sc, run(t, sc, Options{Plain: true, Network: 20 * time.Millisecond}), slow, wide, narrow)
		})
	}
}

// Whatever a shard sends is answered at once, refused at the door, held, or led on as an
// ordinary request: in a crowd every step goes every way, and the record stays the plain
// engine's. The last way of all is that of a ticket's holder whose user the servers' part
// has taken meanwhile, for a config that was not at the edge.
func TestWindowsGoEveryWay(t *testing.T) {
	var all ways
	for _, set := range [][]string{
		{"ledger.rate", "300 rows/s", "admission.probability", "50%", "gateway.capacity", "5_000 units/s"},
		{"ledger.rate", "300 rows/s", "admission.probability", "50%", "gateway.in_flight", "200 requests", "visitor.honours_retry_after", "on", "visitor.poll_every", "2s"},
		{"population.users", "4_000_000 users", "ledger.rate", "300 rows/s", "admission.probability", "99%", "visitor.config_life", "1s", "edge.config_life", "2s", "edge.origin", "200 units"},
	} {
		sc := scaled(t, "suikang-2020-01-31", 1.0/200, 1, 3, append([]string{"window.from", "-10s", "window.to", "90s", "stock.reservations", "10_000_000 reservations"}, set...)...)
		spec := sc.Full
		// Everything goes wrong in turn.
		spec.Changes = []scenarios.Change{{At: 20 * time.Second, Key: "admission.results", To: "off"}, {At: 40 * time.Second, Key: "admission.results", To: "on"},
			{At: 50 * time.Second, Key: "admission.gate", To: "coin"}}
		at := func(sec int, kind, target string, long int, amount float64) scenarios.Fault {
			return scenarios.Fault{At: time.Duration(sec) * time.Second, Kind: kind, Target: target, For: time.Duration(long) * time.Second, Amount: amount}
		}
		spec.Faults = []scenarios.Fault{at(10, fault.SlowStore, "", 6, 0.2), at(18, fault.Kill, fault.Redis, 2, 0), at(24, fault.Cut, fault.GatewayRedis, 3, 0),
			at(30, fault.InstanceLoss, "", 10, 6), at(43, fault.RedisFull, "", 3, 0), at(55, fault.Kill, fault.Gateway, 5, 4), at(65, fault.WriterStop, "", 10, 0),
			at(76, fault.EdgeStale, "", 12, 0), at(81, fault.Outage, "", 4, 0), at(83, fault.Outage, "", 1, 0)}
		sc = withSpec(t, &spec, 1.0/200, 1, 3)
		want := run(t, sc, Options{Plain: true})
		for _, opt := range []Options{{}, {windowShift: 23, shardBits: 3}} {
			e, err := newEvening(sc, opt)
			if err != nil {
				t.Fatal(err)
			}
			e.run(t.Context())
			w := e.windows
			if err := cmp.Or(e.err, e.kernel.Err(), e.finish(false)); err != nil {
				t.Fatal(err)
			}
			for _, d := range differences(want, e.rec) {
				t.Errorf("%v, windows of 2^%d ns: plain · windows: %s", set, w.shift, d)
			}
			if want.Digest() != e.rec.Digest() {
				t.Errorf("%v, windows of 2^%d ns: the digests differ", set, w.shift)
			}
			for s := range all.held {
				all.atOnce[s] += w.ways.atOnce[s]
				all.refused[s] += w.ways.refused[s]
				all.held[s] += w.ways.held[s]
				all.unheld[s] += w.ways.unheld[s]
			}
			all.woken += w.ways.woken
		}
	}
	for _, s := range []booking.Step{booking.StepStatus, booking.StepCheck, booking.StepSubmit, booking.StepPoll} {
		if n := min(all.atOnce[s], all.refused[s], all.held[s], all.unheld[s]); n < 5 {
			t.Errorf("%v: %d at once, %d refused, %d held, %d held in vain: want 5 each", s, all.atOnce[s], all.refused[s], all.held[s], all.unheld[s])
		}
	}
	if all.woken == 0 {
		t.Error("no holder of a ticket woke where its user had gone")
	}
}
