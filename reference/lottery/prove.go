package lottery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// ProofVersion is the version of a proof's form.
const ProofVersion = 1

// Proof is all that one entrant needs, without the bundle: the seal and the draw as
// signed, and the way from the entry to the root. Of an id that is not in the list it
// holds the two entries between which it would stand.
type Proof struct {
	Version        int         `json:"version"`
	ID             ID          `json:"entry"`
	Seal           string      `json:"seal"` // its canonical form
	SealSignatures []Signature `json:"seal_signatures"`
	Draw           string      `json:"draw"` // empty before the draw
	DrawSignatures []Signature `json:"draw_signatures"`
	In             *Leaf       `json:"in"`     // nil: not in the list
	Before         *Leaf       `json:"before"` // nil: it would be the first
	After          *Leaf       `json:"after"`  // nil: it would be the last
}

// Leaf is an entry's place in the tree.
type Leaf struct {
	Index int64     `json:"index"` // from 0
	Entry canonical `json:"entry"` // 64 hex digits
	Path  []Hash    `json:"path"`  // the sisters on the way to the root, lowest first
}

// canonical is an entry's canonical form, as text in hex.
type canonical [EntryBytes]byte

// MarshalText implements encoding.TextMarshaler.
func (c canonical) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, c[:]), nil }

// UnmarshalText accepts exactly what MarshalText writes.
func (c *canonical) UnmarshalText(b []byte) error { return unhex(c[:], b, "entry") }

// Fate is what a proof comes to.
type Fate struct {
	Seal  Seal
	In    bool  // the id is in the list
	Index int64 // its place, from 0
	Entry Entry
	Drawn *Drawn // nil before the draw

	Ticket, Cutoff Hash // of round 1
	Won            int  // the round in which it won; 0 = it did not
	// Again says that it was drawn again, with these.
	Again                      bool
	SecondTicket, SecondCutoff Hash
}

// Prove makes the proof of an id.
func (b *Bundle) Prove(id ID) (p Proof, err error) {
	p = Proof{Version: ProofVersion, ID: id, Seal: string(b.seal)}
	if p.SealSignatures, err = b.signatures(FileSealSignatures); err != nil {
		return p, err
	}
	switch draw, err := b.read(FileDraw); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return p, err
	default:
		p.Draw = string(draw)
		if p.DrawSignatures, err = b.signatures(FileDrawSignatures); err != nil {
			return p, err
		}
	}
	at, found, err := b.List().find(id)
	if err != nil {
		return p, err
	}
	if found {
		p.In, err = b.leaf(at)
		return p, err
	}
	if at > 0 {
		if p.Before, err = b.leaf(at - 1); err != nil {
			return p, err
		}
	}
	if at < b.Seal.Entries {
		p.After, err = b.leaf(at)
	}
	return p, err
}

// leaf is the proof of entry i: its way through its chunk, then through the tree of
// the chunks.
func (b *Bundle) leaf(i int64) (*Leaf, error) {
	chunk := int(i / chunkEntries)
	entries, err := b.List().chunk(chunk, make([]byte, b.List().largest()*EntryBytes))
	if err != nil {
		return nil, err
	}
	leaves := make([]Hash, len(entries)/EntryBytes)
	for j := range leaves {
		leaves[j] = leafHash(entries[j*EntryBytes:][:EntryBytes])
	}
	at := int(i % chunkEntries)
	l := &Leaf{Index: i, Entry: canonical(entries[at*EntryBytes:][:EntryBytes])}
	leaf := leaves[at]
	l.Path = append(pathOf(leaves, at), pathOf(append([]Hash(nil), b.tree...), chunk)...)
	if !included(b.Seal.Root, leaf, i, b.Seal.Entries, l.Path) {
		return nil, fmt.Errorf("lottery: entry %d does not lead to the root of the seal: %s or %s was changed", i, FileEntries, FileTree)
	}
	return l, nil
}

// Encode is a proof's canonical form.
func (p Proof) Encode() ([]byte, error) { return encode(p) }

// ParseProof reads a proof's canonical form. Check checks it.
func ParseProof(b []byte) (Proof, error) {
	p, err := decode[Proof]("proof", b)
	if err != nil {
		return p, fmt.Errorf("lottery: %w", err)
	}
	return p, nil
}

// Check holds a proof against itself, and the operator's key when it is known from
// elsewhere (nil = it is not), and says what it comes to.
func (p Proof) Check(operator *Key) (Fate, error) {
	f, err := p.check(operator)
	if err != nil {
		return Fate{}, fmt.Errorf("lottery: proof: %w", err)
	}
	return f, nil
}

func (p Proof) check(operator *Key) (f Fate, err error) {
	if p.Version != ProofVersion {
		return f, fmt.Errorf("version %d: this program reads %d", p.Version, ProofVersion)
	}
	if f.Seal, err = ParseSeal([]byte(p.Seal)); err != nil {
		return f, err
	}
	if operator != nil && *operator != f.Seal.Parties[0].Key {
		return f, fmt.Errorf("the operator's key in the seal is %s, not %s", f.Seal.Parties[0].Key, *operator)
	}
	if _, err = checkSignatures("seal", []byte(p.Seal), f.Seal.Parties, p.SealSignatures); err != nil {
		return f, err
	}
	if err := p.draw(&f); err != nil {
		return f, err
	}
	if p.In == nil {
		return f, p.absent(f.Seal)
	}
	if p.Before != nil || p.After != nil {
		return f, errors.New("it shows the entry in the list and not in it")
	}
	if f.Entry, err = p.In.check(f.Seal); err != nil {
		return f, err
	}
	if f.Entry.ID != p.ID {
		return f, fmt.Errorf("it is of entry %s, not %s", f.Entry.ID, p.ID)
	}
	f.In, f.Index = true, p.In.Index
	if f.Drawn != nil {
		f.fate()
	}
	return f, nil
}

// draw checks that the draw is of the seal and its seed follows.
func (p Proof) draw(f *Fate) error {
	if p.Draw == "" {
		if len(p.DrawSignatures) > 0 {
			return errors.New("it has signatures of a draw and no draw")
		}
		return nil
	}
	d, err := parseDrawn([]byte(p.Draw), p.DrawSignatures, f.Seal, sha256.Sum256([]byte(p.Seal)))
	if err != nil {
		return err
	}
	randomness, err := f.Seal.Beacon.Check(d.Beacon)
	switch {
	case err != nil:
		return err
	case d.Secret.Commitment() != f.Seal.Commitment:
		return errors.New("the secret is not the one of the seal")
	case d.Randomness != randomness:
		return fmt.Errorf("randomness %s, the beacon's value comes to %s", d.Randomness, Hash(randomness))
	case d.Seed != Seed([]byte(p.Seal), f.Seal, d.Secret, randomness):
		return errors.New("the seed does not follow from root, secret, randomness and day")
	case len(d.Pools) != len(f.Seal.Lines):
		return fmt.Errorf("%d pools, the stock list has %d lines", len(d.Pools), len(f.Seal.Lines))
	}
	f.Drawn = &d
	return nil
}

// fate is what the draw's cut-offs say of the entry.
func (f *Fate) fate() {
	p := f.Drawn.Pools[f.Entry.Line]
	f.Ticket, f.Cutoff = Ticket(f.Drawn.Seed, f.Entry.ID), p.Cutoff
	if p.Won > 0 && bytes.Compare(f.Ticket[:], f.Cutoff[:]) <= 0 {
		f.Won = 1
		return
	}
	if !f.Entry.Other {
		return
	}
	shops, of := shopsOf(f.Seal.Lines)
	first := shops[of[f.Entry.Line]].lines[0]
	for _, s := range f.Drawn.Shops {
		if s.Line != first {
			continue
		}
		f.Again, f.SecondTicket, f.SecondCutoff = true, Ticket(secondSeed(f.Drawn.Seed), f.Entry.ID), s.Cutoff
		if s.Won > 0 && bytes.Compare(f.SecondTicket[:], f.SecondCutoff[:]) <= 0 {
			f.Won = 2
		}
	}
}

// check says whether the leaf leads to the root and keeps to the seal.
func (l *Leaf) check(s Seal) (Entry, error) {
	if !included(s.Root, leafHash(l.Entry[:]), l.Index, s.Entries, l.Path) {
		return Entry{}, fmt.Errorf("the way from entry %d does not lead to the root %s", l.Index, s.Root)
	}
	e, err := ParseEntry(l.Entry[:])
	if err == nil {
		err = s.limits().check(e)
	}
	return e, err
}

// absent checks that the id would stand between two neighbours.
func (p Proof) absent(s Seal) error {
	next := int64(0) // where After must stand
	if p.Before != nil {
		e, err := p.Before.check(s)
		if err != nil {
			return err
		}
		if bytes.Compare(e.ID[:], p.ID[:]) >= 0 {
			return fmt.Errorf("entry %s does not stand before %s", e.ID, p.ID)
		}
		next = p.Before.Index + 1
	}
	if p.After == nil {
		if next != s.Entries {
			return fmt.Errorf("entry %d is not the last of %d", next-1, s.Entries)
		}
		return nil
	}
	e, err := p.After.check(s)
	switch {
	case err != nil:
		return err
	case p.After.Index != next:
		return fmt.Errorf("entries %d and %d are no neighbours", next-1, p.After.Index)
	case bytes.Compare(e.ID[:], p.ID[:]) <= 0:
		return fmt.Errorf("entry %s does not stand after %s", e.ID, p.ID)
	}
	return nil
}
