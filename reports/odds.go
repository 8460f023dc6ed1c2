package reports

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"

	"spillway/internal/record"
)

// Chance is how many of a group of persons won.
type Chance struct {
	Name  string `json:"name"`
	Won   uint64 `json:"won"`
	Of    uint64 `json:"of"`
	Share Value  `json:"share"` // null of an empty group
	// Low and High are the exact 95 % interval of the chance; 0 and 1 of an empty group.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// NewChance is the chance of those of whom so many won.
func NewChance(name string, won, of uint64) Chance {
	c := Chance{Name: name, Won: won, Of: of, Share: Got(float64(won) / float64(of))}
	c.Low, c.High = ExactShare(won, of)
	return c
}

// Text is the chance with its interval, to a tenth of half its width:
// "1.510 % [1.500 … 1.521 %]".
func (c Chance) Text() string {
	if !c.Share.OK {
		return "n/a"
	}
	decimals := 0
	if half := 100 * (c.High - c.Low) / 2; half > 0 {
		decimals = min(max(int(math.Ceil(1-math.Log10(half))), 0), 4)
	}
	return fmt.Sprintf("%.*f %% [%.*f … %.*f %%]", decimals, 100*c.Share.V, decimals, 100*c.Low, decimals, 100*c.High)
}

// ExactShare is the exact 95 % interval of a share k of n (C. J. Clopper and E. S.
// Pearson, 1934): it covers the true share in at least 95 of 100 cases, whatever that is.
func ExactShare(k, n uint64) (lo, hi float64) {
	const tail = 0.025
	k = min(k, n)
	lo, hi = 0, 1
	if k > 0 {
		lo = mathext.InvRegIncBeta(float64(k), float64(n-k)+1, tail)
	}
	if k < n {
		hi = mathext.InvRegIncBeta(float64(k)+1, float64(n-k), 1-tail)
	}
	return lo, hi
}

// Odds is who of a population won.
type Odds struct {
	// All is everybody, bots' owners too: its share is the fair line, the chance of each
	// if nobody had an advantage.
	All Chance `json:"all"`
	// Groups are the classes of people, then the bots, each of all its persons.
	Groups []Chance `json:"groups"`
	// Tenths are all people in order of arrival, in ten equal parts; bots are left out.
	Tenths []Chance `json:"tenths"`
	// Pressed are the tenths of those who pressed before all was gone, by first press;
	// nil where nobody could come too late.
	Pressed []Chance `json:"pressed,omitempty"`
	// Late is the people who never got as far as the button, and won nothing; empty
	// where nobody could come too late.
	Late Chance `json:"late"`
}

// OddsOf is who won a sale, by its record: persons is how many of each group there
// are. Whoever pressed came before whoever did not, so that the tenths of all people
// follow from those of the pressers; within one of these, winners are taken to be
// spread evenly. It fails when the record does not know who pressed when.
func OddsOf(r *record.Record, persons map[string]uint64) (Odds, error) {
	if len(r.Deciles) != 10 || len(r.Groups) == 0 {
		return Odds{}, fmt.Errorf("record of %s: it does not say who pressed when", short(r.Header.Scenario, 40))
	}
	var o Odds
	var won, all, people uint64
	for _, g := range r.Groups {
		n, k := persons[g.Name], g.Stages[record.StageConfirmed]
		if k > n {
			return Odds{}, fmt.Errorf("record of %s: %d of the group %s won, which has %d persons", short(r.Header.Scenario, 40), k, short(g.Name, 40), n)
		}
		o.Groups = append(o.Groups, NewChance(g.Name, k, n))
		won, all = won+k, all+n
		if g.Name != record.GroupBots {
			people += n
		}
	}
	o.All = NewChance("all", won, all)
	var pressed uint64
	// at[i] and sum[i] are the pressers of the first i tenths, and those of them who won.
	at, sum := make([]float64, 1, 11), make([]float64, 1, 11)
	for i, d := range r.Deciles {
		o.Pressed = append(o.Pressed, NewChance(fmt.Sprint(i+1), d.Confirmed, d.Pressers))
		pressed += d.Pressers
		at, sum = append(at, at[i]+float64(d.Pressers)), append(sum, sum[i]+float64(d.Confirmed))
	}
	// A person who presses in two visits is two pressers: there cannot be more of them
	// than people.
	pressed = min(pressed, people)
	o.Late = NewChance("too late to press", 0, people-pressed)
	before, taken := uint64(0), uint64(0)
	for i := range uint64(10) {
		end := (i + 1) * people / 10
		winners := uint64(math.Round(along(at, sum, float64(end))))
		o.Tenths = append(o.Tenths, NewChance(fmt.Sprint(i+1), winners-taken, end-before))
		before, taken = end, winners
	}
	return o, nil
}

// along is the value at x of the line through the points; beyond its ends theirs.
func along(xs, ys []float64, x float64) float64 {
	for i := 1; i < len(xs); i++ {
		if x <= xs[i] && xs[i] > xs[i-1] {
			return ys[i-1] + (ys[i]-ys[i-1])*(x-xs[i-1])/(xs[i]-xs[i-1])
		}
	}
	return ys[len(ys)-1]
}

// Evenness is a test of equal chances.
type Evenness struct {
	ChiSquare float64 `json:"chi_square"`
	Freedom   int     `json:"degrees_of_freedom"`
	P         float64 `json:"p"` // how likely chance alone is to be as uneven
}

// Even tests whether groups that share a fixed number of wins had equal chances
// (Pearson's χ², for draws without replacement). Empty groups do not count.
func Even(groups []Chance) Evenness {
	var won, all float64
	for _, g := range groups {
		won, all = won+float64(g.Won), all+float64(g.Of)
	}
	e := Evenness{Freedom: -1, P: 1}
	for _, g := range groups {
		if g.Of == 0 {
			continue
		}
		e.Freedom++
		if share := won / all; share > 0 && share < 1 {
			due := share * float64(g.Of)
			e.ChiSquare += (float64(g.Won) - due) * (float64(g.Won) - due) / due / (1 - share)
		}
	}
	if e.Freedom = max(e.Freedom, 0); e.Freedom > 0 {
		e.P = mathext.GammaIncRegComp(float64(e.Freedom)/2, e.ChiSquare/2)
	}
	return e
}

// Text is the test on one line.
func (e Evenness) Text() string {
	p := fmt.Sprintf("p = %.2g", e.P)
	if e.P < 1e-6 {
		p = "p < 0.000001"
	}
	return fmt.Sprintf("χ² = %.4g with %d degrees of freedom, %s", e.ChiSquare, e.Freedom, p)
}
