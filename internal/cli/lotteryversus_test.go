package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/reference/lottery"
	"spillway/reports"
	"spillway/scenarios"
)

// thinRoll is the roll of the shipped scenario with people thinned.
func thinRoll(t *testing.T, people float64, seed draw.Seed) *roll {
	t.Helper()
	spec, err := scenarios.Load("versus-lottery")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := scenarios.ScaleWithin(spec, people, 1, scenarios.Unbounded)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRoll(sc.WithSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every person stands in the list once, at a moment of the day; read in any pieces it
// is the same list.
func TestRoll(t *testing.T) {
	r := thinRoll(t, 1./1000, 1)
	if r.people() != 5000 || r.persons() != 5005 {
		t.Fatalf("%d people, %d persons", r.people(), r.persons())
	}
	rules := lotteryRules()
	var whole []byte
	ids := map[lottery.ID]bool{}
	var hours [24]int
	for i := range r.persons() {
		e := r.entry(i)
		if err := e.Check(); err != nil {
			t.Fatal(err)
		}
		at := time.Duration(e.Entered) * time.Millisecond
		if day := rules.First(at); day.String() != rollDay || personOf(e.ID) != i || ids[e.ID] || e.Line >= int(r.sc.Stock.Shops) {
			t.Fatalf("person %d: entry %+v of the draw of %v", i, e, day)
		}
		ids[e.ID] = true
		hours[moment(rules, at).Hour()]++
		if s := r.second(e); s < 0 || s >= daySeconds {
			t.Fatalf("person %d came in second %d", i, s)
		}
		whole = e.AppendTo(whole)
	}
	// The hours are those of the made-up day: within five standard deviations each.
	_, want := busiestHour()
	for h, n := range hours {
		due := want[h] * float64(r.persons()) / 24
		if d := float64(n) - due; d*d > 25*due {
			t.Errorf("%d entered in hour %d, due are %.0f", n, h, due)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.IntRange(0, len(whole)+100).Draw(t, "offset")
		p := make([]byte, rapid.IntRange(0, 500).Draw(t, "length"))
		n, err := r.ReadAt(p, int64(off))
		want := whole[min(off, len(whole)):min(off+len(p), len(whole))]
		if !bytes.Equal(p[:n], want) || (err == nil) != (n == len(p)) || err != nil && err != io.EOF {
			t.Fatalf("at %d: %d of %d bytes, %v", off, n, len(p), err)
		}
	})
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("it reads before its beginning")
	}
}

// The odds are those of a draw done by hand: all tickets in order, line by line.
func TestRollOdds(t *testing.T) {
	r := thinRoll(t, 1./100, 7)
	got, err := r.odds(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if botsOf(got).Won == 0 {
		t.Error("no bot's owner wins at this seed: take another, for they are in no tenth")
	}
	type person struct {
		ticket lottery.Hash
		i      uint64
		at     int64
	}
	lines := make([][]person, int(r.sc.Stock.Shops))
	var people []person
	seed := seedOf(r)
	for i := range r.persons() {
		e := r.entry(i)
		p := person{lottery.Ticket(seed, e.ID), i, e.Entered}
		lines[e.Line] = append(lines[e.Line], p)
		if i < r.people() {
			people = append(people, p)
		}
	}
	won := map[uint64]bool{}
	for l, quota := range r.sc.Items() {
		slices.SortFunc(lines[l], func(a, b person) int { return bytes.Compare(a.ticket[:], b.ticket[:]) })
		for _, p := range lines[l][:min(quota, len(lines[l]))] {
			won[p.i] = true
		}
	}
	if got.All.Won != uint64(len(won)) || got.All.Of != r.persons() {
		t.Errorf("%+v, by hand %d won", got.All, len(won))
	}
	groups, of := make([]uint64, len(r.groups())), make([]uint64, len(r.groups()))
	for i := range r.persons() {
		g := len(groups) - 1
		if i < r.people() {
			g = policy.ClassOf(r.sc.Population.Classes, booking.UserID(i))
		}
		of[g]++
		if won[i] {
			groups[g]++
		}
	}
	for g, c := range got.Groups {
		if c.Won != groups[g] || c.Of != of[g] || c.Name != r.groups()[g] {
			t.Errorf("%+v, by hand %d of %d", c, groups[g], of[g])
		}
	}
	slices.SortFunc(people, func(a, b person) int { return cmp.Compare(a.at, b.at) })
	var tenths, sizes uint64
	for i, c := range got.Tenths {
		tenths, sizes = tenths+c.Won, sizes+c.Of
		var hand uint64
		for _, p := range people[i*len(people)/10 : (i+1)*len(people)/10] {
			if won[p.i] {
				hand++
			}
		}
		if c.Won > hand+1 || hand > c.Won+1 { // a tenth begins with a second
			t.Errorf("tenth %d: %d won, by hand %d", i+1, c.Won, hand)
		}
	}
	if sizes != r.people() || tenths+got.Groups[len(groups)-1].Won != got.All.Won {
		t.Errorf("the tenths have %d people and %d winners", sizes, tenths)
	}
}

// Neither hour nor class nor bot changes a chance, at a hundredth of the crowd.
func TestRollIsFair(t *testing.T) {
	o, err := thinRoll(t, 1./100, 3).odds(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := reports.Even(o.Tenths), reports.Even(o.Groups); a.P < 1e-3 || b.P < 1e-3 {
		t.Errorf("tenths %s; groups %s", a.Text(), b.Text())
	}
}

// Scenarios of other people or other goods are not compared.
func TestSamePeople(t *testing.T) {
	whole(t)
	for name, c := range map[string]struct{ rush, lottery []record.Setting }{
		"users":        {lottery: []record.Setting{{Key: "population.users", Value: "4_000_000 users"}}},
		"bots":         {rush: []record.Setting{{Key: "bots.count", Value: "1 bots"}}},
		"stock":        {lottery: []record.Setting{{Key: "stock.reservations", Value: "100_237 reservations"}}},
		"mode":         {lottery: []record.Setting{{Key: "mode", Value: "queued"}}},
		"another mode": {rush: []record.Setting{{Key: "mode", Value: "lossless"}}},
	} {
		load := func(name string, set []record.Setting) *scenarios.Spec {
			spec, err := scenarios.Load(name)
			if err == nil {
				err = spec.SetAll(set...)
			}
			if err != nil {
				t.Fatal(err)
			}
			return spec
		}
		if err := samePeople(load("versus-rush", c.rush), load("versus-lottery", c.lottery)); err == nil {
			t.Errorf("other %s: taken", name)
		}
		if err := samePeople(load("versus-rush", nil), load("versus-lottery", nil)); err != nil {
			t.Error(err)
		}
	}
	for _, args := range [][]string{{"--lottery", "versus-rush"}, {"--rush", "nothing-there"}, {"--seeds", "-1"}, {"--scale", "5"}, {"--rush", "suikang-ample-stock"}} {
		code, _, stderr := spillway(append([]string{"lottery", "versus", "--out", t.TempDir()}, args...)...)
		if code != 2 {
			t.Errorf("%v: exit code %d", args, code)
		}
		oneClearLine(t, stderr)
	}
}

// The page is whole, and its numbers are those of the records.
func TestVersusPage(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, stdout, stderr := spillway("lottery", "versus", "--scale", "1:1000", "--seeds", "1", "--no-attack", "--json", "--out", dir)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var v, kept reports.Versus
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read("summary.json")), &kept); err != nil || kept.Text() != v.Text() {
		t.Errorf("summary.json is not what was printed: %v", err)
	}
	html := read("index.html")
	for _, want := range []string{"Against the rush", "Who wins", "Servers", "The load over time", "What it cannot tell", "many identities", "publication", "Assumptions",
		"bots.count", "arrivals.visits", "spillway lottery versus --seed 1 --scale 1:1000 --seeds 1 --no-attack", "rush-sim.rec", "</html>"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, f := range []string{"loads", "winners", "servers"} {
		if !strings.Contains(html, `id="`+f+`"`) || len(read("figures/"+f+".svg")) == 0 || len(read("figures/"+f+".png")) == 0 {
			t.Errorf("figure %s is missing", f)
		}
	}
	for i, name := range sideNames {
		rec, err := record.ReadFile(filepath.Join(dir, name+"-sim.rec"))
		if err != nil {
			t.Fatal(err)
		}
		var total, most uint64
		for s := range max(len(rec.Counters[record.CountRequests]), len(rec.Counters[record.CountPolls])) {
			var n uint64
			for _, c := range []string{record.CountRequests, record.CountPolls} {
				if s < len(rec.Counters[c]) {
					n += rec.Counters[c][s]
				}
			}
			total, most = total+n, max(most, n)
		}
		if l := v.Sides[i].Simulated; l.Requests != total || l.PeakS != float64(most) || l.Digest != rec.Header.Digest {
			t.Errorf("%s: %+v, the record has %d requests, %d in its busiest second", name, l, total, most)
		}
		if !strings.Contains(html, count(total)) {
			t.Errorf("the page does not have the %s requests of the %s", count(total), name)
		}
		if name == "rush" {
			for j, g := range rec.Groups {
				if c := v.Sides[0].Odds.Groups[j]; c.Name != g.Name || c.Won != g.Stages[record.StageConfirmed] || !strings.Contains(html, c.Text()) {
					t.Errorf("group %s: %+v", g.Name, c)
				}
			}
		}
	}
	if s := v.Sides[1].Servers; s == nil || s.Fewest != 1 || s.Times < 1.6 || v.Sides[0].Servers.Fewest < 8 {
		t.Errorf("servers %+v and %+v", v.Sides[0].Servers, s)
	}
	if b := botsOf(v.Sides[0].Odds); b.Won != b.Of || b.Of != v.Bots {
		t.Errorf("bots %+v", b)
	}
}

// What was measured is shown with its intervals and its verdict; a generator that
// lagged is said and is the exit code.
func TestVersusMeasured(t *testing.T) {
	whole(t)
	c := &lotteryVersusCmd{Rush: "versus-rush", Lottery: "versus-lottery", Seed: 1, Scale: "1:1000", Attack: true}
	a := &app{ctx: context.Background(), stdout: io.Discard, stderr: io.Discard}
	v := versus{lotteryVersusCmd: c, a: a, show: newProgress(io.Discard), dir: t.TempDir()}
	for _, do := range []func() error{v.load, v.simulate, v.count} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	// A simulation of the window stands for the attack.
	opt, err := simulationDefaults.options()
	if err != nil {
		t.Fatal(err)
	}
	for i, sc := range v.own {
		if v.attacks[i], err = simulate(a, v.show, sc, opt); err != nil {
			t.Fatal(err)
		}
		v.attacks[i].Header.Label = "attack"
		v.attacks[i].Hist(record.Key{Span: record.SpanLateness, Clock: record.Response}).AddN(100*time.Microsecond, 10_000)
	}
	v.attacks[1].Header.Saturated = true
	if err := v.measured(); err != nil {
		t.Fatal(err)
	}
	v.judge()
	sheet := v.sheet()
	drawings, err := v.drawings()
	if err != nil {
		t.Fatal(err)
	}
	if v.Code != 4 || !strings.HasPrefix(v.Sides[1].Valid, "INVALID") || !strings.HasPrefix(v.Sides[0].Valid, "HELD") {
		t.Errorf("exit code %d; rush %s; lottery %s", v.Code, v.Sides[0].Valid, v.Sides[1].Valid)
	}
	if !slices.ContainsFunc(sheet.Warnings, func(s string) bool { return strings.Contains(s, "the lottery as measured: INVALID") }) {
		t.Errorf("warnings %q", sheet.Warnings)
	}
	if n := len(sheet.Details); n != 4 || len(drawings) != 3 {
		t.Errorf("%d tables, %d figures", n, len(drawings))
	}
	rush := v.attacks[0]
	scaled := v.Sides[0].Scaled
	var won, lots uint64
	for _, g := range rush.Groups {
		won += g.Stages[record.StageConfirmed]
	}
	for _, g := range v.Sides[1].Scaled.Groups {
		lots += g.Won
	}
	if scaled.All.Won != won || scaled.All.Of != 50_050 || lots != 756 {
		t.Errorf("%+v; the record has %d winners, the draw %d", scaled.All, won, lots)
	}
	m := v.MeasuredTable().Text()
	for _, want := range []string{count(v.Sides[0].Measured.Requests), "100 µs", "1:100", "1:1"} {
		if !strings.Contains(m, want) {
			t.Errorf("what was measured lacks %q:\n%s", want, m)
		}
	}
}
