package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// schemaVersion is the version of the tables: 2 has the living lottery.
const schemaVersion = 2

// knownVersion refuses tables of another version.
func knownVersion(v int) error {
	if v == schemaVersion {
		return nil
	}
	return fmt.Errorf("its tables have version %d, this program wants %d; choose another database", v, schemaVersion)
}

// dialect is everything in which one SQL database differs from another.
type dialect struct {
	open    func(rawURL string, readOnly bool) (*sql.DB, error) // talks to nobody yet
	name    func(rawURL string) string                          // the URL as it may be shown
	bind    func(query string) string                           // turns "?" into the database's own parameters
	blob    string                                              // type of a ticket
	serial  string                                              // an ascending primary key
	writers int                                                 // transactions under way at once
	lock    string                                              // keeps others off while tables are made; "" = need not
	share   string                                              // locks the row read against change until the end; "" = every writer is alone
	write   func(ctx context.Context, tx *sql.Tx, db *DB, rows []Row) ([]RowResult, error)
	enter   func(ctx context.Context, tx *sql.Tx, db *DB, lots []lot) ([]RowResult, error) // lottery entries of different people
	down    func(error) bool                                                               // an error is the database's, not a row's
	again   func(error) bool                                                               // the transaction clashed with another and is to be tried again
}

// dialectOf is the dialect that a URL speaks.
func dialectOf(rawURL string) (dialect, error) {
	scheme, _, ok := strings.Cut(rawURL, ":")
	switch {
	case ok && scheme == "sqlite":
		return sqliteDialect, nil
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return postgresDialect, nil
	}
	// No more of it than that: it may hold a password.
	return dialect{}, fmt.Errorf("ledger: database URL that starts with %.12q: %w", scheme, ErrDatabase)
}

// makeTables makes what is missing. The unique indexes are the last line of
// defence of the invariants, so they stand in the database, not in code.
func (db *DB) makeTables(ctx context.Context) error {
	id, blob := `(id `+db.dialect.serial, db.dialect.blob+` NOT NULL`
	row := id + `, ticket ` + blob + `, person BIGINT NOT NULL,
		cycle INTEGER NOT NULL, item INTEGER NOT NULL, accepted BIGINT NOT NULL, written BIGINT NOT NULL`
	first := []string{
		`CREATE TABLE IF NOT EXISTS spillway (version INTEGER NOT NULL, probes INTEGER NOT NULL)`,
		fmt.Sprintf(`INSERT INTO spillway (version, probes) SELECT %d, 0 WHERE NOT EXISTS (SELECT 1 FROM spillway)`, schemaVersion),
	}
	statements := []string{
		`CREATE TABLE IF NOT EXISTS bookings ` + row + `)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS bookings_ticket ON bookings (ticket)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS bookings_person ON bookings (person, cycle)`,
		`CREATE TABLE IF NOT EXISTS refused ` + row + `, reason TEXT NOT NULL)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS refused_ticket ON refused (ticket)`,
		// Lottery entries: as accepted (item, other), and as last edited (now_…). entered
		// is the moment from which they count, edited that of the last edit, withdrawn
		// that of the withdrawal; 0 = none. Of a person one is live: it may be another's
		// turn only when it is withdrawn, has won, or has expired.
		`CREATE TABLE IF NOT EXISTS entries ` + id + `, ticket ` + blob + `, person BIGINT NOT NULL, item INTEGER NOT NULL,
			other BOOLEAN NOT NULL, senior BOOLEAN NOT NULL, accepted BIGINT NOT NULL, written BIGINT NOT NULL, entered BIGINT NOT NULL,
			now_item INTEGER NOT NULL, now_other BOOLEAN NOT NULL, edited BIGINT NOT NULL, withdrawn BIGINT NOT NULL, live BOOLEAN NOT NULL)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS entries_ticket ON entries (ticket)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS entries_person ON entries (person) WHERE live`,
		`CREATE INDEX IF NOT EXISTS entries_withdrawn ON entries (person) WHERE withdrawn <> 0`,
		// Edits (kind 1) and withdrawals (kind 2), each under a ticket of its own; entry is
		// the ticket of what it changes, counts the moment from which it counts.
		`CREATE TABLE IF NOT EXISTS changes ` + id + `, ticket ` + blob + `, entry ` + blob + `, person BIGINT NOT NULL, kind INTEGER NOT NULL,
			item INTEGER NOT NULL, other BOOLEAN NOT NULL, day INTEGER NOT NULL, accepted BIGINT NOT NULL, written BIGINT NOT NULL, counts BIGINT NOT NULL)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS changes_ticket ON changes (ticket)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS changes_day ON changes (person, day) WHERE kind = 1`,
		`CREATE UNIQUE INDEX IF NOT EXISTS changes_withdrawn ON changes (entry) WHERE kind = 2`,
		`CREATE INDEX IF NOT EXISTS changes_entry ON changes (entry)`,
		`CREATE TABLE IF NOT EXISTS draws (day INTEGER PRIMARY KEY, seals BIGINT NOT NULL, rules TEXT NOT NULL, root ` + db.dialect.blob + `,
			entries BIGINT NOT NULL, winners BIGINT NOT NULL, state TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS wins (person BIGINT NOT NULL, day INTEGER NOT NULL, ticket ` + blob + `, line INTEGER NOT NULL,
			round INTEGER NOT NULL, rank INTEGER NOT NULL, PRIMARY KEY (person, day))`,
		`CREATE INDEX IF NOT EXISTS wins_day ON wins (day)`,
		// The epoch of the last rebuild, see DB.Fence, and the last seal, see DB.CloseDay.
		`CREATE TABLE IF NOT EXISTS fence (epoch BIGINT NOT NULL, sealed BIGINT NOT NULL)`,
		`INSERT INTO fence (epoch, sealed) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM fence)`,
		// Stock of the lossless mode.
		`CREATE TABLE IF NOT EXISTS stock (item INTEGER PRIMARY KEY, filled INTEGER NOT NULL,
			free INTEGER NOT NULL CHECK (free >= 0))`,
	}
	if db.dialect.lock != "" {
		first = append([]string{db.dialect.lock}, first...)
	}
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after the commit it does nothing; before, the first error is the one that tells
	for _, s := range first {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	// Before anything is added to tables of another version.
	var version int
	if err := tx.QueryRowContext(ctx, "SELECT version FROM spillway").Scan(&version); err != nil {
		return err
	}
	if err := knownVersion(version); err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return tx.Commit()
}
