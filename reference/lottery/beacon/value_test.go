package beacon

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func publicValue() Value {
	v := Value{Kind: KindRFC3797}
	for _, p := range publicSource().RFC3797 {
		r := Result{Name: p.Name}
		for i := range p.Count {
			r.Numbers = append(r.Numbers, int64(p.Count-i)*3)
		}
		v.RFC3797 = append(v.RFC3797, r)
	}
	return v
}

func ceremonyValue() Value {
	v := Value{Kind: KindCeremony, Ceremony: &Reading{Witnesses: []string{"Ms Chen", "Mr Li", "Ms Wu"}}}
	for i := range 50 {
		v.Ceremony.Values = append(v.Ceremony.Values, int64(i*i%6)+1)
	}
	return v
}

// The randomness as a shell computes it:
//
//	printf 'spillway/beacon/rfc3797/v1\nKEY' | sha256sum
//	printf 'spillway/beacon/ceremony/v1\nKEY' | sha256sum
func TestRandomnessFromShell(t *testing.T) {
	for _, c := range []struct {
		s    Source
		v    Value
		key  string
		want string
	}{
		{publicSource(), publicValue(), strings.Repeat("3.6.9.12.15.18./", 7) + "3.6.9.12.15.18.21./", "391ed0ea7a0b4de0ac9174f4dd87aea05b2bf01c9156949f90f72b2ccb60a341"},
		{ceremonySource(), ceremonyValue(), strings.Repeat("1.2.5.4.5.2.", 8) + "1.2.", "5d0c532d303c15f0dc40d1dc495da80752bc2185a985d1b72a4d4c15ddf7f162"},
	} {
		got, err := c.s.Check(c.v)
		if err != nil || hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%s: %x, %v; want %s of %s", c.s.Kind, got, err, c.want, c.key)
		}
		text, err := json.Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseValue(text)
		if err != nil || !reflect.DeepEqual(again, c.v) {
			t.Errorf("%s reads as %+v, %v", text, again, err)
		}
	}
}

// Any number that changes changes the randomness; the order does so in a ceremony
// and not within a public source; witnesses never do.
func TestWhatEntersTheRandomness(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, v := ceremonySource(), ceremonyValue()
		for i := range v.Ceremony.Values {
			v.Ceremony.Values[i] = rapid.Int64Range(1, 6).Draw(t, "die")
		}
		was, err := s.Check(v)
		if err != nil {
			t.Fatal(err)
		}
		v.Ceremony.Witnesses = []string{"x", "y"}
		if got, err := s.Check(v); err != nil || got != was {
			t.Fatalf("witnesses move the result: %v", err)
		}
		i, j := rapid.IntRange(0, 49).Draw(t, "i"), rapid.IntRange(0, 49).Draw(t, "j")
		same := v.Ceremony.Values[i] == v.Ceremony.Values[j]
		v.Ceremony.Values[i], v.Ceremony.Values[j] = v.Ceremony.Values[j], v.Ceremony.Values[i]
		if got, err := s.Check(v); err != nil || (got == was) != same {
			t.Fatalf("%d and %d exchanged: %v", i, j, err)
		}
		v.Ceremony.Values[i] = v.Ceremony.Values[i]%6 + 1
		if got, err := s.Check(v); err != nil || got == was {
			t.Fatalf("value %d moved: %v", i, err)
		}

		s, v = publicSource(), publicValue()
		if was, err = s.Check(v); err != nil {
			t.Fatal(err)
		}
		k := rapid.IntRange(0, len(v.RFC3797)-1).Draw(t, "source")
		v.RFC3797[k].Numbers = rapid.Permutation(v.RFC3797[k].Numbers).Draw(t, "order")
		if got, err := s.Check(v); err != nil || got != was {
			t.Fatalf("order within a source: %v", err)
		}
		v.RFC3797[k].Numbers = slices.Clone(v.RFC3797[k].Numbers)
		v.RFC3797[k].Numbers[0]++
		if got, err := s.Check(v); err != nil || got == was {
			t.Fatalf("a number moved: %v", err)
		}
	})
}

func TestCheckNames(t *testing.T) {
	one := drandSource()
	for _, c := range []struct {
		s    Source
		of   func() Value
		do   func(*Value)
		want string
	}{
		{one, ceremonyValue, func(v *Value) {}, "value: kind ceremony: the seal names drand"},
		{one, ceremonyValue, func(v *Value) { *v = Value{} }, `value: kind "": want drand`},
		{one, ceremonyValue, func(v *Value) { v.Kind = KindDrand }, `value: kind drand: field drand is missing`},
		{one, ceremonyValue, func(v *Value) { v.Kind, v.Drand = KindDrand, &Round{} }, `value: kind "drand" has no field ceremony`},
		{Source{}, ceremonyValue, func(v *Value) {}, "source: kind"},
		{publicSource(), publicValue, func(v *Value) { v.RFC3797 = v.RFC3797[1:] }, "value: rfc3797: 7 sources: the seal names 8"},
		{publicSource(), publicValue, func(v *Value) { v.RFC3797[0], v.RFC3797[1] = v.RFC3797[1], v.RFC3797[0] },
			`value: rfc3797: source 1: name "red balls, drawing 2": the seal names "red balls, drawing 1"`},
		{publicSource(), publicValue, func(v *Value) { v.RFC3797[3].Numbers[2] = 34 }, "value: rfc3797: source 4: value 3: 34 is outside 1 to 33"},
		{publicSource(), publicValue, func(v *Value) { v.RFC3797[3].Numbers[2] = 0 }, "value: rfc3797: source 4: value 3: 0 is outside"},
		{publicSource(), publicValue, func(v *Value) { v.RFC3797[3].Numbers[2] = 3 }, "value: rfc3797: source 4: value 6: 3 has come before"},
		{publicSource(), publicValue, func(v *Value) { v.RFC3797[3].Numbers = nil }, "value: rfc3797: source 4: 0 values: the seal names 6"},
		{ceremonySource(), ceremonyValue, func(v *Value) { v.Ceremony.Values = v.Ceremony.Values[:49] }, "value: ceremony: 49 values: the seal names 50"},
		{ceremonySource(), ceremonyValue, func(v *Value) { v.Ceremony.Values = append(v.Ceremony.Values, 1) }, "value: ceremony: 51 values"},
		{ceremonySource(), ceremonyValue, func(v *Value) { v.Ceremony.Values[49] = 7 }, "value: ceremony: value 50: 7 is outside 1 to 6"},
		{ceremonySource(), ceremonyValue, func(v *Value) { v.Ceremony.Witnesses = []string{"a"} }, "value: ceremony: 1 witnesses: the seal wants 2"},
		{ceremonySource(), ceremonyValue, func(v *Value) { v.Ceremony.Witnesses = []string{"a", "a"} }, `value: ceremony: witness 2: "a" comes twice`},
		{ceremonySource(), ceremonyValue, func(v *Value) { v.Ceremony.Witnesses = []string{"a", ""} }, "value: ceremony: witness 2: name"},
	} {
		v := c.of()
		c.do(&v)
		got, err := c.s.Check(v)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || got != [32]byte{} || strings.Contains(err.Error(), "\n") {
			t.Errorf("%x, %v; want %s", got, err, c.want)
		}
	}
}

func TestParseValueRefuses(t *testing.T) {
	served := string(rounds(t)[9].Served)
	for _, text := range []string{"", "{}", "null", "[]", served + served, served[:len(served)-1], strings.Replace(served, "round", "Round", 1),
		strings.Replace(served, `{`, `{"x":1,`, 1), `{"kind":"drand","drand":` + served + `,"kind":"drand"}`, `{"kind":"dice"}`,
		`{"kind":"ceremony","ceremony":{"values":[1.5],"witnesses":[]}}`, fmt.Sprintf(`{"signature":"%s"}`, strings.Repeat("0", 1<<16))} {
		v, err := ParseValue([]byte(text))
		if err == nil || !reflect.DeepEqual(v, Value{}) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
			t.Errorf("%.80q: %+v, %v", text, v, err)
		}
	}
}
