package ledger

import "context"

// schemaVersion is the version of the tables.
const schemaVersion = 1

// dialect is everything in which one SQL database differs from another.
type dialect struct {
	driver string                                  // name under which database/sql knows it
	source func(path string, readOnly bool) string // its data source
	bind   func(query string) string               // turns "?" into the database's own parameters
	blob   string                                  // type of a ticket
	serial string                                  // an ascending primary key
}

var sqliteDialect = dialect{
	driver: "sqlite",
	source: func(path string, readOnly bool) string {
		s := "file:" + escapePath(path) + "?_pragma=busy_timeout(5000)"
		if readOnly {
			return s + "&mode=ro"
		}
		// busy_timeout comes first, so that setting the journal waits for locks too.
		return s + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
	},
	bind:   func(q string) string { return q },
	blob:   "BLOB",
	serial: "INTEGER PRIMARY KEY",
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
