package queue

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// A dead letter of any content is shown: as it was, and decoded only if it is whole.
func FuzzLetter(f *testing.F) {
	f.Add("1-0", "1 0123456789abcdef0123456789abcdef 1 2 3 0", "why", "3", "4")
	f.Add("1-0", "1 0123456789abcdef0123456789abcdef", "", "x", "9223372036854775808")
	f.Add("", "", "\n", "-1", "")
	f.Fuzz(func(t *testing.T, entry, raw, reason, attempts, at string) {
		l := letter(redis.XMessage{ID: "2-0", Values: map[string]any{"entry": entry, "e": raw, "reason": reason, "attempts": attempts, "at": at}})
		if l.Raw != raw || l.ID != "2-0" || l.Decoded && l.Accepted.Encode() != raw {
			t.Fatalf("%q shows as %+v", raw, l)
		}
	})
}
