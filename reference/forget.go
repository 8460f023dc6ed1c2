package reference

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Forget removes every key of an event from a Redis, when nobody serves it any more.
func Forget(ctx context.Context, redisURL, event string) error {
	client, err := dialRedis(ctx, redisURL, nil)
	if err != nil {
		return err
	}
	defer client.Close() // nothing is under way
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return forget(ctx, c, event) })
	}
	return forget(ctx, client, event)
}

func forget(ctx context.Context, client redis.Cmdable, event string) error {
	for cursor := uint64(0); ; {
		keys, next, err := client.Scan(ctx, cursor, "{"+event+"}:*", 500).Result()
		if err == nil && len(keys) > 0 {
			err = client.Unlink(ctx, keys...).Err()
		}
		if err != nil {
			return environment{fmt.Errorf("store: forgetting event %s: %w", event, err)}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
