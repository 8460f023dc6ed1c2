package beacon

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind says where public randomness comes from.
type Kind string

// The kinds. What each promises is in the package's documentation.
const (
	KindDrand    Kind = "drand"    // a round of a drand chain
	KindRFC3797  Kind = "rfc3797"  // numbers published by others, put together as RFC 3797 does
	KindCeremony Kind = "ceremony" // values read out before witnesses
)

// Source is what the seal fixes before anybody can know the value: which kind,
// and the one part of that kind. The zero value is not valid.
type Source struct {
	Kind     Kind      `json:"kind"`
	Drand    *Drand    `json:"drand,omitempty"`
	RFC3797  []Public  `json:"rfc3797,omitempty"`
	Ceremony *Ceremony `json:"ceremony,omitempty"`
}

// Drand names a round.
type Drand struct {
	Chain string `json:"chain"` // hash, in hex
	Round uint64 `json:"round"` // from 1
}

// Public is a source of numbers that others publish, such as a state lottery.
type Public struct {
	Name  string    `json:"name"`  // which drawing by whom, and which of its numbers in which unit
	Known time.Time `json:"known"` // when the first of them can be known, whole seconds
	Form            // at most 16 numbers
}

// Ceremony is a public reading, such as of dice or of balls from a drum.
type Ceremony struct {
	What      string    `json:"what"`  // what is read out and how it is made
	By        string    `json:"by"`    // who reads it out
	Where     string    `json:"where"` // in which place
	At        time.Time `json:"at"`    // when the first value can be known, whole seconds
	Form                // of the values, in the order of the reading
	Witnesses int       `json:"witnesses"` // how many must have seen it, 1 to 100
}

// Limits of a source.
const (
	publicMax    = 16 // public sources, and numbers of each: what RFC 3797's own program takes
	witnessesMax = 100
	textMax      = 300 // bytes of a name or a description
)

// UnmarshalJSON reads exactly what encoding/json writes of a Source, in any order
// of the fields, and refuses everything else. It does not validate.
func (s *Source) UnmarshalJSON(text []byte) error {
	type raw Source
	var r raw
	if err := strict(text, &r); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	*s = Source(r)
	return nil
}

// ParseSource reads a source as "drand:CHAIN:ROUND", the chain by name or by hash,
// or as JSON, and validates it.
func ParseSource(text string) (Source, error) {
	var s Source
	if rest, is := strings.CutPrefix(text, "drand:"); is {
		name, number, _ := strings.Cut(rest, ":")
		c, err := lookup(name)
		if err != nil {
			return Source{}, fmt.Errorf("source: %w", err)
		}
		round, err := strconv.ParseUint(number, 10, 64)
		if err != nil || strconv.FormatUint(round, 10) != number {
			return Source{}, fmt.Errorf("source %.80q: want drand:CHAIN:ROUND with the round's number", text)
		}
		s = Source{Kind: KindDrand, Drand: &Drand{Chain: c.hash, Round: round}}
	} else if !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
		return Source{}, fmt.Errorf("source %.80q: want drand:default:ROUND, drand:quicknet:ROUND or JSON", text)
	} else if err := s.UnmarshalJSON([]byte(text)); err != nil {
		return Source{}, err
	}
	if err := s.Validate(); err != nil {
		return Source{}, err
	}
	return s, nil
}

// Validate says what keeps the source from being sealed: a part that is missing,
// is too much or cannot be, or less entropy than BitsMin. It knows no time: that
// Available lies in the future is for the seal to see.
func (s Source) Validate() error {
	if err := one(s.Kind, s.Drand != nil, s.RFC3797 != nil, s.Ceremony != nil); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	var err error
	switch s.Kind {
	case KindDrand:
		err = s.Drand.validate()
	case KindRFC3797:
		err = validatePublic(s.RFC3797)
	case KindCeremony:
		err = s.Ceremony.validate()
	}
	if err == nil && s.Bits() < BitsMin {
		err = fmt.Errorf("%.1f bits of entropy, want at least %d: with fewer every value can be tried beforehand", s.Bits(), BitsMin)
	}
	if err != nil {
		return fmt.Errorf("source %s: %w", s.Kind, err)
	}
	return nil
}

// one sees that the part of a kind is there and no other.
func one(k Kind, drand, rfc3797, ceremony bool) error {
	for _, part := range []struct {
		kind  Kind
		there bool
	}{{KindDrand, drand}, {KindRFC3797, rfc3797}, {KindCeremony, ceremony}} {
		if part.there && part.kind != k {
			return fmt.Errorf("kind %.20q has no field %s", k, part.kind)
		}
		if part.kind == k && !part.there {
			return fmt.Errorf("kind %s: field %s is missing", k, k)
		}
	}
	if k != KindDrand && k != KindRFC3797 && k != KindCeremony {
		return fmt.Errorf("kind %.20q: want %s, %s or %s", k, KindDrand, KindRFC3797, KindCeremony)
	}
	return nil
}

func (d Drand) validate() error {
	if c, err := lookup(d.Chain); err != nil {
		return err
	} else if d.Chain != c.hash {
		return fmt.Errorf("chain %s: want its hash, %s", d.Chain, c.hash)
	}
	_, err := TimeOf(d.Chain, d.Round)
	return err
}

func validatePublic(sources []Public) error {
	if len(sources) < 1 || len(sources) > publicMax {
		return fmt.Errorf("%d sources: want 1 to %d", len(sources), publicMax)
	}
	named := map[string]bool{}
	for i, p := range sources {
		err := text("name", p.Name)
		if err == nil && named[p.Name] {
			err = fmt.Errorf("name %q comes twice", p.Name)
		}
		if err == nil {
			err = moment("known", p.Known)
		}
		if err == nil {
			err = p.validate()
		}
		if err == nil && p.Count > publicMax {
			err = fmt.Errorf("count %d: want at most %d numbers of one source", p.Count, publicMax)
		}
		if err != nil {
			return fmt.Errorf("source %d: %w", i+1, err)
		}
		named[p.Name] = true
	}
	return nil
}

func (c Ceremony) validate() error {
	for _, err := range []error{text("what", c.What), text("by", c.By), text("where", c.Where), moment("at", c.At), c.Form.validate()} {
		if err != nil {
			return err
		}
	}
	if c.Witnesses < 1 || c.Witnesses > witnessesMax {
		return fmt.Errorf("witnesses %d: want 1 to %d", c.Witnesses, witnessesMax)
	}
	return nil
}

// text sees that words can be read aloud: neither empty nor hiding anything.
func text(field, s string) error {
	if s == "" || len(s) > textMax || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return fmt.Errorf("%s %.40q: want 1 to %d bytes of printable text", field, s, textMax)
	}
	return nil
}

func moment(field string, t time.Time) error {
	switch {
	case t.IsZero():
		return fmt.Errorf("%s: the time is missing", field)
	case t.Unix() < 0 || t.Unix() > timeMax || t.Nanosecond() != 0:
		return fmt.Errorf("%s %s: want whole seconds from 1970 to 9999", field, t.Format(time.RFC3339Nano))
	}
	return nil
}

// Available is the earliest moment at which any part of the value can be known,
// in UTC. A seal made later than that is worth nothing. It is the zero time, long
// past, for a source that is not valid.
func (s Source) Available() time.Time {
	if s.Validate() != nil {
		return time.Time{}
	}
	var first time.Time
	switch s.Kind {
	case KindDrand:
		first, _ = TimeOf(s.Drand.Chain, s.Drand.Round) // validated
	case KindRFC3797:
		first = s.RFC3797[0].Known
		for _, p := range s.RFC3797[1:] {
			if p.Known.Before(first) {
				first = p.Known
			}
		}
	case KindCeremony:
		first = s.Ceremony.At
	}
	return first.UTC()
}

// Bits is the entropy of the value in bits, when every number of its form is as
// likely as every other: an upper bound, since nobody can see from a form how
// evenly the numbers fall. A drand round counts as the 256 bits of its hash.
func (s Source) Bits() float64 {
	sum := 0.0
	switch {
	case s.Kind == KindDrand:
		sum = 256
	case s.Kind == KindRFC3797:
		for _, p := range s.RFC3797 {
			sum += p.bitsSorted()
		}
	case s.Kind == KindCeremony && s.Ceremony != nil:
		sum = s.Ceremony.bits()
	}
	return sum
}

// String is one line for people; of a drand source, what ParseSource reads.
func (s Source) String() string {
	if err := s.Validate(); err != nil {
		return fmt.Sprintf("invalid %s source", strconv.Quote(string(s.Kind)))
	}
	switch s.Kind {
	case KindDrand:
		c, _ := lookup(s.Drand.Chain) // validated
		return fmt.Sprintf("drand:%s:%d", c.name, s.Drand.Round)
	case KindRFC3797:
		var parts []string
		for _, p := range s.RFC3797 {
			parts = append(parts, fmt.Sprintf("%s (%s, known %s)", p.Name, p.Form, p.Known.Format(time.RFC3339)))
		}
		return "rfc3797: " + strings.Join(parts, "; ")
	}
	c := s.Ceremony
	return fmt.Sprintf("ceremony: %s, %s, read out by %s in %s at %s before at least %d witnesses",
		c.What, c.Form, c.By, c.Where, c.At.Format(time.RFC3339), c.Witnesses)
}
