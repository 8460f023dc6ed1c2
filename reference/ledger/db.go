package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"spillway/internal/booking"
)

// ErrDatabase is wrapped by Open when the URL names a database that this program
// does not speak.
var ErrDatabase = errors.New(`want "sqlite:PATH" or "postgres://USER@HOST:PORT/NAME"`)

// ErrDown is wrapped when the database itself could not write: out of reach, out
// of connections, out of disk, shutting down. The same rows may be tried again.
var ErrDown = errors.New("the database is down, not a row bad")

// DBOptions sets up a DB.
type DBOptions struct {
	// Cycle is the booking cycle: one person holds at most one reservation in it.
	Cycle int
	// Readers is the size of the read pool; 0 = 4.
	Readers int
	// Around goes around every transaction and read: it makes the call, or fails in
	// its stead, or loses its answer. For faults; nil = calls are made as they are.
	Around func(ctx context.Context, call func(context.Context) error) error
	// Tap is called before and after each step of a transaction of the writing
	// connection with the step's point, as in "ledger.commit.before"; an error of
	// it is the step's. For faults and crashes; nil = nobody.
	Tap func(ctx context.Context, point string) error
}

// DB is the ledger's database. It is safe for concurrent use.
type DB struct {
	dialect dialect
	write   *sql.DB // nil when read only
	read    *sql.DB
	cycle   int
	around  func(ctx context.Context, call func(context.Context) error) error
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

// Open opens the database that the URL names and makes its tables: "sqlite:PATH",
// whose folder must exist, or "postgres://USER:PASSWORD@HOST:PORT/NAME", which
// must exist. No error shows a password.
func Open(ctx context.Context, rawURL string, o DBOptions) (*DB, error) {
	d, err := dialectOf(rawURL)
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: d, cycle: o.Cycle, around: o.Around, tap: o.Tap}
	if db.write, err = d.open(rawURL, false); err != nil {
		return nil, err
	}
	db.write.SetMaxOpenConns(d.writers)
	db.write.SetMaxIdleConns(d.writers)
	if err := db.makeTables(ctx); err != nil {
		_ = db.write.Close() // the first error is the one that tells
		return nil, fmt.Errorf("ledger: setting up %s: %w", d.name(rawURL), err)
	}
	if err := db.openReaders(ctx, rawURL, o); err != nil {
		_ = db.write.Close() // as above
		return nil, err
	}
	return db, nil
}

// OpenReadOnly opens an existing database for reading, from another process if
// need be. Writing methods then fail.
func OpenReadOnly(ctx context.Context, rawURL string, o DBOptions) (*DB, error) {
	d, err := dialectOf(rawURL)
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: d, cycle: o.Cycle, around: o.Around}
	if err := db.openReaders(ctx, rawURL, o); err != nil {
		return nil, err
	}
	return db, nil
}

func (db *DB) openReaders(ctx context.Context, rawURL string, o DBOptions) error {
	var err error
	if db.read, err = db.dialect.open(rawURL, true); err != nil {
		return err
	}
	n := o.Readers
	if n <= 0 {
		n = 4
	}
	db.read.SetMaxOpenConns(n)
	db.read.SetMaxIdleConns(n)
	var version int
	err = db.read.QueryRowContext(ctx, "SELECT version FROM spillway").Scan(&version)
	if err == nil {
		err = knownVersion(version)
	}
	if err != nil {
		_ = db.read.Close() // the first error is the one that tells
		return fmt.Errorf("ledger: reading %s: %w", db.dialect.name(rawURL), err)
	}
	return nil
}

// ShownURL is a database URL as it may be printed: without its password.
func ShownURL(rawURL string) string {
	d, err := dialectOf(rawURL)
	if err != nil {
		return ""
	}
	return d.name(rawURL)
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

// clashesMost is how often a transaction is tried before its clash with others is
// an error.
const clashesMost = 10

// transact runs f in a transaction; f runs again when that clashed with another.
func (db *DB) transact(ctx context.Context, what string, f func(*sql.Tx) error) error {
	if db.write == nil {
		return errReadOnly
	}
	var err error
	for range clashesMost {
		if err = db.call(ctx, func(ctx context.Context) error { return db.transactOnce(ctx, f) }); err == nil {
			return nil
		}
		if !db.dialect.again(err) {
			break
		}
	}
	return fmt.Errorf("ledger: %s: %w", what, err)
}

// call makes a call with Around around it. What that says of its own is the
// connection's failure, not the call's.
func (db *DB) call(ctx context.Context, f func(context.Context) error) error {
	if db.around == nil {
		return f(ctx)
	}
	var inner error
	err := db.around(ctx, func(ctx context.Context) error {
		inner = f(ctx)
		return inner
	})
	if err != nil && err != inner {
		return fmt.Errorf("%w: %w", err, ErrDown)
	}
	return err
}

func (db *DB) transactOnce(ctx context.Context, f func(*sql.Tx) error) error {
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
	return err
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
// became of it. On an error nothing of the batch stands; one that no row is to
// blame for wraps ErrDown, and rows that are fenced off fail with ErrStale.
// Writing a batch again changes nothing.
func (db *DB) WriteBatch(ctx context.Context, rows []Row) ([]RowResult, error) {
	return db.writeAll(ctx, rows, func(tx *sql.Tx) ([]RowResult, error) { return db.dialect.write(ctx, tx, db, rows) })
}

// errClash is not a refusal: under this ticket another user is confirmed, and a
// ticket has one fate only. It makes the entry a dead letter.
var errClash = errors.New("the ticket is another user's")

const reasonTurned = "the user holds another reservation of this cycle"

func (db *DB) writeAll(ctx context.Context, rows []Row, write func(*sql.Tx) ([]RowResult, error)) (out []RowResult, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	err = db.transact(ctx, fmt.Sprintf("writing %d rows", len(rows)), func(tx *sql.Tx) error {
		if err := db.fenced(ctx, tx, rows[0].Epoch); err != nil {
			return err
		}
		out, err = write(tx)
		return err
	})
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, ErrDown):
		return nil, err
	case db.dialect.down(err):
		return nil, fmt.Errorf("%w: %w", err, ErrDown)
	}
	return nil, err
}

// Result is what the ledger says of a ticket: confirmed, refused, or unknown
// when it has no row (the ticket may still be in the queue, or never existed).
func (db *DB) Result(ctx context.Context, t booking.Ticket) (res Result, err error) {
	err = db.call(ctx, func(ctx context.Context) error {
		res, err = db.result(ctx, t)
		return err
	})
	if err != nil {
		return Result{Outcome: booking.Unknown}, err
	}
	return res, nil
}

func (db *DB) result(ctx context.Context, t booking.Ticket) (Result, error) {
	for _, table := range [...]string{"bookings", "refused", "entries", "changes"} {
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
	err := db.call(ctx, func(ctx context.Context) error {
		return db.read.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n)
	})
	if err != nil {
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
	return db.call(ctx, func(ctx context.Context) error { return each(ctx, db.read, db.dialect.bind(query), f, args...) })
}

// querier is a database, or a transaction of one.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each runs a query and calls f for each row.
func each(ctx context.Context, q querier, query string, f func(*sql.Rows) error, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
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

// Full lets the database's file grow no more, as if its disk were full, or as it
// will again. Only SQLite's can be held like this.
func (db *DB) Full(ctx context.Context, full bool) error {
	if db.dialect.writers != 1 || db.write == nil {
		return errors.New("ledger: only the disk of a SQLite database that is open for writing can be filled from here")
	}
	pages := int64(math.MaxUint32 - 1) // SQLite's own default
	if full {
		if err := db.write.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
			return fmt.Errorf("ledger: counting pages: %w", err)
		}
	}
	// The writing side has one connection, and the limit belongs to it.
	if _, err := db.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		return fmt.Errorf("ledger: limiting the file to %d pages: %w", pages, err)
	}
	return nil
}
