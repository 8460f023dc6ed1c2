package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var sqliteDialect = dialect{
	open: func(rawURL string, readOnly bool) (*sql.DB, error) {
		path, err := sqlitePath(rawURL)
		if err != nil {
			return nil, err
		}
		s := "file:" + escapePath(path) + "?_pragma=busy_timeout(5000)"
		if readOnly {
			return sql.Open("sqlite", s+"&mode=ro")
		}
		// busy_timeout comes first, so that setting the journal waits for locks too.
		return sql.Open("sqlite", s+"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	},
	name:    func(rawURL string) string { return rawURL },
	bind:    func(q string) string { return q },
	blob:    "BLOB",
	serial:  "INTEGER PRIMARY KEY",
	writers: 1, // SQLite has one writer; a second would only wait for locks
	write:   writeEach,
	enter:   enterEach,
	down: func(err error) bool {
		var e *sqlite.Error
		if !errors.As(err, &e) {
			return false
		}
		switch e.Code() & 0xff { // the rest of a code says more of the same
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN,
			sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return true
		}
		return false
	},
	again: func(error) bool { return false }, // one writer at a time: nobody to clash with
}

// sqlitePath is the file that a URL names.
func sqlitePath(rawURL string) (string, error) {
	path := strings.TrimPrefix(rawURL, "sqlite:")
	switch {
	case path == "":
		return "", fmt.Errorf("ledger: database %.80q: %w", rawURL, ErrDatabase)
	case strings.ContainsAny(path, "\x00"):
		return "", fmt.Errorf("ledger: database path holds a zero byte: %w", ErrDatabase)
	}
	return path, nil
}

// escapePath makes a path safe inside a "file:" URI.
func escapePath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

const (
	insertBooking = `INSERT INTO bookings (ticket, person, cycle, item, accepted, written)
		SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM refused WHERE ticket = ?)
		ON CONFLICT DO NOTHING`
	insertRefused = `INSERT INTO refused (ticket, person, cycle, item, accepted, written, reason)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
)

// writeEach writes a batch row by row: within the process a statement costs
// little.
func writeEach(ctx context.Context, tx *sql.Tx, db *DB, rows []Row) ([]RowResult, error) {
	stmt, err := tx.PrepareContext(ctx, insertBooking)
	if err != nil {
		return nil, err
	}
	defer stmt.Close() // the transaction owns it; nothing can fail that matters
	out := make([]RowResult, 0, len(rows))
	for _, r := range rows {
		n, err := affected(stmt.ExecContext(ctx, r.Ticket[:], int64(r.User), db.cycle, r.Item, int64(r.At), int64(r.Written), r.Ticket[:]))
		res := RowResult{Verdict: Written, Waited: r.Written - r.At}
		if err == nil && n != 1 {
			res, err = db.inTheWay(ctx, tx, "bookings", r, reasonTurned)
		}
		if err != nil {
			return nil, fmt.Errorf("ticket %s: %w", r.Ticket, err)
		}
		out = append(out, res)
	}
	return out, nil
}

// inTheWay says what stood in the way of a row: itself, its owner's other ticket, or
// an old no. Unless it is written already, it is refused.
func (db *DB) inTheWay(ctx context.Context, tx *sql.Tx, table string, r Row, reason string) (RowResult, error) {
	var person, accepted, written int64
	err := tx.QueryRowContext(ctx, db.dialect.bind("SELECT person, accepted, written FROM "+table+" WHERE ticket = ?"),
		r.Ticket[:]).Scan(&person, &accepted, &written)
	switch {
	case err == nil && person == int64(r.User):
		return RowResult{Verdict: Already, Waited: time.Duration(written - accepted)}, nil
	case err == nil:
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
