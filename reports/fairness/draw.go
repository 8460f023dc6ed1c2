package fairness

import (
	"errors"
	"fmt"
)

// Draw is a draw in plain numbers: counts by pool and level, no entries. A Tally fills
// it from a stream; it may be filled by hand as well.
type Draw struct {
	Name       string      `json:"name"`
	Pools      []Pool      `json:"pools"`
	Dimensions []Dimension `json:"dimensions"`
	Ranks      *Ranks      `json:"ranks,omitempty"` // nil = tickets are not known
	Process    Process     `json:"process"`
}

// Pool is what is drawn by itself: one shop and type, with its own quota. A second
// chance among those whom another pool turned away is a pool of its own: given who
// stands in it, its draw is as independent as the first.
type Pool struct {
	Name    string `json:"name"`
	Entries int64  `json:"entries"`
	Winners int64  `json:"winners"`
	// Blocks are the groups of winners who entered one right after the other; 0 = not
	// known.
	Blocks int64 `json:"blocks,omitempty"`
	// Second says that all of its entries stand in another pool too: they count once.
	Second bool `json:"second,omitempty"`
}

// Dimension cuts all entries by something known before the draw.
type Dimension struct {
	Name    string   `json:"name"`
	Levels  []string `json:"levels"`
	Ordered bool     `json:"ordered"` // levels have an order: a trend is tested as well
	// Entries and Winners by pool and level.
	Entries [][]int64 `json:"entries"`
	Winners [][]int64 `json:"winners"`
	// Classes are tickets by level and class of ticket, from lowest to highest: what the
	// draw did to those who did not win. nil = not counted.
	Classes [][]int64 `json:"classes,omitempty"`
}

const (
	maxLevels = 512     // of a dimension
	maxCount  = 1 << 50 // entries of a draw; counts stay exact as float64
)

// ErrDraw is what every error about the numbers of a Draw wraps.
var ErrDraw = errors.New("the draw's numbers do not hold together")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDraw}, args...)...)
}

// Validate refuses numbers that no draw can have.
func (d *Draw) Validate() error {
	if len(d.Pools) == 0 {
		return bad("no pool: give each its entries and winners")
	}
	var all int64
	for _, p := range d.Pools {
		switch {
		case p.Entries < 0 || p.Winners < 0 || p.Winners > p.Entries:
			return bad("pool %q has %d winners of %d entries", p.Name, p.Winners, p.Entries)
		case p.Entries > maxCount-all:
			return bad("more than %d entries", int64(maxCount))
		case p.Blocks < 0 || p.Blocks > p.Winners || p.Blocks > p.Entries-p.Winners+1:
			return bad("pool %q has %d winners of %d entries in %d blocks", p.Name, p.Winners, p.Entries, p.Blocks)
		}
		all += p.Entries
	}
	for i := range d.Dimensions {
		if err := d.Dimensions[i].validate(d.Pools); err != nil {
			return err
		}
	}
	if r := d.Ranks; r != nil && !(r.Count >= 0 && r.Rho >= -1.000001 && r.Rho <= 1.000001 && r.D >= 0 && r.D <= 1) {
		return bad("ranks of %d tickets with Spearman's coefficient %g and distance %g", r.Count, r.Rho, r.D)
	}
	if b := d.Process.SeedBits; !(b >= 0 && b <= 1e6) {
		return bad("a seed of %g bits", b)
	}
	return nil
}

func (d *Dimension) validate(pools []Pool) error {
	if n := len(d.Levels); n == 0 || n > maxLevels {
		return bad("dimension %q has %d levels, 1 to %d are allowed: put some together", d.Name, n, maxLevels)
	}
	if len(d.Entries) != len(pools) || len(d.Winners) != len(pools) {
		return bad("dimension %q counts %d and %d pools of %d", d.Name, len(d.Entries), len(d.Winners), len(pools))
	}
	for p, pool := range pools {
		es, ws := d.Entries[p], d.Winners[p]
		if len(es) != len(d.Levels) || len(ws) != len(d.Levels) {
			return bad("dimension %q of pool %q counts %d and %d levels of %d", d.Name, pool.Name, len(es), len(ws), len(d.Levels))
		}
		var entries, winners int64
		for g := range es {
			if es[g] < 0 || es[g] > pool.Entries || ws[g] < 0 || ws[g] > es[g] {
				return bad("level %q of dimension %q in pool %q has %d winners of %d entries", d.Levels[g], d.Name, pool.Name, ws[g], es[g])
			}
			entries, winners = entries+es[g], winners+ws[g]
		}
		if entries != pool.Entries || winners != pool.Winners {
			return bad("the levels of dimension %q in pool %q add up to %d winners of %d entries, the pool has %d of %d",
				d.Name, pool.Name, winners, entries, pool.Winners, pool.Entries)
		}
	}
	if d.Classes != nil && len(d.Classes) != len(d.Levels) {
		return bad("dimension %q has classes of %d levels of %d", d.Name, len(d.Classes), len(d.Levels))
	}
	var all int64
	for g, row := range d.Classes {
		if len(row) != len(d.Classes[0]) || len(row) > maxLevels {
			return bad("level %q of dimension %q has %d classes of tickets, the first has %d", d.Levels[g], d.Name, len(row), len(d.Classes[0]))
		}
		for _, v := range row {
			if v < 0 || v > maxCount-all {
				return bad("level %q of dimension %q has %d tickets in a class", d.Levels[g], d.Name, v)
			}
			all += v
		}
	}
	return nil
}
