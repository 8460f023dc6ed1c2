package stock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/stock"
	"spillway/reference/stock/stocktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openMini(t testing.TB) redis.UniversalClient {
	_, c := startMini(t)
	return c
}

func startMini(t testing.TB) (*miniredis.Miniredis, *redis.Client) {
	m := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DialerRetries: 1, Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	return m, c
}

func TestConformanceOnMiniredis(t *testing.T) { stocktest.Run(t, openMini) }

// A store that dies in the middle of a submit leaves it unknown, and the same key
// tells the truth afterwards.
func TestLostAnswerIsUnknown(t *testing.T) {
	m, c := startMini(t)
	s, err := stock.New(c, stock.Options{Event: "e", Items: 1, Clock: clock.NewWall(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	if err := s.Fill(ctx, []int{1}); err != nil {
		t.Fatal(err)
	}
	m.SetError("READONLY You can't write against a read only replica.")
	r, err := s.Take(ctx, stock.Submit{User: 1, Item: 0, Key: "k"})
	if r.Outcome != booking.Unknown || err == nil || !r.Ticket.IsZero() {
		t.Fatalf("%+v, %v", r, err)
	}
	m.SetError("")
	if r, err = s.Take(ctx, stock.Submit{User: 1, Item: 0, Key: "k"}); r.Outcome != booking.Queued || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if r, err = s.Take(gone, stock.Submit{User: 1, Item: 0, Key: "k"}); err != nil && (r.Outcome != booking.Unknown || !errors.Is(err, context.Canceled)) {
		t.Fatalf("a caller that left: %+v, %v", r, err)
	}
	m.Close()
	if r, err = s.Take(ctx, stock.Submit{User: 1, Item: 0, Key: "k"}); r.Outcome != booking.Unknown || err == nil {
		t.Fatalf("with the store gone: %+v, %v", r, err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Fatalf("more than a line: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	c := openMini(t)
	good := stock.Options{Event: "e", Items: 1, Clock: clock.NewWall()}
	for name, change := range map[string]func(*stock.Options){
		"no clock":       func(o *stock.Options) { o.Clock = nil },
		"no event":       func(o *stock.Options) { o.Event = "" },
		"event braces":   func(o *stock.Options) { o.Event = "a}b" },
		"no items":       func(o *stock.Options) { o.Items = 0 },
		"items":          func(o *stock.Options) { o.Items = stock.ItemsMax + 1 },
		"batch":          func(o *stock.Options) { o.BatchMax = 65 },
		"depth":          func(o *stock.Options) { o.Depth = -1 },
		"foreign stream": func(o *stock.Options) { o.Stream = "{f}:queue" },
	} {
		o := good
		change(&o)
		if _, err := stock.New(c, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := stock.New(nil, good); err == nil {
		t.Error("no client: accepted")
	}
	if _, err := stock.NewTickets([]byte("short")); err == nil {
		t.Error("short secret: accepted")
	}
}

func TestTickets(t *testing.T) {
	a, err := stock.NewTickets(nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := stock.NewTickets(nil)
	if err != nil {
		t.Fatal(err)
	}
	if first := a.Of(1, "k"); first != a.Of(1, "k") {
		t.Error("one submit, two tickets")
	}
	if a.Of(1, "1|k") == a.Of(11, "|k") || a.Of(1, "k") == a.Of(2, "k") || a.Of(1, "k") == b.Of(1, "k") {
		t.Error("two submits, one ticket")
	}
	for user := range booking.UserID(100) {
		own := a.Of(user, "k")
		if !a.Made(own) || b.Made(own) {
			t.Fatalf("ticket %v: made by its own secret %v, by another %v", own, a.Made(own), b.Made(own))
		}
		own[user%16] ^= 1 << (user % 8)
		if a.Made(own) {
			t.Fatalf("ticket %v was never made", own)
		}
	}
}

// A script of a cluster keeps to one slot only if every key has the same tag.
func TestKeysShareASlot(t *testing.T) {
	m, c := startMini(t)
	s, err := stock.New(c, stock.Options{Event: "e1", Items: 1, Stream: "{e1}:queue", Results: "{e1}:results", Clock: clock.NewWall()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	if err := c.XGroupCreateMkStream(ctx, "{e1}:queue", "g", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Fill(ctx, []int{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(ctx, stock.Submit{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	for _, k := range m.Keys() {
		if !strings.HasPrefix(k, "{e1}:") {
			t.Errorf("key %q", k)
		}
	}
}

// BenchmarkTake is accepted submits by batch size, over loopback TCP.
func BenchmarkTake(b *testing.B) {
	for _, size := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			c := openMini(b)
			event := stocktest.Event()
			s, err := stock.New(c, stock.Options{Event: event, Items: 1, Stream: "{" + event + "}:queue",
				Results: "{" + event + "}:results", Clock: clock.NewWall()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx := context.Background()
			c.XGroupCreateMkStream(ctx, "{"+event+"}:queue", "g", "0")
			if err := s.Fill(ctx, []int{1_000_000_000}); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			ins := make([]stock.Submit, 0, size)
			for i := range b.N {
				ins = append(ins, stock.Submit{User: booking.UserID(i), Key: fmt.Sprint(i)})
				if len(ins) == size || i == b.N-1 {
					if _, err := s.TakeBatch(ctx, ins); err != nil {
						b.Fatal(err)
					}
					ins = ins[:0]
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
		})
	}
}
