package lottery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
)

// people makes n entries on fixed draws: the id is a hash, the line leans towards the
// first ones, a third take another type.
func people(n, lines int, seed uint64) []Entry {
	r := rand.New(rand.NewPCG(seed, 1))
	es := make([]Entry, n)
	for i := range es {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, seed<<32+uint64(i)))
		f := r.Float64()
		es[i] = Entry{ID: ID(h[:IDBytes]), Line: int(f * f * float64(lines)), Other: r.IntN(3) == 0, Senior: r.IntN(20) == 0,
			Lost: r.IntN(10), Entered: 1_581_500_000_000 + r.Int64N(500_000_000)}
		if r.IntN(4) == 0 {
			es[i].Edited = es[i].Entered + r.Int64N(30_000_000)
		}
	}
	return es
}

// stock is a stock list of lines, three types a shop, with quotas of about share of
// the entries; some lines have more than their entries.
func stock(es []Entry, lines int, share float64, seed uint64) []Line {
	r := rand.New(rand.NewPCG(seed, 2))
	out := make([]Line, lines)
	for i := range out {
		out[i] = Line{Area: "Area", Shop: fmt.Sprintf("Shop %d", i/3), Type: string(rune('A' + i%3)), Masks: 10}
	}
	for _, e := range es {
		out[e.Line].Entries++
	}
	for i := range out {
		out[i].Quota = int64(share * float64(out[i].Entries) * 2 * r.Float64())
		if r.IntN(5) == 0 {
			out[i].Quota = out[i].Entries + int64(r.IntN(20)) // not all wanted
		}
		out[i].Stock = out[i].Quota
	}
	return out
}

// listOf is the list of entries in canonical order.
func listOf(es []Entry) List {
	es = slices.Clone(es)
	sort.Slice(es, func(i, j int) bool { return bytes.Compare(es[i].ID[:], es[j].ID[:]) < 0 })
	var b []byte
	for _, e := range es {
		b = e.AppendTo(b)
	}
	return NewList(bytes.NewReader(b), int64(len(es)))
}

// plainDraw is the draw as one would say it: sort everybody by ticket, take the
// first; it is the oracle of Draw and shares nothing with it but the two hashes.
func plainDraw(es []Entry, lines []Line, seed Hash) (wins, reserve []Win, shops []Shop) {
	ticket := func(seed Hash, e Entry) *big.Int {
		h := sha256.Sum256(append(append([]byte{}, seed[:]...), e.ID[:]...))
		return new(big.Int).SetBytes(h[:])
	}
	order := func(es []Entry, seed Hash) []Entry {
		tickets := map[ID]*big.Int{}
		for _, e := range es {
			tickets[e.ID] = ticket(seed, e)
		}
		es = slices.Clone(es)
		sort.Slice(es, func(i, j int) bool { return tickets[es[i].ID].Cmp(tickets[es[j].ID]) < 0 })
		return es
	}
	fill := func(b *big.Int) (h Hash) { b.FillBytes(h[:]); return h }
	left := make([]int64, len(lines))
	lost := make([][]Entry, len(lines)) // by line, in order
	for i, l := range lines {
		left[i] = l.Quota
		var pool []Entry
		for _, e := range es {
			if e.Line == i {
				pool = append(pool, e)
			}
		}
		for j, e := range order(pool, seed) {
			if left[i] > 0 {
				left[i]--
				wins = append(wins, Win{i, 1, j + 1, e, fill(ticket(seed, e))})
			} else {
				lost[i] = append(lost[i], e)
			}
		}
	}
	again := digest("spillway lottery second round v1", seed[:])
	moved := map[ID]bool{}
	for first := 0; first < len(lines); {
		end := first
		for end < len(lines) && lines[end].Shop == lines[first].Shop {
			end++
		}
		var pool []Entry
		s := Shop{Line: first, Shop: lines[first].Shop, Cutoff: everybody}
		for i := first; i < end; i++ {
			s.Left += left[i]
			for _, e := range lost[i] {
				if e.Other {
					pool = append(pool, e)
				}
			}
		}
		s.Entries = int64(len(pool))
		if s.Left > 0 && len(pool) > 0 {
			at := first
			for j, e := range order(pool, again) {
				for at < end && left[at] == 0 {
					at++
				}
				if at == end {
					break
				}
				left[at]--
				s.Won++
				s.Cutoff = fill(ticket(again, e))
				moved[e.ID] = true
				wins = append(wins, Win{at, 2, j + 1, e, fill(ticket(again, e))})
			}
			if s.Won == s.Entries {
				s.Cutoff = everybody
			}
			shops = append(shops, s)
		}
		first = end
	}
	for i, l := range lines {
		n := 0
		for _, e := range lost[i] {
			if !moved[e.ID] && int64(n) < (l.Quota+9)/10 {
				n++
				reserve = append(reserve, Win{i, 0, n, e, fill(ticket(seed, e))})
			}
		}
	}
	return wins, reserve, shops
}

func testSeed(n uint64) Hash { return digest("test", binary.BigEndian.AppendUint64(nil, n)) }

func draw(t testing.TB, es []Entry, lines []Line, seed Hash) Outcome {
	t.Helper()
	out, err := Draw(context.Background(), listOf(es), lines, seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDrawEqualsThePlainOne(t *testing.T) {
	for n := range uint64(60) {
		size, lines := []int{0, 1, 3, 50, 700, 9000}[n%6], 1+int(n%9)
		es := people(size, lines, n)
		list := stock(es, lines, []float64{0, 0.04, 0.3, 1.2}[n%4], n)
		out := draw(t, es, list, testSeed(n))
		wins, reserve, shops := plainDraw(es, list, testSeed(n))
		if !slices.Equal(out.Wins, wins) {
			t.Fatalf("seed %d: %d wins, the plain draw has %d, or others", n, len(out.Wins), len(wins))
		}
		if !slices.Equal(out.Reserve, reserve) {
			t.Fatalf("seed %d: %d in reserve, the plain draw has %d, or others", n, len(out.Reserve), len(reserve))
		}
		if !slices.Equal(out.Shops, shops) {
			t.Fatalf("seed %d: round 2 %+v, the plain draw has %+v", n, out.Shops, shops)
		}
	}
}

// With one core or many, with thresholds too narrow at first: the same draw.
func TestDrawIsTheSameWhateverTheMargin(t *testing.T) {
	es := people(20_000, 6, 3)
	lines := stock(es, 6, 0.05, 3)
	want := draw(t, es, lines, testSeed(3))
	d, err := newDrawing(listOf(es), lines, testSeed(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	passes := 0
	d.progress = func(_ int, done int64) {
		if done == 20_000 {
			passes++
		}
	}
	narrow := [6]int64{}
	for i := range narrow {
		narrow[i] = lines[i].Quota
	}
	short, err := d.below(context.Background(), 1, testSeed(3), thresholds(narrow[:], []int64{1e6, 1e6, 1e6, 1e6, 1e6, 1e6}, make([]float64, 6)),
		func(e raw) int { return e.line() }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(short[0]) >= int(lines[0].Quota) {
		t.Fatal("the narrow threshold was not narrow: the test shows nothing")
	}
	of := make([]int64, 6)
	for i := range of {
		of[i] = lines[i].Entries
	}
	passes = 0
	// A margin of minus three standard deviations must be doubled … so begin at a tiny one.
	got, err := d.shortlistFrom(context.Background(), 1, testSeed(3), narrow[:], of, 1e-9, func(e raw) int { return e.line() }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if passes < 2 {
		t.Errorf("%d passes: the margin never was too small", passes)
	}
	for i, p := range want.Pools {
		for j := range p.Won {
			if got[i][j].Ticket != want.Wins[slices.IndexFunc(want.Wins, func(w Win) bool { return w.Line == i && w.Round == 1 })+int(j)].Ticket {
				t.Fatalf("line %d, rank %d: another winner", i, j+1)
			}
		}
	}
}

func TestDrawDoesNotDependOnOrderOrCores(t *testing.T) {
	es := people(30_000, 7, 5)
	lines := stock(es, 7, 0.06, 5)
	want := draw(t, es, lines, testSeed(5))
	r := rand.New(rand.NewPCG(5, 5))
	for range 3 {
		r.Shuffle(len(es), func(i, j int) { es[i], es[j] = es[j], es[i] })
		if got := draw(t, es, lines, testSeed(5)); !reflect.DeepEqual(got, want) {
			t.Fatal("the order of the input changed the draw")
		}
	}
}

// A pool drawn in shards, each giving its smallest tickets, has the same winners.
func TestDrawInShards(t *testing.T) {
	es := people(8_000, 1, 6)
	lines := []Line{{Shop: "S", Type: "A", Masks: 10, Stock: 100, Quota: 100, Entries: 8_000}}
	want := draw(t, es, lines, testSeed(6))
	var merged []Win
	for s := range 5 {
		var part []Entry
		for i, e := range es {
			if i%5 == s {
				part = append(part, e)
			}
		}
		l := slices.Clone(lines)
		l[0].Entries = int64(len(part))
		merged = append(merged, draw(t, part, l, testSeed(6)).Wins...)
	}
	slices.SortFunc(merged, byTicket)
	for i, w := range want.Wins {
		if merged[i].Entry != w.Entry {
			t.Fatalf("rank %d: another winner in shards", i+1)
		}
	}
}

// One more loser changes who else wins only through the cut-off: whoever wins with
// it won without it, and one at most made room.
func TestOneMoreEntryTakesOnePlaceAtMost(t *testing.T) {
	es := people(4_000, 1, 7)
	lines := []Line{{Shop: "S", Type: "A", Masks: 10, Stock: 150, Quota: 150}}
	rest := es[:len(es)-200]
	lines[0].Entries = int64(len(rest))
	before := draw(t, rest, lines, testSeed(7))
	won := map[ID]bool{}
	for _, w := range before.Wins {
		won[w.Entry.ID] = true
	}
	entered, kept := 0, 0
	for _, e := range es[len(rest):] {
		lines[0].Entries = int64(len(rest)) + 1
		after := draw(t, append(slices.Clone(rest), e), lines, testSeed(7))
		isIn := false
		others := 0
		for _, w := range after.Wins {
			if w.Entry.ID == e.ID {
				isIn = true
			} else if won[w.Entry.ID] {
				others++
			}
		}
		switch {
		case isIn && others == len(before.Wins)-1:
			entered++
		case !isIn && others == len(before.Wins):
			kept++
		default:
			t.Fatalf("entry %s: wins %v, %d of %d others kept", e.ID, isIn, others, len(before.Wins))
		}
	}
	if entered == 0 || kept == 0 {
		t.Errorf("%d entered, %d did not: the test shows one side only", entered, kept)
	}
}

func TestDrawRefuses(t *testing.T) {
	es := people(100, 2, 8)
	good := stock(es, 2, 0.2, 8)
	for name, c := range map[string]struct {
		change func([]Line) []Line
		says   string
	}{
		"a quota above the stock": {func(l []Line) []Line { l[1].Quota = l[1].Stock + 1; return l }, "is above the stock"},
		"a line twice":            {func(l []Line) []Line { l[1].Type = l[0].Type; return l }, "lines 0 and 1"},
		"no lines":                {func([]Line) []Line { return nil }, "0 lines"},
		"a wrong count":           {func(l []Line) []Line { l[0].Entries++; return l }, "count 101 entries"},
		"a line too few":          {func(l []Line) []Line { l[0].Entries += l[1].Entries; return l[:1] }, "is for line 1"},
		"counts moved":            {func(l []Line) []Line { l[0].Quota, l[0].Stock = 1e6, 1e6; l[0].Entries, l[1].Entries = 99, 1; return l }, "fewer entries"},
	} {
		lines := change(slices.Clone(good), c.change)
		_, err := Draw(context.Background(), listOf(es), lines, testSeed(8), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
	}
}

func change(l []Line, f func([]Line) []Line) []Line { return f(l) }
