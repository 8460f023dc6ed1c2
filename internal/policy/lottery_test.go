package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// guangzhou is a moment there, of February 2020 when it names no month.
func guangzhou(t testing.TB, text string) time.Duration {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05.999999999", "2020-02-"+text, time.FixedZone("", 8*3600))
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(at.UnixNano())
}

func feb(d int) Day {
	day, err := ParseDay(fmt.Sprintf("2020-02-%02d", d))
	if err != nil {
		panic(err) // a day of February
	}
	return day
}

func TestLotteryDays(t *testing.T) {
	r := DefaultLotteryRules()
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at         string
		day, first int // of February
	}{
		{"19 00:00:00", 19, 20},
		{"18 23:59:59.999999999", 18, 20}, // after the seal: not of the 19th's draw
		{"18 22:00:00", 18, 20},
		{"18 21:59:59.999999999", 18, 19},
		{"18 21:30:00", 18, 19},
		{"18 00:00:00", 18, 19},
		{"17 23:59:59.999999999", 17, 19},
	} {
		now := guangzhou(t, c.at)
		if d, f := r.Day(now), r.First(now); d != feb(c.day) || f != feb(c.first) {
			t.Errorf("%s: day %v, first draw %v; want %v, %v", c.at, d, f, feb(c.day), feb(c.first))
		}
	}
	d := feb(19)
	for _, c := range []struct {
		what string
		got  time.Duration
		want string
	}{
		{"midnight", r.Start(d), "19 00:00:00"}, {"seal", r.SealsAt(d), "18 22:00:00"}, {"draw", r.DrawsAt(d), "19 15:00:00"},
		{"publication", r.PublishesAt(d), "19 18:00:00"},
	} {
		if want := guangzhou(t, c.want); c.got != want {
			t.Errorf("%s: %v, want %v", c.what, c.got, want)
		}
	}
	// Before 1970 in UTC, after it in Guangzhou.
	if got := r.Day(-8 * time.Hour); got != 0 {
		t.Errorf("the first local midnight is of day %d", got)
	}
	if got := r.Day(-8*time.Hour - 1); got != -1 {
		t.Errorf("the moment before is of day %d", got)
	}
}

func TestLotteryTakesPart(t *testing.T) {
	r := DefaultLotteryRules()
	at := func(s string) time.Duration { return guangzhou(t, s) }
	in := Standing{Entered: at("01 12:00:00")} // draws of the 2nd to the 11th
	for _, c := range []struct {
		what string
		s    Standing
		want []int // draws of February among 1..29
	}{
		{"ten draws", in, days(2, 11)},
		{"just before the seal", Standing{Entered: at("01 21:59:59.999999999")}, days(2, 11)},
		{"at the seal", Standing{Entered: at("01 22:00:00")}, days(3, 12)},
		{"a senior", Standing{Entered: at("01 12:00:00"), Senior: true}, days(2, 29)},
		{"withdrawn before a seal", Standing{Entered: in.Entered, Withdrawn: at("04 21:59:59.999999999")}, days(2, 4)},
		{"withdrawn at a seal", Standing{Entered: in.Entered, Withdrawn: at("04 22:00:00")}, days(2, 5)},
		{"won", Standing{Entered: in.Entered, HasWon: true, Won: feb(5)}, days(2, 5)},
		{"a senior who won", Standing{Entered: in.Entered, Senior: true, HasWon: true, Won: feb(5)}, append(days(2, 5), days(16, 29)...)},
		{"entered while waiting", Standing{Entered: at("08 12:00:00"), HasWon: true, Won: feb(3)}, days(14, 18)},
		{"entered after the wait", Standing{Entered: at("14 00:00:00"), HasWon: true, Won: feb(3)}, days(15, 24)},
	} {
		var got []int
		for d := 1; d <= 29; d++ {
			// A draw knows the wins before it.
			s := c.s
			s.HasWon = s.HasWon && s.Won < feb(d)
			if r.TakesPart(s, feb(d)) {
				got = append(got, d)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: in the draws of %v, want %v", c.what, got, c.want)
		}
	}
}

func days(from, to int) (out []int) {
	for d := from; d <= to; d++ {
		out = append(out, d)
	}
	return out
}

func TestLotteryMayEnter(t *testing.T) {
	r := DefaultLotteryRules()
	at := func(s string) time.Duration { return guangzhou(t, s) }
	in := Standing{Entered: at("01 12:00:00")}
	won := Standing{Entered: in.Entered, HasWon: true, Won: feb(5)}
	gone := Standing{Entered: in.Entered, Withdrawn: at("05 10:00:00")}
	late := Standing{Entered: in.Entered, Withdrawn: at("05 22:00:00")}
	for _, c := range []struct {
		now  string
		s    Standing
		want LotteryVerdict
		from string
	}{
		{"01 12:00:00", in, LotteryStands, ""},
		{"10 21:59:59.999999999", in, LotteryStands, ""}, // its last draw, the 11th's, is not sealed yet
		{"10 22:00:00", in, LotteryYes, ""},
		{"28 12:00:00", Standing{Entered: in.Entered, Senior: true}, LotteryStands, ""},
		{"05 18:00:00", won, LotteryWaiting, "16 00:00:00"},
		{"15 23:59:59.999999999", won, LotteryWaiting, "16 00:00:00"},
		{"16 00:00:00", won, LotteryYes, ""},
		{"10 00:00:00", Standing{Entered: in.Entered, Senior: true, HasWon: true, Won: feb(5)}, LotteryStands, ""},
		{"05 10:00:00", gone, LotterySitsOut, "05 22:00:00"},
		{"05 21:59:59.999999999", gone, LotterySitsOut, "05 22:00:00"},
		{"05 22:00:00", gone, LotteryYes, ""},
		{"06 21:59:59.999999999", late, LotterySitsOut, "06 22:00:00"},
		{"06 22:00:00", late, LotteryYes, ""},
	} {
		v, from := r.MayEnter(at(c.now), c.s)
		want := time.Duration(0)
		if c.from != "" {
			want = at(c.from)
		}
		if v != c.want || from != want {
			t.Errorf("%s %+v: %v from %v, want %v from %v", c.now, c.s, v, from, c.want, want)
		}
		if from != 0 {
			if v, _ := r.MayEnter(from, c.s); v != LotteryYes {
				t.Errorf("%s: told to come at %v, and then %v", c.now, from, v)
			}
			if v, _ := r.MayEnter(from-1, c.s); v != c.want {
				t.Errorf("%s: told to come at %v, and before %v", c.now, from, v)
			}
		}
	}
}

func TestLotteryMayEdit(t *testing.T) {
	r := DefaultLotteryRules()
	at := func(s string) time.Duration { return guangzhou(t, s) }
	in := Standing{Entered: at("01 12:00:00")}
	edited := Standing{Entered: in.Entered, Edited: true, EditOn: feb(5)}
	for _, c := range []struct {
		now  string
		s    Standing
		want LotteryVerdict
		from string
	}{
		{"05 18:29:59.999999999", in, LotteryEarly, "05 18:30:00"},
		{"05 18:30:00", in, LotteryYes, ""},
		{"05 21:29:59.999999999", in, LotteryYes, ""},
		{"05 21:30:00", in, LotteryLate, "06 18:30:00"},
		{"05 23:59:59", in, LotteryLate, "06 18:30:00"},
		{"06 00:00:00", in, LotteryEarly, "06 18:30:00"},
		{"05 20:00:00", edited, LotteryEdited, "06 18:30:00"},
		{"06 20:00:00", edited, LotteryYes, ""},
		{"04 20:00:00", edited, LotteryEdited, "06 18:30:00"}, // another gateway's clock is a day ahead
		{"10 20:00:00", in, LotteryYes, ""},
		{"11 20:00:00", in, LotteryOver, ""},
		{"05 20:00:00", Standing{Entered: in.Entered, Withdrawn: at("05 19:00:00")}, LotteryOver, ""},
		{"05 20:00:00", Standing{Entered: in.Entered, HasWon: true, Won: feb(5)}, LotteryOver, ""},
		{"25 20:00:00", Standing{Entered: in.Entered, Senior: true, HasWon: true, Won: feb(5)}, LotteryYes, ""},
	} {
		v, from := r.MayEdit(at(c.now), c.s)
		want := time.Duration(0)
		if c.from != "" {
			want = at(c.from)
		}
		if v != c.want || from != want {
			t.Errorf("%s %+v: %v from %v, want %v from %v", c.now, c.s, v, from, c.want, want)
		}
		w := LotteryYes
		if c.want == LotteryOver {
			w = LotteryOver
		}
		if got := r.MayWithdraw(at(c.now), c.s); got != w {
			t.Errorf("%s: withdraw %v, want %v", c.now, got, w)
		}
	}
}

func TestLotteryCheck(t *testing.T) {
	for what, change := range map[string]func(*LotteryRules){
		"nothing":           func(r *LotteryRules) { *r = LotteryRules{} },
		"no draw":           func(r *LotteryRules) { r.Valid = 0 },
		"a negative wait":   func(r *LotteryRules) { r.Wait = -1 },
		"sealed undrawn":    func(r *LotteryRules) { r.Draw, r.Publish = 22*time.Hour, 23*time.Hour },
		"edited when shut":  func(r *LotteryRules) { r.EditUntil = 23 * time.Hour },
		"an empty window":   func(r *LotteryRules) { r.EditUntil = r.EditFrom },
		"a seal tomorrow":   func(r *LotteryRules) { r.Seal = 24 * time.Hour },
		"a zone of days":    func(r *LotteryRules) { r.Zone = 24 * time.Hour },
		"half milliseconds": func(r *LotteryRules) { r.Seal += 500 * time.Microsecond },
	} {
		r := DefaultLotteryRules()
		change(&r)
		if r.Check() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// life is one person's history by the plainest book-keeping there is: days in a
// row, what happened on each in the order in which it happened.
type life struct {
	r       LotteryRules
	entries []Standing // all that were ever accepted
	wins    []Day
	drawn   []Day // draws held
}

// standing is an entry as of a draw or, with d the largest day, as of now.
func (l *life) standing(i int, d Day) Standing {
	s := l.entries[i]
	for _, w := range l.wins {
		if w < d {
			s.HasWon, s.Won = true, w
		}
	}
	return s
}

// Random histories of one person, who enters, withdraws and edits whenever the rules
// let, over some weeks with a draw on most days, win or lose: never two wins
// within the wait, never two entries in one draw, and the draws are the ones that
// plain counting of days gives.
func TestLotteryHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := DefaultLotteryRules()
		r.Valid, r.Wait = rapid.IntRange(1, 12).Draw(t, "valid"), rapid.IntRange(0, 12).Draw(t, "wait")
		r.Zone = time.Duration(rapid.IntRange(-11, 14).Draw(t, "zone")) * time.Hour
		l := &life{r: r}
		const end = Day(1<<31 - 1)
		var last time.Duration // of an edit
		for day := feb(1); day <= feb(28)+30; day++ {
			// What comes between this midnight and the next, some of it at the very boundaries.
			moments := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]time.Duration{0, r.Seal, r.Seal - 1, r.EditFrom, r.EditUntil - 1, r.EditUntil, r.Length - 1, r.Draw, r.Draw - 1}),
				rapid.Custom(func(t *rapid.T) time.Duration {
					return time.Duration(rapid.Int64Range(0, int64(r.Length)-1).Draw(t, "at"))
				})), 0, 3).Draw(t, "moments")
			slices.Sort(moments)
			moments = slices.Compact(moments)
			drawn := !rapid.Bool().Draw(t, "no draw")
			act := func(at time.Duration) {
				now := r.Start(day) + at
				n := len(l.entries)
				if n == 0 {
					l.entries = append(l.entries, Standing{Entered: now, Senior: rapid.Bool().Draw(t, "senior")})
					return
				}
				s := l.standing(n-1, end)
				if v, _ := r.MayEdit(now, s); v == LotteryYes {
					if s.Edited && r.Day(last) == day {
						t.Fatalf("edited twice on %v", day)
					}
					if at < r.EditFrom || at >= r.EditUntil {
						t.Fatalf("edited at %v", at)
					}
					l.entries[n-1].Edited, l.entries[n-1].EditOn, last = true, day, now
				}
				if rapid.IntRange(0, 9).Draw(t, "withdraws") < 2 && r.MayWithdraw(now, s) == LotteryYes {
					l.entries[n-1].Withdrawn = now
					return
				}
				v, from := r.MayEnter(now, s)
				if barred := l.barred(now); barred != (v != LotteryYes) {
					t.Fatalf("at %v %+v: %v, but by the bars %v", now, s, v, barred)
				}
				switch v {
				case LotteryYes:
					l.entries = append(l.entries, Standing{Entered: now, Senior: rapid.Bool().Draw(t, "senior")})
				case LotteryWaiting:
					if won := l.wins[len(l.wins)-1]; day > won+Day(r.Wait) || from != r.Start(won+Day(r.Wait)+1) {
						t.Fatalf("on %v waiting after a win on %v", day, won)
					}
				}
			}
			for _, at := range moments {
				if at < r.Draw {
					act(at)
				}
			}
			if drawn {
				in := 0
				for i := range l.entries {
					s := l.standing(i, day)
					takes := r.TakesPart(s, day)
					if takes != l.plain(i, day) {
						t.Fatalf("entry %d %+v of %v, wins %v: in the draw of %v: %v", i, s, r.Day(s.Entered), l.wins, day, takes)
					}
					if lost := r.Lost(s, day, l.drawn); takes && lost != l.lost(i, day) {
						t.Fatalf("entry %d %+v, wins %v, draws %v: %d lost before %v, want %d", i, s, l.wins, l.drawn, lost, day, l.lost(i, day))
					}
					if takes {
						in++
					}
				}
				if in > 1 {
					t.Fatalf("%d entries of one person in the draw of %v", in, day)
				}
				l.drawn = append(l.drawn, day)
				if in == 1 {
					if rapid.IntRange(0, 9).Draw(t, "wins") < 3 {
						for _, w := range l.wins {
							if day-w <= Day(r.Wait) {
								t.Fatalf("won on %v and on %v, with %d days' wait", w, day, r.Wait)
							}
						}
						l.wins = append(l.wins, day)
					}
				}
			}
			for _, at := range moments {
				if at >= r.Draw {
					act(at)
				}
			}
		}
	})
}

// barred says whether a new entry is barred, as a database would find it.
func (l *life) barred(now time.Duration) bool {
	expired, won, withdrawn := l.r.Bars(now)
	for _, s := range l.entries {
		over := s.Withdrawn != 0 || !s.Senior && s.Entered < expired
		for _, w := range l.wins {
			over = over || !s.Senior && s.Entered < l.r.SealsAt(w) // what a recorded win ends
		}
		if !over || s.Withdrawn >= withdrawn {
			return true
		}
	}
	return len(l.wins) > 0 && l.wins[len(l.wins)-1] >= won
}

// plain says whether an entry is in a draw, by listing its draws one after the other.
func (l *life) plain(i int, day Day) bool {
	s, r := l.entries[i], l.r
	for n, d := 0, feb(1); d <= day; d++ {
		seal := r.Start(d) - r.Length + r.Seal // the evening before
		if s.Entered >= seal {
			continue
		}
		n++
		ok := s.Senior || n <= r.Valid
		ok = ok && (s.Withdrawn == 0 || s.Withdrawn >= seal)
		for _, w := range l.wins {
			if w >= d {
				break
			}
			ok = ok && d > w+Day(r.Wait)
			if s.Entered < r.Start(w)-r.Length+r.Seal && !s.Senior {
				ok = false // it has had its win
			}
		}
		if d == day {
			return ok
		}
	}
	return false
}

// lost counts draws one by one, back to the last win.
func (l *life) lost(i int, day Day) (n int) {
	for j := len(l.drawn) - 1; j >= 0; j-- {
		d := l.drawn[j]
		if slices.Contains(l.wins, d) {
			break
		}
		if d < day && l.plain(i, d) {
			n++
		}
	}
	return n
}

func FuzzParseDay(f *testing.F) {
	for _, s := range []string{"2020-02-19", "1970-01-01", "9999-12-31", "2020-2-9", "", "-1", "1969-12-31"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDay(s)
		if err == nil && d.String() != s {
			t.Fatalf("%q reads as %v", s, d)
		}
	})
}

// Any rules that pass the check, at any moment, give days that fit together.
func FuzzLotteryRules(f *testing.F) {
	b, err := json.Marshal(DefaultLotteryRules())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b), int64(1582120800e9), int64(1582034400e9))
	f.Add(`{"length":1000000000,"zone":-999000000,"valid_days":1,"publish":1000000,"edit_until":2000000,"seal":3000000}`, int64(-1), int64(7))
	f.Fuzz(func(t *testing.T, text string, at, entered int64) {
		var r LotteryRules
		if json.Unmarshal([]byte(text), &r) != nil || r.Check() != nil {
			return
		}
		const century = int64(100 * 366 * 24 * time.Hour)
		now := time.Duration(at % century)
		if r.Length < time.Hour {
			now /= 3600 // a day is 32 bits
		}
		d := r.Day(now)
		if s := r.Start(d); s > now || now >= s+r.Length {
			t.Fatalf("%v is in a day from %v on", now, s)
		}
		first := r.First(now)
		if now >= r.SealsAt(first) || now < r.SealsAt(first-1) {
			t.Fatalf("%v, day %d: first draw %d", now, d, first)
		}
		s := Standing{Entered: now - time.Duration(entered)%r.Length}
		if v, from := r.MayEdit(now, s); from != 0 && from <= now || v == 0 {
			t.Fatalf("an edit: %v from %v at %v", v, from, now)
		}
		if v, from := r.MayEnter(now, s); from != 0 && from <= now || v == 0 {
			t.Fatalf("an entry: %v from %v at %v", v, from, now)
		}
	})
}
