package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

// arbitrary draws a record with everything in it that the codec must carry.
func arbitrary(t *rapid.T) *record.Record {
	word := rapid.SampledFrom([]string{"", "submit", "poll", "queued", "busy", "bots", "广东", "a\x00b", "<b>", strings.Repeat("long", 40)})
	dur := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, 20e9), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "ns"))
	})
	float := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1)}))
	texts := rapid.SliceOfN(rapid.String(), 0, 3)
	r := record.New(record.Header{
		Label: rapid.String().Draw(t, "label"), Scenario: rapid.String().Draw(t, "scenario"), Text: rapid.String().Draw(t, "text"),
		Seed: rapid.Uint64().Draw(t, "seed"), Mode: word.Draw(t, "mode"), People: 0.01, TimeScale: rapid.Float64Range(0.1, 100).Draw(t, "k"),
		From: -dur.Draw(t, "from"), To: dur.Draw(t, "to"), Margin: float.Draw(t, "margin"),
		Objectives: texts.Draw(t, "objectives"), Notes: texts.Draw(t, "notes"), Switched: texts.Draw(t, "off"),
		Windows:  []record.Window{{Name: "peak", From: -3, To: dur.Draw(t, "peak")}},
		Capacity: map[string]float64{"queue.depth": float.Draw(t, "capacity")}, Vary: []record.Setting{{Key: "k", Value: word.Draw(t, "vary")}},
		Assumptions: []record.Assumption{{Key: "k", Why: rapid.String().Draw(t, "why")}},
		Shards:      8, Requested: rapid.Uint64().Draw(t, "requested"), Partial: rapid.Bool().Draw(t, "partial"), Baseline: rapid.Bool().Draw(t, "baseline"),
		WallStart: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "wall"), 5).UTC(), WallSeconds: 1, Machine: "m", Commit: "c",
	})
	fill(t, r, word, dur, float)
	return r
}

func fill(t *rapid.T, r *record.Record, word *rapid.Generator[string], dur *rapid.Generator[time.Duration], float *rapid.Generator[float64]) {
	few := rapid.IntRange(0, 4)
	for range few.Draw(t, "hists") {
		h := r.Hist(record.Key{Span: word.Draw(t, "span"), Clock: record.Clock(rapid.IntRange(0, 3).Draw(t, "clock")),
			Outcome: word.Draw(t, "outcome"), Group: word.Draw(t, "group"), Second: rapid.Int32().Draw(t, "second")})
		for range rapid.IntRange(1, 6).Draw(t, "adds") {
			h.AddN(dur.Draw(t, "d"), rapid.Uint64Range(1, 1<<40).Draw(t, "n"))
		}
	}
	for range few.Draw(t, "counters") {
		r.Count(word.Draw(t, "counter"), time.Duration(rapid.IntRange(0, 9).Draw(t, "at"))*time.Second, rapid.Uint64Range(0, 1<<50).Draw(t, "n"))
	}
	for range few.Draw(t, "samples") {
		at, points := -time.Second, []record.Point{}
		for range few.Draw(t, "points") {
			at += time.Duration(rapid.Int64Range(0, 2e9).Draw(t, "step"))
			points = append(points, record.Point{At: at, Value: float.Draw(t, "value")})
		}
		r.Samples[word.Draw(t, "sample")] = points
	}
	for i := range few.Draw(t, "groups") {
		n := rapid.Uint64Range(0, 1<<40).Draw(t, "visitors")
		r.Groups = append(r.Groups, record.Group{Name: fmt.Sprint("g", i), Visitors: n,
			Stages: map[string]uint64{word.Draw(t, "stage"): n}, Finals: map[string]uint64{word.Draw(t, "final"): n}})
	}
	if rapid.Bool().Draw(t, "deciles") {
		for range 10 {
			r.Deciles = append(r.Deciles, record.Decile{Pressers: rapid.Uint64Range(0, 9999).Draw(t, "pressers"), Confirmed: 1})
		}
	}
	for i := range few.Draw(t, "invariants") {
		r.Invariants = append(r.Invariants, record.Invariant{Name: fmt.Sprint("i", i), Broken: rapid.Int64Range(-5, 5).Draw(t, "broken"), Detail: word.Draw(t, "detail")})
	}
	for range few.Draw(t, "marks") {
		r.Marks[word.Draw(t, "mark")] = dur.Draw(t, "moment")
	}
}

func encode(t interface{ Fatalf(string, ...any) }, r *record.Record) []byte {
	var b bytes.Buffer
	if err := record.Write(&b, r); err != nil {
		t.Fatalf("write: %v", err)
	}
	return b.Bytes()
}

// Decoding what was encoded gives the same record, to the last bit.
func TestReadInvertsWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := arbitrary(t)
		b := encode(t, r)
		got, err := record.Read(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if again := encode(t, got); !bytes.Equal(again, b) {
			t.Fatalf("the second writing differs")
		}
		if r.Digest() == "" || got.Digest() != r.Digest() {
			t.Fatalf("digest %q became %q", r.Digest(), got.Digest())
		}
		// The codec could lose the same thing twice: compare what it does not touch.
		if fmt.Sprintf("%v", got.Header) != fmt.Sprintf("%v", normal(r).Header) {
			t.Fatalf("header\n%v became\n%v", r.Header, got.Header)
		}
		if fmt.Sprint(got.Samples, got.Marks, got.Counters, got.Deciles, got.Invariants) != fmt.Sprint(r.Samples, r.Marks, r.Counters, r.Deciles, r.Invariants) {
			t.Fatalf("body\n%v became\n%v", r, got)
		}
		if len(r.Groups) > 0 && !reflect.DeepEqual(got.Groups, r.Groups) {
			t.Fatalf("groups %v became %v", r.Groups, got.Groups)
		}
		if !reflect.DeepEqual(got.Hists, r.Hists) {
			t.Fatalf("histograms %v became %v", r.Hists, got.Hists)
		}
	})
}

// normal has nil where a list is empty.
func normal(r *record.Record) *record.Record {
	c := *r
	for _, s := range []*[]string{&c.Header.Objectives, &c.Header.Notes, &c.Header.Switched} {
		if len(*s) == 0 {
			*s = nil
		}
	}
	return &c
}

func TestEveningSurvives(t *testing.T) {
	r := recordtest.Evening(3)
	b := encode(t, r)
	got, err := record.Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest() != r.Digest() || recordtest.Evening(3).Digest() != r.Digest() {
		t.Error("the digest changed")
	}
	if recordtest.Evening(4).Digest() == r.Digest() {
		t.Error("two seeds have one digest")
	}
	t.Logf("%d bytes, %d histograms", len(b), len(r.Hists))
}

func TestDigestLeavesOutWallTimeAndMachine(t *testing.T) {
	r, other := recordtest.Evening(1), recordtest.Evening(1)
	other.Header.WallStart, other.Header.WallSeconds = time.Now(), 7
	other.Header.Machine, other.Header.Commit = "another", "abc"
	if r.Digest() != other.Digest() {
		t.Error("wall time, machine or commit is in the digest")
	}
	other.Header.Achieved++
	if r.Digest() == other.Digest() {
		t.Error("the achieved number is not in the digest")
	}
}

func small() *record.Record {
	r := record.New(record.Header{Scenario: "small", People: 1, TimeScale: 1, Shards: 1})
	r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: "queued", Group: "g"}).Add(time.Millisecond)
	r.Count("visits", time.Second, 3)
	r.Samples["queue.depth"] = []record.Point{{At: 1, Value: 2}, {At: 3, Value: 4}}
	r.Groups = []record.Group{{Name: "g", Visitors: 1, Stages: map[string]uint64{"visit": 1}, Finals: map[string]uint64{"left": 1}}}
	r.Invariants = []record.Invariant{{Name: "lost", Detail: "d"}}
	r.Marks["sold-out"] = 5
	return r
}

// Every cut and every flipped bit is refused, in one line that says where.
func TestReadRefusesDamage(t *testing.T) {
	b := encode(t, small())
	check := func(what string, bad []byte) {
		r, err := record.Read(bytes.NewReader(bad))
		if err == nil {
			t.Fatalf("%s: read as %v", what, r)
		}
		if s := err.Error(); strings.Contains(s, "\n") || !strings.Contains(s, "section") && !strings.Contains(s, "start") && !strings.Contains(s, "after the last") {
			t.Fatalf("%s: error %q", what, s)
		}
	}
	for i := range b {
		check(fmt.Sprintf("cut at %d", i), b[:i])
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), bad)
		}
	}
	check("one byte more", append(bytes.Clone(b), 0))
	bad := bytes.Clone(b)
	binary.BigEndian.PutUint16(bad[8:], 7)
	if _, err := record.Read(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "schema version 7 at byte 8: this program reads 1") {
		t.Errorf("version 7: %v", err)
	}
	bad = bytes.Clone(b)
	bad[len(bad)/2] ^= 1
	if _, err := record.Read(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "at byte") {
		t.Errorf("damage: %v", err)
	}
}

// A section that claims much more than is there costs nothing.
func TestReadDoesNotTrustLengths(t *testing.T) {
	b := encode(t, small())
	bad := bytes.Clone(b[:10+12])
	binary.BigEndian.PutUint32(bad[10+4:], 100<<20)
	binary.BigEndian.PutUint32(bad[10+8:], 100<<20)
	n := testing.AllocsPerRun(1, func() { record.Read(bytes.NewReader(bad)) })
	if n > 200 {
		t.Errorf("%v allocations for a file of 22 bytes", n)
	}
	binary.BigEndian.PutUint32(bad[10+4:], 1<<31)
	if _, err := record.Read(bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "claims") {
		t.Errorf("2 GiB section: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	r := small()
	r.Samples["x"] = []record.Point{{At: 2}, {At: 1}}
	if err := record.Write(&bytes.Buffer{}, r); err == nil || !strings.Contains(err.Error(), "back in time") {
		t.Errorf("samples out of order: %v", err)
	}
	if err := record.Write(&bytes.Buffer{}, record.New(record.Header{})); err == nil || !strings.Contains(err.Error(), "scale") {
		t.Errorf("no scale: %v", err)
	}
	if err := record.Write(full{}, small()); err == nil || !errors.Is(err, errFull) {
		t.Errorf("full disk: %v", err)
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteFileIsAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.record")
	if err := record.WriteFile(path, small()); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(path)
	// A record that cannot be written leaves the old file and nothing else.
	bad := small()
	bad.Samples["x"] = []record.Point{{At: 2}, {At: 1}}
	if err := record.WriteFile(path, bad); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file", err)
	}
	got, _ := os.ReadFile(path)
	left, _ := os.ReadDir(dir)
	if !bytes.Equal(got, want) || len(left) != 1 {
		t.Errorf("after a failed write: %d bytes of %d, %d files", len(got), len(want), len(left))
	}
	if err := record.WriteFile(filepath.Join(dir, "none", "run.record"), small()); err == nil {
		t.Error("wrote into a folder that is not there")
	}
	os.WriteFile(path, want[:len(want)-1], 0o644)
	if _, err := record.ReadFile(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("cut file: %v", err)
	}
}

// shards draws n shards of one run.
func shards(t *rapid.T, n int) []*record.Record {
	out := make([]*record.Record, n)
	words := rapid.SampledFrom([]string{"submit", "poll", "queued", "busy"})
	dur := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64Range(0, 20e9).Draw(t, "ns")) })
	for i := range out {
		h := record.Header{Scenario: "s", Digest: "d", People: 0.01, TimeScale: 2, Shard: i, Shards: 8, Margin: math.NaN(),
			Requested: uint64(i), Partial: rapid.Bool().Draw(t, "partial"), Notes: rapid.SliceOfNDistinct(words, 0, 3, rapid.ID).Draw(t, "notes")}
		out[i] = record.New(h)
		fill(t, out[i], words, dur, rapid.Float64Range(-9, 9))
	}
	return out
}

func TestMergeIsCommutativeAndAssociative(t *testing.T) {
	merge := func(t *rapid.T, a, b *record.Record) *record.Record {
		m, err := record.Merge(a, b)
		if err != nil {
			t.Fatalf("merge: %v", err)
		}
		return m
	}
	rapid.Check(t, func(t *rapid.T) {
		s := shards(t, 3)
		before := s[0].Digest() + s[1].Digest()
		ab, ba := merge(t, s[0], s[1]), merge(t, s[1], s[0])
		if ab.Digest() != ba.Digest() {
			t.Fatalf("a+b and b+a differ")
		}
		if before != s[0].Digest()+s[1].Digest() {
			t.Fatalf("merging changed its input")
		}
		left, right := merge(t, ab, s[2]), merge(t, s[0], merge(t, s[1], s[2]))
		if left.Digest() != right.Digest() {
			t.Fatalf("(a+b)+c and a+(b+c) differ")
		}
		// Lossless: every histogram holds the sum of the counts.
		for _, k := range left.Keys() {
			var n uint64
			var sum time.Duration
			for _, x := range s {
				n += x.Hists[k].Count()
				sum = max(sum, x.Hists[k].Max())
			}
			if left.Hists[k].Count() != n || left.Hists[k].Max() != sum {
				t.Fatalf("%v: %d of %d", k, left.Hists[k].Count(), n)
			}
		}
	})
}

func TestMergeRefuses(t *testing.T) {
	two := func(edit func(*record.Header)) error {
		a, b := small(), small()
		a.Header.Shards, b.Header.Shards, b.Header.Shard = 2, 2, 1
		edit(&b.Header)
		_, err := record.Merge(a, b)
		return err
	}
	if err := two(func(*record.Header) {}); err != nil {
		t.Errorf("two shards of one run: %v", err)
	}
	for says, edit := range map[string]func(*record.Header){
		"shard 0 of 2":   func(h *record.Header) { h.Shard = 0 },
		"does not exist": func(h *record.Header) { h.Shard = 5 },
		"digest":         func(h *record.Header) { h.Digest = "x" },
		"people":         func(h *record.Header) { h.People = 0.5 },
		"time_scale":     func(h *record.Header) { h.TimeScale = 2 },
		"to_ns":          func(h *record.Header) { h.To++ },
		"seed":           func(h *record.Header) { h.Seed++ },
		"shards":         func(h *record.Header) { h.Shards = 3 },
	} {
		if err := two(edit); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// All shards together are a whole run again.
func TestMergeOfAllShardsIsWhole(t *testing.T) {
	a, b := small(), small()
	a.Header.Shards, b.Header.Shards, b.Header.Shard = 2, 2, 1
	m, err := record.Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Shard != 0 || m.Header.Shards != 1 || m.Header.Parts != nil {
		t.Errorf("shard %d of %d, parts %v", m.Header.Shard, m.Header.Shards, m.Header.Parts)
	}
	if m.Counters["visits"][1] != 6 || m.Groups[0].Visitors != 2 || len(m.Samples["queue.depth"]) != 4 {
		t.Errorf("merged to %+v", m)
	}
}

// Whatever reads, writes and reads the same; nothing panics.
func FuzzRead(f *testing.F) {
	f.Add(encode(f, small()))
	f.Add(encode(f, record.New(record.Header{People: 1, TimeScale: 1})))
	f.Add([]byte("SPILLREC\x00\x01head"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := record.Read(bytes.NewReader(b))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of more than one line: %q", err)
			}
			return
		}
		for _, k := range r.Keys() {
			r.Hists[k].Quantile(0.99)
			r.Hists[k].Mean()
		}
		again, err := record.Read(bytes.NewReader(encode(t, r)))
		if err != nil || again.Digest() != r.Digest() {
			t.Fatalf("written again: %v", err)
		}
	})
}
