package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/queue"
	"spillway/reference/queue/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openMini(t testing.TB) redis.UniversalClient {
	m := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DialerRetries: 1, Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestConformanceOnMiniredis(t *testing.T) { queuetest.Run(t, openMini) }

func TestNewRefuses(t *testing.T) {
	c := openMini(t)
	for name, o := range map[string]queue.Options{
		"no clock":     {Event: "e"},
		"no event":     {Clock: clock.NewWall()},
		"braces":       {Event: "a}", Clock: clock.NewWall()},
		"attempts < 0": {Event: "e", Attempts: -1, Clock: clock.NewWall()},
		"idle < 0":     {Event: "e", Idle: -1, Clock: clock.NewWall()},
	} {
		if _, err := queue.New(c, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzEntry: whatever stands in the stream, Read neither panics nor stops there.
func FuzzEntry(f *testing.F) {
	f.Add("1 0123456789abcdef0123456789abcdef 1 2 3 0")
	f.Add("")
	f.Add("1 0123456789abcdef0123456789abcdef")
	c := openMini(f)
	q, err := queue.New(c, queue.Options{Event: "f", Idle: time.Hour, Clock: clock.NewWall()})
	if err != nil {
		f.Fatal(err)
	}
	ctx := context.Background()
	if err := q.Open(ctx); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := c.XAdd(ctx, &redis.XAddArgs{Stream: queue.StreamKey("f"), Values: []string{"e", s}}).Err(); err != nil {
			t.Fatal(err)
		}
		if err := q.Put(ctx, queuetest.Entry(1)); err != nil {
			t.Fatal(err)
		}
		ds, err := q.Read(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		_, bad := booking.ParseAccepted(s)
		if want := 2; bad != nil {
			want = 1
			if len(ds) != want {
				t.Fatalf("%q is poison, but %d entries came", s, len(ds))
			}
		} else if len(ds) != want {
			t.Fatalf("%q is good, but %d entries came", s, len(ds))
		}
		if err := q.Ack(ctx, ds...); err != nil {
			t.Fatal(err)
		}
		ls, err := q.List(ctx, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range ls {
			if _, err := q.Discard(ctx, l.ID, "fuzz", ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkReadAck is entries read and acknowledged in batches, by backlog: what
// deleting costs on miniredis grows with it.
func BenchmarkReadAck(b *testing.B) {
	for _, backlog := range []int{200, 2000, 10000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			q, err := queue.New(openMini(b), queue.Options{Event: "b", Clock: clock.NewWall()})
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			if err := q.Open(ctx); err != nil {
				b.Fatal(err)
			}
			for i := range backlog {
				if err := q.Put(ctx, queuetest.Entry(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			for n := 0; n < b.N; {
				ds, err := q.Read(ctx, min(200, b.N-n))
				if err != nil {
					b.Fatal(err)
				}
				if err := q.Ack(ctx, ds...); err != nil {
					b.Fatal(err)
				}
				n += len(ds)
				b.StopTimer()
				for _, d := range ds {
					if err := q.Put(ctx, d.Accepted); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
