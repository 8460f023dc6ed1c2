package lottery

import (
	"encoding/binary"
	"fmt"
	"time"
)

// EntryBytes is the length of an entry's canonical form.
const EntryBytes = 32

// LinesMost is how many lines a stock list may have: a line is two bytes of an
// entry.
const LinesMost = 1 << 16

// Entry is one person's entry as it is sealed. Its canonical form is 32 bytes: id,
// line (2, big-endian), flags (1: bit 0 other, bit 1 senior), lost (1), entered and
// edited (6 each, big-endian milliseconds).
type Entry struct {
	ID     ID
	Line   int  // of the day's stock list: a type of mask at a shop
	Other  bool // takes another type in the same shop
	Senior bool // 65 or older: registered once for good
	Lost   int  // draws lost with this entry, at most 255
	// Entered and Edited are Unix milliseconds; Edited 0 = never.
	Entered, Edited int64
}

const (
	flagOther  = 1
	flagSenior = 2
	millisMost = 1<<48 - 1
)

// At is the moment of entering.
func (e Entry) At() time.Time { return time.UnixMilli(e.Entered) }

// Check says what is wrong with an entry by itself; nil = nothing.
func (e Entry) Check() error {
	switch {
	case e.Line < 0 || e.Line >= LinesMost:
		return fmt.Errorf("lottery: entry %s: line %d: want 0 to %d", e.ID, e.Line, LinesMost-1)
	case e.Lost < 0 || e.Lost > 255:
		return fmt.Errorf("lottery: entry %s: lost %d: want 0 to 255", e.ID, e.Lost)
	case e.Entered <= 0 || e.Entered > millisMost:
		return fmt.Errorf("lottery: entry %s: entered at %d ms: want 1 to 2^48-1", e.ID, e.Entered)
	case e.Edited != 0 && (e.Edited < e.Entered || e.Edited > millisMost):
		return fmt.Errorf("lottery: entry %s: edited at %d ms, before it was entered at %d", e.ID, e.Edited, e.Entered)
	}
	return nil
}

// AppendTo appends the canonical form. An entry that Check refuses has none.
func (e Entry) AppendTo(b []byte) []byte {
	var flags byte
	if e.Other {
		flags |= flagOther
	}
	if e.Senior {
		flags |= flagSenior
	}
	b = append(b, e.ID[:]...)
	// Two words, and not sixteen bytes one by one: there are millions.
	b = binary.BigEndian.AppendUint64(b, uint64(e.Line)<<48|uint64(flags)<<40|uint64(e.Lost)<<32|uint64(e.Entered)>>16)
	return binary.BigEndian.AppendUint64(b, uint64(e.Entered)<<48|uint64(e.Edited))
}

// ParseEntry reads a canonical form. It accepts exactly what AppendTo writes of
// entries that Check passes.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) != EntryBytes {
		return Entry{}, fmt.Errorf("lottery: an entry of %d bytes: want %d", len(b), EntryBytes)
	}
	r := raw(b)
	e := Entry{ID: ID(b[:IDBytes]), Line: r.line(), Other: b[18]&flagOther != 0, Senior: b[18]&flagSenior != 0,
		Lost: int(b[19]), Entered: r.entered(), Edited: r.edited()}
	if b[18]&^(flagOther|flagSenior) != 0 {
		return Entry{}, fmt.Errorf("lottery: entry %s: unknown flags %#x", e.ID, b[18])
	}
	return e, e.Check()
}

// raw is the canonical form of one entry, read in place: the draw looks at millions.
type raw []byte

func (r raw) id() []byte     { return r[:IDBytes] }
func (r raw) line() int      { return int(r[16])<<8 | int(r[17]) }
func (r raw) other() bool    { return r[18]&flagOther != 0 }
func (r raw) entered() int64 { return int64(binary.BigEndian.Uint64(r[18:26]) & millisMost) }
func (r raw) edited() int64  { return int64(binary.BigEndian.Uint64(r[24:32]) & millisMost) }
