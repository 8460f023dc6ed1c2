package fairness

import (
	"fmt"
	"math/bits"
)

// Plan says what a Tally counts.
type Plan struct {
	Name       string
	Pools      []string
	Dimensions []Axis
	// Entries is how many will be added at most, second chances apart: it decides
	// whether the rank tests keep every ticket (ExactRanks) or count in bins.
	Entries uint64
	// Span bounds Entry.Order from above; 0 = Entries. Bins are equal steps of it.
	Span    uint64
	Tickets bool // entries carry a ticket and their order: rank tests are wanted
}

// Axis is a dimension before it is counted.
type Axis struct {
	Name    string
	Levels  []string
	Ordered bool
}

// Entry is one entry of a pool, after the draw.
type Entry struct {
	Pool   int   // index in Plan.Pools
	Levels []int // index in the levels of each of Plan.Dimensions
	Won    bool
	Order  uint64 // of entry: 0, 1, 2, … or any ascending number below Plan.Span
	Ticket uint64 // its first 64 bits when the draw has longer ones
	Second bool   // a second chance: its ticket was counted with the first pool
}

// Tally counts a draw as it streams by. Its memory does not grow with the entries: the
// counts, and 16 MB for the tickets of up to ExactRanks entries or one for more. It is
// not for concurrent use.
type Tally struct {
	plan             Plan
	from             []int // first level of each dimension
	width            int   // levels in all
	entries, winners []int64
	classes          []int64
	pools            []Pool
	last             []pass
	unordered        bool
	pairs            []Pair
	bins             *bins
	ranked           uint64
}

// pass is what the runs test remembers of a pool.
type pass struct {
	order     uint64
	won, seen bool
}

// classes of tickets by level: thirds, as the draft lottery of 1970 was cut.
const classes = 3

// NewTally refuses a plan without a pool, and one too large to count.
func NewTally(p Plan) (*Tally, error) {
	t := &Tally{plan: p}
	for _, a := range p.Dimensions {
		if n := len(a.Levels); n == 0 || n > maxLevels {
			return nil, fmt.Errorf("%w: dimension %q has %d levels, 1 to %d are allowed: put some together", ErrDraw, a.Name, n, maxLevels)
		}
		t.from = append(t.from, t.width)
		t.width += len(a.Levels)
	}
	const most = 1 << 26 // cells: a gigabyte
	if n := len(p.Pools); n == 0 || n > most/max(t.width, 1) {
		return nil, bad("%d pools of %d levels, 1 to %d are allowed", n, t.width, most/max(t.width, 1))
	}
	if p.Span == 0 {
		t.plan.Span = p.Entries
	}
	if p.Tickets && t.plan.Span == 0 {
		return nil, bad("rank tests need to know how many entries will come")
	}
	t.entries, t.winners = make([]int64, len(p.Pools)*t.width), make([]int64, len(p.Pools)*t.width)
	t.pools, t.last = make([]Pool, len(p.Pools)), make([]pass, len(p.Pools))
	for i, name := range p.Pools {
		t.pools[i].Name = name
	}
	if p.Tickets {
		t.classes = make([]int64, t.width*classes)
		if p.Entries > ExactRanks {
			t.bins = &bins{span: t.plan.Span}
		} else {
			t.pairs = make([]Pair, 0, p.Entries)
		}
	}
	return t, nil
}

// Add counts one entry. The runs test needs each pool's entries in the order of entry;
// where they come otherwise it is left out, the rest needs no order. An entry that is
// refused is not counted.
func (t *Tally) Add(e Entry) error {
	if e.Pool < 0 || e.Pool >= len(t.pools) {
		return bad("an entry of pool %d of %d", e.Pool, len(t.pools))
	}
	if len(e.Levels) != len(t.from) {
		return bad("an entry with %d levels for %d dimensions", len(e.Levels), len(t.from))
	}
	for d, g := range e.Levels {
		if g < 0 || g >= len(t.plan.Dimensions[d].Levels) {
			return bad("an entry with level %d of the %d of dimension %q", g, len(t.plan.Dimensions[d].Levels), t.plan.Dimensions[d].Name)
		}
	}
	rank := t.plan.Tickets && !e.Second
	switch {
	case rank && e.Order >= t.plan.Span:
		return bad("an entry of order %d where the plan ends below %d", e.Order, t.plan.Span)
	case rank && t.ranked >= t.plan.Entries:
		return bad("more entries than the %d of the plan", t.plan.Entries)
	}
	pool, last := &t.pools[e.Pool], &t.last[e.Pool]
	pool.Entries++
	pool.Second = e.Second
	if e.Won {
		pool.Winners++
		if !last.won {
			pool.Blocks++
		}
	}
	t.unordered = t.unordered || last.seen && e.Order < last.order
	*last = pass{e.Order, e.Won, true}
	for d, g := range e.Levels {
		at := e.Pool*t.width + t.from[d] + g
		t.entries[at]++
		if e.Won {
			t.winners[at]++
		}
		if rank {
			class, _ := bits.Mul64(e.Ticket, classes)
			t.classes[(t.from[d]+g)*classes+int(class)]++
		}
	}
	if rank {
		t.ranked++
		if t.bins != nil {
			t.bins.add(Pair{e.Order, e.Ticket})
		} else {
			t.pairs = append(t.pairs, Pair{e.Order, e.Ticket})
		}
	}
	return nil
}

// Draw is what was counted so far. Say how the draw was made in its Process.
func (t *Tally) Draw() Draw {
	d := Draw{Name: t.plan.Name, Pools: append([]Pool(nil), t.pools...)}
	if t.unordered {
		for i := range d.Pools {
			d.Pools[i].Blocks = 0
		}
	}
	for i, a := range t.plan.Dimensions {
		dim := Dimension{Name: a.Name, Levels: a.Levels, Ordered: a.Ordered}
		for p := range t.pools {
			at := p*t.width + t.from[i]
			dim.Entries = append(dim.Entries, append([]int64(nil), t.entries[at:at+len(a.Levels)]...))
			dim.Winners = append(dim.Winners, append([]int64(nil), t.winners[at:at+len(a.Levels)]...))
		}
		if t.plan.Tickets {
			for g := range a.Levels {
				at := (t.from[i] + g) * classes
				dim.Classes = append(dim.Classes, append([]int64(nil), t.classes[at:at+classes]...))
			}
		}
		d.Dimensions = append(d.Dimensions, dim)
	}
	if t.plan.Tickets {
		var r Ranks
		if t.bins != nil {
			r = t.bins.ranks()
		} else {
			r = RanksOf(append([]Pair(nil), t.pairs...))
		}
		d.Ranks = &r
	}
	return d
}
