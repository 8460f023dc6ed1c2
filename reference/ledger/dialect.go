package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// schemaVersion is the version of the tables.
const schemaVersion = 1

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
	write   func(ctx context.Context, tx *sql.Tx, db *DB, table string, rows []Row) ([]RowResult, error)
	down    func(error) bool // an error is the database's, not a row's
	again   func(error) bool // the transaction clashed with another and is to be tried again
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
	row := `(id ` + db.dialect.serial + `, ticket ` + db.dialect.blob + ` NOT NULL, person BIGINT NOT NULL,
		cycle INTEGER NOT NULL, item INTEGER NOT NULL, accepted BIGINT NOT NULL, written BIGINT NOT NULL`
	statements := []string{
		`CREATE TABLE IF NOT EXISTS spillway (version INTEGER NOT NULL, probes INTEGER NOT NULL)`,
		`INSERT INTO spillway (version, probes) SELECT 1, 0 WHERE NOT EXISTS (SELECT 1 FROM spillway)`,
		`CREATE TABLE IF NOT EXISTS bookings ` + row + `)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS bookings_ticket ON bookings (ticket)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS bookings_person ON bookings (person, cycle)`,
		`CREATE TABLE IF NOT EXISTS refused ` + row + `, reason TEXT NOT NULL)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS refused_ticket ON refused (ticket)`,
		`CREATE TABLE IF NOT EXISTS entries ` + row + `, other BOOLEAN NOT NULL)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS entries_ticket ON entries (ticket)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS entries_person ON entries (person, cycle)`,
		// The epoch of the last rebuild; see DB.Fence.
		`CREATE TABLE IF NOT EXISTS fence (epoch BIGINT NOT NULL)`,
		`INSERT INTO fence (epoch) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM fence)`,
		// Stock of the lossless mode.
		`CREATE TABLE IF NOT EXISTS stock (item INTEGER PRIMARY KEY, filled INTEGER NOT NULL,
			free INTEGER NOT NULL CHECK (free >= 0))`,
	}
	if db.dialect.lock != "" {
		statements = append([]string{db.dialect.lock}, statements...)
	}
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			_ = tx.Rollback() // the first error is the one that tells
			return err
		}
	}
	return tx.Commit()
}
