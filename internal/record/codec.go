package record

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Schema is the version of the format that this program writes and reads.
const Schema = 1

const (
	magic = "SPILLREC"
	// maxSection bounds a section, packed or unpacked, in bytes. An hour of
	// four groups at one histogram a second takes about 20 MiB.
	maxSection = 128 << 20
	// maxName bounds a name of a span, outcome, group, counter, sample or mark.
	maxName = 1 << 10
	headLen = 4 + 4 + 4 // tag, unpacked length, packed length
)

// The sections, in the order of the file. "wall" holds what two runs of one
// seed may differ in; it is outside the digest.
var sections = []struct {
	tag    string
	encode func(*Record) ([]byte, error)
	decode func(*Record, *decoder) error
}{
	{"head", encodeHeader, decodeHeader},
	{"wall", encodeWall, decodeWall},
	{"hist", encodeHists, decodeHists},
	{"cntr", encodeCounters, decodeCounters},
	{"smpl", encodeSamples, decodeSamples},
	{"grps", encodeGroups, decodeGroups},
	{"decl", encodeDeciles, decodeDeciles},
	{"invr", encodeInvariants, decodeInvariants},
	{"mark", encodeMarks, decodeMarks},
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Write writes the record: the magic, the schema version, then each section as
// tag, unpacked length, packed length, packed bytes (DEFLATE) and a CRC-32C of
// all of these. Integers of the frame are big-endian.
func Write(w io.Writer, r *Record) error {
	if err := r.Header.checkScale(); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	bw := bufio.NewWriter(w)
	bw.WriteString(magic)
	bw.Write(binary.BigEndian.AppendUint16(nil, Schema))
	for _, s := range sections {
		raw, err := s.encode(r)
		if err != nil {
			return fmt.Errorf("record: section %q: %w", s.tag, err)
		}
		packed, err := pack(raw)
		if err != nil {
			return fmt.Errorf("record: section %q: %w", s.tag, err)
		}
		if len(raw) > maxSection || len(packed) > maxSection {
			return fmt.Errorf("record: section %q has %d bytes, more than %d: use coarser bins", s.tag, len(raw), maxSection)
		}
		frame := append([]byte(nil), s.tag...)
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(raw)))
		frame = binary.BigEndian.AppendUint32(frame, uint32(len(packed)))
		sum := crc32.Update(crc32.Checksum(frame, castagnoli), castagnoli, packed)
		bw.Write(frame)
		bw.Write(packed)
		bw.Write(binary.BigEndian.AppendUint32(nil, sum))
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

func pack(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Read reads one record to the end of its input. Input that is cut short,
// damaged, of another version or longer than the record is refused with one
// line that names the section and the offset in the file. Memory is bounded by
// the input's own size and 128 MiB a section.
func Read(rd io.Reader) (*Record, error) {
	in := bufio.NewReader(rd)
	var at int64
	start := make([]byte, len(magic)+2)
	if n, err := io.ReadFull(in, start); err != nil {
		return nil, fmt.Errorf("record: start: cut short at byte %d: %w", n, noEOF(err))
	}
	if string(start[:len(magic)]) != magic {
		return nil, errors.New("record: start: not a Spillway record (no SPILLREC at byte 0)")
	}
	if v := binary.BigEndian.Uint16(start[len(magic):]); v != Schema {
		return nil, fmt.Errorf("record: start: schema version %d at byte %d: this program reads %d", v, len(magic), Schema)
	}
	at = int64(len(start))
	r := New(Header{})
	for _, s := range sections {
		n, err := readSection(in, s.tag, func(raw []byte) error {
			d := &decoder{b: raw}
			if err := s.decode(r, d); err != nil {
				return fmt.Errorf("unpacked byte %d: %w", d.at, err)
			}
			if d.at != len(raw) {
				return fmt.Errorf("unpacked byte %d: %d bytes left over", d.at, len(raw)-d.at)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("record: section %q at byte %d: %w", s.tag, at, err)
		}
		at += n
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("record: bytes after the last section, at byte %d", at)
	}
	return r, nil
}

func readSection(in io.Reader, tag string, decode func([]byte) error) (int64, error) {
	frame := make([]byte, headLen)
	if _, err := io.ReadFull(in, frame); err != nil {
		return 0, fmt.Errorf("cut short: %w", noEOF(err))
	}
	if string(frame[:4]) != tag {
		return 0, fmt.Errorf("found %q instead", frame[:4])
	}
	rawLen, packedLen := binary.BigEndian.Uint32(frame[4:]), binary.BigEndian.Uint32(frame[8:])
	if rawLen > maxSection || packedLen > maxSection {
		return 0, fmt.Errorf("claims %d bytes, more than %d", max(rawLen, packedLen), maxSection)
	}
	// The buffer grows with what is really there, not with what is claimed.
	var packed bytes.Buffer
	if _, err := io.CopyN(&packed, in, int64(packedLen)+4); err != nil {
		return 0, fmt.Errorf("cut short: %w", noEOF(err))
	}
	b := packed.Bytes()
	body, want := b[:packedLen], binary.BigEndian.Uint32(b[packedLen:])
	if crc32.Update(crc32.Checksum(frame, castagnoli), castagnoli, body) != want {
		return 0, errors.New("damaged: its checksum does not fit")
	}
	z := flate.NewReader(bytes.NewReader(body))
	var raw bytes.Buffer
	if _, err := io.Copy(&raw, io.LimitReader(z, int64(rawLen)+1)); err != nil {
		return 0, fmt.Errorf("damaged: %w", err)
	}
	if raw.Len() != int(rawLen) {
		return 0, fmt.Errorf("damaged: unpacks to another length than the %d bytes it claims", rawLen)
	}
	return int64(headLen) + int64(packedLen) + 4, decode(raw.Bytes())
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// WriteFile writes the record to a file in one step: into a temporary file of
// the same folder, to the disk, then renamed. A full disk or a crash leaves the
// old file or none, never half of one.
func WriteFile(path string, r *Record) error {
	return writeAtomic(path, func(w io.Writer) error { return Write(w, r) })
}

func writeAtomic(path string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".record-*")
	if err != nil {
		return fmt.Errorf("record: cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("record: cannot write %s: %w", path, err)
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	// The new name survives a crash once the folder is on the disk. Some file
	// systems cannot sync a folder; the record itself is safe by then.
	if d, openErr := os.Open(dir); openErr == nil {
		d.Sync()
		d.Close()
	}
	return nil
}

// ReadFile reads the record of a file. See Read.
func ReadFile(path string) (*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Digest is the SHA-256 of the record's body, in hex: everything but wall time,
// machine and commit, with groups, invariants and notes in the order of their
// names. Two runs are called byte-equal when their digests are. It is empty
// when the record cannot be written.
func (r *Record) Digest() string {
	c := *r
	c.Groups = slices.Clone(r.Groups)
	slices.SortStableFunc(c.Groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	c.Invariants = slices.Clone(r.Invariants)
	slices.SortStableFunc(c.Invariants, func(a, b Invariant) int { return strings.Compare(a.Name, b.Name) })
	c.Header.Notes = slices.Clone(r.Header.Notes)
	slices.Sort(c.Header.Notes)
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d\n", magic, Schema)
	for _, s := range sections {
		if s.tag == "wall" {
			continue
		}
		raw, err := s.encode(&c)
		if err != nil {
			return ""
		}
		fmt.Fprintf(sum, "%s %d\n", s.tag, len(raw))
		sum.Write(raw)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// number is a float that JSON can carry whatever its value.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Appendf(nil, "%q", fmt.Sprint(f)), nil
	}
	return json.Marshal(f)
}

func (n *number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"NaN"`:
		*n = number(math.NaN())
	case `"+Inf"`:
		*n = number(math.Inf(1))
	case `"-Inf"`:
		*n = number(math.Inf(-1))
	default:
		return json.Unmarshal(b, (*float64)(n))
	}
	return nil
}

// headerJSON is the header as the file has it; the names are the schema.
type headerJSON struct {
	Label       string            `json:"label"`
	Scenario    string            `json:"scenario"`
	Title       string            `json:"title"`
	Text        string            `json:"text"`
	Digest      string            `json:"digest"`
	Seed        uint64            `json:"seed"`
	Mode        string            `json:"mode"`
	People      number            `json:"people"`
	TimeScale   number            `json:"time_scale"`
	From        int64             `json:"from_ns"`
	To          int64             `json:"to_ns"`
	Windows     []windowJSON      `json:"windows"`
	Capacity    map[string]number `json:"capacity"`
	Margin      number            `json:"margin"`
	Vary        []Setting         `json:"vary"`
	Switched    []string          `json:"switched_off"`
	Objectives  []string          `json:"objectives"`
	Baseline    bool              `json:"baseline"`
	Assumptions []Assumption      `json:"assumptions"`
	Shard       int               `json:"shard"`
	Shards      int               `json:"shards"`
	Parts       []int             `json:"parts"`
	Requested   uint64            `json:"requested"`
	Achieved    uint64            `json:"achieved"`
	Partial     bool              `json:"partial"`
	Saturated   bool              `json:"saturated"`
	Native      bool              `json:"native"`
	Notes       []string          `json:"notes"`
}

type windowJSON struct {
	Name string `json:"name"`
	From int64  `json:"from_ns"`
	To   int64  `json:"to_ns"`
}

type wallJSON struct {
	Commit  string    `json:"commit"`
	Start   time.Time `json:"start"`
	Seconds number    `json:"seconds"`
	Machine string    `json:"machine"`
}

func (h *Header) schema() headerJSON {
	j := headerJSON{Label: h.Label, Scenario: h.Scenario, Title: h.Title, Text: h.Text, Digest: h.Digest, Seed: h.Seed,
		Mode: h.Mode, People: number(h.People), TimeScale: number(h.TimeScale), From: int64(h.From), To: int64(h.To),
		Margin: number(h.Margin), Vary: h.Vary, Switched: h.Switched, Objectives: h.Objectives, Baseline: h.Baseline,
		Assumptions: h.Assumptions, Shard: h.Shard, Shards: h.Shards, Parts: h.Parts, Requested: h.Requested,
		Achieved: h.Achieved, Partial: h.Partial, Saturated: h.Saturated, Native: h.Native, Notes: h.Notes}
	for _, w := range h.Windows {
		j.Windows = append(j.Windows, windowJSON{w.Name, int64(w.From), int64(w.To)})
	}
	if len(h.Capacity) > 0 {
		j.Capacity = make(map[string]number, len(h.Capacity))
		for k, v := range h.Capacity {
			j.Capacity[k] = number(v)
		}
	}
	// An empty list and no list are the same, also in the digest.
	emptyToNil(&j.Vary)
	emptyToNil(&j.Switched)
	emptyToNil(&j.Objectives)
	emptyToNil(&j.Assumptions)
	emptyToNil(&j.Parts)
	emptyToNil(&j.Notes)
	return j
}

func emptyToNil[T any](s *[]T) {
	if len(*s) == 0 {
		*s = nil
	}
}

func encodeHeader(r *Record) ([]byte, error) { return json.Marshal(r.Header.schema()) }

func decodeHeader(r *Record, d *decoder) error {
	var j headerJSON
	if err := strictJSON(d, &j); err != nil {
		return err
	}
	h := &r.Header
	h.Label, h.Scenario, h.Title, h.Text, h.Digest, h.Seed = j.Label, j.Scenario, j.Title, j.Text, j.Digest, j.Seed
	h.Mode, h.People, h.TimeScale = j.Mode, float64(j.People), float64(j.TimeScale)
	h.From, h.To, h.Margin = time.Duration(j.From), time.Duration(j.To), float64(j.Margin)
	h.Vary, h.Switched, h.Objectives, h.Baseline, h.Assumptions = j.Vary, j.Switched, j.Objectives, j.Baseline, j.Assumptions
	h.Shard, h.Shards, h.Parts, h.Requested, h.Achieved = j.Shard, j.Shards, j.Parts, j.Requested, j.Achieved
	h.Partial, h.Saturated, h.Native, h.Notes = j.Partial, j.Saturated, j.Native, j.Notes
	for _, w := range j.Windows {
		h.Windows = append(h.Windows, Window{w.Name, time.Duration(w.From), time.Duration(w.To)})
	}
	if len(j.Capacity) > 0 {
		h.Capacity = make(map[string]float64, len(j.Capacity))
		for k, v := range j.Capacity {
			h.Capacity[k] = float64(v)
		}
	}
	return h.checkScale()
}

// checkScale refuses what times could not be multiplied or divided by.
func (h *Header) checkScale() error {
	if !(h.TimeScale > 0) || math.IsInf(h.TimeScale, 0) || !(h.People > 0) || math.IsInf(h.People, 0) {
		return fmt.Errorf("scale is %v people, %v time: want positive numbers", h.People, h.TimeScale)
	}
	return nil
}

func encodeWall(r *Record) ([]byte, error) {
	return json.Marshal(wallJSON{r.Header.Commit, r.Header.WallStart, number(r.Header.WallSeconds), r.Header.Machine})
}

func decodeWall(r *Record, d *decoder) error {
	var j wallJSON
	if err := strictJSON(d, &j); err != nil {
		return err
	}
	r.Header.Commit, r.Header.WallStart, r.Header.WallSeconds, r.Header.Machine = j.Commit, j.Start, float64(j.Seconds), j.Machine
	return nil
}

// strictJSON reads one value that takes up all of the section; a field that
// this schema does not know is refused.
func strictJSON(d *decoder, into any) error {
	dec := json.NewDecoder(bytes.NewReader(d.b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		d.at = int(dec.InputOffset())
		return err
	}
	d.at = int(dec.InputOffset())
	return nil
}

// Histograms: a sorted table of strings, then the keys in the order of Keys,
// each with its extremes, exact sum and buckets as ascending differences.
func encodeHists(r *Record) ([]byte, error) {
	keys := slices.DeleteFunc(r.Keys(), func(k Key) bool { return r.Hists[k].Count() == 0 })
	words := map[string]uint64{}
	for _, k := range keys {
		words[k.Span], words[k.Outcome], words[k.Group] = 0, 0, 0
	}
	table := slices.Sorted(maps.Keys(words))
	b := binary.AppendUvarint(nil, uint64(len(table)))
	for i, w := range table {
		words[w] = uint64(i)
		b = appendName(b, w)
	}
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		h := r.Hists[k]
		b = binary.AppendUvarint(b, words[k.Span])
		b = append(b, byte(k.Clock))
		b = binary.AppendUvarint(b, words[k.Outcome])
		b = binary.AppendUvarint(b, words[k.Group])
		b = binary.AppendVarint(b, int64(k.Second))
		b = binary.AppendUvarint(b, uint64(h.min))
		b = binary.AppendUvarint(b, uint64(h.max-h.min))
		b = binary.AppendUvarint(b, h.sum.hi)
		b = binary.AppendUvarint(b, h.sum.lo)
		b = binary.AppendUvarint(b, uint64(len(h.counts)))
		last := uint16(0)
		for _, i := range slices.Sorted(maps.Keys(h.counts)) {
			b = binary.AppendUvarint(b, uint64(i-last))
			b = binary.AppendUvarint(b, h.counts[i])
			last = i
		}
	}
	return b, nil
}

func decodeHists(r *Record, d *decoder) error {
	table := make([]string, 0, 16)
	for n := d.count(1); n > 0 && d.err == nil; n-- {
		table = append(table, d.name())
		if len(table) > 1 && table[len(table)-2] >= table[len(table)-1] {
			return errors.New("names are not in order")
		}
	}
	word := func() string {
		i := d.uvarint()
		if i >= uint64(len(table)) {
			d.fail("name %d of %d", i, len(table))
			return ""
		}
		return table[i]
	}
	var last Key
	for n, i := d.count(11), 0; i < n; i++ {
		k := Key{Span: word(), Clock: Clock(d.byte())}
		k.Outcome, k.Group = word(), word()
		s := d.varint()
		if d.err == nil && s != int64(int32(s)) {
			return fmt.Errorf("second %d out of range", s)
		}
		k.Second = int32(s)
		if d.err == nil && i > 0 && !keyLess(last, k) {
			return errors.New("keys are not in order")
		}
		last = k
		h, err := d.hist()
		if err != nil {
			return err
		}
		r.Hists[k] = h
	}
	return d.err
}

func (d *decoder) hist() (*Hist, error) {
	h := &Hist{}
	lo, span := d.uvarint(), d.uvarint()
	h.sum = wide{d.uvarint(), d.uvarint()}
	n := d.count(2)
	if d.err != nil {
		return nil, d.err
	}
	if lo > math.MaxInt64 || span > math.MaxInt64-lo {
		return nil, errors.New("extremes of a histogram out of range")
	}
	h.min, h.max = int64(lo), int64(lo+span)
	if n == 0 {
		return nil, errors.New("an empty histogram")
	}
	h.counts = make(map[uint16]uint64, min(n, 1<<12))
	at := uint64(0)
	for i := range n {
		step, c := d.uvarint(), d.uvarint()
		if d.err != nil {
			return nil, d.err
		}
		if at += step; i > 0 && step == 0 || step > math.MaxUint16 || at > uint64(bucketOf(math.MaxInt64)) {
			return nil, errors.New("buckets of a histogram are not in order")
		}
		if c == 0 || h.n+c < h.n {
			return nil, fmt.Errorf("bucket %d of a histogram counts %d", at, c)
		}
		if i == 0 && uint16(at) != bucketOf(h.min) {
			return nil, errors.New("the least value of a histogram is not in its first bucket")
		}
		h.counts[uint16(at)] = c
		h.n += c
	}
	if uint16(at) != bucketOf(h.max) {
		return nil, errors.New("the greatest value of a histogram is not in its last bucket")
	}
	if h.sum.less(product(lo, h.n)) || product(lo+span, h.n).less(h.sum) {
		return nil, errors.New("the sum of a histogram does not fit its extremes")
	}
	return h, nil
}

func encodeCounters(r *Record) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(r.Counters)))
	for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
		b = appendName(b, name)
		b = binary.AppendUvarint(b, uint64(len(r.Counters[name])))
		for _, c := range r.Counters[name] {
			b = binary.AppendUvarint(b, c)
		}
	}
	return b, nil
}

func decodeCounters(r *Record, d *decoder) error {
	return d.sorted(2, func(name string) error {
		c := make([]uint64, d.count(1))
		for i := range c {
			c[i] = d.uvarint()
		}
		r.Counters[name] = c
		return d.err
	})
}

func encodeSamples(r *Record) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(r.Samples)))
	for _, name := range slices.Sorted(maps.Keys(r.Samples)) {
		b = appendName(b, name)
		b = binary.AppendUvarint(b, uint64(len(r.Samples[name])))
		last := time.Duration(0)
		for i, p := range r.Samples[name] {
			if i > 0 && p.At < last {
				return nil, fmt.Errorf("sample %q goes back in time at %v", name, p.At)
			}
			b = binary.AppendVarint(b, int64(p.At-last))
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Value))
			last = p.At
		}
	}
	return b, nil
}

func decodeSamples(r *Record, d *decoder) error {
	return d.sorted(2, func(name string) error {
		ps := make([]Point, d.count(9))
		at := int64(0)
		for i := range ps {
			step := d.varint()
			if d.err == nil && i > 0 && (step < 0 || at+step < at) {
				return fmt.Errorf("sample %q goes back in time", name)
			}
			at += step
			ps[i] = Point{time.Duration(at), math.Float64frombits(d.uint64())}
		}
		r.Samples[name] = ps
		return d.err
	})
}

func encodeGroups(r *Record) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(r.Groups)))
	for _, g := range r.Groups {
		b = appendName(b, g.Name)
		b = binary.AppendUvarint(b, g.Visitors)
		for _, m := range []map[string]uint64{g.Stages, g.Finals} {
			b = binary.AppendUvarint(b, uint64(len(m)))
			for _, k := range slices.Sorted(maps.Keys(m)) {
				b = appendName(b, k)
				b = binary.AppendUvarint(b, m[k])
			}
		}
	}
	return b, nil
}

func decodeGroups(r *Record, d *decoder) error {
	seen := map[string]bool{}
	for n := d.count(4); n > 0 && d.err == nil; n-- {
		g := Group{Name: d.name(), Visitors: d.uvarint(), Stages: map[string]uint64{}, Finals: map[string]uint64{}}
		if seen[g.Name] && d.err == nil {
			return fmt.Errorf("group %.40q stands twice", g.Name)
		}
		seen[g.Name] = true
		for _, m := range []map[string]uint64{g.Stages, g.Finals} {
			if err := d.sorted(2, func(name string) error {
				m[name] = d.uvarint()
				return d.err
			}); err != nil {
				return err
			}
		}
		r.Groups = append(r.Groups, g)
	}
	return d.err
}

func encodeDeciles(r *Record) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(r.Deciles)))
	for _, x := range r.Deciles {
		b = binary.AppendUvarint(binary.AppendUvarint(b, x.Pressers), x.Confirmed)
	}
	return b, nil
}

func decodeDeciles(r *Record, d *decoder) error {
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		r.Deciles = append(r.Deciles, Decile{d.uvarint(), d.uvarint()})
	}
	return d.err
}

func encodeInvariants(r *Record) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(r.Invariants)))
	for _, x := range r.Invariants {
		b = appendName(b, x.Name)
		b = binary.AppendVarint(b, x.Broken)
		b = binary.AppendUvarint(b, uint64(len(x.Detail)))
		b = append(b, x.Detail...)
	}
	return b, nil
}

func decodeInvariants(r *Record, d *decoder) error {
	for n := d.count(3); n > 0 && d.err == nil; n-- {
		x := Invariant{Name: d.name(), Broken: d.varint()}
		x.Detail = string(d.take(d.count(1)))
		r.Invariants = append(r.Invariants, x)
	}
	return d.err
}

func encodeMarks(r *Record) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(r.Marks)))
	for _, name := range slices.Sorted(maps.Keys(r.Marks)) {
		b = binary.AppendVarint(appendName(b, name), int64(r.Marks[name]))
	}
	return b, nil
}

func decodeMarks(r *Record, d *decoder) error {
	return d.sorted(2, func(name string) error {
		r.Marks[name] = time.Duration(d.varint())
		return d.err
	})
}

// appendName cuts a name at maxName bytes: no name that is meant is longer.
func appendName(b []byte, s string) []byte {
	s = s[:min(len(s), maxName)]
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder walks over one unpacked section. Its first error sticks and every
// later read is zero.
type decoder struct {
	b   []byte
	at  int
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.at:])
	if n <= 0 {
		d.fail("cut short, or a number too long")
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n > len(d.b)-d.at {
		d.fail("cut short")
		return nil
	}
	b := d.b[d.at : d.at+n]
	d.at += n
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads the length of a list whose items take at least size bytes each,
// so that a list is never made longer than what is there.
func (d *decoder) count(size int) int {
	v := d.uvarint()
	if d.err == nil && v > uint64(len(d.b)-d.at)/uint64(size) {
		d.fail("a list of %d, longer than its section", v)
	}
	if d.err != nil {
		return 0
	}
	return int(v)
}

func (d *decoder) name() string {
	n := d.count(1)
	if n > maxName {
		d.fail("a name of %d bytes", n)
	}
	return string(d.take(n))
}

// sorted reads a list whose items begin with a name, in ascending order.
func (d *decoder) sorted(size int, item func(name string) error) error {
	last := ""
	for n, i := d.count(size), 0; i < n; i++ {
		name := d.name()
		if d.err == nil && i > 0 && name <= last {
			return errors.New("names are not in order")
		}
		if d.err != nil {
			return d.err
		}
		if err := item(name); err != nil {
			return err
		}
		last = name
	}
	return d.err
}
