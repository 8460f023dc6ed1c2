package beacon

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/circl/sign/bls"
	"pgregory.net/rapid"
)

// recorded is a real round, where it was found, and the bytes that were served.
type recorded struct {
	Chain, From string
	Served      json.RawMessage
	round       Round
}

func rounds(t testing.TB) []recorded {
	t.Helper()
	text, err := os.ReadFile("testdata/rounds.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := json.Unmarshal(all[i].Served, &all[i].round); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (r recorded) source(t testing.TB) Source {
	t.Helper()
	s, err := ParseSource(fmt.Sprintf("drand:%s:%d", r.Chain, r.round.Round))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every recorded round passes as it was served, and with its chain, and no other.
func TestRecordedRounds(t *testing.T) {
	per := map[string]int{}
	all := rounds(t)
	for _, r := range all {
		s := r.source(t)
		v, err := ParseValue(r.Served)
		if err != nil {
			t.Fatalf("%s %d: %v", r.Chain, r.round.Round, err)
		}
		got, err := s.Check(v)
		if err != nil || hex.EncodeToString(got[:]) != r.round.Randomness {
			t.Fatalf("%s %d: %x, %v", r.Chain, r.round.Round, got, err)
		}
		v.Drand.Chain = s.Drand.Chain
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseValue(text)
		if err != nil || *again.Drand != *v.Drand {
			t.Fatalf("%s reads as %+v, %v", text, again, err)
		}
		for _, other := range all {
			if o := other.source(t); *o.Drand != *s.Drand {
				if got, err := o.Check(again); err == nil || got != [32]byte{} {
					t.Fatalf("%v took the value of %v", o, s)
				}
			}
		}
		per[r.Chain]++
	}
	if per["default"] < 3 || per["quicknet"] < 3 {
		t.Fatalf("recorded rounds: %v", per)
	}
}

// The randomness of three rounds as others published it, not as we compute it.
func TestPublishedRandomness(t *testing.T) {
	want := map[string]string{
		"drand:default:1":       "101297f1ca7dc44ef6088d94ad5fb7ba03455dc33d53ddb412bbc4564ed986ec",
		"drand:quicknet:657413": "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587",
		"drand:default:3311596": "647c07b2abbf7ff2afb4d670214f565e5cd9f9c91bfdcecb59a21f3c78d73920",
	}
	for _, r := range rounds(t) {
		s := r.source(t)
		if hash, is := want[s.String()]; is {
			got, err := s.Check(Value{Kind: KindDrand, Drand: &r.round})
			if err != nil || hex.EncodeToString(got[:]) != hash {
				t.Errorf("%v: %x, %v", s, got, err)
			}
			delete(want, s.String())
		}
	}
	if len(want) > 0 {
		t.Errorf("not recorded: %v", want)
	}
}

// A chain's hash is over its period, genesis, key, genesis seed and, but for the
// default chain, its name: drand, common/chain/info.go, Info.Hash.
func TestChainTable(t *testing.T) {
	for _, c := range chains {
		h := sha256.New()
		_ = binary.Write(h, binary.BigEndian, uint32(c.period))
		_ = binary.Write(h, binary.BigEndian, c.genesis)
		for _, s := range []string{c.key, c.group} {
			b, err := hex.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(b)
		}
		if c.name != "default" {
			h.Write([]byte(c.name))
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != c.hash {
			t.Errorf("%s: the row hashes to %s", c.name, got)
		}
	}
}

// No byte of a served round can be another one. Every second gets another digit
// too, so each byte that is meant, since it has two.
func TestEveryByteCounts(t *testing.T) {
	for _, i := range []int{1, 9} { // default 2, quicknet 1000
		r := rounds(t)[i]
		s := r.source(t)
		refused := func(at int, b byte) {
			text := bytes.Clone(r.Served)
			text[at] = b
			v, err := ParseValue(text)
			if err != nil {
				return
			}
			if _, err := s.Check(v); err == nil {
				t.Fatalf("byte %d: %q passes", at, text)
			}
		}
		for at, was := range r.Served {
			refused(at, was^0x20)
			refused(at, '\'')
			if was != ' ' {
				refused(at, ' ')
			}
			if at%2 == 0 && was != '0' {
				refused(at, '0')
			} else if at%2 == 0 {
				refused(at, '7')
			}
		}
	}
}

// The first thing that does not fit is named.
func TestCheckDrandNames(t *testing.T) {
	all := rounds(t)
	def, quick := all[1], all[9]
	for _, c := range []struct {
		of   recorded
		do   func(*Round)
		want string
	}{
		{def, func(r *Round) { r.Chain = chains[1].hash }, "chain \"52db9ba7"},
		{def, func(r *Round) { r.Chain, r.Round = "default", 7 }, "chain \"default\""},
		{def, func(r *Round) { r.Round, r.Signature = 3, "" }, "round 3: the seal names 2"},
		{def, func(r *Round) { r.Signature, r.Randomness = r.Signature[2:], "" }, "signature \""},
		{def, func(r *Round) { r.Signature = strings.ToUpper(r.Signature) }, "signature \""},
		{def, func(r *Round) { r.PreviousSignature = "" }, "previous_signature \"\": want 192 digits"},
		{def, func(r *Round) { r.PreviousSignature = all[0].round.PreviousSignature }, "previous_signature \"176f"},
		{def, func(r *Round) { r.PreviousSignature = all[2].round.Signature }, "signature: not that of drand default on round 2"},
		{all[0], func(r *Round) { r.PreviousSignature = all[2].round.Signature }, "previous_signature \"a7b0"},
		{all[0], func(r *Round) { r.PreviousSignature = chains[1].group }, "signature: not that of drand default on round 1"},
		{def, func(r *Round) { r.Randomness = "" }, "randomness \"\": want 64 digits"},
		{def, func(r *Round) { r.Randomness = all[0].round.Randomness }, "randomness: not the SHA-256 of the signature, which is e8fee7da"},
		{quick, func(r *Round) { r.PreviousSignature = all[8].round.Signature }, "previous_signature: quicknet has none"},
		{quick, func(r *Round) { r.Signature = all[8].round.Signature }, "randomness: not the SHA-256"},
		{quick, func(r *Round) { *r = all[8].round; r.Round = 1000 }, "signature: not that of drand quicknet on round 1000"},
		{quick, func(r *Round) { *r = def.round; r.Round = 1000 }, "signature \"aa18"},
	} {
		v := c.of.round
		c.do(&v)
		got, err := c.of.source(t).Check(Value{Kind: KindDrand, Drand: &v})
		if err == nil || !strings.HasPrefix(err.Error(), "value: drand: "+c.want) || got != [32]byte{} {
			t.Errorf("got %x, %v; want %q", got, err, c.want)
		}
	}
}

// What only the pairing can see: rounds that fit together but were signed by
// another key, or by none.
func TestForgedSignature(t *testing.T) {
	refused := func(c chain, signature []byte, previous string) {
		t.Helper()
		hash := sha256.Sum256(signature)
		v := Round{Round: 2, Randomness: hex.EncodeToString(hash[:]), Signature: hex.EncodeToString(signature), PreviousSignature: previous}
		s := Source{Kind: KindDrand, Drand: &Drand{Chain: c.hash, Round: 2}}
		if _, err := s.Check(Value{Kind: KindDrand, Drand: &v}); err == nil || !strings.Contains(err.Error(), "signature: not that of drand "+c.name) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	previous := rounds(t)[0].round.Signature
	before, _ := hex.DecodeString(previous)
	message := sha256.Sum256(binary.BigEndian.AppendUint64(before, 2))
	own1, err := bls.KeyGen[bls.KeyG1SigG2](make([]byte, 32), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(chains[0], bls.Sign(own1, message[:]), previous)
	message = sha256.Sum256(binary.BigEndian.AppendUint64(nil, 2))
	own2, err := bls.KeyGen[bls.KeyG2SigG1](make([]byte, 32), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(chains[1], bls.Sign(own2, message[:]), "")
	// The point at infinity, a point's x that is not below the field's prime, nothing.
	for _, first := range []byte{0xc0, 0x9f, 0x00} {
		for i, size := range []int{96, 48} {
			b := bytes.Repeat([]byte{first}, size)
			if first == 0xc0 {
				b = append([]byte{first}, make([]byte, size-1)...)
			}
			refused(chains[i], b, []string{previous, ""}[i])
		}
	}
}

func TestTimeOf(t *testing.T) {
	for _, c := range []struct {
		chain string
		round uint64
		want  string // "" = refused
	}{
		{"default", 1, "2020-07-22T15:17:30Z"}, // genesis, as the chain's info gives it
		{"default", 2, "2020-07-22T15:18:00Z"},
		{"quicknet", 1, "2023-08-23T15:09:27Z"},
		{"quicknet", 35107012, "2026-12-24T15:00:00Z"}, // by hand: 1692803367 + 3·35107011 = 1798124400
		{chains[1].hash, 35107012, "2026-12-24T15:00:00Z"},
		{"default", 0, ""}, {"quicknet", 1 << 63, ""}, {"quicknet", 1<<64 - 1, ""}, {"evmnet", 1, ""}, {"", 1, ""},
	} {
		got, err := TimeOf(c.chain, c.round)
		if (err != nil) != (c.want == "") || err == nil && got.Format(time.RFC3339) != c.want {
			t.Errorf("%s %d: %v, %v", c.chain, c.round, got, err)
		}
	}
	last, err := TimeOf("default", uint64((timeMax-chains[0].genesis)/30)+1)
	if err != nil || last.Year() != 9999 {
		t.Errorf("last round: %v, %v", last, err)
	}
}

// RoundAt is the least round whose time is not before the moment.
func TestRoundAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := chains[rapid.IntRange(0, 1).Draw(t, "chain")]
		at := time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(t, "sec"), rapid.SampledFrom([]int64{0, 1, 999_999_999}).Draw(t, "ns"))
		if rapid.Bool().Draw(t, "near") {
			at = time.Unix(c.genesis+rapid.Int64Range(-100, 100).Draw(t, "off"), int64(at.Nanosecond()))
		}
		round, err := RoundAt(c.name, at)
		if err != nil {
			t.Fatal(err)
		}
		if when, err := TimeOf(c.hash, round); err != nil || when.Before(at) {
			t.Fatalf("round %d appears %v, before %v: %v", round, when, at, err)
		}
		if round == 1 {
			return
		}
		if when, err := TimeOf(c.hash, round-1); err != nil || !when.Before(at) {
			t.Fatalf("round %d appears %v, not before %v: %v", round-1, when, at, err)
		}
	})
	for _, sec := range []int64{-1 << 63, 1<<63 - 1, timeMax, timeMax - 29} {
		round, err := RoundAt("default", time.Unix(sec, 5))
		if (err == nil) != (sec < 0) || err == nil && round != 1 {
			t.Errorf("%d: round %d, %v", sec, round, err)
		}
	}
	if _, err := RoundAt("evmnet", time.Unix(0, 0)); err == nil {
		t.Error("a round of a chain that is not known")
	}
}

func BenchmarkCheckDrand(b *testing.B) {
	for _, i := range []int{1, 9} {
		r := rounds(b)[i]
		s, v := r.source(b), Value{Kind: KindDrand, Drand: &r.round}
		b.Run(r.Chain, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Check(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
