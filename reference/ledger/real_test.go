//go:build real

package ledger_test

import (
	"context"
	"testing"

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
	pg := containers.Postgres(t)
	ledgertest.Run(t, func(t testing.TB) *ledger.DB { return openReal(t, pg.Database(t)) })
}
