package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"spillway/internal/booking"
)

// ErrDatabase is wrapped by Open when the URL names a database that this program
// does not speak.
var ErrDatabase = errors.New(`want "sqlite:PATH"`)

// DBOptions sets up a DB.
type DBOptions struct {
	// Cycle is the booking cycle: one person holds at most one reservation in it.
	Cycle int
	// Readers is the size of the read pool; 0 = 4.
	Readers int
	// Tap is called before and after each step of a transaction of the writing
	// connection with the step's point, as in "ledger.commit.before"; an error of
	// it is the step's. For faults and crashes; nil = nobody.
	Tap func(ctx context.Context, point string) error
}

// DB is the ledger's database. It is safe for concurrent use.
type DB struct {
	dialect dialect
	write   *sql.DB // one connection; nil when read only
	read    *sql.DB
	cycle   int
	tap     func(ctx context.Context, point string) error
}

// Row is an accepted submit to be written.
type Row struct {
	booking.Accepted
	Written time.Duration // offset to be kept as the moment of writing
	// Epoch is the fence's epoch at which the row was read from the queue; a batch
	// of an older one fails with ErrStale. 0 = not fenced.
	Epoch int64
}

// Verdict is what became of a Row.
type Verdict uint8

// The verdicts.
const (
	// Written says that the row is new in the ledger.
	Written Verdict = iota + 1
	// Already says that the same ticket had been written before.
	Already
	// Turned says that the ticket is refused: its user holds another reservation
	// of the cycle, or the ticket was refused before.
	Turned
)

var verdicts = [...]string{"", "written", "already", "turned"}

// String returns the verdict's name.
func (v Verdict) String() string {
	if int(v) >= len(verdicts) || v == 0 {
		return fmt.Sprintf("invalid(%d)", uint8(v))
	}
	return verdicts[v]
}

// RowResult is what became of one Row of a batch.
type RowResult struct {
	Verdict Verdict
	Waited  time.Duration // accepted to written; of the first writing when Already; 0 when Turned
	Reason  string        // why it was turned
}

// Result is what is known of a ticket.
type Result struct {
	Outcome booking.Outcome // confirmed, refused, pending (cache only) or unknown
	Waited  time.Duration   // accepted to written, when confirmed
}

// Open opens the database that the URL names and makes its tables. The folder
// must exist.
func Open(ctx context.Context, rawURL string, o DBOptions) (*DB, error) {
	path, err := sqlitePath(rawURL)
	if err != nil {
		return nil, err
	}
	d := sqliteDialect
	db := &DB{dialect: d, cycle: o.Cycle, tap: o.Tap}
	if db.write, err = sql.Open(d.driver, d.source(path, false)); err != nil {
		return nil, fmt.Errorf("ledger: opening %s: %w", rawURL, err)
	}
	db.write.SetMaxOpenConns(1) // SQLite has one writer; a second would only wait for locks
	if err := db.makeTables(ctx); err != nil {
		_ = db.write.Close() // the first error is the one that tells
		return nil, fmt.Errorf("ledger: setting up %s: %w", rawURL, err)
	}
	if err := db.openReaders(ctx, rawURL, path, o); err != nil {
		_ = db.write.Close() // as above
		return nil, err
	}
	return db, nil
}

// OpenReadOnly opens an existing database for reading, from another process if
// need be. Writing methods then fail.
func OpenReadOnly(ctx context.Context, rawURL string, o DBOptions) (*DB, error) {
	path, err := sqlitePath(rawURL)
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: sqliteDialect, cycle: o.Cycle}
	return db, db.openReaders(ctx, rawURL, path, o)
}

func (db *DB) openReaders(ctx context.Context, rawURL, path string, o DBOptions) error {
	var err error
	if db.read, err = sql.Open(db.dialect.driver, db.dialect.source(path, true)); err != nil {
		return fmt.Errorf("ledger: opening %s: %w", rawURL, err)
	}
	n := o.Readers
	if n <= 0 {
		n = 4
	}
	db.read.SetMaxOpenConns(n)
	db.read.SetMaxIdleConns(n)
	var version int
	err = db.read.QueryRowContext(ctx, "SELECT version FROM spillway").Scan(&version)
	if err == nil && version != schemaVersion {
		err = fmt.Errorf("its tables have version %d, this program wants %d", version, schemaVersion)
	}
	if err != nil {
		_ = db.read.Close() // the first error is the one that tells
		return fmt.Errorf("ledger: reading %s: %w", rawURL, err)
	}
	return nil
}

// Close closes the database. Transactions under way are rolled back.
func (db *DB) Close() error {
	err := db.read.Close()
	if db.write != nil {
		err = errors.Join(err, db.write.Close())
	}
	if err != nil {
		return fmt.Errorf("ledger: closing: %w", err)
	}
	return nil
}

var errReadOnly = errors.New("ledger: the database was opened for reading only")

// transact runs f in a transaction of the writing connection.
func (db *DB) transact(ctx context.Context, what string, f func(*sql.Tx) error) error {
	if db.write == nil {
		return errReadOnly
	}
	failed := func(err error) error { return fmt.Errorf("ledger: %s: %w", what, err) }
	var tx *sql.Tx
	err := db.step(ctx, "ledger.begin", func() (err error) {
		tx, err = db.write.BeginTx(ctx, nil)
		return err
	})
	if err == nil {
		err = f(tx)
	}
	if err == nil {
		if err = db.step(ctx, "ledger.commit", tx.Commit); err == nil {
			return nil
		}
	}
	if tx != nil {
		// What went wrong first is what tells, and after a commit there is nothing
		// to roll back.
		_ = db.step(ctx, "ledger.rollback", tx.Rollback)
	}
	return failed(err)
}

// step does one step of a transaction, with the taps before and after it.
func (db *DB) step(ctx context.Context, point string, do func() error) error {
	if db.tap == nil {
		return do()
	}
	if err := db.tap(ctx, point+".before"); err != nil {
		if point == "ledger.rollback" {
			_ = do() // whatever becomes of the process, its transaction ends
		}
		return err
	}
	if err := do(); err != nil && point != "ledger.rollback" {
		return err
	}
	return db.tap(ctx, point+".after")
}

// WriteBatch books the rows in one transaction, in order, and says of each what
// became of it. On an error nothing of the batch stands. Writing a batch again
// changes nothing. It fails with ErrStale when the rows are fenced off.
func (db *DB) WriteBatch(ctx context.Context, rows []Row) ([]RowResult, error) {
	return db.writeAll(ctx, "bookings", insertBooking, rows)
}

// WriteEntries writes lottery entries like WriteBatch writes bookings.
func (db *DB) WriteEntries(ctx context.Context, rows []Row) ([]RowResult, error) {
	return db.writeAll(ctx, "entries", insertEntry, rows)
}

var errClash = errors.New("the ticket is another user's")

const (
	insertBooking = `INSERT INTO bookings (ticket, person, cycle, item, accepted, written)
		SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM refused WHERE ticket = ?)
		ON CONFLICT DO NOTHING`
	insertEntry = `INSERT INTO entries (ticket, person, cycle, item, accepted, written, other)
		SELECT ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM refused WHERE ticket = ?)
		ON CONFLICT DO NOTHING`
	insertRefused = `INSERT INTO refused (ticket, person, cycle, item, accepted, written, reason)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
)

func (db *DB) writeAll(ctx context.Context, table, insert string, rows []Row) ([]RowResult, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	out := make([]RowResult, 0, len(rows))
	err := db.transact(ctx, fmt.Sprintf("writing %d rows", len(rows)), func(tx *sql.Tx) error {
		if err := db.fenced(ctx, tx, rows[0].Epoch); err != nil {
			return err
		}
		stmt, err := tx.PrepareContext(ctx, db.dialect.bind(insert))
		if err != nil {
			return err
		}
		defer stmt.Close() // the transaction owns it; nothing can fail that matters
		for _, r := range rows {
			res, err := db.writeOne(ctx, tx, stmt, table, r)
			if err != nil {
				return fmt.Errorf("ticket %s: %w", r.Ticket, err)
			}
			out = append(out, res)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (db *DB) writeOne(ctx context.Context, tx *sql.Tx, insert *sql.Stmt, table string, r Row) (RowResult, error) {
	args := []any{r.Ticket[:], int64(r.User), db.cycle, r.Item, int64(r.At), int64(r.Written)}
	if table == "entries" {
		args = append(args, r.Other)
	}
	res, err := insert.ExecContext(ctx, append(args, r.Ticket[:])...)
	if err != nil {
		return RowResult{}, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return RowResult{}, err
	}
	if n == 1 {
		return RowResult{Verdict: Written, Waited: r.Written - r.At}, nil
	}
	// Something stands in its way: itself, its owner's other ticket, or an old no.
	var person, accepted, written int64
	err = tx.QueryRowContext(ctx, db.dialect.bind("SELECT person, accepted, written FROM "+table+" WHERE ticket = ?"),
		r.Ticket[:]).Scan(&person, &accepted, &written)
	reason := "the user holds another reservation of this cycle"
	switch {
	case err == nil && person == int64(r.User):
		return RowResult{Verdict: Already, Waited: time.Duration(written - accepted)}, nil
	case err == nil:
		// Not to be refused: under this ticket another user is confirmed, and a
		// ticket has one fate only. An error makes the entry a dead letter.
		return RowResult{}, errClash
	case !errors.Is(err, sql.ErrNoRows):
		return RowResult{}, err
	}
	if _, err := tx.ExecContext(ctx, db.dialect.bind(insertRefused),
		r.Ticket[:], int64(r.User), db.cycle, r.Item, int64(r.At), int64(r.Written), reason); err != nil {
		return RowResult{}, err
	}
	return RowResult{Verdict: Turned, Reason: reason}, nil
}

// Result is what the ledger says of a ticket: confirmed, refused, or unknown
// when it has no row (the ticket may still be in the queue, or never existed).
func (db *DB) Result(ctx context.Context, t booking.Ticket) (Result, error) {
	for _, table := range [...]string{"bookings", "refused", "entries"} {
		var accepted, written int64
		err := db.read.QueryRowContext(ctx, db.dialect.bind("SELECT accepted, written FROM "+table+" WHERE ticket = ?"),
			t[:]).Scan(&accepted, &written)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return Result{Outcome: booking.Unknown}, fmt.Errorf("ledger: reading ticket %s: %w", t, err)
		case table == "refused":
			return Result{Outcome: booking.Refused}, nil
		}
		return Result{Outcome: booking.Confirmed, Waited: time.Duration(written - accepted)}, nil
	}
	return Result{Outcome: booking.Unknown}, nil
}

// Rows is how many bookings the ledger holds.
func (db *DB) Rows(ctx context.Context) (int64, error) { return db.count(ctx, "bookings") }

// EntryCount is how many lottery entries the ledger holds.
func (db *DB) EntryCount(ctx context.Context) (int64, error) { return db.count(ctx, "entries") }

func (db *DB) count(ctx context.Context, table string) (int64, error) {
	var n int64
	if err := db.read.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		return 0, fmt.Errorf("ledger: counting %s: %w", table, err)
	}
	return n, nil
}

// Sold is how many bookings there are of each of the first n items.
func (db *DB) Sold(ctx context.Context, n int) ([]int, error) {
	sold := make([]int, n)
	err := db.each(ctx, "SELECT item, count(*) FROM bookings GROUP BY item ORDER BY item", func(rows *sql.Rows) error {
		var item, count int
		if err := rows.Scan(&item, &count); err != nil {
			return err
		}
		if item >= 0 && item < n {
			sold[item] = count
		}
		return nil
	})
	return sold, err
}

// each runs a query of the read pool and calls f for each row.
func (db *DB) each(ctx context.Context, query string, f func(*sql.Rows) error, args ...any) error {
	rows, err := db.read.QueryContext(ctx, db.dialect.bind(query), args...)
	if err != nil {
		return fmt.Errorf("ledger: reading: %w", err)
	}
	defer rows.Close() // rows.Err below tells what closing would
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("ledger: reading: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ledger: reading: %w", err)
	}
	return nil
}

// Probe reports whether the database can be written to, by writing.
func (db *DB) Probe(ctx context.Context) error {
	return db.transact(ctx, "probing the database", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE spillway SET probes = probes + 1")
		return err
	})
}

// sqlitePath is the file that a URL names.
func sqlitePath(rawURL string) (string, error) {
	path, ok := strings.CutPrefix(rawURL, "sqlite:")
	switch {
	case strings.HasPrefix(rawURL, "postgres:"), strings.HasPrefix(rawURL, "postgresql:"):
		return "", fmt.Errorf("ledger: PostgreSQL is not supported yet: %w", ErrDatabase)
	case !ok || path == "":
		return "", fmt.Errorf("ledger: database %.80q: %w", rawURL, ErrDatabase)
	case strings.ContainsAny(path, "\x00"):
		return "", fmt.Errorf("ledger: database path holds a zero byte: %w", ErrDatabase)
	}
	return path, nil
}

// escapePath makes a path safe inside a "file:" URI.
func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
