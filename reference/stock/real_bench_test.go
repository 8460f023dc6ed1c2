//go:build real

package stock_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/containers"
	"spillway/reference/stock"
	"spillway/reference/stock/stocktest"
)

// BenchmarkRealTake is accepted submits on a real Redis by batch size and by
// goroutines that each wait for their answer before they send the next: each
// takes stock, is checked for a duplicate, enqueued and noted as pending.
func BenchmarkRealTake(b *testing.B) {
	url := containers.Redis(b)
	for _, size := range []int{1, 16, 64} {
		for _, goroutines := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("batch=%d/goroutines=%d", size, goroutines), func(b *testing.B) { benchTake(b, url, size, goroutines) })
		}
	}
}

func benchTake(b *testing.B, url string, size, goroutines int) {
	ctx := context.Background()
	client := containers.Client(b, url)
	event := stocktest.Event()
	stream, results := "{"+event+"}:queue", "{"+event+"}:results"
	s, err := stock.New(client, stock.Options{Event: event, Items: 7, Stream: stream, Results: results, Clock: clock.NewWall()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := client.XGroupCreateMkStream(ctx, stream, "g", "0").Err(); err != nil {
		b.Fatal(err)
	}
	items := make([]int, 7)
	for i := range items {
		items[i] = b.N + 1
	}
	if err := s.Fill(ctx, items); err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	before := redisCPU(b, client)
	b.ResetTimer()
	for g := range goroutines {
		wg.Go(func() {
			ins := make([]stock.Submit, 0, size)
			for i := g; i < b.N; i += goroutines {
				ins = append(ins, stock.Submit{User: booking.UserID(i), Item: i % 7, Key: fmt.Sprint("key-", i)})
				if len(ins) < size && i+goroutines < b.N {
					continue
				}
				rs, err := s.TakeBatch(ctx, ins)
				if err != nil {
					b.Error(err)
					return
				}
				for _, r := range rs {
					if r.Outcome != booking.Queued {
						b.Errorf("%v", r.Outcome)
						return
					}
				}
				ins = ins[:0]
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
	// Redis's own time, which a busy machine does not stretch: its inverse is what
	// one Redis can do at best.
	b.ReportMetric((redisCPU(b, client)-before)*1e6/float64(b.N), "redis-µs/submit")
	if n, err := s.Count(ctx); n != b.N || err != nil {
		b.Fatalf("%d hold a ticket, %v; want %d", n, err, b.N)
	}
	client.Del(ctx, "{"+event+"}:state", "{"+event+"}:users", "{"+event+"}:keys", stream, results)
}

// redisCPU is the processor time that Redis has used so far, in seconds.
func redisCPU(b *testing.B, client redis.UniversalClient) float64 {
	b.Helper()
	info, err := client.Info(context.Background(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "used_cpu_sys" && name != "used_cpu_user" {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			b.Fatalf("Redis's processor time: %v", err)
		}
		total += v
	}
	return total
}
