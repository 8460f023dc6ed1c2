package beacon

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"
	"time"
)

// wins says whether a favoured entry has a ticket below the cut-off, as the draw
// makes tickets: from a seed over the list's root and the beacon.
func wins(list, beacon [32]byte, p float64) bool {
	seed := sha256.Sum256(append(list[:], beacon[:]...))
	ticket := sha256.Sum256(append(seed[:], "the favoured one"...))
	return float64(binary.BigEndian.Uint64(ticket[:8])) < p*(1<<64)
}

// Goal: an operator who knows the beacon before the list is sealed wins with
// 1 − (1 − p)^g, by the choice among g lists; one who does not has p and no more.
// Method: draws with hashes of their number as beacons, so a run is the same
// always; both operators go through the same lists. A share of 5,000 draws may
// be 5 of its σ away.
func TestGrindingPaysOnlyWithAKnownBeacon(t *testing.T) {
	const (
		draws = 5_000
		p     = 100_237.0 / 2_629_006 // the lottery of 19 February 2020
	)
	list := func(draw uint32, variant int) [32]byte {
		return sha256.Sum256(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("list"), draw), uint32(variant)))
	}
	for _, g := range []int{1, 2, 6, 10, 16} {
		// With the beacon in hand: the first list that suits. Without: the list is
		// chosen as if last draw's beacon came again, the best guess there is.
		known, blind := 0, 0
		last := sha256.Sum256([]byte("before"))
		for draw := range uint32(draws) {
			beacon := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("beacon"), draw))
			sealed := g - 1
			for variant := range g {
				if wins(list(draw, variant), beacon, p) {
					known++
					break
				}
			}
			for variant := range g {
				if wins(list(draw, variant), last, p) {
					sealed = variant
					break
				}
			}
			if wins(list(draw, sealed), beacon, p) {
				blind++
			}
			last = beacon
		}
		for _, c := range []struct {
			who  string
			got  int
			want float64
		}{{"who knows the beacon", known, 1 - math.Pow(1-p, float64(g))}, {"who does not", blind, p}} {
			share, sigma := float64(c.got)/draws, math.Sqrt(c.want*(1-c.want)/draws)
			if math.Abs(share-c.want) > 5*sigma {
				t.Errorf("g = %d: %s wins %.4f, want %.4f ± %.4f", g, c.who, share, c.want, 5*sigma)
			}
		}
	}
}

// What keeps the beacon unknown: a source tells when its value can first be known,
// and a round that has been published is in the past of any seal made after it.
func TestARecordedRoundCannotBeSealed(t *testing.T) {
	for _, r := range rounds(t) {
		s := r.source(t)
		published := s.Available() // nobody could record it earlier
		if got, err := s.Check(Value{Kind: KindDrand, Drand: &r.round}); err != nil || hex.EncodeToString(got[:]) != r.round.Randomness {
			t.Fatal(err)
		}
		next, err := RoundAt(r.Chain, published.Add(time.Nanosecond))
		if err != nil || next != r.round.Round+1 {
			t.Errorf("%v: the first round that a seal can name just after it is %d, %v", s, next, err)
		}
	}
	// The earliest of several sources counts, in whichever place it stands: with all
	// others known beforehand, one six-digit number is a million tries.
	s := publicSource()
	for i := range s.RFC3797 {
		early := publicSource()
		early.RFC3797[i].Known = three.AddDate(-1, 0, 0)
		if got := early.Available(); !got.Equal(three.AddDate(-1, 0, 0)) {
			t.Errorf("source %d is known first, yet %v", i+1, got)
		}
	}
}

// The table in the package's documentation.
func TestGainTable(t *testing.T) {
	for g, want := range map[float64]float64{1: 3.8, 2: 7.5, 6: 20.8, 10: 32.2, 16: 46.3, 100: 97.9} {
		if got := 100 * (1 - math.Pow(1-100_237.0/2_629_006, g)); math.Abs(got-want) > 0.05 {
			t.Errorf("g = %v: %.2f %%, the documentation says %v", g, got, want)
		}
	}
}
