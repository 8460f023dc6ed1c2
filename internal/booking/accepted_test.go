package booking

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAcceptedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Accepted{
			User:  UserID(rapid.Uint64().Draw(t, "user")),
			Item:  rapid.IntRange(0, ItemMax).Draw(t, "item"),
			At:    time.Duration(rapid.Int64().Draw(t, "at")),
			Other: rapid.Bool().Draw(t, "other"), Senior: rapid.Bool().Draw(t, "senior"),
			Change: Change(rapid.IntRange(0, 2).Draw(t, "change")),
		}
		copy(want.Ticket[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ticket"))
		want.Ticket[0] |= 1
		if want.Change != 0 {
			copy(want.Entry[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "entry"))
			want.Entry[15] |= 1
		}
		got, err := ParseAccepted(want.Encode())
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestParseAcceptedRefuses(t *testing.T) {
	const ticket = "0123456789abcdef0123456789abcdef"
	for _, s := range []string{
		"", "1", "2 " + ticket + " 1 2 3 0", "1 " + ticket, "1 " + ticket + " 1 2 3", "1 " + ticket + " 1 2 3 2",
		"1 " + ticket + " 1 2 3 0 ", "1 " + ticket + " 01 2 3 0", "1 " + ticket + " -1 2 3 0", "1 " + ticket + " 1 70000 3 0",
		"1 " + ticket + " 1 -2 3 0", "1 00000000000000000000000000000000 1 2 3 0", "1 xyz 1 2 3 0", "1 " + ticket + " 1 2 x 0",
		"3 " + ticket + " 1 2 3 0", "1 " + ticket + " 1 2 3 0 1 0 00000000000000000000000000000000",
		"2 " + ticket + " 1 2 3 0 0 0 00000000000000000000000000000000", // it needs no version 2
		"2 " + ticket + " 1 2 3 0 1 0 " + ticket, "2 " + ticket + " 1 2 3 0 0 1 00000000000000000000000000000000",
		"2 " + ticket + " 1 2 3 0 0 3 " + ticket, "2 " + ticket + " 1 2 3 0 2 1 " + ticket, "2 " + ticket + " 1 2 3 0 0 1 " + ticket + " ",
	} {
		if a, err := ParseAccepted(s); err == nil {
			t.Errorf("%q: read as %+v", s, a)
		}
	}
	a, err := ParseAccepted("1 " + ticket + " broken")
	if err == nil || a.Ticket.String() != ticket {
		t.Errorf("a damaged entry keeps its ticket: got %v, %v", a, err)
	}
}

func FuzzParseAccepted(f *testing.F) {
	f.Add("1 0123456789abcdef0123456789abcdef 1 2 3 0")
	f.Add("1 0123456789abcdef0123456789abcdef 18446744073709551615 65535 -9 1")
	f.Add("2 0123456789abcdef0123456789abcdef 1 2 3 0 1 0 00000000000000000000000000000000")
	f.Add("2 0123456789abcdef0123456789abcdef 1 2 3 1 0 2 0123456789abcdef0123456789abcdef")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAccepted(s); err == nil && a.Encode() != s {
			t.Fatalf("%q reads as %+v, which writes as %q", s, a, a.Encode())
		}
	})
}
