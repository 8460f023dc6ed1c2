//go:build real

package reference

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"spillway/internal/containers"
)

// The whole backend on real stores: the same tests as on the embedded ones.
func TestRealRedis(t *testing.T) { onReal(t, containers.Redis(t)) }

func TestRealCluster(t *testing.T) { onReal(t, containers.Cluster(t)) }

func onReal(t *testing.T, redisURL string) {
	pg := containers.Postgres(t)
	client := containers.Client(t, redisURL)
	sales := 0
	use := func(t *testing.T, c *Config) {
		sales++
		c.Redis, c.Database, c.Event = redisURL, pg.Database(t), fmt.Sprintf("sale%d", sales)
	}
	t.Run("bookings", func(t *testing.T) { bookingInEachMode(t, use) })
	t.Run("lottery", func(t *testing.T) {
		c := lots()
		use(t, &c)
		lotteryLives(t, c)
	})
	t.Run("graceful stop", func(t *testing.T) {
		c := sale()
		use(t, &c)
		gracefulStopLosesNothing(t, c, func() {
			oneSlot(t, client, c.Event)
			onEach(t, client, func(ctx context.Context, node *redis.Client) error { return node.FlushAll(ctx).Err() })
		})
	})
}

// oneSlot: every key of an event is in one slot, on one node.
func oneSlot(t *testing.T, client redis.UniversalClient, event string) {
	ctx := context.Background()
	_, clustered := client.(*redis.ClusterClient)
	found, slots := 0, map[int64]bool{}
	onEach(t, client, func(ctx context.Context, node *redis.Client) error {
		keys, err := node.Keys(ctx, "*"+event+"*").Result()
		found += len(keys)
		for _, k := range keys {
			if clustered {
				slots[client.ClusterKeySlot(ctx, k).Val()] = true
			}
		}
		return err
	})
	if found < 5 || clustered && len(slots) != 1 {
		t.Errorf("%d keys in %d slots, want state, users, keys, queue and results at least, in one slot", found, len(slots))
	}
	if clustered && client.ClusterKeySlot(ctx, "{"+event+"}").Val() != client.ClusterKeySlot(ctx, event).Val() {
		t.Error("the braces are no hash tag")
	}
}

// onEach calls f for each primary, one after the other.
func onEach(t *testing.T, client redis.UniversalClient, f func(context.Context, *redis.Client) error) {
	t.Helper()
	ctx := context.Background()
	switch c := client.(type) {
	case *redis.Client:
		if err := f(ctx, c); err != nil {
			t.Error(err)
		}
	case *redis.ClusterClient:
		nodes := make(chan *redis.Client, 16)
		err := c.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error { nodes <- node; return nil })
		close(nodes)
		for node := range nodes {
			if err == nil {
				err = f(ctx, node)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
}
