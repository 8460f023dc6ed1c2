package cli

import (
	"strings"
	"testing"
)

// A file of any bytes is as many tickets as it has words, or an error that names
// the line.
func FuzzParseTickets(f *testing.F) {
	f.Add("0123456789abcdef0123456789abcdef\n\n 0123456789abcdef0123456789abcdef \n")
	f.Add("me\n")
	f.Add(strings.Repeat("x", 70_000))
	f.Fuzz(func(t *testing.T, text string) {
		tickets, err := parseTickets(strings.NewReader(text), "file")
		switch {
		case err == nil && len(tickets) != len(strings.Fields(text)):
			t.Fatalf("%q: %d tickets", text, len(tickets))
		case err != nil && (!strings.HasPrefix(err.Error(), "file:") || strings.Contains(err.Error(), "\n")):
			t.Fatalf("%q: error %q", text, err)
		}
	})
}

func FuzzByteSize(f *testing.F) {
	for _, s := range []string{"512MiB", "2 GB", "1e9", "-1", "NaN", "inf", "0x1p-2B", "B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b byteSize
		if err := b.UnmarshalText([]byte(s)); err == nil && !(b > 0 && b < 1e30) {
			t.Fatalf("%q is %v bytes", s, b)
		}
	})
}

func FuzzParseShare(f *testing.F) {
	for _, s := range []string{"", "1/16", "1/0", "1/65536", "2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parseShare(s)
		if !(v >= 0 && v <= 1) || err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("%q is %v, %v", s, v, err)
		}
	})
}
