//go:build real

package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/containers"
	"spillway/reference/ledger"
)

// BenchmarkRealWrite is rows a second on a real PostgreSQL with fsync on, by batch
// size and by writers, each with a process's own connections.
func BenchmarkRealWrite(b *testing.B) {
	pg := containers.Postgres(b, "max_wal_size=4GB")
	for _, size := range []int{500, 1000} {
		for _, writers := range []int{1, 2, 3} {
			b.Run(fmt.Sprintf("batch=%d/writers=%d", size, writers), func(b *testing.B) {
				benchWrite(b, pg.Database(b), size, writers)
			})
		}
	}
}

func benchWrite(b *testing.B, url string, size, writers int) {
	dbs := make([]*ledger.DB, writers)
	for w := range dbs {
		dbs[w] = openReal(b, url)
	}
	var wg sync.WaitGroup
	b.ResetTimer()
	for w, db := range dbs {
		wg.Go(func() {
			rows := make([]ledger.Row, 0, size)
			for i := w; i < b.N; i += writers {
				r := ledger.Row{Accepted: booking.Accepted{User: booking.UserID(i), Item: i % 7, At: time.Duration(i)}, Written: time.Duration(i)}
				copy(r.Ticket[:], fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)) // as random as real ones
				if rows = append(rows, r); len(rows) < size && i+writers < b.N {
					continue
				}
				if _, err := db.WriteBatch(context.Background(), rows); err != nil {
					b.Error(err)
					return
				}
				rows = rows[:0]
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	if n, err := dbs[0].Rows(context.Background()); n != int64(b.N) || err != nil {
		b.Fatalf("%d rows, %v; want %d", n, err, b.N)
	}
}
