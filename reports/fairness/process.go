package fairness

import (
	"fmt"
	"iter"
	"math"
)

// Process says how the draw was made, as far as it is known. The zero value says
// nothing, and the report says so.
type Process struct {
	// SeedBits is the seed's entropy for whoever could choose it, log2 of how many seeds
	// there are: 19.9 for six digits, 256 for a hash of things nobody controls. 0 = not
	// stated.
	SeedBits float64 `json:"seed_bits"`
	// Sealed: the list, the quotas and the rule were published, by a digest at least,
	// before anybody could know the seed. nil = not stated.
	Sealed *bool `json:"sealed"`
	// Public: a value that nobody can choose, fixed in advance, enters the seed. nil =
	// not stated.
	Public *bool `json:"public_randomness"`
	// Search is the outcome of Seeds, where the draw's rule is known; nil = not tried.
	Search *Search `json:"search,omitempty"`
}

// Search is an enumeration of seeds.
type Search struct {
	Tried uint64   `json:"tried"`
	Found []uint64 `json:"found"` // that give the published winners; the first 10
}

// Seeds tries the seeds 0..n−1: does one give the published winners? draw yields the
// places of a seed's winners in the list, in any order; it is stopped at the first that
// did not win, so that most seeds cost one pick. Whoever can run this after the draw
// could have run it before, and chosen.
func Seeds(n uint64, draw func(seed uint64) iter.Seq[int], winners []int) Search {
	won := make(map[int]bool, len(winners))
	for _, w := range winners {
		won[w] = true
	}
	s := Search{Tried: n}
	for seed := range n {
		hits := make(map[int]bool)
		for place := range draw(seed) {
			if !won[place] {
				hits = nil
				break
			}
			hits[place] = true
		}
		if hits != nil && len(hits) == len(won) && len(s.Found) < 10 {
			s.Found = append(s.Found, seed)
		}
	}
	return s
}

// SeedBitsLeast is the entropy below which seeds can be tried out: 128 bits, the
// strength that NIST SP 800-57 part 1 (rev. 5, 2020, table 4) accepts beyond 2031.
const SeedBitsLeast = 128

// OutcomeBits is log2 of the number of outcomes, the product of C(N, K) over the pools:
// what a seed must have so that every outcome can happen. A shorter seed of
// SeedBitsLeast or more still cannot be told from one, as long as it is stretched by a
// sound generator.
func OutcomeBits(pools []Pool) float64 {
	sum := 0.0
	for _, p := range pools {
		sum += logChoose(float64(p.Entries), float64(p.Winners))
	}
	return sum / math.Ln2
}

func logChoose(n, k float64) float64 {
	f := func(v float64) float64 { l, _ := math.Lgamma(v + 1); return l }
	return max(0, f(n)-f(k)-f(n-k))
}

// Chosen is how many of a group's g entries in one pool win when the best of 2^bits fair
// draws is taken for them, about: the most that luck gives once in as many draws.
func Chosen(bits float64, p Pool, g int64) int64 {
	g = min(g, p.Entries)
	if g <= 0 {
		return 0
	}
	h := hyper{p.Entries, p.Winners, g}
	if !totalOf([]hyper{h}).exact() {
		return int64(h.mean() + math.Sqrt(2*math.Ln2*bits*h.variance()))
	}
	l := h.law(0)
	w, rest := l.hi(), l.p[len(l.p)-1]
	for w > l.lo && rest < math.Exp2(-bits) {
		w--
		rest += l.p[w-l.lo]
	}
	return w
}

// Check is one question to the process.
type Check struct {
	Name string `json:"name"`
	Word string `json:"word"` // Holds, Fails or NotStated
	Why  string `json:"why"`
}

// The words of a Check.
const (
	Holds     = "holds"
	Fails     = "fails"
	NotStated = "not stated"
)

// favoured is the group of the example in the seed's check.
const favoured = 20

func (d *Draw) checks() []Check {
	p := d.Process
	outcome := OutcomeBits(d.Pools)
	seed := Check{Name: "seed entropy", Word: NotStated, Why: fmt.Sprintf("every outcome to be possible takes %s bits", count(outcome))}
	switch {
	case p.SeedBits >= SeedBitsLeast:
		seed.Word = Holds
		seed.Why = fmt.Sprintf("%.0f bits, beyond trial (%d are enough; %s)", p.SeedBits, SeedBitsLeast, seed.Why)
	case p.SeedBits > 0:
		big := d.Pools[0]
		for _, q := range d.Pools {
			if q.Entries > big.Entries {
				big = q
			}
		}
		seed.Word = Fails
		seed.Why = fmt.Sprintf("%.1f bits, %s seeds: all can be tried before the draw (%s). The best of them lets %d of %d chosen people win where %.2g are expected; statistics see that only in a group they were told of",
			p.SeedBits, count(math.Exp2(p.SeedBits)), seed.Why, Chosen(p.SeedBits, big, favoured), min(favoured, big.Entries), hyper{max(big.Entries, 1), big.Winners, min(favoured, big.Entries)}.mean())
	}
	said := func(name string, b *bool, yes, no, unknown string) Check {
		switch {
		case b == nil:
			return Check{name, NotStated, unknown}
		case *b:
			return Check{name, Holds, yes}
		}
		return Check{name, Fails, no}
	}
	out := []Check{seed,
		said("sealed list", p.Sealed, "list, quotas and rule were published before the seed could be known",
			"the list could be changed when the seed was known, or the seed chosen for the list", "were list, quotas and rule published before the seed could be known?"),
		said("public randomness", p.Public, "a value that nobody chooses, fixed in advance, enters the seed",
			"whoever makes the seed can make another, and publish the one that suits", "does a value that nobody chooses enter the seed?"),
	}
	if s := p.Search; s != nil {
		c := Check{"search for the seed", Holds, fmt.Sprintf("none of %s seeds gives these winners", count(float64(s.Tried)))}
		if len(s.Found) > 0 {
			c.Word = Fails
			c.Why = fmt.Sprintf("seed %d of %s gives exactly these winners (%.2g such seeds are expected by chance): whoever could choose the seed could choose the winners",
				s.Found[0], count(float64(s.Tried)), float64(s.Tried)*math.Exp2(-outcome))
		}
		out = append(out, c)
	}
	return out
}
