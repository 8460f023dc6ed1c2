package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// Entry is a lottery entry as the ledger holds it. Moments are Unix time.
type Entry struct {
	Ticket booking.Ticket
	Person booking.UserID
	Item   int  // as last edited
	Other  bool // as last edited
	// EditedAt is the moment from which its last edit counts; 0 = it was never edited.
	EditedAt time.Duration
	Waited   time.Duration // accepted to written
	// Standing has of its person's wins the last that was published, and of the
	// edits the last of any entry.
	policy.Standing
	WonItem int // of that win
}

// Entries is the database as a Keeper of lottery entries and their changes, by the
// rules of the lottery.
func (db *DB) Entries(r policy.LotteryRules) Keeper { return entryKeeper{db, r} }

type entryKeeper struct {
	*DB
	rules policy.LotteryRules
}

var _ Keeper = entryKeeper{}

// lot is an entry or a change to be written, with what decides about it.
type lot struct {
	Row
	counts    time.Duration // moment from which it counts
	day       policy.Day    // of its acceptance
	expired   time.Duration // of policy.LotteryRules.Bars, as the next two
	won       policy.Day
	withdrawn time.Duration
}

const reasonLottery = "an entry of its person stands, or a win or a withdrawal is too recent"

// WriteBatch implements Keeper. It also takes changes. An entry is turned when
// another of its person stands, or the rules let the person not enter; an edit when
// its person has another of the same day; either change when there is no such
// entry, or it was withdrawn. What was accepted before the last closed list, and
// comes too late for that, counts from its seal on.
func (k entryKeeper) WriteBatch(ctx context.Context, rows []Row) ([]RowResult, error) {
	return k.writeAll(ctx, rows, func(tx *sql.Tx) ([]RowResult, error) {
		// A list that is being closed waits for those who have read this to commit.
		var sealed int64
		if err := tx.QueryRowContext(ctx, "SELECT sealed FROM fence"+k.dialect.share).Scan(&sealed); err != nil {
			return nil, err
		}
		out := make([]RowResult, 0, len(rows))
		for len(rows) > 0 {
			n := run(rows)
			lots := make([]lot, n)
			for i, r := range rows[:n] {
				lots[i] = lot{Row: r, counts: max(r.At, time.Duration(sealed)), day: k.rules.Day(r.At)}
				lots[i].expired, lots[i].won, lots[i].withdrawn = k.rules.Bars(lots[i].counts)
			}
			var done []RowResult
			var err error
			if rows[0].Change != 0 {
				done, err = k.change(ctx, tx, lots[0])
			} else {
				done, err = k.dialect.enter(ctx, tx, k.DB, lots)
			}
			if err != nil {
				return nil, err
			}
			out, rows = append(out, done...), rows[n:]
		}
		return out, nil
	})
}

// run is how many rows may be written together without a thought to their order:
// entries of different people, or one change.
func run(rows []Row) int {
	seen := make(map[booking.UserID]bool, len(rows))
	for n, r := range rows {
		if r.Change != 0 {
			return max(n, 1)
		}
		if seen[r.User] {
			return n
		}
		seen[r.User] = true
	}
	return len(rows)
}

const (
	endExpired = `UPDATE entries SET live = FALSE WHERE person = ? AND live AND NOT senior AND entered < ?`

	insertEntry = `INSERT INTO entries (ticket, person, item, other, senior, accepted, written, entered, now_item, now_other, edited, withdrawn, live)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, TRUE WHERE NOT EXISTS (SELECT 1 FROM refused WHERE ticket = ?)
			AND NOT EXISTS (SELECT 1 FROM wins WHERE person = ? AND day >= ?)
			AND NOT EXISTS (SELECT 1 FROM entries WHERE person = ? AND withdrawn <> 0 AND withdrawn >= ?)
		ON CONFLICT DO NOTHING`

	// An edit of an earlier moment than the entry's withdrawal is good, in whatever
	// order the two come.
	insertChange = `INSERT INTO changes (ticket, entry, person, kind, item, other, day, accepted, written, counts)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM refused WHERE ticket = ?)
			AND EXISTS (SELECT 1 FROM entries WHERE ticket = ? AND person = ? AND (withdrawn = 0 OR withdrawn >= ?))
		ON CONFLICT DO NOTHING`

	applyEdit       = `UPDATE entries SET now_item = ?, now_other = ?, edited = ? WHERE ticket = ? AND edited < ?`
	applyWithdrawal = `UPDATE entries SET withdrawn = ?, live = FALSE WHERE ticket = ?`
)

// enterEach writes entries row by row.
func enterEach(ctx context.Context, tx *sql.Tx, db *DB, lots []lot) ([]RowResult, error) {
	end, err := tx.PrepareContext(ctx, endExpired)
	if err != nil {
		return nil, err
	}
	defer end.Close() // the transaction owns it, as the next; nothing can fail that matters
	insert, err := tx.PrepareContext(ctx, insertEntry)
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	out := make([]RowResult, len(lots))
	for i, l := range lots {
		person := int64(l.User)
		if _, err := end.ExecContext(ctx, person, int64(l.expired)); err != nil {
			return nil, err
		}
		n, err := affected(insert.ExecContext(ctx, l.Ticket[:], person, l.Item, l.Other, l.Senior, int64(l.At), int64(l.Written), int64(l.counts),
			l.Item, l.Other, l.Ticket[:], person, int64(l.won), person, int64(l.withdrawn)))
		if err == nil && n == 1 {
			out[i] = RowResult{Verdict: Written, Waited: l.Written - l.At}
			continue
		}
		if err == nil {
			out[i], err = db.inTheWay(ctx, tx, "entries", l.Row, reasonLottery)
		}
		if err != nil {
			return nil, fmt.Errorf("ticket %s: %w", l.Ticket, err)
		}
	}
	return out, nil
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// change writes one change and does to its entry what it says. Of edits, the one of
// the latest moment is what the entry has, in whatever order they come.
func (db *DB) change(ctx context.Context, tx *sql.Tx, l lot) ([]RowResult, error) {
	bind := db.dialect.bind
	n, err := affected(tx.ExecContext(ctx, bind(insertChange), l.Ticket[:], l.Entry[:], int64(l.User), int(l.Change), l.Item, l.Other, int64(l.day),
		int64(l.At), int64(l.Written), int64(l.counts), l.Ticket[:], l.Entry[:], int64(l.User), int64(l.counts)))
	switch {
	case err != nil:
	case n == 0:
		var r RowResult
		r, err = db.inTheWay(ctx, tx, "changes", l.Row, "its person has made another edit this day, or the entry is withdrawn or not theirs")
		if err == nil {
			return []RowResult{r}, nil
		}
	case l.Change == booking.ChangeEdit:
		_, err = tx.ExecContext(ctx, bind(applyEdit), l.Item, l.Other, int64(l.counts), l.Entry[:], int64(l.counts))
	default:
		_, err = tx.ExecContext(ctx, bind(applyWithdrawal), int64(l.counts), l.Entry[:])
	}
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", l.Ticket, err)
	}
	return []RowResult{{Verdict: Written, Waited: l.Written - l.At}}, nil
}

// Entry is the lottery entry of a ticket; ok is false when the ledger has none.
func (db *DB) Entry(ctx context.Context, t booking.Ticket) (e Entry, ok bool, err error) {
	err = db.call(ctx, func(ctx context.Context) error {
		var person, accepted, written, entered, edited, withdrawn int64
		var editOn, won, wonItem sql.NullInt64
		err := db.read.QueryRowContext(ctx, db.dialect.bind(`SELECT e.person, e.now_item, e.now_other, e.senior, e.accepted, e.written, e.entered, e.edited,
				e.withdrawn, (SELECT max(c.day) FROM changes c WHERE c.person = e.person AND c.kind = 1), w.day, w.line
			FROM entries e LEFT JOIN wins w ON w.person = e.person AND w.day = (SELECT max(p.day) FROM wins p
				JOIN draws d ON d.day = p.day WHERE p.person = e.person AND d.state = 'published')
			WHERE e.ticket = ?`), t[:]).Scan(&person, &e.Item, &e.Other, &e.Senior, &accepted, &written, &entered, &edited, &withdrawn,
			&editOn, &won, &wonItem)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ledger: reading entry %s: %w", t, err)
		}
		ok = true
		e.Ticket, e.Person, e.Waited = t, booking.UserID(person), time.Duration(written-accepted)
		e.Entered, e.EditedAt, e.Withdrawn = time.Duration(entered), time.Duration(edited), time.Duration(withdrawn)
		e.Edited, e.EditOn = editOn.Valid, policy.Day(editOn.Int64)
		e.HasWon, e.Won, e.WonItem = won.Valid, policy.Day(won.Int64), int(wonItem.Int64)
		return nil
	})
	return e, ok, err
}

// Sealed is the moment until which lists have been closed; 0 = none was.
func (db *DB) Sealed(ctx context.Context) (time.Duration, error) {
	var sealed int64
	err := db.call(ctx, func(ctx context.Context) error {
		return db.read.QueryRowContext(ctx, "SELECT sealed FROM fence").Scan(&sealed)
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: reading the last seal: %w", err)
	}
	return time.Duration(sealed), nil
}
