package stock

import (
	"strconv"
	"testing"

	"spillway/internal/booking"
)

// Whatever stands among the holders reads as what would be written, or not at all.
func FuzzHolder(f *testing.F) {
	f.Add("7", "0123456789abcdef0123456789abcdef:3")
	f.Add("-1", "0123456789abcdef0123456789abcdef")
	f.Add("18446744073709551615", ":")
	f.Fuzz(func(t *testing.T, user, value string) {
		a, err := holder(user, value)
		if err != nil {
			return
		}
		if b, err := holder(strconv.FormatUint(uint64(a.User), 10), a.Ticket.String()+":"+strconv.Itoa(a.Item)); err != nil || b != a {
			t.Fatalf("%q %q reads as %+v, then %+v, %v", user, value, a, b, err)
		}
	})
}

// Whatever the script answers is an outcome; a ticket comes only with queued.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"", "q", "r0123456789abcdef0123456789abcdef", "r", "i", "d", "c", "s", "b", "u", "x"} {
		f.Add(s)
	}
	own := booking.Ticket{1}
	f.Fuzz(func(t *testing.T, code string) {
		r, item := answer(code, own, 3)
		if r.Outcome == 0 || r.Ticket.IsZero() && r.Outcome == booking.Queued && !r.Replay || !r.Ticket.IsZero() && r.Outcome != booking.Queued ||
			item != -1 && r.Outcome != booking.Queued {
			t.Fatalf("%q is %+v of item %d", code, r, item)
		}
	})
}

// What stands among the offers reads as what would be written, or not at all.
func FuzzParseOffer(f *testing.F) {
	f.Add("k 1 0123456789abcdef0123456789abcdef 1 2 3 0")
	f.Add(" 1 0123456789abcdef0123456789abcdef 1 2 3 0")
	f.Add("k")
	f.Fuzz(func(t *testing.T, s string) {
		if x, err := parseOffer(s); err == nil && x.encode() != s {
			t.Fatalf("%q reads as %+v", s, x)
		}
	})
}
