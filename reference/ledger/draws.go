package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

var (
	// ErrDay is wrapped when a step of a day's draw is out of its order: a list must be
	// closed, then sealed, then drawn, then published, and the draw before be over.
	ErrDay = errors.New("out of its order")
	// ErrDiffers is wrapped when a step is repeated with something else than was
	// recorded: nothing is changed.
	ErrDiffers = errors.New("something else is recorded already; it stays")
)

// DrawState is how far a day's draw has come.
type DrawState string

// The states, in their order.
const (
	DrawClosed    DrawState = "closed"    // nothing enters, changes or leaves any more
	DrawSealed    DrawState = "sealed"    // the list's root is recorded
	DrawDrawn     DrawState = "drawn"     // the winners are recorded
	DrawPublished DrawState = "published" // and people are told
	DrawVoid      DrawState = "void"      // sealed and never to be drawn; no draw that anybody took part in
)

// Draw is what is recorded of a day's draw.
type Draw struct {
	Day     policy.Day
	Seals   time.Duration // moment of the seal, Unix time
	Rules   policy.LotteryRules
	Root    []byte // of the sealed list; nil before
	Entries int64  // in the sealed list
	Winners int64
	State   DrawState
}

// DrawEntry is an entry that takes part in a draw, as it stood at the seal.
type DrawEntry struct {
	Person  booking.UserID
	Ticket  booking.Ticket
	Line    int  // item of the stock list: shop and type
	Other   bool // takes another type in the same shop
	Senior  bool
	Entered time.Duration // moment from which it counts, Unix time
	Edited  time.Duration // as Entered; 0 = never
	Lost    int           // recorded draws in which it took part without a win, since it came or last won
}

// Win is a person's win in a draw.
type Win struct {
	Person booking.UserID
	Ticket booking.Ticket // of the entry that won
	Line   int            // what was won
	Round  int            // of the draw, from 1
	Rank   int            // place in the round
}

// drawOf is the recorded draw of a day; ok is false when there is none.
func drawOf(ctx context.Context, q rowQuerier, db *DB, day policy.Day) (d Draw, ok bool, err error) {
	err = d.scan(q.QueryRowContext(ctx, db.dialect.bind(selectDraw+" WHERE day = ?"), int64(day)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	return d, err == nil, err
}

const selectDraw = "SELECT day, seals, rules, root, entries, winners, state FROM draws"

// scan reads a row of selectDraw.
func (d *Draw) scan(row func(...any) error) error {
	var day, seals int64
	var rules string
	if err := row(&day, &seals, &rules, &d.Root, &d.Entries, &d.Winners, &d.State); err != nil {
		return err
	}
	d.Day, d.Seals = policy.Day(day), time.Duration(seals)
	return json.Unmarshal([]byte(rules), &d.Rules)
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// alone keeps batches of entries off until the transaction ends, and waits for
// those under way.
func alone(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "UPDATE fence SET epoch = epoch")
	return err
}

// ofDay runs f in a transaction that no batch of entries runs beside, with the draw of
// a day; closed is false when its list still is open, and the draw is empty.
func (db *DB) ofDay(ctx context.Context, what string, day policy.Day, f func(tx *sql.Tx, d Draw, closed bool) error) error {
	return db.transact(ctx, what+" of "+day.String(), func(tx *sql.Tx) error {
		if err := alone(ctx, tx); err != nil {
			return err
		}
		d, closed, err := drawOf(ctx, tx, db, day)
		if err != nil {
			return err
		}
		return f(tx, d, closed)
	})
}

// CloseDay ends what takes part in the draw of a day: from here on, whatever is
// written of a moment before the seal counts from the seal on, and so is of the next
// day. It does not look at what still waits to be written; reference.CloseDay does. It
// fails with ErrDay when a later list was closed, or an earlier one was sealed and not yet drawn, and
// with ErrDiffers when the day was closed by other rules. Again it does nothing.
func (db *DB) CloseDay(ctx context.Context, day policy.Day, rules policy.LotteryRules) error {
	text, err := json.Marshal(rules)
	if err != nil { // numbers alone: it cannot
		return err
	}
	return db.ofDay(ctx, "closing the list", day, func(tx *sql.Tx, d Draw, closed bool) error {
		if closed {
			if d.Rules != rules {
				return fmt.Errorf("by other rules: %w", ErrDiffers)
			}
			return nil
		}
		var other sql.NullInt64
		if err := tx.QueryRowContext(ctx, db.dialect.bind("SELECT min(day) FROM draws WHERE day > ? OR day < ? AND state = 'sealed'"),
			int64(day), int64(day)).Scan(&other); err != nil {
			return err
		}
		if at := policy.Day(other.Int64); other.Valid && at > day {
			return fmt.Errorf("the list of %v is closed already: %w", at, ErrDay)
		} else if other.Valid {
			return fmt.Errorf("the draw of %v is sealed and must be recorded first, or declared void: %w", at, ErrDay)
		}
		seals := int64(rules.SealsAt(day))
		if _, err := tx.ExecContext(ctx, db.dialect.bind("UPDATE fence SET sealed = ? WHERE sealed < ?"), seals, seals); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, db.dialect.bind("INSERT INTO draws (day, seals, rules, root, entries, winners, state) VALUES (?, ?, ?, NULL, 0, 0, 'closed')"),
			int64(day), seals, string(text))
		return err
	})
}

// DrawEntries calls f for exactly the entries that take part in the draw of a day,
// each as it stood at the seal, in the order of their rows. However often and late it
// is called, it gives the same in the same order. It fails with ErrDay when the list is not closed, or
// by other rules, and stops at f's first error.
func (db *DB) DrawEntries(ctx context.Context, day policy.Day, rules policy.LotteryRules, f func(DrawEntry) error) error {
	err := db.call(ctx, func(ctx context.Context) error {
		tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		defer tx.Rollback() // it wrote nothing; there is nothing to fail
		d, closed, err := drawOf(ctx, tx, db, day)
		switch {
		case err != nil:
			return err
		case !closed:
			return fmt.Errorf("it is still open; close it first: %w", ErrDay)
		case d.Rules != rules:
			return fmt.Errorf("it was closed by other rules: %w", ErrDay)
		}
		return db.drawEntries(ctx, tx, d, "", nil, f)
	})
	if err != nil {
		return fmt.Errorf("ledger: the list of %v: %w", day, err)
	}
	return nil
}

// takingPart is every entry that may take part in a draw, as it stood at the seal
// (the first verb), if its draws were not over long before (the second), by what
// its person won before the day (the third). Later edits are rare, so what they have
// covered up is looked for only behind them.
const takingPart = `SELECT e.ticket, e.person, e.senior, e.entered, e.withdrawn,
	CASE WHEN e.edited < %[1]d THEN e.edited ELSE COALESCE((` + editBefore + `), 0) END,
	CASE WHEN e.edited < %[1]d THEN e.now_item ELSE COALESCE((` + editBeforeItem + `), e.item) END,
	CASE WHEN e.edited < %[1]d THEN e.now_other ELSE COALESCE((` + editBeforeOther + `), e.other) END,
	(SELECT max(w.day) FROM wins w WHERE w.person = e.person AND w.day < %[3]d)
	FROM entries e WHERE e.entered < %[1]d AND (e.senior OR e.entered >= %[2]d) AND (e.withdrawn = 0 OR e.withdrawn >= %[1]d)`

const (
	editBefore      = `SELECT c.counts` + editBeforeFrom
	editBeforeItem  = `SELECT c.item` + editBeforeFrom
	editBeforeOther = `SELECT c.other` + editBeforeFrom
	editBeforeFrom  = ` FROM changes c WHERE c.entry = e.ticket AND c.kind = 1 AND c.counts < %[1]d ORDER BY c.counts DESC, c.id LIMIT 1`
)

// drawEntries reads a closed list, or with a condition a part of it.
func (db *DB) drawEntries(ctx context.Context, tx *sql.Tx, d Draw, and string, args []any, f func(DrawEntry) error) error {
	var held []policy.Day
	err := eachOf(ctx, tx, db.dialect.bind("SELECT day FROM draws WHERE day < ? AND state IN ('drawn', 'published') ORDER BY day"), []any{int64(d.Day)},
		func(rows *sql.Rows) error {
			var day int64
			err := rows.Scan(&day)
			held = append(held, policy.Day(day))
			return err
		})
	if err != nil {
		return err
	}
	oldest := d.Rules.SealsAt(d.Day - policy.Day(d.Rules.Valid)) // who came before it has had the last draw before this one
	query := fmt.Sprintf(takingPart, int64(d.Seals), int64(oldest), int64(d.Day)) + and + " ORDER BY e.id"
	return eachOf(ctx, tx, db.dialect.bind(query), args, func(rows *sql.Rows) error {
		var raw []byte
		var person, entered, withdrawn, edited int64
		var won sql.NullInt64
		var e DrawEntry
		if err := rows.Scan(&raw, &person, &e.Senior, &entered, &withdrawn, &edited, &e.Line, &e.Other, &won); err != nil {
			return err
		}
		s := policy.Standing{Entered: time.Duration(entered), Withdrawn: time.Duration(withdrawn), Senior: e.Senior,
			HasWon: won.Valid, Won: policy.Day(won.Int64)}
		if !d.Rules.TakesPart(s, d.Day) {
			return nil
		}
		copy(e.Ticket[:], raw)
		e.Person, e.Entered, e.Edited = booking.UserID(person), s.Entered, time.Duration(edited)
		e.Lost = d.Rules.Lost(s, d.Day, held)
		return f(e)
	})
}

// RecordSeal records the root and the length of a closed list. Again it does
// nothing; with another root or length it fails with ErrDiffers, and with ErrDay
// when the list is not closed.
func (db *DB) RecordSeal(ctx context.Context, day policy.Day, root []byte, count int64) error {
	if len(root) == 0 {
		return fmt.Errorf("ledger: sealing the list of %v: no root", day)
	}
	return db.ofDay(ctx, "sealing the list", day, func(tx *sql.Tx, d Draw, closed bool) error {
		switch {
		case !closed:
			return fmt.Errorf("it is still open; close it first: %w", ErrDay)
		case d.State != DrawClosed:
			if !bytes.Equal(d.Root, root) || d.Entries != count {
				return fmt.Errorf("root %x over %d entries: %w", d.Root, d.Entries, ErrDiffers)
			}
			return nil
		}
		_, err := tx.ExecContext(ctx, db.dialect.bind("UPDATE draws SET root = ?, entries = ?, state = 'sealed' WHERE day = ?"), root, count, int64(day))
		return err
	})
}

// winsTogether is how many wins a statement takes.
const winsTogether = 500

// RecordDraw records the winners of a sealed draw, all or none: each must be in the
// sealed list, by an entry of that ticket, and win once. An ordinary entry that won is
// used up. Again it does nothing; with other winners it fails with ErrDiffers, and
// with ErrDay when the list is not sealed.
func (db *DB) RecordDraw(ctx context.Context, day policy.Day, wins []Win) error {
	wins = slices.Clone(wins)
	slices.SortFunc(wins, func(a, b Win) int { return cmp.Compare(a.Person, b.Person) })
	for i, w := range wins {
		if i > 0 && wins[i-1].Person == w.Person {
			return fmt.Errorf("ledger: recording the draw of %v: person %d wins twice", day, w.Person)
		}
	}
	return db.ofDay(ctx, "recording the draw", day, func(tx *sql.Tx, d Draw, closed bool) error {
		switch {
		case !closed || d.State == DrawClosed:
			return fmt.Errorf("its list is not sealed: %w", ErrDay)
		case d.State == DrawVoid:
			return fmt.Errorf("it was declared void: %w", ErrDay)
		case d.State != DrawSealed:
			var was []Win
			if err := winsOf(ctx, tx, db, day, func(w Win) error { was = append(was, w); return nil }); err != nil {
				return err
			}
			slices.SortFunc(was, func(a, b Win) int { return cmp.Compare(a.Person, b.Person) })
			if !slices.Equal(was, wins) {
				return fmt.Errorf("%d winners: %w", d.Winners, ErrDiffers)
			}
			return nil
		}
		for page := range slices.Chunk(wins, winsTogether) {
			if err := db.recordWins(ctx, tx, d, page); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, db.dialect.bind("UPDATE draws SET winners = ?, state = 'drawn' WHERE day = ?"), len(wins), int64(day))
		return err
	})
}

// recordWins checks and records a page of wins.
func (db *DB) recordWins(ctx context.Context, tx *sql.Tx, d Draw, wins []Win) error {
	tickets := func(yield func(any) bool) {
		for _, w := range wins {
			if !yield(w.Ticket[:]) {
				return
			}
		}
	}
	some, args := list(tickets)
	in := map[booking.Ticket]booking.UserID{}
	if err := db.drawEntries(ctx, tx, d, " AND e.ticket IN "+some, args, func(e DrawEntry) error {
		in[e.Ticket] = e.Person
		return nil
	}); err != nil {
		return err
	}
	people := func(yield func(any) bool) {
		for _, w := range wins {
			if !yield(int64(w.Person)) {
				return
			}
		}
	}
	var values []any
	for _, w := range wins {
		if who, ok := in[w.Ticket]; !ok || who != w.Person {
			return fmt.Errorf("person %d is not in the sealed list by ticket %s", w.Person, w.Ticket)
		}
		values = append(values, int64(w.Person), int64(d.Day), w.Ticket[:], w.Line, w.Round, w.Rank)
	}
	row := ", (?, ?, ?, ?, ?, ?)"
	if _, err := tx.ExecContext(ctx, db.dialect.bind("INSERT INTO wins (person, day, ticket, line, round, rank) VALUES "+
		strings.Repeat(row, len(wins))[2:]), values...); err != nil {
		return err
	}
	some, args = list(people)
	_, err := tx.ExecContext(ctx, db.dialect.bind("UPDATE entries SET live = FALSE WHERE live AND NOT senior AND entered < ? AND person IN "+some),
		append([]any{int64(d.Seals)}, args...)...)
	return err
}

// list is a list of parameters, as IN wants it, and their values.
func list(values iter.Seq[any]) (marks string, args []any) {
	args = slices.Collect(values)
	return "(" + strings.Repeat(", ?", len(args))[2:] + ")", args
}

// VoidDraw says that a sealed draw will never be made, so that it holds up no later one:
// its entries go on as if its day had not been. Again it does nothing; it fails with
// ErrDay when the list is not sealed or the draw is recorded, and with ErrDiffers when
// another root is sealed.
func (db *DB) VoidDraw(ctx context.Context, day policy.Day, root []byte) error {
	return db.ofDay(ctx, "declaring void the draw", day, func(tx *sql.Tx, d Draw, closed bool) error {
		switch {
		case !closed || d.State == DrawClosed:
			return fmt.Errorf("its list is not sealed: %w", ErrDay)
		case d.State == DrawDrawn || d.State == DrawPublished:
			return fmt.Errorf("its winners are recorded: %w", ErrDay)
		case !bytes.Equal(d.Root, root):
			return fmt.Errorf("root %x: %w", d.Root, ErrDiffers)
		}
		_, err := tx.ExecContext(ctx, db.dialect.bind("UPDATE draws SET state = 'void' WHERE day = ?"), int64(day))
		return err
	})
}

// Publish says that the winners of a draw have been published: from here on people
// are told. Again it does nothing; it fails with ErrDay when the draw is not recorded.
func (db *DB) Publish(ctx context.Context, day policy.Day) error {
	return db.transact(ctx, "publishing the draw of "+day.String(), func(tx *sql.Tx) error {
		n, err := affected(tx.ExecContext(ctx, db.dialect.bind("UPDATE draws SET state = 'published' WHERE day = ? AND state IN ('drawn', 'published')"), int64(day)))
		if err == nil && n == 0 {
			err = fmt.Errorf("it is not recorded: %w", ErrDay)
		}
		return err
	})
}

// Draws are the recorded draws, the oldest first.
func (db *DB) Draws(ctx context.Context) ([]Draw, error) {
	var out []Draw
	err := db.each(ctx, selectDraw+" ORDER BY day", func(rows *sql.Rows) error {
		var d Draw
		err := d.scan(rows.Scan)
		out = append(out, d)
		return err
	})
	return out, err
}

// Wins calls f for every win of a day's draw, by round and rank. It stops at f's
// first error.
func (db *DB) Wins(ctx context.Context, day policy.Day, f func(Win) error) error {
	return db.call(ctx, func(ctx context.Context) error { return winsOf(ctx, db.read, db, day, f) })
}

func winsOf(ctx context.Context, q querier, db *DB, day policy.Day, f func(Win) error) error {
	return each(ctx, q, db.dialect.bind("SELECT person, ticket, line, round, rank FROM wins WHERE day = ? ORDER BY round, rank, line, person"),
		func(rows *sql.Rows) error {
			var person int64
			var raw []byte
			var w Win
			if err := rows.Scan(&person, &raw, &w.Line, &w.Round, &w.Rank); err != nil {
				return err
			}
			copy(w.Ticket[:], raw)
			w.Person = booking.UserID(person)
			return f(w)
		}, int64(day))
}
