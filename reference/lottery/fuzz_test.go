package lottery

import (
	"bytes"
	"testing"
)

func FuzzParseEntry(f *testing.F) {
	for _, e := range people(5, 3, 1) {
		f.Add(e.AppendTo(nil))
	}
	f.Add(make([]byte, EntryBytes))
	lim := limits{lines: 3, oldest: 1_581_600_000_000, cutoff: 1_581_900_000_000}
	for _, at := range []int64{0, 1, lim.oldest - 1, lim.oldest, lim.cutoff - 1, lim.cutoff, millisMost} {
		for _, edited := range []int64{0, at - 1, at, lim.cutoff - 1, lim.cutoff} {
			for _, line := range []int{0, 2, 3, LinesMost - 1} {
				for flags := range byte(8) {
					b := Entry{Line: line, Entered: at, Edited: edited}.AppendTo(nil)
					b[18] = flags
					f.Add(b)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err == nil && !bytes.Equal(e.AppendTo(nil), b) {
			t.Errorf("%x is read as %+v, which is written as %x", b, e, e.AppendTo(nil))
		}
		if len(b) != EntryBytes {
			return
		}
		if err == nil {
			err = lim.check(e)
		}
		if lim.fit(b) != (err == nil) {
			t.Errorf("%x: fit says %v: %v", b, lim.fit(b), err)
		}
	})
}

func FuzzParseSeal(f *testing.F) {
	b, _ := sealed(f, 30, 2, false)
	f.Add(b.seal)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSeal(text)
		if err != nil {
			return
		}
		if again, err := s.Encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("a seal with two forms: %v", err)
		}
	})
}

// A proof that passes is of what is in it, whatever it is made of.
func FuzzProof(f *testing.F) {
	b, es := sealed(f, 30, 2, true)
	for _, id := range []ID{es[0].ID, {}, everybodyID()} {
		p, err := b.Prove(id)
		if err != nil {
			f.Fatal(err)
		}
		text, err := p.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	in := map[ID]bool{}
	for _, e := range es {
		in[e.ID] = true
	}
	operator := KeyOf(key("operator"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProof(text)
		if err != nil {
			return
		}
		if fate, err := p.Check(&operator); err == nil && fate.In != in[p.ID] {
			t.Errorf("entry %s: the proof says in %v", p.ID, fate.In)
		}
	})
}

func everybodyID() (id ID) {
	copy(id[:], everybody[:])
	return id
}

func FuzzAudit(f *testing.F) {
	b, _ := sealed(f, 3, 1, true)
	data, err := b.read(FileAudit)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		actions, head, err := readActions(bytes.NewReader(text))
		if err == nil && len(actions) > 0 && actions[len(actions)-1].Hash != head {
			t.Errorf("%d actions with the head %s", len(actions), head)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(KeyOf(key("a")).String() + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := ParsePrivateKey(text); err == nil && len(k) != 64 {
			t.Errorf("a private key of %d bytes", len(k))
		}
		_, _ = ParsePublicKey(text)
	})
}
