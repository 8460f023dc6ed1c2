package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"
)

// FuzzSection puts arbitrary bytes into one section of an otherwise sound file
// with sound checksums, so that the decoders behind the checksums are reached.
func FuzzSection(f *testing.F) {
	r := New(Header{People: 1, TimeScale: 1})
	r.Hist(Key{Span: "submit", Clock: Response, Outcome: "queued", Group: "g", Second: 3}).Add(time.Millisecond)
	r.Hist(Key{Span: "submit", Clock: Response, Outcome: "queued", Group: "g", Second: 3}).Add(time.Second)
	r.Hist(Key{Span: SpanLateness, Clock: Response}).Add(1)
	r.Count("visits", 2*time.Second, 5)
	r.Samples["queue.depth"] = []Point{{1, 2}, {3, 4}}
	r.Groups = []Group{{Name: "g", Visitors: 1, Stages: map[string]uint64{"visit": 1}, Finals: map[string]uint64{"left": 1}}}
	r.Deciles = make([]Decile, 10)
	r.Invariants = []Invariant{{Name: "lost", Detail: "d"}}
	r.Marks["sold-out"] = 5
	raws := make([][]byte, len(sections))
	for i, s := range sections {
		raw, err := s.encode(r)
		if err != nil {
			f.Fatal(err)
		}
		raws[i] = raw
		f.Add(uint8(i), raw)
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		if len(raw) > 1<<16 {
			return
		}
		b := binary.BigEndian.AppendUint16([]byte(magic), Schema)
		for i, s := range sections {
			body := raws[i]
			if i == int(which)%len(sections) {
				body = raw
			}
			packed, err := pack(body)
			if err != nil {
				t.Fatal(err)
			}
			frame := append([]byte(nil), s.tag...)
			frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
			frame = binary.BigEndian.AppendUint32(frame, uint32(len(packed)))
			frame = append(frame, packed...)
			b = append(b, binary.BigEndian.AppendUint32(frame, crc32.Checksum(frame, castagnoli))...)
		}
		got, err := Read(bytes.NewReader(b))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of more than one line: %q", err)
			}
			return
		}
		for _, k := range got.Keys() {
			h := got.Hists[k]
			if m := h.Mean(); m < h.Min() || m > h.Max() {
				t.Fatalf("mean %v outside %v..%v", m, h.Min(), h.Max())
			}
			got.Seconds(Window{From: 1, To: 2})
		}
		var out bytes.Buffer
		if err := Write(&out, got); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Read(&out)
		if err != nil || again.Digest() != got.Digest() {
			t.Fatalf("written again: %v", err)
		}
	})
}
