package reference

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/ledger"
	"spillway/reference/queue"
)

// shop is a pair of stores with a sale of two items in perfect order: user 1
// booked item 0, user 2 is refused, user 3 waits in the dead letters for item 1.
type shop struct {
	t      *testing.T
	redis  *redis.Client
	db     *ledger.DB
	c      Config
	ticket [10]booking.Ticket
}

func openShop(t *testing.T) *shop {
	m := miniredis.RunT(t)
	s := &shop{t: t, redis: redis.NewClient(&redis.Options{Addr: m.Addr()}),
		c: Config{Mode: booking.ModeQueued, Event: "shop", Stock: StockConfig{Items: []int{3, 3}}}}
	t.Cleanup(func() { _ = s.redis.Close() })
	ctx := context.Background()
	var err error
	if s.db, err = ledger.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "ledger.db"), ledger.DBOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	for i := range s.ticket {
		s.ticket[i][0], s.ticket[i][15] = 1, byte(i)
	}
	s.do("XGROUP", "CREATE", queue.StreamKey("shop"), "ledger", "0", "MKSTREAM")
	s.do("HSET", "{shop}:state", "open", "3,3", "total", 4, "0", 2, "1", 2)
	s.book(1, 0)
	s.do("HSET", "{shop}:users", "1", s.name(1)+":0")
	s.do("HSET", "{shop}:results", s.name(1), "confirmed 0")
	s.refuse(2, 0)
	s.do("HSET", "{shop}:results", s.name(2), "refused")
	s.do("HSET", "{shop}:users", "3", s.name(3)+":1")
	s.do("HSET", "{shop}:results", s.name(3), "pending")
	s.letter(3, 1)
	return s
}

func (s *shop) name(n int) string { return s.ticket[n].String() }

func (s *shop) entry(n, item int) booking.Accepted {
	return booking.Accepted{Ticket: s.ticket[n], User: booking.UserID(n), Item: item}
}

func (s *shop) do(args ...any) {
	s.t.Helper()
	if err := s.redis.Do(context.Background(), args...).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) book(n, item int) {
	s.t.Helper()
	if _, err := s.db.WriteBatch(context.Background(), []ledger.Row{{Accepted: s.entry(n, item)}}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) refuse(n, item int) {
	s.t.Helper()
	if _, err := s.db.Refuse(context.Background(), s.entry(n, item), 0, "test"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) letter(n, item int) {
	s.t.Helper()
	s.do("XADD", "{shop}:dead", "*", "entry", "1-1", "e", s.entry(n, item).Encode(), "reason", "test", "attempts", 3, "at", 0)
}

func (s *shop) repair(apply bool) []Repaired {
	s.t.Helper()
	out, err := RepairStores(context.Background(), s.redis, s.db, s.c, clock.NewWall(), Repairing{Apply: apply, Who: "tester"})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *shop) free() string {
	return strings.Join([]string{s.redis.HGet(context.Background(), "{shop}:state", "0").Val(), s.redis.HGet(context.Background(), "{shop}:state", "1").Val()}, " ")
}

func kinds(rs []Repaired) (out []ledger.DiscrepancyKind) {
	for _, r := range rs {
		out = append(out, r.Kind)
	}
	return out
}

// Each discrepancy is planted, found, named, left alone by a dry run, repaired,
// and gone at the second look.
func TestRepair(t *testing.T) {
	for name, c := range map[string]struct {
		plant  func(*shop)
		want   []ledger.DiscrepancyKind // found by a dry run
		left   []ledger.DiscrepancyKind // that have no repair
		free   string                   // afterwards
		queued int64                    // afterwards
	}{
		"nothing": {plant: func(*shop) {}, free: "2 2"},
		"a holder without anything": {plant: func(s *shop) {
			s.do("HSET", "{shop}:users", "4", s.name(4)+":1")
			s.do("HSET", "{shop}:results", s.name(4), "pending")
			s.do("HINCRBY", "{shop}:state", "1", -1)
			s.do("HINCRBY", "{shop}:state", "total", -1)
		}, want: []ledger.DiscrepancyKind{ledger.Stranded, ledger.Drift}, free: "2 1", queued: 1},
		"a refusal whose stock was not given back": {plant: func(s *shop) {
			s.do("HSET", "{shop}:users", "4", s.name(4)+":1")
			s.refuse(4, 1)
			s.do("HSET", "{shop}:results", s.name(4), "refused")
			s.do("HINCRBY", "{shop}:state", "1", -1)
			s.do("HINCRBY", "{shop}:state", "total", -1)
		}, want: []ledger.DiscrepancyKind{ledger.Unrefunded, ledger.Drift}, free: "2 2"},
		"a discard cut off after the ledger's refusal": {plant: func(s *shop) { s.refuse(3, 1) },
			want: []ledger.DiscrepancyKind{ledger.StaleLetter, ledger.WrongResult}, free: "2 3"},
		"a letter whose ticket was written": {plant: func(s *shop) { s.book(3, 1) },
			want: []ledger.DiscrepancyKind{ledger.StaleLetter, ledger.WrongResult}, free: "2 2"},
		"the cache says no where the ledger says yes": {plant: func(s *shop) { s.do("HSET", "{shop}:results", s.name(1), "refused") },
			want: []ledger.DiscrepancyKind{ledger.WrongResult}, free: "2 2"},
		"the cache says pending for what is written": {plant: func(s *shop) { s.do("HSET", "{shop}:results", s.name(1), "pending") },
			want: []ledger.DiscrepancyKind{ledger.WrongResult}, free: "2 2"},
		"the cache confirms what nobody has": {plant: func(s *shop) { s.do("HSET", "{shop}:results", s.name(9), "confirmed 1") },
			want: []ledger.DiscrepancyKind{ledger.WrongResult}, free: "2 2"},
		"a booking whose user could book again": {plant: func(s *shop) { s.do("HDEL", "{shop}:users", "1") },
			want: []ledger.DiscrepancyKind{ledger.Unheld}, free: "2 2"},
		"a figure that drifted down": {plant: func(s *shop) {
			s.do("HINCRBY", "{shop}:state", "0", -1)
			s.do("HINCRBY", "{shop}:state", "total", -1)
		}, want: []ledger.DiscrepancyKind{ledger.Drift}, free: "2 2"},
		"a figure that drifted up": {plant: func(s *shop) {
			s.do("HINCRBY", "{shop}:state", "0", 1)
			s.do("HINCRBY", "{shop}:state", "total", 1)
		}, want: []ledger.DiscrepancyKind{ledger.Drift}, free: "2 2"},
		"accepted, and nowhere": {plant: func(s *shop) { s.do("HSET", "{shop}:results", s.name(9), "pending") },
			want: []ledger.DiscrepancyKind{ledger.Vanished}, left: []ledger.DiscrepancyKind{ledger.Vanished}, free: "2 2"},
		"more sold than there is": {plant: func(s *shop) {
			for n := 4; n < 8; n++ {
				s.book(n, 0)
				s.do("HSET", "{shop}:users", n, s.name(n)+":0")
			}
		}, want: []ledger.DiscrepancyKind{ledger.Oversold}, left: []ledger.DiscrepancyKind{ledger.Oversold}, free: "2 2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			c.plant(s)
			before, ctx := s.free(), context.Background()
			rows, _ := s.db.Rows(ctx)
			if got := kinds(s.repair(false)); !slices.Equal(got, c.want) {
				t.Fatalf("found %v, want %v", got, c.want)
			}
			if n := s.redis.XLen(ctx, "{shop}:audit").Val(); n != 0 || s.free() != before {
				t.Fatalf("a dry run has changed something: %d lines of audit, free %s", n, s.free())
			}
			done := 0
			for _, r := range s.repair(true) {
				if r.Done {
					done++
				}
			}
			if got := kinds(s.repair(false)); !slices.Equal(got, c.left) {
				t.Errorf("after the repair %v is left, want %v", got, c.left)
			}
			if s.free() != c.free {
				t.Errorf("free %s, want %s", s.free(), c.free)
			}
			if n := s.redis.XLen(ctx, queue.StreamKey("shop")).Val(); n != c.queued {
				t.Errorf("%d queued, want %d", n, c.queued)
			}
			if n := s.redis.XLen(ctx, "{shop}:audit").Val(); n < int64(done) || done == 0 && n > 0 {
				t.Errorf("%d repairs, %d lines of audit", done, n)
			}
			if again, _ := s.db.Rows(ctx); again != rows {
				t.Errorf("a repair has changed the ledger: %d rows, then %d", rows, again)
			}
		})
	}
	s := openShop(t)
	if _, err := RepairStores(context.Background(), s.redis, s.db, s.c, clock.NewWall(), Repairing{Apply: true}); err == nil {
		t.Error("a repair by nobody was accepted")
	}
}
