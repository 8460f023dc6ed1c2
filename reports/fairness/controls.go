package fairness

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
)

// draftTable is the draft lotteries of the United States; the file says where it is from.
//
//go:embed draft.csv
var draftTable []byte

var monthNames = []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}

// draft is the lottery drawn in a year as a draw: the winners are those called, up to the
// highest number that was, and the order of entry is the day of the year.
func draft(year int, called int64) (Draw, error) {
	read := csv.NewReader(bytes.NewReader(draftTable))
	read.Comment = '#'
	rows, err := read.ReadAll()
	if err != nil {
		return Draw{}, err
	}
	col := slices.Index(rows[0], strconv.Itoa(year))
	if col < 0 {
		return Draw{}, bad("no draft lottery of %d", year)
	}
	rows = slices.DeleteFunc(rows[1:], func(row []string) bool { return row[col] == "" })
	n := uint64(len(rows))
	t, err := NewTally(Plan{Name: fmt.Sprintf("draft lottery of %d", year), Pools: []string{"birthdays"}, Entries: n, Tickets: true,
		Dimensions: []Axis{{"month of birth", monthNames, true}}})
	if err != nil {
		return Draw{}, err
	}
	for i, row := range rows {
		month, err := strconv.Atoi(row[0])
		if err != nil {
			return Draw{}, err
		}
		number, err := strconv.ParseInt(row[col], 10, 64)
		if err != nil {
			return Draw{}, err
		}
		ticket := uint64((float64(number) - 0.5) / float64(n) * (1 << 63) * 2)
		if err := t.Add(Entry{Levels: []int{month - 1}, Won: number <= called, Order: uint64(i), Ticket: ticket}); err != nil {
			return Draw{}, err
		}
	}
	return t.Draw(), nil
}

// called1969 is the highest number called of the lottery of 1969 (Selective Service
// System).
const called1969 = 195

// The draw from a seed of six digits: its size, and the seed that it had.
const (
	sixDigits   = 1_000_000
	sixEntries  = 3000
	sixWinners  = 60
	sixSeed     = 271_828
	sixDistrict = 6 // place p of the list lives in district p mod 6
)

// Controls are draws that a report must reject, judged: the draft lottery of 1969, which
// was not mixed well, and a draw that was fair by all numbers but came from a seed of six
// digits. A report that lets them pass shows nothing about others.
func Controls() ([]*Report, error) {
	yes := true
	d, err := draft(1969, called1969)
	if err != nil {
		return nil, err
	}
	six, err := enumerable()
	if err != nil {
		return nil, err
	}
	six.Process.Sealed, six.Process.Public = &yes, &yes
	var out []*Report
	for _, d := range []Draw{d, six} {
		r, err := Judge(d, Options{})
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// enumerable is a draw from a seed of six digits, with the search that finds it.
func enumerable() (Draw, error) {
	draw := func(seed uint64) iter.Seq[int] { return pick(seed, sixEntries, sixWinners) }
	t, err := NewTally(Plan{Name: "a draw from a seed of six digits", Pools: []string{"plates"}, Entries: sixEntries,
		Dimensions: []Axis{{"district", []string{"0", "1", "2", "3", "4", "5"}, false}}})
	if err != nil {
		return Draw{}, err
	}
	places := slices.Sorted(draw(sixSeed))
	for p := range sixEntries {
		_, won := slices.BinarySearch(places, p)
		if err := t.Add(Entry{Levels: []int{p % sixDistrict}, Won: won, Order: uint64(p)}); err != nil {
			return Draw{}, err
		}
	}
	d := t.Draw()
	search := Seeds(sixDigits, draw, places)
	d.Process = Process{SeedBits: math.Log2(sixDigits), Search: &search}
	return d, nil
}

// pick yields the places in the list that a seed lets win.
func pick(seed uint64, entries, winners int) iter.Seq[int] {
	return func(yield func(int) bool) {
		taken := make(map[int]bool, winners)
		for i := uint64(0); len(taken) < winners; i++ {
			place := int(mix(seed, i) % uint64(entries))
			if taken[place] {
				continue
			}
			taken[place] = true
			if !yield(place) {
				return
			}
		}
	}
}

// mix is number i of a seed, by SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014).
func mix(seed, i uint64) uint64 {
	x := seed*0x9e3779b97f4a7c15 + i*0xd1342543de82ef95 + 1
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
