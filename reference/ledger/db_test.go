package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/reference/ledger"
	"spillway/reference/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openSQLite(t testing.TB) *ledger.DB {
	t.Helper()
	db, _ := openFile(t)
	return db
}

// openFile opens a database of its own in a folder that is removed at the end.
func openFile(t testing.TB) (*ledger.DB, string) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "odd name?#%")
	if err != nil {
		t.Fatal(err)
	}
	url := "sqlite:" + filepath.Join(dir, "led ger.db")
	db, err := ledger.Open(context.Background(), url, ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, url
}

func TestConformanceOnSQLite(t *testing.T) { ledgertest.Run(t, openSQLite) }

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]error{
		"":                             ledger.ErrDatabase,
		"sqlite:":                      ledger.ErrDatabase,
		"postgres://u:Secret1@h:port/": ledger.ErrDatabase,
		"postgres://u:Secret1@/%zz":    ledger.ErrDatabase,
		"postgres//u:Secret1@h":        ledger.ErrDatabase,
		"mysql:x":                      ledger.ErrDatabase,
		"sqlite:a\x00b":                ledger.ErrDatabase,
		"sqlite:" + dir + "/none/x.db": nil,
		"sqlite:" + text:               nil,
		"sqlite:" + dir:                nil,
	} {
		db, err := ledger.Open(context.Background(), url, ledger.DBOptions{})
		if err == nil {
			_ = db.Close()
			t.Errorf("%q: opened", url)
			continue
		}
		if want != nil && !errors.Is(err, want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "Secret1") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := ledger.OpenReadOnly(context.Background(), "sqlite:"+dir+"/none.db", ledger.DBOptions{}); err == nil {
		t.Error("opened a database that does not exist for reading")
	}
	if _, err := os.Stat(dir + "/none.db"); err == nil {
		t.Error("opening for reading made a file")
	}
}

// Another process may read while this one writes, and after it has closed.
func TestReadOnlyBeside(t *testing.T) {
	db, url := openFile(t)
	ctx := context.Background()
	look := func(want int64) {
		t.Helper()
		ro, err := ledger.OpenReadOnly(ctx, url, ledger.DBOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer ro.Close()
		if n, err := ro.Rows(ctx); err != nil || n != want {
			t.Fatalf("%d rows, %v; want %d", n, err, want)
		}
		if _, err := ro.WriteBatch(ctx, []ledger.Row{ledgertest.Row(9, 9, 9)}); err == nil {
			t.Fatal("wrote through a read-only database")
		}
	}
	look(0)
	if _, err := db.WriteBatch(ctx, []ledger.Row{ledgertest.Row(1, 1, 0)}); err != nil {
		t.Fatal(err)
	}
	look(1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	look(1)
	again, err := ledger.Open(ctx, url, ledger.DBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if r, err := again.Result(ctx, ledgertest.Row(1, 1, 0).Ticket); err != nil || r.Outcome != booking.Confirmed {
		t.Fatalf("after a restart: %+v, %v", r, err)
	}
}

// A full disk is the database's fault and no row's.
func TestFullDisk(t *testing.T) {
	db := openSQLite(t)
	if err := ledger.ExecForTest(db, "PRAGMA max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	const size = 100
	for n := 0; ; n += size {
		rows := make([]ledger.Row, size)
		for i := range rows {
			rows[i] = ledgertest.Row(n+i, n+i, 0)
		}
		_, err := db.WriteBatch(context.Background(), rows)
		if err == nil && n < 100*size {
			continue
		}
		if !errors.Is(err, ledger.ErrDown) {
			t.Fatalf("after %d rows: %v", n, err)
		}
		if got, err := db.Rows(context.Background()); got != int64(n) || err != nil {
			t.Fatalf("%d rows, %v; want the %d of whole batches", got, err, n)
		}
		break
	}
	stolen := ledgertest.Row(0, 1, 0)
	if _, err := db.WriteBatch(context.Background(), []ledger.Row{stolen}); err == nil || errors.Is(err, ledger.ErrDown) {
		t.Fatalf("a bad row: %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{2, 50, 200, 500} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			db := openSQLite(b)
			b.ResetTimer()
			ledgertest.Bench(b, db, size)
		})
	}
}

// Tables of another version are refused in one line and stay as they are.
func TestOldTablesRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec(`CREATE TABLE spillway (version INTEGER NOT NULL, probes INTEGER NOT NULL); INSERT INTO spillway VALUES (1, 0);
		CREATE TABLE entries (id INTEGER PRIMARY KEY, ticket BLOB NOT NULL, person BIGINT NOT NULL, cycle INTEGER NOT NULL)`); err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func(context.Context, string, ledger.DBOptions) (*ledger.DB, error){"open": ledger.Open, "read only": ledger.OpenReadOnly} {
		db, err := open(context.Background(), "sqlite:"+path, ledger.DBOptions{})
		if err == nil {
			_ = db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "version 1, this program wants 2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var n int
	if err := raw.QueryRow("SELECT count(*) FROM sqlite_master").Scan(&n); n != 2 || err != nil {
		t.Errorf("%d tables and indexes, %v", n, err)
	}
}

// A closed list of 20,000, a fifth of them edited and a few withdrawn.
func BenchmarkDrawEntries(b *testing.B) {
	const people = 20_000
	db := openSQLite(b)
	ctx := context.Background()
	rules := policy.DefaultLotteryRules()
	day := policy.Day(18310)
	noon := rules.Start(day-1) + 12*time.Hour
	var rows []ledger.Row
	for n := range people {
		r := ledgertest.Row(n, n, n%7)
		r.At, r.Written = noon, noon
		rows = append(rows, r)
		if n%5 == 0 {
			c := r
			c.Change, c.Entry, c.Ticket[1] = booking.ChangeEdit, r.Ticket, 1
			if n%100 == 0 {
				c.Change = booking.ChangeWithdraw
			}
			rows = append(rows, c)
		}
	}
	for chunk := range slices.Chunk(rows, ledger.FullBatch) {
		if _, err := db.Entries(rules).WriteBatch(ctx, chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.CloseDay(ctx, day, rules); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		if err := db.DrawEntries(ctx, day, rules, func(ledger.DrawEntry) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	if want := b.N * (people - people/100); n != want {
		b.Fatalf("%d entries, want %d", n, want)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
}

// Winners recorded in one transaction.
func BenchmarkRecordDraw(b *testing.B) {
	db := openSQLite(b)
	ctx := context.Background()
	rules := policy.DefaultLotteryRules()
	day := policy.Day(18310)
	noon := rules.Start(day-1) + 12*time.Hour
	rows, wins := make([]ledger.Row, b.N), make([]ledger.Win, b.N)
	for n := range rows {
		rows[n] = ledgertest.Row(n, n, 0)
		rows[n].At, rows[n].Written = noon, noon
		wins[n] = ledger.Win{Person: rows[n].User, Ticket: rows[n].Ticket, Round: 1, Rank: n + 1}
	}
	for chunk := range slices.Chunk(rows, ledger.FullBatch) {
		if _, err := db.Entries(rules).WriteBatch(ctx, chunk); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(db.CloseDay(ctx, day, rules), db.RecordSeal(ctx, day, []byte{1}, int64(b.N))); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	if err := db.RecordDraw(ctx, day, wins); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "wins/s")
}
