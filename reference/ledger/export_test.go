package ledger

import (
	"testing"
	"time"

	"spillway/internal/booking"
)

// ExecForTest runs a statement behind the ledger's back: a bug to be planted.
func ExecForTest(db *DB, statement string) error {
	_, err := db.write.Exec(statement)
	return err
}

// FuzzParseResult: the result cache may hold anything; what reads must write the same.
func FuzzParseResult(f *testing.F) {
	for _, s := range []string{"pending", "refused", "confirmed 1", "confirmed -1", "confirmed", "confirmed 01", "queued", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseResult(s)
		if err == nil && r.encode() != s {
			t.Fatalf("%q reads as %+v, which writes as %q", s, r, r.encode())
		}
	})
}

func TestResultRoundTrip(t *testing.T) {
	for _, r := range []Result{{Outcome: booking.Pending}, {Outcome: booking.Refused}, {Outcome: booking.Confirmed},
		{booking.Confirmed, 3 * time.Second}, {booking.Confirmed, -1}} {
		if got, err := parseResult(r.encode()); err != nil || got != r {
			t.Errorf("%+v: %+v, %v", r, got, err)
		}
	}
	for _, s := range []string{"confirmed 01", "confirmed", "refused x", "ok", "open", ""} {
		if r, err := parseResult(s); err == nil {
			t.Errorf("%q read as %+v", s, r)
		}
	}
}
