package ledgertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference/ledger"
)

var rules = policy.DefaultLotteryRules()

// first is the day on which the tests of the lottery begin, in February 2020.
const first policy.Day = 18293

// noon is a moment at which nothing special happens.
func noon(d policy.Day) time.Duration { return rules.Start(d) + 12*time.Hour }

// ticket is the n-th ticket of a kind.
func ticket(kind byte, n int) booking.Ticket {
	t := booking.Ticket{9, kind}
	binary.BigEndian.PutUint32(t[12:], uint32(n))
	return t
}

func enter(n, person, item int, at time.Duration) ledger.Row {
	return ledger.Row{Accepted: booking.Accepted{Ticket: ticket(0, n), User: booking.UserID(person), Item: item, At: at}, Written: at + time.Second}
}

func edit(n int, of ledger.Row, item int, other bool, at time.Duration) ledger.Row {
	return ledger.Row{Accepted: booking.Accepted{Ticket: ticket(1, n), User: of.User, Item: item, Other: other, At: at,
		Change: booking.ChangeEdit, Entry: of.Ticket}, Written: at + time.Second}
}

func withdraw(n int, of ledger.Row, at time.Duration) ledger.Row {
	return ledger.Row{Accepted: booking.Accepted{Ticket: ticket(2, n), User: of.User, At: at, Change: booking.ChangeWithdraw, Entry: of.Ticket},
		Written: at + time.Second}
}

func verdicts(t require, db *ledger.DB, want []ledger.Verdict, rows ...ledger.Row) {
	t.Helper()
	rs, err := db.Entries(rules).WriteBatch(context.Background(), rows)
	if err != nil {
		t.Fatalf("writing: %v", err)
	}
	got := make([]ledger.Verdict, len(rs))
	for i, r := range rs {
		if got[i] = r.Verdict; (r.Verdict == ledger.Turned) != (r.Reason != "") {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("verdicts %v, want %v", got, want)
	}
}

// require is what testing.T and rapid.T share.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

// byTicket orders a list: its own order is the ledger's, which goes by person within a
// batch, or not.
func byTicket(a, b ledger.DrawEntry) int { return bytes.Compare(a.Ticket[:], b.Ticket[:]) }

// list is the list of a day, of the people in a range, by ticket.
func list(t require, db *ledger.DB, day policy.Day, from, to booking.UserID) (out []ledger.DrawEntry) {
	t.Helper()
	if err := db.DrawEntries(context.Background(), day, rules, func(e ledger.DrawEntry) error {
		if from <= e.Person && e.Person < to {
			out = append(out, e)
		}
		return nil
	}); err != nil {
		t.Fatalf("the list of %v: %v", day, err)
	}
	slices.SortFunc(out, byTicket)
	return out
}

func must(t require, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// desk: what the ledger lets in, and what becomes of edits and withdrawals, in
// whatever order they come.
func desk(t *testing.T, db *ledger.DB) {
	ctx := context.Background()
	w, al, tu := ledger.Written, ledger.Already, ledger.Turned
	e := enter(1, 1, 0, noon(first))
	old := enter(2, 2, 0, noon(first))
	senior := enter(3, 3, 1, noon(first))
	senior.Senior, senior.Other = true, true
	verdicts(t, db, []ledger.Verdict{w, w, w, al}, e, old, senior, e)
	if got, ok, err := db.Entry(ctx, senior.Ticket); err != nil || !ok || got.Person != 3 || got.Item != 1 || !got.Other || !got.Senior ||
		got.Entered != noon(first) || got.EditedAt != 0 || got.Withdrawn != 0 || got.Waited != time.Second || got.HasWon || got.Edited {
		t.Fatalf("%+v, %v, %v", got, ok, err)
	}
	if _, ok, err := db.Entry(ctx, ticket(0, 99)); ok || err != nil {
		t.Fatalf("an entry of nobody: %v, %v", ok, err)
	}

	// One entry a person, until it has had its ten draws.
	again := rules.SealsAt(rules.First(old.At) + policy.Day(rules.Valid) - 1)
	verdicts(t, db, []ledger.Verdict{tu, tu, w, tu}, enter(4, 2, 1, noon(first+3)), enter(5, 2, 1, again-1), enter(6, 2, 1, again), enter(7, 3, 1, again))

	// Edits: the day's first counts, the latest moment stands, whatever comes when.
	one, two, three := noon(first+1), noon(first+2), noon(first+3)
	verdicts(t, db, []ledger.Verdict{w, w, al, tu}, edit(2, e, 5, true, two), edit(1, e, 4, false, one), edit(1, e, 4, false, one), edit(9, e, 7, false, two+1))
	if got, _, err := db.Entry(ctx, e.Ticket); err != nil || got.Item != 5 || !got.Other || got.EditedAt != two || !got.Edited || got.EditOn != first+2 || got.Entered != e.At {
		t.Fatalf("%+v, %v", got, err)
	}
	stranger := edit(8, e, 6, false, three)
	stranger.User = 2
	verdicts(t, db, []ledger.Verdict{tu, tu}, stranger, edit(7, enter(50, 1, 0, 0), 6, false, three))

	// A withdrawal ends it, except for what was before; a person sits out a draw.
	gone := noon(first + 4)
	verdicts(t, db, []ledger.Verdict{w, al, w, tu}, withdraw(1, e, gone), withdraw(1, e, gone), edit(3, e, 6, false, three), edit(4, e, 8, false, gone+1))
	if got, _, err := db.Entry(ctx, e.Ticket); err != nil || got.Item != 6 || got.Withdrawn != gone {
		t.Fatalf("%+v, %v", got, err)
	}
	back := rules.SealsAt(rules.First(gone))
	verdicts(t, db, []ledger.Verdict{tu, w}, enter(10, 1, 0, back-1), enter(11, 1, 0, back))
	// The day's edit is the person's, not the entry's.
	verdicts(t, db, []ledger.Verdict{w, tu}, edit(10, enter(11, 1, 0, 0), 3, false, noon(first+6)), edit(11, e, 3, false, noon(first+6)))

	for row, want := range map[ledger.Row]booking.Outcome{e: booking.Confirmed, withdraw(1, e, gone): booking.Confirmed, edit(9, e, 0, false, 0): booking.Refused,
		enter(10, 0, 0, 0): booking.Refused} {
		if r, err := db.Result(ctx, row.Ticket); err != nil || r.Outcome != want {
			t.Fatalf("%+v: %v, %v; want %v", row, r.Outcome, err, want)
		}
	}
	stolen := edit(1, e, 4, false, one)
	stolen.User = 2
	if rs, err := db.Entries(rules).WriteBatch(ctx, []ledger.Row{enter(60, 60, 0, one), stolen}); err == nil {
		t.Fatalf("wrote another's change: %+v", rs)
	}
	if _, ok, err := db.Entry(ctx, ticket(0, 60)); ok || err != nil {
		t.Fatalf("half a batch stands: %v, %v", ok, err)
	}
	// A change refused before it came is not written any more.
	late := edit(70, enter(11, 1, 0, 0), 1, false, noon(first+8))
	if r, err := db.Refuse(ctx, late.Accepted, late.Written, "by a person"); err != nil || r.Outcome != booking.Refused {
		t.Fatalf("%+v, %v", r, err)
	}
	verdicts(t, db, []ledger.Verdict{tu}, late)
	if r, err := db.Refuse(ctx, withdraw(1, e, gone).Accepted, 0, "too late"); err != nil || r.Outcome != booking.Confirmed {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := db.Refuse(ctx, edit(1, e, 4, false, one).Accepted, 0, "too late"); err != nil || r.Outcome != booking.Confirmed {
		t.Fatalf("%+v, %v", r, err)
	}
	var holders []booking.Accepted
	var settled []booking.Ticket
	must(t, db.Snapshot(ctx, true, func(a booking.Accepted) error { holders = append(holders, a); return nil },
		func(t booking.Ticket) error { settled = append(settled, t); return nil }))
	if len(holders) != 5 || holders[2] != senior.Accepted || !slices.Contains(settled, withdraw(1, e, 0).Ticket) || !slices.Contains(settled, late.Ticket) {
		t.Fatalf("%d holders, the third %+v, settled %v", len(holders), holders[2], settled)
	}
}

// draws: the steps of a day in their order, each again without harm, and refused when
// it differs.
func draws(t *testing.T, db *ledger.DB) {
	ctx := context.Background()
	w, tu := ledger.Written, ledger.Turned
	day := first + 1
	seal := rules.SealsAt(day)
	a, b, c, d := enter(1, 1, 0, seal-1), enter(2, 2, 1, noon(first)), enter(3, 3, 2, seal), enter(4, 4, 3, noon(first))
	a.Other, d.Senior = true, true
	verdicts(t, db, []ledger.Verdict{w, w, w, w}, a, b, c, d)
	wantErr := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
	}
	nothing := func(ledger.DrawEntry) error { return nil }
	root := []byte{1, 2, 3}
	wantErr("an open list", db.DrawEntries(ctx, day, rules, nothing), ledger.ErrDay)
	wantErr("sealing an open list", db.RecordSeal(ctx, day, root, 3), ledger.ErrDay)
	wantErr("drawing an open list", db.RecordDraw(ctx, day, nil), ledger.ErrDay)
	wantErr("publishing an open list", db.Publish(ctx, day), ledger.ErrDay)
	for range 2 {
		must(t, db.CloseDay(ctx, day, rules))
	}
	if at, err := db.Sealed(ctx); at != seal || err != nil {
		t.Fatalf("sealed until %v, %v", at, err)
	}
	other := rules
	other.Wait++
	wantErr("closing by other rules", db.CloseDay(ctx, day, other), ledger.ErrDiffers)
	wantErr("reading by other rules", db.DrawEntries(ctx, day, other, nothing), ledger.ErrDay)
	wantErr("closing an earlier day", db.CloseDay(ctx, day-1, rules), ledger.ErrDay)
	stop := errors.New("stop")
	wantErr("an error of the reader", db.DrawEntries(ctx, day, rules, func(ledger.DrawEntry) error { return stop }), stop)

	// What comes too late counts from the seal on, whatever its moment.
	late := enter(5, 5, 4, seal-2)
	verdicts(t, db, []ledger.Verdict{w, w, w}, late, edit(1, b, 7, true, seal-2), withdraw(1, a, seal-2))
	want := []ledger.DrawEntry{{Person: 1, Ticket: a.Ticket, Line: 0, Other: true, Entered: a.At}, {Person: 2, Ticket: b.Ticket, Line: 1, Entered: b.At},
		{Person: 4, Ticket: d.Ticket, Line: 3, Senior: true, Entered: d.At}}
	if got := list(t, db, day, 0, 1<<63); !slices.Equal(got, want) {
		t.Fatalf("the list is %+v, want %+v", got, want)
	}
	if got, _, err := db.Entry(ctx, late.Ticket); got.Entered != seal || err != nil {
		t.Fatalf("a late entry counts from %v, %v", got.Entered, err)
	}
	wantErr("drawing what is not sealed", db.RecordDraw(ctx, day, nil), ledger.ErrDay)
	if err := db.RecordSeal(ctx, day, nil, 3); err == nil {
		t.Fatal("sealed without a root")
	}
	for range 2 {
		must(t, db.RecordSeal(ctx, day, root, 3))
	}
	wantErr("another root", db.RecordSeal(ctx, day, []byte{9}, 3), ledger.ErrDiffers)
	wantErr("another length", db.RecordSeal(ctx, day, root, 4), ledger.ErrDiffers)
	wantErr("closing the next before this is drawn", db.CloseDay(ctx, day+1, rules), ledger.ErrDay)
	wantErr("publishing before the draw", db.Publish(ctx, day), ledger.ErrDay)

	wins := []ledger.Win{{Person: 4, Ticket: d.Ticket, Line: 3, Round: 1, Rank: 1}, {Person: 1, Ticket: a.Ticket, Line: 5, Round: 2, Rank: 1}}
	for what, wrong := range map[string][]ledger.Win{
		"somebody who came later": {wins[0], {Person: 3, Ticket: c.Ticket}},
		"a ticket of another":     {wins[0], {Person: 2, Ticket: a.Ticket}},
		"no such ticket":          {wins[0], {Person: 2, Ticket: ticket(0, 77)}},
		"a person twice":          {wins[0], wins[0]},
	} {
		if err := db.RecordDraw(ctx, day, wrong); err == nil {
			t.Fatalf("%s: recorded", what)
		}
	}
	for range 2 {
		must(t, db.RecordDraw(ctx, day, wins))
		slices.Reverse(wins) // their order is in their ranks
	}
	wantErr("another draw", db.RecordDraw(ctx, day, wins[:1]), ledger.ErrDiffers)
	changed := slices.Clone(wins)
	changed[0].Rank++
	wantErr("another rank", db.RecordDraw(ctx, day, changed), ledger.ErrDiffers)
	if e, _, err := db.Entry(ctx, d.Ticket); e.HasWon || err != nil {
		t.Fatalf("told before it is published: %+v, %v", e, err)
	}
	for range 2 {
		must(t, db.Publish(ctx, day))
	}
	if e, _, err := db.Entry(ctx, a.Ticket); !e.HasWon || e.Won != day || e.WonItem != 5 || err != nil {
		t.Fatalf("%+v, %v", e, err)
	}
	must(t, db.RecordDraw(ctx, day, wins)) // also when it is published
	var got []ledger.Win
	must(t, db.Wins(ctx, day, func(w ledger.Win) error { got = append(got, w); return nil }))
	if !slices.Equal(got, []ledger.Win{wins[1], wins[0]}) && !slices.Equal(got, []ledger.Win{wins[0], wins[1]}) || got[0].Round != 1 {
		t.Fatalf("wins %+v", got)
	}

	// Winners wait, losers go on and count what they lost, the past stays what it was.
	if got := list(t, db, day, 0, 1<<63); !slices.Equal(got, want) {
		t.Fatalf("after the draw the list is %+v, want %+v", got, want)
	}
	free := rules.Start(day + policy.Day(rules.Wait) + 1)
	verdicts(t, db, []ledger.Verdict{tu, w}, enter(20, 1, 0, free-1), enter(21, 1, 0, free))
	must(t, db.CloseDay(ctx, day+1, rules))
	next := []ledger.DrawEntry{{Person: 2, Ticket: b.Ticket, Line: 7, Other: true, Entered: b.At, Edited: seal, Lost: 1}, {Person: 3, Ticket: c.Ticket, Line: 2, Entered: seal},
		{Person: 5, Ticket: late.Ticket, Line: 4, Entered: seal}}
	if got := list(t, db, day+1, 0, 1<<63); !slices.Equal(got, next) {
		t.Fatalf("the next list is %+v, want %+v", got, next)
	}
	must(t, db.CloseDay(ctx, day+9, rules)) // a list that is closed and not sealed holds nobody up
	wantErr("declaring void what is drawn", db.VoidDraw(ctx, day, root), ledger.ErrDay)
	wantErr("declaring void what is not sealed", db.VoidDraw(ctx, day+1, root), ledger.ErrDay)
	must(t, db.RecordSeal(ctx, day+9, root, 0))
	wantErr("closing a day after a sealed one", db.CloseDay(ctx, day+10, rules), ledger.ErrDay)
	lost := list(t, db, day+9, 0, 1<<63)
	wantErr("declaring void another list", db.VoidDraw(ctx, day+9, []byte{9}), ledger.ErrDiffers)
	for range 2 {
		must(t, db.VoidDraw(ctx, day+9, root))
	}
	wantErr("drawing what is void", db.RecordDraw(ctx, day+9, nil), ledger.ErrDay)
	wantErr("publishing what is void", db.Publish(ctx, day+9), ledger.ErrDay)
	must(t, db.CloseDay(ctx, day+10, rules))
	for i, e := range list(t, db, day+10, 0, 1<<63) {
		if i < len(lost) && e.Ticket == lost[i].Ticket && e.Lost != lost[i].Lost {
			t.Fatalf("a void draw counts as lost: %+v, before %+v", e, lost[i])
		}
	}
	all, err := db.Draws(ctx)
	if err != nil || len(all) != 4 || all[2].State != ledger.DrawVoid || all[0].State != ledger.DrawPublished || all[0].Entries != 3 || all[0].Winners != 2 || !slices.Equal(all[0].Root, root) ||
		all[0].Rules != rules || all[1].State != ledger.DrawClosed || all[1].Root != nil || all[2].Day != day+9 || all[2].Seals != rules.SealsAt(day+9) {
		t.Fatalf("draws %+v, %v", all, err)
	}
}

// deskAtOnce: writers at once let in one entry of a person and one edit of a day.
func deskAtOnce(t *testing.T, db *ledger.DB) {
	const people = 60
	var entries []ledger.Row
	for p := range people {
		entries = append(entries, enter(p, p, 0, noon(first)))
	}
	verdicts(t, db, slices.Repeat([]ledger.Verdict{ledger.Written}, people), entries...)
	counts := make([]map[ledger.Verdict]int, 4)
	var wg sync.WaitGroup
	for n := range counts {
		counts[n] = map[ledger.Verdict]int{}
		wg.Go(func() {
			var rows []ledger.Row
			for p := range people {
				p = (p*7 + n*11) % people
				rows = append(rows, edit(100*(n+1)+p, entries[p], n, false, noon(first)), enter(1000*(n+1)+p, 1000+p, n, noon(first)))
			}
			for chunk := range slices.Chunk(rows, 12) {
				rs, err := db.Entries(rules).WriteBatch(context.Background(), chunk)
				if err != nil {
					t.Errorf("writer %d: %v", n, err)
					return
				}
				for _, r := range rs {
					counts[n][r.Verdict]++
				}
			}
		})
	}
	wg.Wait()
	written := 0
	for _, c := range counts {
		written += c[ledger.Written]
	}
	if n, err := db.EntryCount(context.Background()); n != 2*people || written != 2*people || err != nil {
		t.Fatalf("%d entries, %d rows written, %v; want %d and %d", n, written, err, 2*people, 2*people)
	}
}

// plainEntry is an entry of the oracle.
type plainEntry struct {
	ledger.Row
	entered, withdrawn time.Duration
	edits              []ledger.Row // with At the moment from which they count
	ended              bool
}

// plainBook is the ledger of the lottery again, in maps and loops.
type plainBook struct {
	entries []*plainEntry
	refused map[booking.Ticket]bool
	changes map[booking.Ticket]ledger.Row
	edited  map[string]bool // person and day
	wins    map[booking.UserID][]policy.Day
	drawn   []policy.Day
	sealed  time.Duration
}

func (b *plainBook) standing(e *plainEntry, day policy.Day) policy.Standing {
	s := policy.Standing{Entered: e.entered, Withdrawn: e.withdrawn, Senior: e.Senior}
	for _, w := range b.wins[e.User] {
		if w < day {
			s.HasWon, s.Won = true, w
		}
	}
	return s
}

func (b *plainBook) write(r ledger.Row) ledger.Verdict {
	counts := max(r.At, b.sealed)
	turn := func() ledger.Verdict {
		b.refused[r.Ticket] = true
		return ledger.Turned
	}
	_, done := b.changes[r.Ticket]
	var of *plainEntry
	for _, e := range b.entries {
		done = done || e.Ticket == r.Ticket
		if e.Ticket == r.Entry && e.User == r.User {
			of = e
		}
	}
	switch {
	case b.refused[r.Ticket]:
		return ledger.Turned
	case done:
		return ledger.Already
	case r.Change == 0:
		expired, won, withdrawn := rules.Bars(counts)
		for _, e := range b.entries {
			if e.User != r.User {
				continue
			}
			e.ended = e.ended || !e.Senior && e.entered < expired
			if !e.ended || e.withdrawn != 0 && e.withdrawn >= withdrawn {
				return turn()
			}
		}
		for _, w := range b.wins[r.User] {
			if w >= won {
				return turn()
			}
		}
		b.entries = append(b.entries, &plainEntry{Row: r, entered: counts})
		return ledger.Written
	case of == nil, of.withdrawn != 0 && of.withdrawn < counts:
		return turn()
	case r.Change == booking.ChangeWithdraw:
		if of.withdrawn != 0 {
			return turn()
		}
		of.withdrawn, of.ended = counts, true
	default:
		slot := fmt.Sprint(r.User, rules.Day(r.At))
		if b.edited[slot] {
			return turn()
		}
		b.edited[slot] = true
		e := r
		e.At = counts
		of.edits = append(of.edits, e)
	}
	b.changes[r.Ticket] = r
	return ledger.Written
}

// list is who takes part in a day's draw, of those that are written.
func (b *plainBook) list(day policy.Day) (out []ledger.DrawEntry) {
	seal := rules.SealsAt(day)
	for _, e := range b.entries {
		s := b.standing(e, day)
		if !rules.TakesPart(s, day) {
			continue
		}
		d := ledger.DrawEntry{Person: e.User, Ticket: e.Ticket, Line: e.Item, Other: e.Other, Senior: e.Senior, Entered: e.entered, Lost: rules.Lost(s, day, b.drawn)}
		for _, c := range e.edits {
			if c.At < seal && c.At > d.Edited {
				d.Line, d.Other, d.Edited = c.Item, c.Other, c.At
			}
		}
		out = append(out, d)
	}
	slices.SortFunc(out, byTicket)
	return out
}

// lotteryModel holds the ledger's lottery against the oracle: entries, edits and
// withdrawals of some weeks that come late, twice and in any order, around draws; and
// every list, however often it is read, is what it was when it was closed.
func lotteryModel(t *testing.T, db *ledger.DB) {
	ctx := context.Background()
	history, n, day := 0, 0, first
	rapid.Check(t, func(t *rapid.T) {
		history++
		base := booking.UserID(1_000_000 * history) // a history has people of its own, and later days
		day += 2 * policy.Day(rules.Valid+rules.Wait)
		b := &plainBook{refused: map[booking.Ticket]bool{}, changes: map[booking.Ticket]ledger.Row{}, edited: map[string]bool{}, wins: map[booking.UserID][]policy.Day{}}
		lists := map[policy.Day][]ledger.DrawEntry{}
		var waiting, done []ledger.Row
		at := func(t *rapid.T) time.Duration {
			return rules.Start(day) + rapid.OneOf(rapid.SampledFrom([]time.Duration{0, rules.Seal - 1, rules.Seal, rules.EditFrom}),
				rapid.Custom(func(t *rapid.T) time.Duration {
					return time.Duration(rapid.Int64Range(0, int64(rules.Length)-1).Draw(t, "t"))
				})).Draw(t, "at")
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				n++
				r := enter(n, 0, rapid.IntRange(0, 3).Draw(t, "item"), at(t))
				r.User = base + booking.UserID(rapid.IntRange(0, 5).Draw(t, "person"))
				r.Senior, r.Other = rapid.IntRange(0, 9).Draw(t, "senior") < 3, rapid.Bool().Draw(t, "other")
				waiting = append(waiting, r)
			},
			"change": func(t *rapid.T) {
				if len(b.entries) == 0 {
					return
				}
				n++
				of := b.entries[rapid.IntRange(0, len(b.entries)-1).Draw(t, "entry")].Row
				r := edit(n, of, rapid.IntRange(0, 3).Draw(t, "item"), rapid.Bool().Draw(t, "other"), at(t))
				if rapid.IntRange(0, 9).Draw(t, "withdraws") < 3 {
					r = withdraw(n, of, r.At)
				}
				waiting = append(waiting, r)
			},
			"write": func(t *rapid.T) {
				var rows []ledger.Row
				for range rapid.IntRange(1, 6).Draw(t, "rows") {
					if len(done) > 0 && rapid.IntRange(0, 9).Draw(t, "again") < 2 {
						rows = append(rows, done[rapid.IntRange(0, len(done)-1).Draw(t, "which")])
					} else if len(waiting) > 0 {
						i := rapid.IntRange(0, min(2, len(waiting)-1)).Draw(t, "which")
						rows = append(rows, waiting[i])
						done = append(done, waiting[i])
						waiting = slices.Delete(waiting, i, i+1)
					}
				}
				want := make([]ledger.Verdict, len(rows))
				for i, r := range rows {
					want[i] = b.write(r)
				}
				verdicts(t, db, want, rows...)
			},
			"tomorrow": func(t *rapid.T) { day += policy.Day(rapid.IntRange(1, 4).Draw(t, "days")) },
			"draw": func(t *rapid.T) {
				day++
				must(t, db.CloseDay(ctx, day, rules))
				b.sealed = max(b.sealed, rules.SealsAt(day))
				in := b.list(day)
				lists[day] = in
				if got := list(t, db, day, base, base+1_000_000); !slices.Equal(got, in) {
					t.Fatalf("the list of %v is\n%+v, want\n%+v", day, got, in)
				}
				if rapid.IntRange(0, 9).Draw(t, "no draw") < 2 {
					return
				}
				must(t, db.RecordSeal(ctx, day, []byte{1}, int64(len(in))))
				var wins []ledger.Win
				for i, e := range in {
					if rapid.Bool().Draw(t, "wins") {
						wins = append(wins, ledger.Win{Person: e.Person, Ticket: e.Ticket, Line: e.Line, Round: 1, Rank: i})
						b.wins[e.Person] = append(b.wins[e.Person], day)
					}
				}
				must(t, db.RecordDraw(ctx, day, wins))
				b.drawn = append(b.drawn, day)
				for _, w := range wins {
					for _, e := range b.entries {
						if e.User == w.Person && !e.Senior && e.entered < rules.SealsAt(day) {
							e.ended = true
						}
					}
				}
				if rapid.Bool().Draw(t, "publish") {
					must(t, db.Publish(ctx, day))
				}
			},
			"": func(t *rapid.T) {
				if len(lists) == 0 {
					return
				}
				days := slices.Sorted(maps.Keys(lists))
				d := days[rapid.IntRange(0, len(days)-1).Draw(t, "day")]
				if got := list(t, db, d, base, base+1_000_000); !slices.Equal(got, lists[d]) {
					t.Fatalf("the list of %v has become\n%+v, it was\n%+v", d, got, lists[d])
				}
				for p, wins := range b.wins { // compared, not reported: no order
					for i := range wins[1:] {
						if wins[i+1]-wins[i] <= policy.Day(rules.Wait) {
							t.Fatalf("person %d won on %v", p, wins)
						}
					}
				}
			},
		})
	})
}
