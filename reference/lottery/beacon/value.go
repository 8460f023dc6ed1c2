package beacon

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
)

// Value is what became public afterwards, of the kind that the source named. It
// is a claim until Check has passed it. The zero value is not valid.
type Value struct {
	Kind     Kind     `json:"kind"`
	Drand    *Round   `json:"drand,omitempty"`
	RFC3797  []Result `json:"rfc3797,omitempty"` // in the order of the source
	Ceremony *Reading `json:"ceremony,omitempty"`
}

// Round is a drand round as the HTTP API serves it at /HASH/public/ROUND, and
// which chain it is of. Bytes are in lower-case hex.
type Round struct {
	Chain             string `json:"chain,omitempty"` // hash; "" = not said, as served
	Round             uint64 `json:"round"`
	Randomness        string `json:"randomness"`
	Signature         string `json:"signature"`
	PreviousSignature string `json:"previous_signature,omitempty"` // chained schemes only
}

// Result is the numbers of one public source, in any order.
type Result struct {
	Name    string  `json:"name"`
	Numbers []int64 `json:"numbers"`
}

// Reading is what was read out, in that order, and who saw it.
type Reading struct {
	Values    []int64  `json:"values"`
	Witnesses []string `json:"witnesses"` // names; they do not enter the randomness
}

// UnmarshalJSON reads exactly what encoding/json writes of a Value, in any order
// of the fields, and refuses everything else. It checks nothing.
func (v *Value) UnmarshalJSON(text []byte) error {
	type raw Value
	var r raw
	if err := strict(text, &r); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	*v = Value(r)
	return nil
}

// ParseValue reads a value as JSON, or a drand round as it was served, byte for
// byte. Whether it is true, and the one that was sealed, only Check says.
func ParseValue(text []byte) (Value, error) {
	if len(text) <= bytesMax && !bytes.Contains(text, []byte(`"kind"`)) && bytes.Contains(text, []byte(`"signature"`)) {
		var r Round
		if err := strict(text, &r); err != nil {
			return Value{}, fmt.Errorf("value: drand round: %w", err)
		}
		return Value{Kind: KindDrand, Drand: &r}, nil
	}
	var v Value
	if err := v.UnmarshalJSON(text); err != nil {
		return Value{}, err
	}
	if err := v.whole(); err != nil {
		return Value{}, err
	}
	return v, nil
}

func (v Value) whole() error {
	if err := one(v.Kind, v.Drand != nil, v.RFC3797 != nil, v.Ceremony != nil); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}

// What goes before a key string when it becomes randomness, so that no text of
// one kind has the randomness of another.
const (
	tagRFC3797  = "spillway/beacon/rfc3797/v1\n"
	tagCeremony = "spillway/beacon/ceremony/v1\n"
)

// Check verifies in full that the value is the one that the source named and is
// genuine as far as its kind can show, and gives its randomness: of a drand round
// what drand calls so, SHA-256(signature); of the others SHA-256(tag ∥ key
// string), as the package's documentation shows for the shell. Otherwise the
// error names the first thing that does not fit, and the randomness is zero.
func (s Source) Check(v Value) (randomness [32]byte, err error) {
	if err := s.Validate(); err != nil {
		return randomness, err
	}
	if err := v.whole(); err != nil {
		return randomness, err
	}
	if v.Kind != s.Kind {
		return randomness, fmt.Errorf("value: kind %s: the seal names %s", v.Kind, s.Kind)
	}
	switch s.Kind {
	case KindDrand:
		randomness, err = s.Drand.check(*v.Drand)
	case KindRFC3797:
		randomness, err = checkPublic(s.RFC3797, v.RFC3797)
	case KindCeremony:
		randomness, err = s.Ceremony.check(*v.Ceremony)
	}
	if err != nil {
		return [32]byte{}, fmt.Errorf("value: %s: %w", s.Kind, err)
	}
	return randomness, nil
}

func checkPublic(sources []Public, results []Result) (randomness [32]byte, err error) {
	if len(results) != len(sources) {
		return randomness, fmt.Errorf("%d sources: the seal names %d", len(results), len(sources))
	}
	numbers := make([][]int64, len(results))
	for i, r := range results {
		if r.Name != sources[i].Name {
			return randomness, fmt.Errorf("source %d: name %.80q: the seal names %q", i+1, r.Name, sources[i].Name)
		}
		if err := sources[i].Form.check(r.Numbers); err != nil {
			return randomness, fmt.Errorf("source %d: %w", i+1, err)
		}
		numbers[i] = r.Numbers
	}
	return sha256.Sum256([]byte(tagRFC3797 + Key3797(numbers))), nil
}

func (c Ceremony) check(r Reading) (randomness [32]byte, err error) {
	if err := c.Form.check(r.Values); err != nil {
		return randomness, err
	}
	seen := map[string]bool{}
	for i, name := range r.Witnesses {
		if err := text("name", name); err != nil {
			return randomness, fmt.Errorf("witness %d: %w", i+1, err)
		}
		if seen[name] {
			return randomness, fmt.Errorf("witness %d: %q comes twice", i+1, name)
		}
		seen[name] = true
	}
	if len(r.Witnesses) < c.Witnesses {
		return randomness, fmt.Errorf("%d witnesses: the seal wants %d", len(r.Witnesses), c.Witnesses)
	}
	return sha256.Sum256([]byte(tagCeremony + keyCeremony(r.Values))), nil
}

// keyCeremony is the values as they were read out, a dot after each.
func keyCeremony(values []int64) string {
	var key []byte
	for _, v := range values {
		key = append(strconv.AppendInt(key, v, 10), '.')
	}
	return string(key)
}
