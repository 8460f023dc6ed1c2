package lottery

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Line is a line of the day's stock list: one type of mask at one shop.
type Line struct {
	Area string `json:"area"`
	Shop string `json:"shop"`
	Type string `json:"type"`
	// Masks is how many a reservation gives.
	Masks int `json:"masks"`
	// Stock is how many reservations the shop can serve, Quota how many are drawn
	// today: never more.
	Stock int64 `json:"stock"`
	Quota int64 `json:"quota"`
	// Entries is how many chose the line first; filled in by the seal.
	Entries int64 `json:"entries"`
}

// Win is an entry that was drawn.
type Win struct {
	Line   int // whose reservation it gets; in round 2 another than the entry's
	Round  int // 1: first choice; 2: another type in the same shop; 0: reserve
	Rank   int // from 1, by ticket, within line and round (in round 2: within the shop)
	Entry  Entry
	Ticket Hash // of its round
}

// Pool is what became of those who chose a line.
type Pool struct {
	Line    int   `json:"line"`
	Entries int64 `json:"entries"`
	Quota   int64 `json:"quota"`
	Won     int64 `json:"won"` // in round 1
	// Cutoff is the largest ticket that won in round 1: an entry of the line has won
	// when its ticket is not above. All ones when everybody won.
	Cutoff Hash `json:"cutoff"`
	// Second is how many of the line's reservations went to round 2.
	Second int64 `json:"second"`
}

// Shop is what became of round 2 in a shop that had reservations left.
type Shop struct {
	Line    int    `json:"line"` // the shop's first line in the stock list
	Shop    string `json:"shop"`
	Entries int64  `json:"entries"` // who took part: lost in round 1 and takes another type
	Left    int64  `json:"left"`    // reservations that round 1 left over
	Won     int64  `json:"won"`
	Cutoff  Hash   `json:"cutoff"` // as in Pool, of round 2's tickets
}

// Outcome is a draw's outcome. It follows from the seed and the list alone.
type Outcome struct {
	Pools   []Pool // in the order of the stock list
	Shops   []Shop // those with a round 2, in the order of the stock list
	Wins    []Win  // by line of the winner's choice, then rank; round 2 after them, by shop and rank
	Reserve []Win  // by line, then rank: who moves up when a winner does not come
}

// Ticket is an entry's ticket under a seed: SHA-256(seed ∥ id), 48 bytes in one
// block. The smallest tickets win.
func Ticket(seed Hash, id ID) Hash {
	var b [sha256.Size + IDBytes]byte
	copy(b[:], seed[:])
	copy(b[sha256.Size:], id[:])
	return sha256.Sum256(b[:])
}

// secondSeed is round 2's seed: those who are drawn again have a fresh chance.
func secondSeed(seed Hash) Hash { return digest("spillway lottery second round v1", seed[:]) }

// everybody is the cut-off of a pool in which nobody lost.
var everybody = Hash(bytes.Repeat([]byte{0xff}, sha256.Size))

// ReserveOf is how long a line's reserve list is at most: a tenth of its quota,
// rounded up. How many winners fail to come is unknown; a tenth is an assumption.
func ReserveOf(quota int64) int64 { return (quota + 9) / 10 }

// Draw draws: in each line the quota's smallest tickets win; then, in shops with
// reservations left, the smallest of fresh tickets among the losers who take another
// type. It depends on seed, list and quotas, not on order, shards or cores. Memory
// grows with the winners, not with the losers.
//
// Each round goes over the list twice at most, in the manner of a threshold: first
// all tickets below a value that leaves somewhat more than are needed, then the
// exact order of those.
func Draw(ctx context.Context, l List, lines []Line, seed Hash, progress func(round int, done int64)) (Outcome, error) {
	return drawSeen(ctx, l, lines, seed, progress, func(int, []byte) {})
}

// drawSeen is Draw, which shows see the bytes of every chunk, on all cores.
func drawSeen(ctx context.Context, l List, lines []Line, seed Hash, progress func(round int, done int64), see func(chunk int, entries []byte)) (Outcome, error) {
	d, err := newDrawing(l, lines, seed, progress)
	if err != nil {
		return Outcome{}, err
	}
	d.see = see
	if err := d.first(ctx); err != nil {
		return Outcome{}, err
	}
	if err := d.second(ctx); err != nil {
		return Outcome{}, err
	}
	d.reserve()
	return d.out, nil
}

// drawing is a draw under way.
type drawing struct {
	l        List
	lines    []Line
	shops    []shop // in order of their first line
	shopOf   []int  // by line
	seed     Hash
	progress func(round int, done int64)
	see      func(chunk int, entries []byte)

	short  [][]Win     // by line: round 1's shortlist in order, winners first
	willed []int64     // by line: entries that take another type
	moved  map[ID]bool // who won in round 2
	out    Outcome
}

// shop is the lines of one shop.
type shop struct {
	name  string
	lines []int
}

// shopsOf groups lines by area and shop.
func shopsOf(lines []Line) (shops []shop, of []int) {
	seen := map[[2]string]int{}
	of = make([]int, len(lines))
	for i, l := range lines {
		key := [2]string{l.Area, l.Shop}
		at, ok := seen[key]
		if !ok {
			at = len(shops)
			seen[key] = at
			shops = append(shops, shop{name: l.Shop})
		}
		shops[at].lines = append(shops[at].lines, i)
		of[i] = at
	}
	return shops, of
}

func newDrawing(l List, lines []Line, seed Hash, progress func(int, int64)) (*drawing, error) {
	if err := checkLines(lines); err != nil {
		return nil, err
	}
	var n int64
	for _, line := range lines {
		n += line.Entries
	}
	if n != l.count {
		return nil, fmt.Errorf("lottery: the lines count %d entries, the list has %d", n, l.count)
	}
	d := &drawing{l: l, lines: lines, seed: seed, progress: progress, willed: make([]int64, len(lines)), moved: map[ID]bool{}}
	d.shops, d.shopOf = shopsOf(lines)
	return d, nil
}

func checkLines(lines []Line) error {
	if len(lines) == 0 || len(lines) > LinesMost {
		return fmt.Errorf("lottery: a stock list of %d lines: want 1 to %d", len(lines), LinesMost)
	}
	type key struct{ area, shop, kind string }
	seen := map[key]int{}
	for i, l := range lines {
		k := key{l.Area, l.Shop, l.Type}
		other, doubled := seen[k]
		seen[k] = i
		switch {
		case l.Shop == "" || l.Type == "":
			return fmt.Errorf("lottery: line %d of the stock list has no shop or no type", i)
		case doubled:
			return fmt.Errorf("lottery: lines %d and %d of the stock list are both %s at %s", other, i, l.Type, l.Shop)
		case l.Masks <= 0:
			return fmt.Errorf("lottery: line %d (%s, %s): %d masks a reservation: want at least 1", i, l.Shop, l.Type, l.Masks)
		case l.Stock < 0 || l.Quota < 0:
			return fmt.Errorf("lottery: line %d (%s, %s): stock %d, quota %d: want 0 or more", i, l.Shop, l.Type, l.Stock, l.Quota)
		case l.Quota > l.Stock:
			return fmt.Errorf("lottery: line %d (%s, %s): the quota of %d is above the stock of %d", i, l.Shop, l.Type, l.Quota, l.Stock)
		case l.Entries < 0:
			return fmt.Errorf("lottery: line %d (%s, %s): %d entries: want 0 or more", i, l.Shop, l.Type, l.Entries)
		}
	}
	return nil
}

// left is what round 1 leaves of a shop's quotas.
func (d *drawing) left(s shop) (n int64) {
	for _, i := range s.lines {
		n += max(0, d.lines[i].Quota-d.lines[i].Entries)
	}
	return n
}

// first is round 1.
func (d *drawing) first(ctx context.Context) error {
	want, of := make([]int64, len(d.lines)), make([]int64, len(d.lines))
	for i, l := range d.lines {
		// The reserve list comes from the same shortlist, after those whom round 2 takes.
		want[i] = l.Quota + ReserveOf(l.Quota) + d.left(d.shops[d.shopOf[i]])
		of[i] = l.Entries
	}
	counts := make([][]int64, workers())
	for w := range counts {
		counts[w] = make([]int64, len(d.lines))
	}
	short, err := d.shortlist(ctx, 1, d.seed, want, of, func(e raw) int { return e.line() },
		func(w, chunk int, entries []byte) {
			d.see(chunk, entries)
			for ; len(entries) > 0; entries = entries[EntryBytes:] {
				if e := raw(entries); e.other() && e.line() < len(d.lines) {
					counts[w][e.line()]++
				}
			}
		})
	if err != nil {
		return err
	}
	for _, c := range counts {
		for i, n := range c {
			d.willed[i] += n
		}
	}
	d.short = short
	for i, l := range d.lines {
		p := Pool{Line: i, Entries: l.Entries, Quota: l.Quota, Won: min(l.Quota, l.Entries), Cutoff: everybody}
		for j := range short[i] {
			short[i][j].Line, short[i][j].Rank = i, j+1
			if int64(j) < p.Won {
				short[i][j].Round = 1
			}
		}
		if p.Won < p.Entries {
			p.Cutoff = cutoff(short[i], p.Won)
		}
		d.out.Pools = append(d.out.Pools, p)
		d.out.Wins = append(d.out.Wins, short[i][:p.Won]...)
	}
	return nil
}

// cutoff is the largest ticket of the first won; all zeros when none won.
func cutoff(short []Win, won int64) Hash {
	if won == 0 {
		return Hash{}
	}
	return short[won-1].Ticket
}

// second is round 2: in shops where one type is sold out and another is not.
func (d *drawing) second(ctx context.Context) error {
	want, of := make([]int64, len(d.shops)), make([]int64, len(d.shops))
	for s, sh := range d.shops {
		want[s] = d.left(sh)
		for _, i := range sh.lines {
			if p := d.out.Pools[i]; p.Won < p.Entries {
				of[s] += d.willed[i]
				for _, w := range d.short[i][:p.Won] {
					if w.Entry.Other {
						of[s]--
					}
				}
			}
		}
		if of[s] == 0 {
			want[s] = 0
		}
	}
	if slices.Max(want) == 0 {
		return nil
	}
	shopOf := slices.Clone(d.shopOf) // -1 = nobody of the line takes part
	for i, p := range d.out.Pools {
		if p.Won == p.Entries || want[shopOf[i]] == 0 {
			shopOf[i] = -1
		}
	}
	short, err := d.shortlist(ctx, 2, secondSeed(d.seed), want, of, func(e raw) int {
		s := shopOf[e.line()]
		if s < 0 || !e.other() {
			return -1
		}
		p := &d.out.Pools[e.line()]
		if t := Ticket(d.seed, ID(e.id())); bytes.Compare(t[:], p.Cutoff[:]) <= 0 && p.Won > 0 {
			return -1 // has won
		}
		return s
	}, nil)
	if err != nil {
		return err
	}
	for s, sh := range d.shops {
		if want[s] == 0 {
			continue
		}
		won := min(want[s], of[s])
		r := Shop{Line: sh.lines[0], Shop: sh.name, Entries: of[s], Left: want[s], Won: won, Cutoff: everybody}
		if won < of[s] {
			r.Cutoff = cutoff(short[s], won)
		}
		d.out.Shops = append(d.out.Shops, r)
		d.assign(sh, short[s][:won])
	}
	return nil
}

// assign gives a shop's reservations that are left to round 2's winners, by rank, in
// the order of the stock list.
func (d *drawing) assign(sh shop, wins []Win) {
	at := 0
	left := func() int64 {
		p := d.out.Pools[sh.lines[at]]
		return p.Quota - p.Won - p.Second
	}
	for j, w := range wins {
		for left() == 0 {
			at++
		}
		w.Line, w.Round, w.Rank = sh.lines[at], 2, j+1
		d.out.Pools[w.Line].Second++
		d.moved[w.Entry.ID] = true
		d.out.Wins = append(d.out.Wins, w)
	}
}

// reserve is the reserve lists: who comes next in round 1's order and has won
// nowhere.
func (d *drawing) reserve() {
	for i, p := range d.out.Pools {
		n := int64(0)
		for _, w := range d.short[i][p.Won:] {
			if n == ReserveOf(p.Quota) {
				break
			}
			if d.moved[w.Entry.ID] {
				continue
			}
			n++
			w.Round, w.Rank = 0, int(n)
			d.out.Reserve = append(d.out.Reserve, w)
		}
	}
	d.short = nil
}

// shortlist goes over the list and gives, for each pool, its smallest tickets in
// order, at least want of its of entries (all, where there are fewer). poolOf is an
// entry's pool, -1 = none; seen, when not nil, is called with every chunk, once.
func (d *drawing) shortlist(ctx context.Context, round int, seed Hash, want, of []int64, poolOf func(raw) int, seen func(worker, chunk int, entries []byte)) ([][]Win, error) {
	return d.shortlistFrom(ctx, round, seed, want, of, marginFirst, poolOf, seen)
}

// marginFirst is how much more than is needed a shortlist takes at first, in standard
// deviations: it is too short with a chance of 10^-9.
const marginFirst = 6

func (d *drawing) shortlistFrom(ctx context.Context, round int, seed Hash, want, of []int64, first float64, poolOf func(raw) int, seen func(worker, chunk int, entries []byte)) ([][]Win, error) {
	margin := slices.Repeat([]float64{first}, len(want))
	for {
		short, err := d.below(ctx, round, seed, thresholds(want, of, margin), poolOf, seen)
		if err != nil {
			return nil, err
		}
		enough := true
		for i := range short {
			if int64(len(short[i])) < min(want[i], of[i]) {
				// It happens, if hardly ever; the result is the same whatever the margin.
				margin[i] *= 2
				enough = false
			}
		}
		if enough {
			return short, nil
		}
		if slices.Max(margin) > 1e6 {
			return nil, errors.New("lottery: the list has fewer entries than its lines count")
		}
		seen = nil
	}
}

// thresholds are values of a ticket's first 64 bits below which want of of tickets
// lie, but for a chance of Φ(-margin): the share want/of, more by margin × √((1-want/of)/want)
// for the normal part, and by margin²/(2 want) for the skew of small counts.
func thresholds(want, of []int64, margin []float64) []uint64 {
	t := make([]uint64, len(want))
	for i := range t {
		if want[i] == 0 || of[i] == 0 {
			continue
		}
		p := float64(want[i]) / float64(of[i])
		if p >= 1 {
			t[i] = math.MaxUint64
			continue
		}
		p *= 1 + margin[i]*math.Sqrt((1-p)/float64(want[i])) + margin[i]*margin[i]/2/float64(want[i])
		if p >= 1 {
			t[i] = math.MaxUint64
		} else {
			t[i] = uint64(math.Ldexp(p, 64))
		}
	}
	return t
}

// below is all entries whose tickets are not above their pool's threshold, by pool,
// in order.
func (d *drawing) below(ctx context.Context, round int, seed Hash, threshold []uint64, poolOf func(raw) int, seen func(worker, chunk int, entries []byte)) ([][]Win, error) {
	found := make([][][]Win, workers())
	for w := range found {
		found[w] = make([][]Win, len(threshold))
	}
	var progress func(int64)
	if d.progress != nil {
		progress = func(done int64) { d.progress(round, done) }
	}
	err := d.l.scan(ctx, progress, func(w, chunk int, entries []byte) error {
		if seen != nil {
			seen(w, chunk, entries)
		}
		for ; len(entries) > 0; entries = entries[EntryBytes:] {
			b := raw(entries[:EntryBytes])
			if b.line() >= len(d.lines) {
				return fmt.Errorf("lottery: entry %x is for line %d, the stock list ends at %d", b.id(), b.line(), len(d.lines)-1)
			}
			pool := poolOf(b)
			if pool < 0 || threshold[pool] == 0 {
				continue
			}
			t := Ticket(seed, ID(b.id()))
			if binary.BigEndian.Uint64(t[:]) > threshold[pool] {
				continue
			}
			e, err := ParseEntry(b)
			if err != nil {
				return err
			}
			found[w][pool] = append(found[w][pool], Win{Entry: e, Ticket: t})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	short := found[0]
	for _, more := range found[1:] {
		for i := range short {
			short[i] = append(short[i], more[i]...)
		}
	}
	for i := range short {
		slices.SortFunc(short[i], byTicket)
	}
	return short, nil
}

// byTicket is the order of a draw: by ticket, and by id should two be equal.
func byTicket(a, b Win) int {
	return cmp.Or(bytes.Compare(a.Ticket[:], b.Ticket[:]), bytes.Compare(a.Entry.ID[:], b.Entry.ID[:]))
}
