package booking

import (
	"strings"
	"testing"
)

// Every name and its value are each other's inverse, and nothing else parses.
func TestNamesRoundTrip(t *testing.T) {
	check := func(what string, list []string, parse func(string) (string, error)) {
		for _, name := range list {
			if back, err := parse(name); err != nil || back != name {
				t.Errorf("%s %q: %q, %v", what, name, back, err)
			}
		}
		for _, bad := range []string{"", "nope", " " + list[0], strings.Repeat("x", 1000)} {
			if _, err := parse(bad); err == nil || len(err.Error()) > 600 {
				t.Errorf("%s %.20q: %v", what, bad, err)
			}
		}
	}
	check("mode", Modes(), func(s string) (string, error) { v, err := ParseMode(s); return v.String(), err })
	check("step", Steps(), func(s string) (string, error) { v, err := ParseStep(s); return v.String(), err })
	check("outcome", Outcomes(), func(s string) (string, error) { v, err := ParseOutcome(s); return v.String(), err })
	if Outcome(0).String() != "invalid(0)" || len(Outcomes()) != int(Unmapped) {
		t.Error("the zero outcome must not have a name, and each other must")
	}
}

// Every outcome is a refusal, trouble, both or neither on purpose.
func TestKindsOfOutcome(t *testing.T) {
	neither := "ok wait open closed queued confirmed pending unsent"
	for i := OK; i <= Unmapped; i++ {
		if want := !strings.Contains(" "+neither+" ", " "+i.String()+" "); (i.Refusal() || i.Trouble()) != want {
			t.Errorf("%v: refusal %v, trouble %v", i, i.Refusal(), i.Trouble())
		}
	}
}

func TestTicket(t *testing.T) {
	x := Ticket{0, 1, 0xab, 15: 0xff}
	if back, err := ParseTicket(x.String()); err != nil || back != x {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("g", 32), strings.Repeat("A", 32), strings.Repeat("0", 33)} {
		if _, err := ParseTicket(bad); err == nil {
			t.Errorf("%q parsed", bad)
		}
	}
}

func FuzzParseTicket(f *testing.F) {
	f.Add(Ticket{1}.String())
	f.Add("zz")
	f.Fuzz(func(t *testing.T, s string) {
		if x, err := ParseTicket(s); err == nil && x.String() != s {
			t.Errorf("%q became %q", s, x)
		}
	})
}

func FuzzParseNames(f *testing.F) {
	f.Add("queued")
	f.Add("confirmed")
	f.Add("poll")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseMode(s); err == nil && v.String() != s {
			t.Errorf("mode %q became %v", s, v)
		}
		if v, err := ParseStep(s); err == nil && v.String() != s {
			t.Errorf("step %q became %v", s, v)
		}
		if v, err := ParseOutcome(s); err == nil && v.String() != s {
			t.Errorf("outcome %q became %v", s, v)
		}
	})
}
