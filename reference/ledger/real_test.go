//go:build real

package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/containers"
	"spillway/reference/ledger"
	"spillway/reference/ledger/ledgertest"
)

func openReal(t testing.TB, url string) *ledger.DB {
	t.Helper()
	db, err := ledger.Open(context.Background(), url, ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestRealPostgres(t *testing.T) {
	// A history of the model is some hundred round trips with their fsync.
	if err := flag.Set("rapid.checks", "20"); err != nil {
		t.Fatal(err)
	}
	pg := containers.Postgres(t)
	ledgertest.Run(t, func(t testing.TB) *ledger.DB { return openReal(t, pg.Database(t)) })
	t.Run("open at once", func(t *testing.T) { openAtOnce(t, pg.Database(t)) })
	t.Run("read only", func(t *testing.T) { readOnly(t, pg.Database(t)) })
}

// Processes that open an empty database at once make its tables once.
func openAtOnce(t *testing.T, url string) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := ledger.Open(context.Background(), url, ledger.DBOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			_ = db.Close()
		})
	}
	wg.Wait()
}

// Another process may read while this one writes, and cannot write.
func readOnly(t *testing.T, url string) {
	ctx := context.Background()
	if _, err := ledger.OpenReadOnly(ctx, url, ledger.DBOptions{}); err == nil {
		t.Fatal("opened a database without tables for reading")
	}
	db := openReal(t, url)
	if _, err := db.WriteBatch(ctx, []ledger.Row{ledgertest.Row(1, 1, 0)}); err != nil {
		t.Fatal(err)
	}
	ro, err := ledger.OpenReadOnly(ctx, url, ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if n, err := ro.Rows(ctx); n != 1 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	if _, err := ro.WriteBatch(ctx, []ledger.Row{ledgertest.Row(2, 2, 0)}); err == nil {
		t.Fatal("wrote through a read-only database")
	}
	for _, wrong := range []string{strings.Replace(url, ":spillway@", ":Secret1@", 1), strings.Replace(url, "/t", "/none", 1)} {
		_, err := ledger.Open(ctx, wrong, ledger.DBOptions{})
		if err == nil || errors.Is(err, ledger.ErrDatabase) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "Secret1") {
			t.Errorf("a wrong password or name: %v", err)
		}
	}
}

// A database without a connection left, or without disk left, is down: no row is
// to blame, nothing of the batch stands, and it goes on when there is room again.
func TestRealPostgresFull(t *testing.T) {
	const connections = 10
	pg := containers.Postgres(t, fmt.Sprintf("max_connections=%d", connections), "superuser_reserved_connections=0")
	ctx := context.Background()
	rows := func(from, n int) []ledger.Row {
		rs := make([]ledger.Row, n)
		for i := range rs {
			rs[i] = ledgertest.Row(from+i, from+i, 0)
		}
		return rs
	}

	t.Run("connections", func(t *testing.T) {
		url := pg.Database(t)
		db := openReal(t, url)
		pg.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
		hog, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer hog.Close()
		var held []*sql.Conn
		for {
			c, err := hog.Conn(ctx)
			if err != nil {
				break // there are no more
			}
			if held = append(held, c); len(held) > connections {
				t.Fatal("more connections than the server has")
			}
		}
		if _, err := db.WriteBatch(ctx, rows(0, 5)); !errors.Is(err, ledger.ErrDown) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("without a connection left: %v", err)
		}
		if err := db.Probe(ctx); err == nil {
			t.Fatal("a probe found a connection")
		}
		for _, c := range held {
			_ = c.Close() // back to the pool, which closes it below
		}
		if err := hog.Close(); err != nil {
			t.Fatal(err)
		}
		within, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		for {
			_, err := db.WriteBatch(within, rows(0, 5))
			if err == nil {
				break
			}
			if within.Err() != nil {
				t.Fatalf("with connections again: %v", err)
			}
		}
	})

	t.Run("disk", func(t *testing.T) {
		url := pg.Small(t)
		db := openReal(t, url)
		raw, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if _, err := raw.Exec("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)"); err != nil {
			t.Fatal(err)
		}
		const size = 1000
		written := 0
		for ; ; written += size {
			if written > 100*size {
				t.Fatal("the disk never got full")
			}
			if _, err = db.WriteBatch(ctx, rows(written, size)); err != nil {
				break
			}
		}
		if !errors.Is(err, ledger.ErrDown) {
			t.Fatalf("on a full disk: %v", err)
		}
		if n, err := db.Rows(ctx); err != nil || n != int64(written) {
			t.Fatalf("%d rows, %v; want the %d of whole batches", n, err, written)
		}
		if _, err := raw.Exec("DROP TABLE ballast"); err != nil {
			t.Fatal(err)
		}
		if _, err = db.WriteBatch(ctx, rows(written, size)); err != nil {
			t.Fatalf("with room again: %v", err)
		}
		if r, err := db.Result(ctx, ledgertest.Row(written, 0, 0).Ticket); err != nil || r.Outcome != booking.Confirmed {
			t.Fatalf("%+v, %v", r, err)
		}
	})
}
