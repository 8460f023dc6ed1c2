package cli

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/reference/lottery"
	"spillway/reports"
	"spillway/scenarios"
)

// roll is the list of a day's lottery in which every person of a scenario stands
// once, the owners of bots after the people. It is made up as it is read, so that
// millions cost no memory; entry i is person i, in any order of reading.
type roll struct {
	sc      *scenarios.Scaled
	program policy.Program
	from    time.Duration // when the list of the day before was sealed: Unix time
	prefix  [sha256.Size]byte
	hours   [24]float64 // hourWeights from the seal's hour on, summed up
}

// rollDay is the day of the draw: any would do, for every day is alike.
const rollDay = "2020-02-19"

func newRoll(sc *scenarios.Scaled) (*roll, error) {
	day, err := policy.ParseDay(rollDay)
	if err != nil {
		return nil, err
	}
	rules := lotteryRules()
	r := &roll{sc: sc, program: sc.Program(), from: rules.SealsAt(day) - rules.Length}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(sc.Seed))
	r.prefix = sha256.Sum256(append([]byte("spillway lottery versus"), key[:]...))
	r.hours = hoursFrom(int(rules.Seal / time.Hour))
	return r, nil
}

// people and persons are how many stand in the list, without and with bots' owners.
func (r *roll) people() uint64  { return uint64(r.sc.Population.Users) }
func (r *roll) persons() uint64 { return r.people() + uint64(r.sc.Spec.Bots.Count) }

// entry is person i's. Its id ends in i: the ticket is a hash of all of it.
func (r *roll) entry(i uint64) lottery.Entry {
	e := lottery.Entry{Line: int(r.program.Item(booking.VisitID(i), r.sc.Seed))}
	h := sha256.Sum256(binary.BigEndian.AppendUint64(r.prefix[:len(r.prefix):len(r.prefix)], i))
	copy(e.ID[:], h[:8])
	binary.BigEndian.PutUint64(e.ID[8:], i)
	hour := hourOf(&r.hours, r.sc.Seed.Uniform(drawHour, i, 0))
	at := r.from + time.Duration(hour)*time.Hour + r.sc.Seed.Between(drawMoment, i, 0, 0, time.Hour)
	e.Entered = at.Milliseconds()
	return e
}

// personOf is who an entry of a roll is.
func personOf(id lottery.ID) uint64 { return binary.BigEndian.Uint64(id[8:]) }

// group is a person's place in the groups: the classes, then the bots.
func (r *roll) group(person uint64) int {
	if person >= r.people() {
		return len(r.sc.Population.Classes)
	}
	return policy.ClassOf(r.sc.Population.Classes, booking.UserID(person))
}

// groups are their names.
func (r *roll) groups() (out []string) {
	for _, c := range r.sc.Population.Classes {
		out = append(out, c.Name)
	}
	return append(out, record.GroupBots)
}

// second is the second of the day in which an entry came.
func (r *roll) second(e lottery.Entry) int {
	return int((e.Entered - r.from.Milliseconds()) / 1000)
}

// ReadAt makes entries up, as an io.ReaderAt of their canonical forms.
func (r *roll) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("lottery versus: reading at %d", off)
	}
	var buf [lottery.EntryBytes]byte
	for n < len(p) {
		i := uint64(off+int64(n)) / lottery.EntryBytes
		if i >= r.persons() {
			return n, io.EOF
		}
		skip := int(uint64(off+int64(n)) % lottery.EntryBytes)
		n += copy(p[n:], r.entry(i).AppendTo(buf[:0])[skip:])
	}
	return n, nil
}

// counted is a roll, counted.
type counted struct {
	lines   []lottery.Line // with quotas and entries
	groups  []uint64       // persons
	seconds []uint32       // people who entered in each second of the day; bots' owners left out
}

const daySeconds = 24 * 60 * 60

// count goes over the list once.
func (r *roll) count(ctx context.Context) (counted, error) {
	out := counted{groups: make([]uint64, len(r.groups())), seconds: make([]uint32, daySeconds)}
	for i, n := range r.sc.Items() {
		out.lines = append(out.lines, lottery.Line{Area: "Guangzhou", Shop: fmt.Sprintf("Shop %03d", i), Type: "ordinary", Masks: ordinaryMasks, Stock: int64(n), Quota: int64(n)})
	}
	type tally struct {
		lines   []int64
		groups  []uint64
		seconds []uint32
	}
	tallies := make([]tally, lottery.Workers())
	for w := range tallies {
		tallies[w] = tally{make([]int64, len(out.lines)), make([]uint64, len(out.groups)), make([]uint32, daySeconds)}
	}
	err := lottery.NewList(r, int64(r.persons())).Scan(ctx, func(w int, e lottery.Entry) error {
		t, person := &tallies[w], personOf(e.ID)
		t.lines[e.Line]++
		t.groups[r.group(person)]++
		if person < r.people() {
			t.seconds[r.second(e)]++
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	for _, t := range tallies {
		for i, n := range t.lines {
			out.lines[i].Entries += n
		}
		for i, n := range t.groups {
			out.groups[i] += n
		}
		for i, n := range t.seconds {
			out.seconds[i] += n
		}
	}
	return out, nil
}

// seedOf stands for the sealed seed.
func seedOf(r *roll) lottery.Hash {
	return sha256.Sum256(append([]byte("spillway lottery versus seed"), r.prefix[:]...))
}

// odds draws the roll as a day's list is drawn, and counts who won.
func (r *roll) odds(ctx context.Context) (reports.Odds, error) {
	c, err := r.count(ctx)
	if err != nil {
		return reports.Odds{}, err
	}
	drawn, err := lottery.Draw(ctx, lottery.NewList(r, int64(r.persons())), c.lines, seedOf(r), nil)
	if err != nil {
		return reports.Odds{}, err
	}
	// A second that straddles two tenths is of the one of its first.
	tenth := make([]int, daySeconds)
	before := uint64(0)
	var of, won [10]uint64
	for s, n := range c.seconds {
		tenth[s] = int(min(before*10/max(r.people(), 1), 9))
		of[tenth[s]] += uint64(n)
		before += uint64(n)
	}
	groups := make([]uint64, len(c.groups))
	for _, w := range drawn.Wins {
		person := personOf(w.Entry.ID)
		groups[r.group(person)]++
		if person < r.people() {
			won[tenth[r.second(w.Entry)]]++
		}
	}
	var o reports.Odds
	for i, name := range r.groups() {
		o.Groups = append(o.Groups, reports.NewChance(name, groups[i], c.groups[i]))
	}
	for i := range won {
		o.Tenths = append(o.Tenths, reports.NewChance(fmt.Sprint(i+1), won[i], of[i]))
	}
	o.All = reports.NewChance("all", uint64(len(drawn.Wins)), r.persons())
	o.Late = reports.NewChance("too late to enter", 0, 0)
	return o, nil
}

// busiestHour is what the busiest hour carries of the mean, and hours what each does,
// by hourWeights.
func busiestHour() (busiest float64, hours []float64) {
	sum := 0.0
	for _, w := range hourWeights {
		sum += w
	}
	for _, w := range hourWeights {
		hours = append(hours, w*24/sum)
		busiest = max(busiest, w*24/sum)
	}
	return busiest, hours
}
