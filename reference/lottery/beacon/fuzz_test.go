package beacon

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A source that is read is valid, says when, and reads again as the same.
func FuzzParseSource(f *testing.F) {
	for _, s := range every() {
		text, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("drand:quicknet:1000")
	f.Add("drand:default:18446744073709551615")
	f.Add(`{"kind":"rfc3797","rfc3797":[{"name":"x","known":"0001-01-01T00:00:00Z","count":16,"min":0,"max":9007199254740991}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSource(text)
		if err != nil {
			if !reflect.DeepEqual(s, Source{}) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v with %v", err, s)
			}
			return
		}
		if s.Validate() != nil || s.Available().IsZero() || s.Bits() < BitsMin || strings.Contains(s.String(), "\n") {
			t.Fatalf("%v: %v, %v, %v", s, s.Validate(), s.Available(), s.Bits())
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := ParseSource(string(again))
		if err != nil || twice.String() != s.String() || !twice.Available().Equal(s.Available()) {
			t.Fatalf("%s reads as %v, %v", again, twice, err)
		}
		if s.Kind == KindDrand {
			if short, err := ParseSource(s.String()); err != nil || *short.Drand != *s.Drand {
				t.Fatalf("%s reads as %v, %v", s, short, err)
			}
			if round, err := RoundAt(s.Drand.Chain, s.Available()); err == nil && round != s.Drand.Round {
				t.Fatalf("%v is round %d", s, round)
			}
		}
	})
}

// A value that is read is whole and reads again as the same; no source of ours
// takes one that is not what was recorded.
func FuzzParseValue(f *testing.F) {
	all := rounds(f)
	for _, r := range all {
		f.Add([]byte(r.Served))
	}
	for _, v := range []Value{publicValue(), ceremonyValue(), {Kind: KindDrand, Drand: &all[1].round}} {
		text, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	def, quick := all[1], all[9]
	sources := append(every(), def.source(f), quick.source(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := ParseValue(text)
		if err != nil {
			if !reflect.DeepEqual(v, Value{}) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v with %v", err, v)
			}
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := ParseValue(again); err != nil || !same(twice, v) {
			t.Fatalf("%s reads as %+v, %v", again, twice, err)
		}
		for _, s := range sources {
			randomness, err := s.Check(v)
			switch {
			case err != nil:
				if randomness != [32]byte{} || strings.Contains(err.Error(), "\n") {
					t.Fatalf("%v with %x", err, randomness)
				}
			case s.Kind == KindDrand:
				r := *v.Drand
				r.Chain = ""
				if r != def.round && r != quick.round {
					t.Fatalf("%v takes %+v", s, v)
				}
			case len(v.RFC3797) != len(s.RFC3797) || v.Ceremony != nil && len(v.Ceremony.Values) != s.Ceremony.Count:
				t.Fatalf("%v takes %+v", s, v)
			}
		}
	})
}

// same compares values; a list without elements is one whether nil or not.
func same(a, b Value) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// Any key at all selects as the oracle does, and one that has the form of a key
// string is the key string of its numbers, if they are in order.
func FuzzKey3797(f *testing.F) {
	for _, p := range published {
		f.Add(p.key, uint16(p.pool))
	}
	f.Add("", uint16(1))
	f.Add("1./\x00", uint16(65535))
	f.Fuzz(func(t *testing.T, key string, pool uint16) {
		picks := min(int(pool), 20)
		got, err := Pick3797(key, int(pool), picks)
		if (err != nil) != (pool == 0) || err == nil && !slices.Equal(got, oracle3797(key, int(pool), picks)) {
			t.Fatalf("%v, %v", got, err)
		}
		if !keyForm.MatchString(key) {
			return
		}
		sorted := true
		var sources [][]int64
		for part := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
			var numbers []int64
			for number := range strings.SplitSeq(strings.TrimSuffix(part, "."), ".") {
				n, err := strconv.ParseInt(number, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				numbers = append(numbers, n)
			}
			sorted = sorted && slices.IsSorted(numbers)
			sources = append(sources, numbers)
		}
		if got := Key3797(sources); (got == key) != sorted || len(got) != len(key) {
			t.Fatalf("%v of %q is %q", sources, key, got)
		}
	})
}

// keyForm is what a key string looks like, but for the order within a source.
var keyForm = regexp.MustCompile(`^(((0|[1-9][0-9]{0,17})[.])+/)+$`)

// Times with any offset keep their moment.
func FuzzAvailable(f *testing.F) {
	f.Add(int64(1_798_124_400), 8*3600)
	f.Fuzz(func(t *testing.T, sec int64, offset int) {
		s := ceremonySource()
		s.Ceremony.At = time.Unix(sec, 0).In(time.FixedZone("", offset%(24*3600)/60*60))
		if s.Validate() != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSource(string(text))
		if err != nil || again.Available().Unix() != sec {
			t.Fatalf("%s: %v, %v", text, again.Available(), err)
		}
	})
}
