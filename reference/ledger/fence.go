package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"spillway/internal/booking"
)

// ErrStale is wrapped by WriteBatch when the rows were read from the queue before
// Redis lost its memory: the sale has been counted anew since, without them.
var ErrStale = errors.New("read before the sale was rebuilt; read the queue again")

// Fence begins a new epoch and returns it: fenced rows that were read from the
// queue in an older one are not written any more. Whoever rebuilds the sale calls
// it before he counts, so that no writer adds to the count behind his back.
func (db *DB) Fence(ctx context.Context) (epoch int64, err error) {
	err = db.transact(ctx, "beginning a new epoch", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE fence SET epoch = epoch + 1"); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT epoch FROM fence").Scan(&epoch)
	})
	return epoch, err
}

// FirstEpoch is the epoch of a ledger whose sale was never set up.
const FirstEpoch = 1

// Epoch is the fence's present epoch.
func (db *DB) Epoch(ctx context.Context) (epoch int64, err error) {
	err = db.call(ctx, func(ctx context.Context) error {
		return db.read.QueryRowContext(ctx, "SELECT epoch FROM fence").Scan(&epoch)
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: reading the epoch: %w", err)
	}
	return epoch, nil
}

// fenced fails with ErrStale when the epoch of rows has passed.
func (db *DB) fenced(ctx context.Context, tx *sql.Tx, epoch int64) error {
	if epoch == 0 {
		return nil
	}
	var now int64
	// A new epoch waits for those who have read the old one to commit.
	if err := tx.QueryRowContext(ctx, "SELECT epoch FROM fence"+db.dialect.share).Scan(&now); err != nil {
		return err
	}
	if now != epoch {
		return ErrStale
	}
	return nil
}

// Refuse makes a ticket refused for good, unless it is confirmed already, and
// returns what the ledger then holds. Refusing again changes nothing.
func (db *DB) Refuse(ctx context.Context, a booking.Accepted, at time.Duration, reason string) (Result, error) {
	res := Result{Outcome: booking.Refused}
	err := db.transact(ctx, "refusing ticket "+a.Ticket.String(), func(tx *sql.Tx) error {
		// Batches share the fence's row until they commit, so none is writing this
		// ticket meanwhile.
		if _, err := tx.ExecContext(ctx, "UPDATE fence SET epoch = epoch"); err != nil {
			return err
		}
		for _, table := range [...]string{"bookings", "entries", "changes"} {
			var accepted, written int64
			err := tx.QueryRowContext(ctx, db.dialect.bind("SELECT accepted, written FROM "+table+" WHERE ticket = ?"),
				a.Ticket[:]).Scan(&accepted, &written)
			if err == nil {
				res = Result{Outcome: booking.Confirmed, Waited: time.Duration(written - accepted)}
				return nil
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, db.dialect.bind(insertRefused),
			a.Ticket[:], int64(a.User), db.cycle, a.Item, int64(a.At), int64(at), reason)
		return err
	})
	if err != nil {
		return Result{Outcome: booking.Unknown}, err
	}
	return res, nil
}

// Snapshot calls booked for every booking (lottery: entry, as it was accepted) and
// then settled for every other ticket that is judged, refused ones and changes of
// entries, all of one moment, in the order of writing. It stops at the first error of
// either.
func (db *DB) Snapshot(ctx context.Context, lottery bool, booked func(booking.Accepted) error, settled func(booking.Ticket) error) error {
	return db.call(ctx, func(ctx context.Context) error { return db.snapshot(ctx, lottery, booked, settled) })
}

func (db *DB) snapshot(ctx context.Context, lottery bool, booked func(booking.Accepted) error, settled func(booking.Ticket) error) error {
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return fmt.Errorf("ledger: reading: %w", err)
	}
	defer tx.Rollback() // it wrote nothing; there is nothing to fail
	query := "SELECT ticket, person, item, accepted, FALSE, FALSE FROM bookings ORDER BY id"
	others := []string{"refused"}
	if lottery {
		query = "SELECT ticket, person, item, accepted, other, senior FROM entries ORDER BY id"
		others = append(others, "changes")
	}
	err = each(ctx, tx, query, func(rows *sql.Rows) error {
		var raw []byte
		var person, at int64
		var a booking.Accepted
		if err := rows.Scan(&raw, &person, &a.Item, &at, &a.Other, &a.Senior); err != nil {
			return err
		}
		copy(a.Ticket[:], raw)
		a.User, a.At = booking.UserID(person), time.Duration(at)
		return booked(a)
	})
	for _, table := range others {
		if err == nil {
			err = each(ctx, tx, "SELECT ticket FROM "+table+" ORDER BY id", func(rows *sql.Rows) error {
				var raw []byte
				if err := rows.Scan(&raw); err != nil {
					return err
				}
				var t booking.Ticket
				copy(t[:], raw)
				return settled(t)
			})
		}
	}
	return err
}
