package reports

import (
	"encoding/json"
	"testing"
)

func FuzzValue(f *testing.F) {
	for _, s := range []string{"null", "1.5", "-0", "1e999", `"1"`, "{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v, again Value
		if json.Unmarshal(text, &v) != nil {
			return
		}
		b, err := json.Marshal(v)
		if err != nil || json.Unmarshal(b, &again) != nil || again != v {
			t.Fatalf("%q reads as %+v, writes as %q, %v", text, v, b, err)
		}
	})
}
