package lottery

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"spillway/reference/lottery/beacon"
)

// SealVersion is the version of the seal's form.
const SealVersion = 1

// Party is one of those who hold the seal.
type Party struct {
	Name string `json:"name"`
	Key  Key    `json:"key"`
}

// Seal is what is fixed before anybody can know the draw's randomness. Its canonical
// form is indented JSON with the keys in this order.
type Seal struct {
	Version int    `json:"version"`
	Draw    string `json:"draw"` // the name of the service
	Day     string `json:"day"`  // of the draw, YYYY-MM-DD
	// Cutoff is the stated hour: nothing enters, changes or leaves from then on.
	Cutoff time.Time `json:"cutoff"`
	// Oldest is the earliest moment of entering that is still valid; older entries
	// take part only when registered for good.
	Oldest time.Time `json:"oldest"`
	// DrawAt is when the draw is to be made.
	DrawAt time.Time `json:"draw_at"`
	// WaitDays is for how many days after its day a winner is in no list.
	WaitDays int `json:"wait_days"`
	// Rehearsal says that the times are the day's and not the clock's: nothing is
	// proved about when the seal was made.
	Rehearsal  bool          `json:"rehearsal"`
	Entries    int64         `json:"entries"`
	Root       Hash          `json:"root"`       // of the tree over the entries
	List       Hash          `json:"list"`       // SHA-256 over the SHA-256 of each 4,096 entries' bytes
	Commitment Hash          `json:"commitment"` // to the operator's secret
	Beacon     beacon.Source `json:"beacon"`
	Rules      Hash          `json:"rules"`   // SHA-256 of the text of the rules
	Parties    []Party       `json:"parties"` // the operator first
	Lines      []Line        `json:"lines"`   // the stock list
}

// MarginLeast is how long after the cut-off the beacon's value may be known at the
// earliest: room for clocks that differ and for the seal to reach its parties. A
// choice.
const MarginLeast = 10 * time.Minute

// Secret is the operator's secret: 32 bytes by chance, kept until the draw by the
// operator and by each party, so that none of them alone can withhold it.
type Secret [32]byte

// Commitment is what the seal says of a secret.
func (s Secret) Commitment() Hash { return digest("spillway lottery secret v1", s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return Hash(s).MarshalText() }

// UnmarshalText accepts exactly what MarshalText writes.
func (s *Secret) UnmarshalText(b []byte) error { return unhex(s[:], b, "secret") }

// Encode is the canonical form.
func (s Seal) Encode() ([]byte, error) { return encode(s) }

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("lottery: %w", err)
	}
	return b.Bytes(), nil
}

// decode reads what encode wrote and nothing else: one value has one form.
func decode[T any](what string, b []byte) (v T, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("%s: %w", what, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("%s: something follows its end", what)
	}
	again, err := encode(v)
	if err != nil {
		return v, fmt.Errorf("%s: %w", what, err)
	}
	if !bytes.Equal(again, b) {
		return v, fmt.Errorf("%s: not in its canonical form, from byte %d on", what, same(again, b))
	}
	return v, nil
}

// ParseSeal reads a seal's canonical form and checks it.
func ParseSeal(b []byte) (Seal, error) {
	s, err := decode[Seal](FileSeal, b)
	if err == nil {
		err = s.Check()
	}
	return s, err
}

// Check says what does not fit in a seal by itself; nil = nothing.
func (s Seal) Check() error {
	day, err := time.Parse(time.DateOnly, s.Day)
	switch {
	case s.Version != SealVersion:
		return fmt.Errorf("%s: version %d: this program reads %d", FileSeal, s.Version, SealVersion)
	case s.Draw == "":
		return fmt.Errorf("%s: the draw has no name", FileSeal)
	case err != nil || day.Format(time.DateOnly) != s.Day:
		return fmt.Errorf("%s: day %.20q: want YYYY-MM-DD", FileSeal, s.Day)
	case !s.Oldest.Before(s.Cutoff):
		return fmt.Errorf("%s: the oldest valid entry (%s) is not before the cut-off (%s)", FileSeal, stamp(s.Oldest), stamp(s.Cutoff))
	case s.DrawAt.Format(time.DateOnly) != s.Day:
		return fmt.Errorf("%s: the draw at %s is not on its day, %s", FileSeal, stamp(s.DrawAt), s.Day)
	case !s.Cutoff.Before(s.DrawAt):
		return fmt.Errorf("%s: the cut-off (%s) is not before the draw (%s)", FileSeal, stamp(s.Cutoff), stamp(s.DrawAt))
	case s.WaitDays < 0:
		return fmt.Errorf("%s: winners wait %d days: want 0 or more", FileSeal, s.WaitDays)
	case len(s.Parties) == 0:
		return fmt.Errorf("%s: no parties", FileSeal)
	}
	names := map[string]bool{}
	for _, p := range s.Parties {
		if p.Name == "" || names[p.Name] {
			return fmt.Errorf("%s: party %q has no name, or is named twice", FileSeal, p.Name)
		}
		names[p.Name] = true
	}
	if err := s.Beacon.Validate(); err != nil {
		return fmt.Errorf("%s: %w", FileSeal, err)
	}
	if known := s.Beacon.Available(); known.Before(s.Cutoff.Add(MarginLeast)) {
		return fmt.Errorf("%s: the beacon's value can be known at %s: want %v after the cut-off (%s) at least, or who makes the list may know it",
			FileSeal, stamp(known), MarginLeast, stamp(s.Cutoff))
	}
	if err := checkLines(s.Lines); err != nil {
		return fmt.Errorf("%s: %w", FileSeal, err)
	}
	var n int64
	for _, l := range s.Lines {
		n += l.Entries
	}
	if n != s.Entries {
		return fmt.Errorf("%s: %d entries, its lines count %d", FileSeal, s.Entries, n)
	}
	return nil
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// limits are what the seal asks of its entries.
func (s Seal) limits() limits {
	return limits{lines: len(s.Lines), oldest: s.Oldest.UnixMilli(), cutoff: s.Cutoff.UnixMilli()}
}

// Seed is the draw's seed: SHA-256 over root, secret, randomness, day and the seal's
// own digest, each after its length.
func Seed(seal []byte, s Seal, secret Secret, randomness [32]byte) Hash {
	whole := sha256.Sum256(seal)
	return digest("spillway lottery seed v1", s.Root[:], secret[:], randomness[:], []byte(s.Day), whole[:])
}
