package policy

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"
)

// Day is a civil day of the lottery's own time zone, counted from 1 January 1970.
// A draw has the name of the day on which it is held.
type Day int32

// String returns the day as 2020-02-19.
func (d Day) String() string {
	return time.Unix(int64(d)*86_400, 0).UTC().Format(time.DateOnly)
}

// ParseDay is the inverse of String for the years 1970 to 9999. It fails on
// anything else.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1970 {
		return 0, fmt.Errorf("day %.40q: want YEAR-MONTH-DAY, as in 2020-02-19", s)
	}
	return Day(t.Unix() / 86_400), nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Day) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDay(string(text))
	return err
}

// LotteryRules are the rules of the living lottery. Moments that its methods take
// and return are Unix time, as an offset from 1 January 1970 UTC. Times of day are
// offsets from local midnight; from one to another, the first is within and the
// last is not.
//
// The draw of a day is over the entries that stood at the seal of the evening
// before. What comes at the seal's moment or later, and so what comes between it
// and midnight, is of the draw after that.
type LotteryRules struct {
	Zone   time.Duration `json:"zone"`   // local time less UTC; one for the whole year
	Length time.Duration `json:"length"` // of a day; shorter in a quickened run
	// Valid is in how many days' draws an entry takes part, from its first on. A
	// day counts whether a draw was held or not.
	Valid int `json:"valid_days"`
	// Wait is for how many days after the day of a win a person is neither drawn
	// nor may enter; from the midnight after them both again. 0 = none.
	Wait      int           `json:"wait_days"`
	Draw      time.Duration `json:"draw"`
	Publish   time.Duration `json:"publish"`
	EditFrom  time.Duration `json:"edit_from"`
	EditUntil time.Duration `json:"edit_until"`
	Seal      time.Duration `json:"seal"`
}

// DefaultLotteryRules are those of February 2020: entries valid for ten days and,
// after a win, ten days' wait; edited from 18:30 to 21:30, sealed at 22:00, drawn
// at 15:00 before witnesses, published about 18:00 (published rules; a talk has the
// seal "before midnight"). Guangzhou is at UTC+8 without summer time.
func DefaultLotteryRules() LotteryRules {
	const hour, minute = time.Hour, time.Minute
	return LotteryRules{Zone: 8 * hour, Length: 24 * hour, Valid: 10, Wait: 10, Draw: 15 * hour, Publish: 18 * hour,
		EditFrom: 18*hour + 30*minute, EditUntil: 21*hour + 30*minute, Seal: 22 * hour}
}

// daysMax bounds the counts of days.
const daysMax = 3650

// Check refuses rules that contradict themselves. A win must be known before the
// next seal, so the draw is held and published before it.
func (r LotteryRules) Check() error {
	switch {
	case r.Length < time.Second || r.Length > 24*time.Hour:
		return fmt.Errorf("length: a day of %v: want 1s to 24h", r.Length)
	case r.Zone <= -r.Length || r.Zone >= r.Length:
		return fmt.Errorf("zone: %v: want less than a day", r.Zone)
	case r.Valid < 1 || r.Valid > daysMax:
		return fmt.Errorf("valid_days: %d: want 1 to %d", r.Valid, daysMax)
	case r.Wait < 0 || r.Wait > daysMax:
		return fmt.Errorf("wait_days: %d: want 0 to %d", r.Wait, daysMax)
	case r.Draw < 0 || r.Publish < r.Draw || r.Seal <= r.Publish || r.Seal >= r.Length:
		return errors.New("draw, publish, seal: want them in this order within a day")
	case r.EditFrom < 0 || r.EditUntil <= r.EditFrom || r.EditUntil > r.Seal:
		return errors.New("edit_from, edit_until: want them in this order, and no later than the seal")
	}
	for _, d := range []time.Duration{r.Zone, r.Length, r.Draw, r.Publish, r.EditFrom, r.EditUntil, r.Seal} {
		if d%time.Millisecond != 0 {
			return fmt.Errorf("%v: want whole milliseconds", d)
		}
	}
	return nil
}

// Day is the civil day of a moment.
func (r LotteryRules) Day(now time.Duration) Day {
	local := now + r.Zone
	d := local / r.Length
	if local%r.Length < 0 {
		d--
	}
	return Day(d)
}

// Start is the local midnight at which a day begins.
func (r LotteryRules) Start(d Day) time.Duration { return time.Duration(d)*r.Length - r.Zone }

// SealsAt is when the list of a day's draw is sealed: the evening before.
func (r LotteryRules) SealsAt(d Day) time.Duration { return r.Start(d-1) + r.Seal }

// DrawsAt is when a day's draw is held.
func (r LotteryRules) DrawsAt(d Day) time.Duration { return r.Start(d) + r.Draw }

// PublishesAt is when a day's winners are published.
func (r LotteryRules) PublishesAt(d Day) time.Duration { return r.Start(d) + r.Publish }

// First is the first draw that is sealed after a moment: the one that an entry of
// that moment takes part in first, and that a withdrawal misses first.
func (r LotteryRules) First(now time.Duration) Day {
	d := r.Day(now) + 1
	if now >= r.SealsAt(d) {
		d++
	}
	return d
}

// last is the last draw that an entry takes part in.
func (r LotteryRules) last(entered time.Duration, senior bool) Day {
	if senior {
		return math.MaxInt32
	}
	return r.First(entered) + Day(r.Valid-1)
}

// Standing is what is known of an entry and its person.
type Standing struct {
	Entered   time.Duration // moment from which it counts
	Withdrawn time.Duration // moment of its withdrawal; 0 = none
	// Senior says that its person is 65 or older and registered once for good: it
	// does not expire, and a win does not use it up.
	Senior bool
	HasWon bool // its person has won,
	Won    Day  // last on this day, of those that are asked about
	Edited bool // its person has edited an entry,
	EditOn Day  // last on this day
}

// waits reports whether a person who has won may not be in a day's draw.
func (r LotteryRules) waits(s Standing, d Day) bool {
	return s.HasWon && s.Won < d && d-s.Won <= Day(r.Wait)
}

// used reports whether a win has used the entry up: one win a cycle.
func (r LotteryRules) used(s Standing) bool {
	return !s.Senior && s.HasWon && s.Won >= r.First(s.Entered)
}

// TakesPart reports whether an entry is in the draw of a day. s.Won is the last win
// before that day: what the draw itself gave does not change who was in it.
func (r LotteryRules) TakesPart(s Standing, d Day) bool {
	seal := r.SealsAt(d)
	switch {
	case s.Entered >= seal, s.Withdrawn != 0 && s.Withdrawn < seal, d > r.last(s.Entered, s.Senior):
		return false
	}
	return !r.used(s) && !r.waits(s, d)
}

// Lost is how many of the draws that were held, in ascending order, the entry has
// taken part in before a day without winning, since it came in or last won.
func (r LotteryRules) Lost(s Standing, d Day, held []Day) int {
	from := r.First(s.Entered)
	if s.HasWon {
		from = max(from, s.Won+Day(r.Wait)+1)
	}
	below := min(d-1, r.last(s.Entered, s.Senior)) + 1 // d-1 first: the last may be the largest day there is
	count := func(below Day) int { return sort.Search(len(held), func(i int) bool { return held[i] >= below }) }
	return max(0, count(below)-count(from))
}

// LotteryVerdict is what the rules say to somebody at the desk.
type LotteryVerdict uint8

// The verdicts.
const (
	// LotteryYes grants what was asked.
	LotteryYes LotteryVerdict = iota + 1
	// LotteryStands says that the person's entry still stands; there is no other.
	LotteryStands
	// LotteryWaiting refuses an entry in the days after a win.
	LotteryWaiting
	// LotterySitsOut refuses an entry to a person who has withdrawn one, until the
	// next seal: to withdraw and enter anew would else be an edit at any hour.
	LotterySitsOut
	// LotteryEarly refuses an edit before the day's window.
	LotteryEarly
	// LotteryLate refuses an edit after the day's window.
	LotteryLate
	// LotteryEdited refuses a second edit of one day.
	LotteryEdited
	// LotteryOver refuses a change of an entry that takes part in no draw any more.
	LotteryOver
)

var lotteryVerdicts = [...]string{"", "yes", "stands", "waiting", "sits-out", "early", "late", "edited", "over"}

// String returns the verdict's name, as metrics have it.
func (v LotteryVerdict) String() string {
	if v == 0 || int(v) >= len(lotteryVerdicts) {
		return fmt.Sprintf("invalid(%d)", v)
	}
	return lotteryVerdicts[v]
}

// over reports whether an entry takes part in no draw that is still to be sealed.
func (r LotteryRules) over(now time.Duration, s Standing) bool {
	return s.Withdrawn != 0 || r.used(s) || r.First(now) > r.last(s.Entered, s.Senior)
}

// MayEnter judges somebody who comes to enter, by the latest entry of the same
// person: yes, stands, waiting or sits-out. For the last two, from is when the
// answer will be yes.
func (r LotteryRules) MayEnter(now time.Duration, s Standing) (v LotteryVerdict, from time.Duration) {
	free := s.Won + Day(r.Wait) + 1 // when the wait is over
	switch {
	case s.Senior && s.Withdrawn == 0:
		return LotteryStands, 0
	case s.HasWon && r.Day(now) < free && r.over(now, s):
		return LotteryWaiting, r.Start(free)
	case s.Withdrawn != 0 && r.First(now) <= r.First(s.Withdrawn):
		return LotterySitsOut, r.SealsAt(r.First(s.Withdrawn))
	case !r.over(now, s):
		return LotteryStands, 0
	}
	return LotteryYes, 0
}

// Bars are what MayEnter goes by, as bounds for a database to hold a new entry
// against. Of the same person, an ordinary entry that counts from before expired is
// over; a win on the day won or later is in the way, and so is a withdrawal at the
// moment withdrawn or later.
func (r LotteryRules) Bars(now time.Duration) (expired time.Duration, won Day, withdrawn time.Duration) {
	first := r.First(now)
	return r.SealsAt(first - Day(r.Valid)), r.Day(now) - Day(r.Wait), r.SealsAt(first - 1)
}

// MayEdit judges somebody who comes to edit an entry: yes, early, late, edited or
// over. For the first three that refuse, from is when the answer may be yes.
func (r LotteryRules) MayEdit(now time.Duration, s Standing) (v LotteryVerdict, from time.Duration) {
	today := r.Day(now)
	at := now - r.Start(today)
	tomorrow := r.Start(today+1) + r.EditFrom
	switch {
	case r.over(now, s):
		return LotteryOver, 0
	case s.Edited && s.EditOn >= today:
		return LotteryEdited, r.Start(s.EditOn+1) + r.EditFrom
	case at < r.EditFrom:
		return LotteryEarly, r.Start(today) + r.EditFrom
	case at >= r.EditUntil:
		return LotteryLate, tomorrow
	}
	return LotteryYes, 0
}

// MayWithdraw judges somebody who comes to withdraw an entry, at any hour: yes or
// over. After a seal it counts from the next draw on.
func (r LotteryRules) MayWithdraw(now time.Duration, s Standing) LotteryVerdict {
	if r.over(now, s) {
		return LotteryOver
	}
	return LotteryYes
}
