package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Merge joins two records of different shards of one run into a new one and
// loses nothing: histograms and counters add, group funnels and deciles add,
// samples interleave (all shards watch one backend), a mark is the latest of
// its kind. A decile stays the decile of its own shard. Both must agree in
// everything that the shards share; the error names the first field that
// differs. The order of merging leaves no trace in the Digest.
func Merge(a, b *Record) (*Record, error) {
	if err := sameRun(&a.Header, &b.Header); err != nil {
		return nil, err
	}
	out := New(a.Header)
	if err := out.Header.join(&b.Header); err != nil {
		return nil, err
	}
	for _, r := range []*Record{a, b} {
		for _, k := range r.Keys() {
			if r.Hists[k].Count() > 0 {
				out.Hist(k).Merge(r.Hists[k])
			}
		}
		for name, counts := range r.Counters {
			c := out.Counters[name]
			c = append(c, make([]uint64, max(0, len(counts)-len(c)))...)
			for i, n := range counts {
				c[i] += n
			}
			out.Counters[name] = c
		}
		for name, points := range r.Samples {
			out.Samples[name] = append(out.Samples[name], points...)
		}
		for _, g := range r.Groups {
			out.addGroup(g)
		}
		for _, x := range r.Invariants {
			out.addInvariant(x)
		}
		for name, at := range r.Marks {
			if was, ok := out.Marks[name]; !ok || at > was {
				out.Marks[name] = at
			}
		}
	}
	for _, points := range out.Samples {
		slices.SortFunc(points, func(p, q Point) int {
			// The bits break ties, so that NaN and -0 have a place too.
			return cmp.Or(cmp.Compare(p.At, q.At), cmp.Compare(p.Value, q.Value),
				cmp.Compare(math.Float64bits(p.Value), math.Float64bits(q.Value)))
		})
	}
	// What one shard does not know, the whole does not know.
	if len(a.Deciles) > 0 && len(a.Deciles) == len(b.Deciles) {
		out.Deciles = slices.Clone(a.Deciles)
		for i, d := range b.Deciles {
			out.Deciles[i].Pressers += d.Pressers
			out.Deciles[i].Confirmed += d.Confirmed
		}
	}
	return out, nil
}

// sameRun compares what all shards of a run share.
func sameRun(a, b *Header) error {
	x, y := reflect.ValueOf(a.shared()), reflect.ValueOf(b.shared())
	for i := range x.NumField() {
		p, err := json.Marshal(x.Field(i).Interface())
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		q, err := json.Marshal(y.Field(i).Interface())
		if err != nil {
			return fmt.Errorf("merge: %w", err)
		}
		if string(p) != string(q) {
			return fmt.Errorf("merge: not shards of one run: %s is %.60s in one and %.60s in the other",
				x.Type().Field(i).Tag.Get("json"), p, q)
		}
	}
	return nil
}

func (h *Header) shared() headerJSON {
	j := h.schema()
	j.Shard, j.Parts, j.Requested, j.Achieved, j.Partial, j.Saturated, j.Notes = 0, nil, 0, 0, false, false, nil
	return j
}

func (h *Header) parts() []int {
	if len(h.Parts) > 0 {
		return h.Parts
	}
	return []int{h.Shard}
}

// join adds what another shard's header says to a copy of this one's.
func (h *Header) join(o *Header) error {
	parts := slices.Concat(h.parts(), o.parts())
	slices.Sort(parts)
	for i, p := range parts {
		if i > 0 && parts[i-1] == p {
			return fmt.Errorf("merge: shard %d of %d is in both records", p, h.Shards)
		}
		if p < 0 || p >= h.Shards {
			return fmt.Errorf("merge: shard %d of %d does not exist", p, h.Shards)
		}
	}
	h.Shard, h.Parts = parts[0], parts
	if len(parts) == h.Shards {
		h.Shard, h.Shards, h.Parts = 0, 1, nil
	}
	h.Requested += o.Requested
	h.Achieved += o.Achieved
	h.Partial = h.Partial || o.Partial
	h.Saturated = h.Saturated || o.Saturated
	h.Notes = union(h.Notes, o.Notes)
	if !o.WallStart.IsZero() && (h.WallStart.IsZero() || o.WallStart.Before(h.WallStart)) {
		h.WallStart = o.WallStart
	}
	h.WallSeconds = max(h.WallSeconds, o.WallSeconds)
	h.Machine = strings.Join(union(strings.Split(h.Machine, "; "), strings.Split(o.Machine, "; ")), "; ")
	if h.Commit != o.Commit {
		h.Commit = strings.Join(union(strings.Split(h.Commit, "; "), strings.Split(o.Commit, "; ")), "; ")
	}
	return nil
}

// union is a, then what b has beyond it.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (r *Record) addGroup(g Group) {
	i := slices.IndexFunc(r.Groups, func(x Group) bool { return x.Name == g.Name })
	if i < 0 {
		i = len(r.Groups)
		r.Groups = append(r.Groups, Group{Name: g.Name, Stages: map[string]uint64{}, Finals: map[string]uint64{}})
	}
	to := &r.Groups[i]
	to.Visitors += g.Visitors
	for k, n := range g.Stages {
		to.Stages[k] += n
	}
	for k, n := range g.Finals {
		to.Finals[k] += n
	}
}

func (r *Record) addInvariant(x Invariant) {
	i := slices.IndexFunc(r.Invariants, func(o Invariant) bool { return o.Name == x.Name })
	if i < 0 {
		r.Invariants = append(r.Invariants, x)
		return
	}
	to := &r.Invariants[i]
	to.Broken += x.Broken
	details := union(strings.Split(to.Detail, " | "), strings.Split(x.Detail, " | "))
	slices.Sort(details)
	to.Detail = strings.Join(details, " | ")
}
