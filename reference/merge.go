package reference

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"spillway/internal/wire"
)

// A merged series has a point each samplePeriod, and only where every member had
// the time to tell: mergeLag covers a slow look at the store. A member's value
// holds for mergeHold after it was told.
const (
	mergeLag  = 3 * samplePeriod
	mergeHold = time.Second
)

// rule is how the values of the members make one.
type rule uint8

const (
	largest rule = iota // all look at the same thing, or the worst tells
	mean                // shares of equal parts
	total               // what each does at the moment
	counted             // what each has done since its start; a restart does not undo it
)

// rules of the samples that are not largest.
var rules = map[string]rule{
	sampleGatewayLoad: mean, sampleGatewayRoom: mean, sampleProbability: mean,
	sampleGatewayBusy: total, sampleMemory: total, sampleHeap: total, sampleGoroutines: total, sampleDescriptors: total,
	sampleWritten: counted, sampleEdgeHits: counted, sampleEdgeMisses: counted,
}

// track is what a member said last of one series.
type track struct {
	at    time.Duration
	value float64
	base  float64 // counted: what earlier lives of the member did
	known bool
}

// tell takes a value in.
func (t *track) tell(at time.Duration, v float64, r rule) {
	if t.known && at <= t.at {
		return
	}
	if r == counted && t.known && v < t.value {
		t.base += t.value
	}
	t.at, t.value, t.known = at, v, true
}

// merge makes one answer of the members' answers to samples since an offset. What
// came in the last mergeLag before now is left for the next time.
func merge(members []*member, heard []told, after, now time.Duration) wire.Samples {
	horizon := (now - mergeLag).Truncate(samplePeriod)
	out := wire.Samples{NowNanos: int64(max(horizon, after)), Series: map[string][][2]float64{}, Marks: map[string]float64{},
		Totals: map[string]float64{}, Waited: map[string][][2]float64{"ledger": {}}}
	names := map[string]bool{}
	for _, t := range heard {
		for name := range t.Series {
			names[name] = true
		}
		for name, at := range t.Marks {
			if has, ok := out.Marks[name]; !ok || at > has {
				out.Marks[name] = at
			}
		}
		for _, note := range t.Notes {
			if !slices.Contains(out.Notes, note) {
				out.Notes = append(out.Notes, note)
			}
		}
		for name, v := range t.Totals {
			out.Totals[name] += v
		}
		for _, row := range t.Waited["ledger"] {
			if seconds(row[0]) <= horizon {
				out.Waited["ledger"] = append(out.Waited["ledger"], row)
			}
		}
	}
	slices.SortFunc(out.Waited["ledger"], func(a, b [2]float64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if points := mergeSeries(members, heard, name, after, horizon); len(points) > 0 {
			out.Series[name] = points
		}
	}
	return out
}

func mergeSeries(members []*member, heard []told, name string, after, horizon time.Duration) [][2]float64 {
	r := rules[name]
	first := time.Duration(math.MaxInt64)
	points := map[*member][][2]float64{}
	for _, t := range heard {
		if p := t.Series[name]; len(p) > 0 {
			points[t.m] = p
			first = min(first, seconds(p[0][0]))
		}
	}
	from := max(first.Truncate(samplePeriod), after.Truncate(samplePeriod)+samplePeriod,
		horizon-samplesMax*samplePeriod) // a member may tell nonsense
	var out [][2]float64
	for at := from; at <= horizon; at += samplePeriod {
		sum, most, n := 0.0, math.Inf(-1), 0
		for _, m := range members {
			t := m.series[name]
			if t == nil {
				t = &track{}
				m.series[name] = t
			}
			for len(points[m]) > 0 && seconds(points[m][0][0]) <= at {
				t.tell(seconds(points[m][0][0]), points[m][0][1], r)
				points[m] = points[m][1:]
			}
			if !t.known || r != counted && at-t.at > mergeHold {
				continue
			}
			n++
			sum += t.base + t.value
			most = max(most, t.value)
		}
		switch {
		case n == 0:
		case r == largest:
			out = append(out, [2]float64{at.Seconds(), most})
		case r == mean:
			out = append(out, [2]float64{at.Seconds(), sum / float64(n)})
		default:
			out = append(out, [2]float64{at.Seconds(), sum})
		}
	}
	return out
}

// seconds is an offset that a member told in seconds.
func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }
