package cli

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/reference/lottery"
)

type lotterySampleCmd struct {
	Day      string `default:"2020-02-19" placeholder:"DATE" help:"The day of the draw."`
	Entries  int    `default:"2629006" help:"How many entries; 2,629,006 were valid on 19 February 2020."`
	Winners  int64  `default:"100237" help:"The sum of the quotas; 100,237 then."`
	Seed     uint64 `default:"1" help:"Of the fixed draws."`
	Out      string `default:"sample.entries" placeholder:"FILE" help:"The entries; canonical when it ends in .entries, else CSV."`
	StockOut string `default:"stock.csv" placeholder:"FILE" help:"The stock list."`
}

func (c *lotterySampleCmd) Run(a *app) error {
	day, err := policy.ParseDay(c.Day)
	if err != nil {
		return badInput(fmt.Errorf("--day: %w", err))
	}
	if c.Entries < 0 || c.Winners < 0 {
		return badInput(errors.New("--entries, --winners: want 0 or more"))
	}
	s := newSample(lotteryRules(), day, c.Entries, c.Winners, draw.Seed(c.Seed))
	if err := writeStock(c.StockOut, s.lines); err != nil {
		return err
	}
	w, err := newEntryWriter(c.Out)
	if err != nil {
		return errors.Join(err, os.Remove(c.StockOut))
	}
	show := newStages(a)
	err = s.entries(func(e lottery.Entry) error {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		return w.write(e)
	}, show.tell)
	show.over()
	if err = errors.Join(err, w.close()); err != nil {
		return errors.Join(err, os.Remove(c.Out), os.Remove(c.StockOut))
	}
	fmt.Fprintf(a.stdout, "made up %s entries in %s, %s lines with a quota of %s in %s\n", count(c.Entries), c.Out, count(len(s.lines)), count(c.Winners), c.StockOut)
	return nil
}

func writeStock(path string, lines []lottery.Line) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return badInput(fmt.Errorf("cannot write the stock list: %w", err))
	}
	c := csv.NewWriter(f)
	_ = c.Write(stockHead) // Error below tells
	for _, l := range lines {
		_ = c.Write([]string{l.Area, l.Shop, l.Type, strconv.Itoa(l.Masks), strconv.FormatInt(l.Stock, 10), strconv.FormatInt(l.Quota, 10)}) // as above
	}
	c.Flush()
	if err := errors.Join(c.Error(), f.Close()); err != nil {
		return environment(fmt.Errorf("writing the stock list: %w", err))
	}
	return nil
}

// The stock list of two weeks after the first evening: 12 areas, 166 shops, 193
// lines; one "express" shop holds 28.5 % (public catalogue).
const (
	sampleAreas   = 12
	sampleShops   = 166
	sampleLines   = 193
	expressShare  = 0.285
	ordinaryMasks = 10 // a reservation, from the second week on (published rules)
	n95Masks      = 5
)

// What was never published, and is assumed: how demand leans, who takes another type,
// when people enter.
const (
	demandSpread = 0.5  // σ of the logarithm of a line's demand against its quota
	othersShare  = 0.35 // take another type in the same shop
	seniorShare  = 0.08 // registered for good
	editedShare  = 0.05
	// unwantedLines second types draw half as many entries as they have masks for, so
	// that there is a second round.
	unwantedLines  = 6
	unwantedDemand = 0.5
)

// The purposes of the sample's draws.
const (
	drawQuota uint8 = iota + 201
	drawDemand
	drawLine
	drawOther
	drawSenior
	drawDay
	drawHour
	drawMoment
	drawEdited
	drawEditAt
)

// sample is a made-up day.
type sample struct {
	rules policy.LotteryRules
	day   policy.Day
	n     int
	seed  draw.Seed
	lines []lottery.Line
	cum   []float64 // of demand
}

func newSample(r policy.LotteryRules, day policy.Day, n int, winners int64, seed draw.Seed) *sample {
	s := &sample{rules: r, day: day, n: n, seed: seed}
	weights := make([]float64, sampleLines)
	total := 0.0
	for i := range sampleLines {
		l := lottery.Line{Area: fmt.Sprintf("Area %02d", 1+i%(sampleAreas-1)), Shop: fmt.Sprintf("Shop %03d", i), Type: "ordinary", Masks: ordinaryMasks}
		if i == 0 {
			l.Area, l.Shop = "Express", "Express"
		}
		if j := i - sampleShops; j >= 0 { // a second type in some shops
			l.Shop, l.Area = fmt.Sprintf("Shop %03d", 1+j*6), fmt.Sprintf("Area %02d", 1+(1+j*6)%(sampleAreas-1))
			l.Type, l.Masks = "N95", n95Masks
		}
		weights[i] = math.Exp(0.6 * draw.Normal(seed.U64(drawQuota, uint64(i), 0)))
		if i > 0 {
			total += weights[i]
		}
		s.lines = append(s.lines, l)
	}
	weights[0] = total * expressShare / (1 - expressShare)
	total += weights[0]
	given := int64(0)
	for i := range s.lines {
		q := int64(float64(winners) * weights[i] / total)
		s.lines[i].Quota = q
		given += q
	}
	s.lines[0].Quota += winners - given // what rounding left
	s.lean(weights, winners)
	for i := range s.lines {
		s.lines[i].Stock = s.lines[i].Quota
	}
	return s
}

// lean spreads demand over the lines.
func (s *sample) lean(weights []float64, winners int64) {
	demand := make([]float64, len(weights))
	sum := 0.0
	for i, w := range weights {
		demand[i] = w * math.Exp(demandSpread*draw.Normal(s.seed.U64(drawDemand, uint64(i), 0)))
		sum += demand[i]
	}
	for i := range unwantedLines {
		at := sampleShops + 4*i
		sum -= demand[at]
		demand[at] = unwantedDemand * float64(s.lines[at].Quota) / float64(max(1, s.n)) * sum
		sum += demand[at]
	}
	s.cum = make([]float64, len(demand))
	run := 0.0
	for i, d := range demand {
		run += d
		s.cum[i] = run / sum
	}
}

// hourWeights lean towards the evening; a lottery has no opening hour to lean to.
var hourWeights = [24]float64{3, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 8, 8, 7, 7, 7, 7, 7, 8, 9, 10, 10, 8, 5}

// hoursFrom are hourWeights from an hour of the day on, summed up.
func hoursFrom(first int) (sums [24]float64) {
	sum := 0.0
	for i := range sums {
		sum += hourWeights[(first+i)%24]
		sums[i] = sum
	}
	return sums
}

// hourOf is the hour that a uniform draw falls on.
func hourOf(sums *[24]float64, u float64) (hour int) {
	for sums[hour] <= u*sums[23] {
		hour++
	}
	return hour
}

// entries calls take with every entry, in no order that means anything.
func (s *sample) entries(take func(lottery.Entry) error, progress func(what string, done, of int64)) error {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(s.seed))
	prefix := sha256.Sum256(append([]byte("spillway lottery sample"), key[:]...))
	hours := hoursFrom(0)
	for i := range s.n {
		e := s.entry(uint64(i), &hours)
		h := sha256.Sum256(binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], uint64(i)))
		e.ID = lottery.ID(h[:lottery.IDBytes])
		if err := take(e); err != nil {
			return err
		}
		if progress != nil && i&0xffff == 0 {
			progress("making up", int64(i), int64(s.n))
		}
	}
	return nil
}

func (s *sample) entry(id uint64, hours *[24]float64) lottery.Entry {
	u := s.seed.Uniform(drawLine, id, 0)
	lo, hi := 0, len(s.cum)-1
	for lo < hi {
		if mid := (lo + hi) / 2; s.cum[mid] <= u {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	e := lottery.Entry{Line: lo, Other: s.seed.Uniform(drawOther, id, 0) < othersShare, Senior: s.seed.Uniform(drawSenior, id, 0) < seniorShare}
	// On one of the days in which it is still valid, at an hour of that day.
	back := int(s.seed.Uniform(drawDay, id, 0) * float64(s.rules.Valid))
	hour := hourOf(hours, s.seed.Uniform(drawHour, id, 0))
	at := s.rules.Start(s.day-1-policy.Day(back)) + time.Duration(hour)*time.Hour + s.seed.Between(drawMoment, id, 0, 0, time.Hour)
	if at >= s.rules.SealsAt(s.day) {
		at -= 24 * time.Hour * time.Duration(s.rules.Valid) // came after the seal: of the draw ten days ago, its first
	}
	at = max(at, s.rules.SealsAt(s.day-policy.Day(s.rules.Valid))).Truncate(time.Millisecond)
	e.Entered = at.Milliseconds()
	e.Lost = min(255, max(0, int(s.day-s.rules.First(at))))
	if last := s.rules.Start(s.day-1) + s.rules.EditFrom; at < last && s.seed.Uniform(drawEdited, id, 0) < editedShare {
		e.Edited = (last + s.seed.Between(drawEditAt, id, 0, 0, s.rules.EditUntil-s.rules.EditFrom)).Milliseconds()
	}
	return e
}
