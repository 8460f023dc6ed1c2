package beacon

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var three = time.Date(2026, 12, 24, 15, 0, 0, 0, time.FixedZone("", 8*3600))

func drandSource() Source {
	return Source{Kind: KindDrand, Drand: &Drand{Chain: chains[1].hash, Round: 35107012}}
}

// publicSource is eight lotteries: 6 of 33 seven times and 7 of 30.
func publicSource() Source {
	s := Source{Kind: KindRFC3797}
	for i := range 7 {
		s.RFC3797 = append(s.RFC3797, Public{Name: fmt.Sprintf("red balls, drawing %d", i+1), Known: three.AddDate(0, 0, 7-i),
			Form: Form{Count: 6, Min: 1, Max: 33, Distinct: true}})
	}
	s.RFC3797 = append(s.RFC3797, Public{Name: "seven of thirty", Known: three.AddDate(0, 0, 9), Form: Form{Count: 7, Min: 1, Max: 30, Distinct: true}})
	return s
}

func ceremonySource() Source {
	return Source{Kind: KindCeremony, Ceremony: &Ceremony{What: "fifty dice thrown at once, read from left to right", By: "the notary", Where: "Guangzhou",
		At: three, Form: Form{Count: 50, Min: 1, Max: 6}, Witnesses: 2}}
}

func every() []Source { return []Source{drandSource(), publicSource(), ceremonySource()} }

func TestValidSources(t *testing.T) {
	for _, c := range []struct {
		s    Source
		bits float64 // by hand
		when time.Time
		line string
	}{
		{drandSource(), 256, time.Date(2026, 12, 24, 15, 0, 0, 0, time.UTC), "drand:quicknet:35107012"},
		// 7·log2 C(33,6) + log2 C(30,7) = 7·log2 1107568 + log2 2035800
		{publicSource(), 7*math.Log2(1107568) + math.Log2(2035800), three.AddDate(0, 0, 1).UTC(), "rfc3797: red balls, drawing 1 (6 distinct from 1 to 33, known 2026-12-31T15:00:00+08:00); "},
		{ceremonySource(), 50 * math.Log2(6), three.UTC(), "ceremony: fifty dice thrown at once, read from left to right, 50 from 1 to 6, read out by the notary in Guangzhou at 2026-12-24T15:00:00+08:00 before at least 2 witnesses"},
	} {
		if err := c.s.Validate(); err != nil {
			t.Errorf("%v: %v", c.s, err)
		}
		if got := c.s.Bits(); math.Abs(got-c.bits) > 1e-9 {
			t.Errorf("%v has %v bits, want %v", c.s, got, c.bits)
		}
		if got := c.s.Available(); !got.Equal(c.when) || got.Location() != time.UTC {
			t.Errorf("%v can be known at %v, want %v", c.s, got, c.when)
		}
		if got := c.s.String(); !strings.HasPrefix(got, c.line) || strings.Contains(got, "\n") {
			t.Errorf("%s", got)
		}
		text, err := json.Marshal(c.s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSource(string(text))
		if err != nil || again.String() != c.s.String() || !again.Available().Equal(c.when) {
			t.Errorf("%s reads as %v, %v", text, again, err)
		}
	}
}

// Six digits seed a known car-plate draw. They are 20 bits: a million outcomes,
// all of which anybody can draw before the seal. No kind takes them.
func TestSixDigitsAreRefused(t *testing.T) {
	ceremony := ceremonySource()
	ceremony.Ceremony.Form = Form{Count: 6, Min: 0, Max: 9}
	number := ceremonySource()
	number.Ceremony.Form = Form{Count: 1, Min: 0, Max: 999_999}
	public := Source{Kind: KindRFC3797, RFC3797: []Public{{Name: "the seed", Known: three, Form: Form{Count: 1, Min: 0, Max: 999_999}}}}
	for _, s := range []Source{ceremony, number, public} {
		if got := s.Bits(); math.Abs(got-6*math.Log2(10)) > 1e-9 {
			t.Errorf("%s: %v bits", s.Kind, got)
		}
		err := s.Validate()
		if err == nil || !strings.Contains(err.Error(), "19.9 bits of entropy, want at least 128") {
			t.Errorf("%s: %v", s.Kind, err)
		}
		if !s.Available().IsZero() {
			t.Errorf("%s: refused, yet can be known at %v", s.Kind, s.Available())
		}
		values := []int64{1, 2, 3, 4, 5, 6}
		if s.Kind == KindCeremony && s.Ceremony.Count == 6 {
			if _, err := s.Check(Value{Kind: KindCeremony, Ceremony: &Reading{Values: values, Witnesses: []string{"a", "b"}}}); err == nil {
				t.Error("a value of a source that is refused passes")
			}
		}
	}
	for _, c := range []struct {
		form Form
		ok   bool
	}{
		{Form{Count: 128, Min: 0, Max: 1}, true}, {Form{Count: 127, Min: 0, Max: 1}, false},
		{Form{Count: 50, Min: 1, Max: 6}, true}, {Form{Count: 49, Min: 1, Max: 6}, false}, // 129.2 and 126.7 bits
		{Form{Count: 35, Min: 1, Max: 35, Distinct: true}, true}, {Form{Count: 30, Min: 1, Max: 30, Distinct: true}, false}, // 132.9, 107.7
	} {
		s := ceremonySource()
		s.Ceremony.Form = c.form
		if err := s.Validate(); (err == nil) != c.ok {
			t.Errorf("%v, %.1f bits: %v", c.form, s.Bits(), err)
		}
	}
}

// Bits against all sequences of a small form, one by one.
func TestBitsAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Form{Count: rapid.IntRange(1, 5).Draw(t, "count"), Min: rapid.Int64Range(0, 9).Draw(t, "min"), Distinct: rapid.Bool().Draw(t, "distinct")}
		f.Max = f.Min + rapid.Int64Range(1, 4).Draw(t, "width")
		if f.validate() != nil {
			if f.bits() != 0 || f.bitsSorted() != 0 {
				t.Fatalf("%v is not valid and has bits", f)
			}
			return
		}
		total, sorted := 0, map[string]int{}
		values := make([]int64, f.Count)
		var walk func(i int)
		walk = func(i int) {
			if i == f.Count {
				if f.check(values) == nil {
					total++
					sorted[fmt.Sprint(slices.Sorted(slices.Values(values)))]++
				}
				return
			}
			for values[i] = f.Min; values[i] <= f.Max; values[i]++ {
				walk(i + 1)
			}
			values[i] = f.Min
		}
		walk(0)
		likeliest := 0
		for _, n := range sorted {
			likeliest = max(likeliest, n)
		}
		if want := math.Log2(float64(total)); math.Abs(f.bits()-want) > 1e-9 {
			t.Fatalf("%v: %v bits, want %v", f, f.bits(), want)
		}
		if want := math.Log2(float64(total) / float64(likeliest)); math.Abs(f.bitsSorted()-want) > 1e-9 {
			t.Fatalf("%v: %v bits sorted, want %v", f, f.bitsSorted(), want)
		}
	})
}

func TestValidateNames(t *testing.T) {
	for _, c := range []struct {
		of   func() Source
		do   func(*Source)
		want string
	}{
		{drandSource, func(s *Source) { *s = Source{} }, `source: kind "": want drand, rfc3797 or ceremony`},
		{drandSource, func(s *Source) { s.Kind = "dice" }, `source: kind "dice" has no field drand`},
		{drandSource, func(s *Source) { s.Drand = nil }, "source: kind drand: field drand is missing"},
		{drandSource, func(s *Source) { s.Ceremony = &Ceremony{} }, `source: kind "drand" has no field ceremony`},
		{drandSource, func(s *Source) { s.RFC3797 = []Public{} }, `source: kind "drand" has no field rfc3797`},
		{drandSource, func(s *Source) { s.Drand.Round = 0 }, "source drand: drand quicknet round 0: want 1 to "},
		{drandSource, func(s *Source) { s.Drand.Chain = "quicknet" }, "source drand: chain quicknet: want its hash, 52db"},
		{drandSource, func(s *Source) { s.Drand.Chain = "00" }, `source drand: drand chain "00" is not known: want default 8990e7a9`},
		{publicSource, func(s *Source) { s.RFC3797 = []Public{} }, "source rfc3797: 0 sources"},
		{publicSource, func(s *Source) { s.RFC3797 = slices.Repeat(s.RFC3797, 3) }, "source rfc3797: 24 sources: want 1 to 16"},
		{publicSource, func(s *Source) { s.RFC3797[2].Name = "" }, `source rfc3797: source 3: name ""`},
		{publicSource, func(s *Source) { s.RFC3797[2].Name = "a\u202eb" }, "source rfc3797: source 3: name"},
		{publicSource, func(s *Source) { s.RFC3797[2].Name = s.RFC3797[0].Name }, "source rfc3797: source 3: name \"red balls, drawing 1\" comes twice"},
		{publicSource, func(s *Source) { s.RFC3797[2].Known = time.Time{} }, "source rfc3797: source 3: known: the time is missing"},
		{publicSource, func(s *Source) { s.RFC3797[2].Count = 17 }, "source rfc3797: source 3: count 17: want at most 16"},
		{publicSource, func(s *Source) { s.RFC3797[2].Max = 5 }, "source rfc3797: source 3: count 6: there are only 5"},
		{publicSource, func(s *Source) { s.RFC3797 = s.RFC3797[:6] }, "source rfc3797: 120.5 bits of entropy"},
		{ceremonySource, func(s *Source) { s.Ceremony.What = " dice" }, `source ceremony: what " dice"`},
		{ceremonySource, func(s *Source) { s.Ceremony.By = "a\nb" }, "source ceremony: by"},
		{ceremonySource, func(s *Source) { s.Ceremony.Where = strings.Repeat("x", 301) }, "source ceremony: where"},
		{ceremonySource, func(s *Source) { s.Ceremony.At = three.Add(time.Millisecond) }, "source ceremony: at 2026-12-24T15:00:00.001+08:00: want whole seconds"},
		{ceremonySource, func(s *Source) { s.Ceremony.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "source ceremony: at 10000"},
		{ceremonySource, func(s *Source) { s.Ceremony.Count = 0 }, "source ceremony: count 0"},
		{ceremonySource, func(s *Source) { s.Ceremony.Count = 1001 }, "source ceremony: count 1001"},
		{ceremonySource, func(s *Source) { s.Ceremony.Min = 6 }, "source ceremony: range 6 to 6"},
		{ceremonySource, func(s *Source) { s.Ceremony.Min = -1 }, "source ceremony: range -1 to 6"},
		{ceremonySource, func(s *Source) { s.Ceremony.Max = 1 << 53 }, "source ceremony: range 1 to 9007199254740992"},
		{ceremonySource, func(s *Source) { s.Ceremony.Witnesses = 0 }, "source ceremony: witnesses 0"},
		{ceremonySource, func(s *Source) { s.Ceremony.Witnesses = 101 }, "source ceremony: witnesses 101"},
	} {
		s := c.of()
		c.do(&s)
		err := s.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v; want %s", err, c.want)
		}
		if !s.Available().IsZero() || !strings.HasPrefix(s.String(), "invalid") {
			t.Errorf("%s: refused, yet %v, %v", c.want, s.Available(), s)
		}
	}
}

func TestParseSource(t *testing.T) {
	for text, want := range map[string]string{
		"drand:quicknet:1000":            "drand:quicknet:1000",
		"drand:default:1":                "drand:default:1",
		"drand:" + chains[0].hash + ":7": "drand:default:7",
		" {\"kind\":\"drand\",\"drand\":{\"round\":5,\"chain\":\"" + chains[0].hash + "\"}}\n": "drand:default:5",
		// Refused.
		"":                                    "",
		"quicknet:1000":                       "",
		"drand:quicknet":                      "",
		"drand:quicknet:":                     "",
		"drand:quicknet:0":                    "",
		"drand:quicknet:01":                   "",
		"drand:quicknet:+1":                   "",
		"drand:quicknet:1:2":                  "",
		"drand:quicknet:1 ":                   "",
		"drand:quicknet:1e3":                  "",
		"drand:Quicknet:1":                    "",
		"drand:quicknet:99999999999999999999": "",
		"DRAND:quicknet:1":                    "",
		"{}":                                  "",
		"{":                                   "",
		"[]":                                  "",
		"null":                                "",
		strings.Repeat(" ", 1<<16) + "{}":     "",
	} {
		s, err := ParseSource(text)
		if (err != nil) != (want == "") || err == nil && s.String() != want {
			t.Errorf("%.60q: %v, %v", text, s, err)
		}
		if err != nil && (!reflect.DeepEqual(s, Source{}) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%.60q: %v with %v", text, s, err)
		}
	}
}

// What encoding/json lets through by itself, and the seal must not.
func TestStrict(t *testing.T) {
	good := `{"kind":"drand","drand":{"chain":"` + chains[0].hash + `","round":5}}`
	for _, c := range []struct{ old, new, want string }{
		{`"round":5`, `"round":5,"round":6`, `field "round" comes twice`},
		{`"round":5`, `"round":5,"Round":6`, `unknown field "Round"`},
		{`"round"`, `"ROUND"`, `unknown field "ROUND"`},
		{`"round":5`, `"round":5,"seed":6`, `unknown field "seed"`},
		{`"round":5`, `"round":5.0`, "number 5.0"},
		{`"round":5`, `"round":"5"`, "string"},
		{`"round":5`, `"round":-5`, "number -5"},
		{`"round":5`, `"round":null`, "null"},
		{`"round":5`, `"round":5,"chain":null`, `"chain" comes twice`},
		{`"drand":{`, `"ceremony":null,"drand":{`, "null"},
		{`}}`, `}}{}`, "nothing after"},
		{`}}`, `}} x`, "nothing after"},
		{`}}`, `}`, "too early"},
		{`}}`, `}]`, "invalid character"},
		{`"round":5`, `"round":5,`, "invalid character"},
		{`"round":5`, `"round" 5`, "invalid character"},
		{`5}}`, `5},"x":[[[[[[[[[1]]]]]]]]]}`, "inside one another"},
		{`drand"`, "drand\xff\"", "UTF-8"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		var s Source
		err := json.Unmarshal([]byte(text), &s)
		_, direct := ParseSource(text)
		if err == nil || direct == nil || !reflect.DeepEqual(s, Source{}) {
			t.Errorf("%s: %v, %v, %v", text, s, err, direct)
			continue
		}
		if !strings.Contains(direct.Error(), c.want) && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", text, err, direct, c.want)
		}
	}
	for size, ok := range map[int]bool{bytesMax: true, bytesMax + 1: false} {
		if _, err := ParseSource(good + strings.Repeat(" ", size-len(good))); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	var s Source
	if err := json.Unmarshal([]byte("null"), &s); err == nil {
		t.Error("null is a source")
	}
	var v Value
	if err := json.Unmarshal([]byte("null"), &v); err == nil {
		t.Error("null is a value")
	}
}

// A refused text leaves what was there.
func TestUnmarshalKeepsOnFailure(t *testing.T) {
	for _, want := range every() {
		s := want
		if err := json.Unmarshal([]byte(`{"kind":"drand","x":1}`), &s); err == nil || !reflect.DeepEqual(s, want) {
			t.Errorf("%v, %v", s, err)
		}
	}
}
