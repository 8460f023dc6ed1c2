package stock

import (
	"testing"

	"spillway/internal/booking"
)

// Whatever stands among the holders reads as what would be written, or not at all.
func FuzzHolder(f *testing.F) {
	f.Add("7", "0123456789abcdef0123456789abcdef:3")
	f.Add("7", "0123456789abcdef0123456789abcdef:3:-4:2")
	f.Add("-1", "0123456789abcdef0123456789abcdef")
	f.Add("18446744073709551615", ":")
	sale, lots := &Store{}, &Store{opts: Options{Entries: true}}
	f.Fuzz(func(t *testing.T, user, value string) {
		a, err := holder(user, value)
		if err == nil && value != sale.hold(a) && value != lots.hold(a) {
			t.Fatalf("%q %q reads as %+v", user, value, a)
		}
	})
}

// Whatever the script answers is an outcome; a ticket comes only with queued.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"", "q", "r0123456789abcdef0123456789abcdef", "r0123456789abcdef0123456789abcdef:1", "r0123456789abcdef0123456789abcdef:1:2:3",
		"r", "i", "d", "c", "s", "b", "u", "l", "w", "x"} {
		f.Add(s)
	}
	in := booking.Accepted{Ticket: booking.Ticket{1}, User: 7, Item: 3, At: 5}
	f.Fuzz(func(t *testing.T, code string) {
		r, held, holds := answer(code, in)
		if r.Outcome == 0 || r.Ticket.IsZero() && r.Outcome == booking.Queued && !r.Replay || !r.Ticket.IsZero() && r.Outcome != booking.Queued ||
			holds && (r.Outcome != booking.Queued || held.Ticket != r.Ticket || held.User != in.User) {
			t.Fatalf("%q is %+v of %+v", code, r, held)
		}
		if r, err := changed(code, in.Ticket); r.Outcome == 0 || (err != nil) != (r.Outcome == booking.Unknown) || r.Ticket.IsZero() == (r.Outcome == booking.Queued) {
			t.Fatalf("a change: %q is %+v, %v", code, r, err)
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
