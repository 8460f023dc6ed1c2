package record

import (
	"cmp"
	"slices"
	"time"

	"spillway/internal/booking"
)

// Presser is one person's visit that pressed.
type Presser struct {
	At        time.Duration // due moment of the first press
	Visit     booking.VisitID
	Confirmed bool // saw a confirmed booking
}

// Deciles splits those who pressed into ten parts as equal as can be, by first
// press; ties go by visit. It sorts ps. None gives nil: not known.
func Deciles(ps []Presser) []Decile {
	if len(ps) == 0 {
		return nil
	}
	slices.SortFunc(ps, func(a, b Presser) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Visit, b.Visit))
	})
	out := make([]Decile, 10)
	for i, p := range ps {
		d := &out[i*10/len(ps)]
		d.Pressers++
		if p.Confirmed {
			d.Confirmed++
		}
	}
	return out
}
