//go:build real

package queue_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"spillway/internal/containers"
	"spillway/reference/queue/queuetest"
)

func TestRealRedis(t *testing.T) { conform(t, containers.Redis(t)) }

func TestRealCluster(t *testing.T) { conform(t, containers.Cluster(t)) }

func conform(t *testing.T, url string) {
	queuetest.Run(t, func(t testing.TB) redis.UniversalClient { return containers.Client(t, url) })
}
