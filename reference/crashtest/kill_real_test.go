//go:build real

package crashtest

import (
	"context"
	"testing"

	"spillway/internal/containers"
	"spillway/reference"
)

// TestRealKilledProcesses is TestKilledProcesses on real Redis and PostgreSQL.
func TestRealKilledProcesses(t *testing.T) {
	redisURL, pg := containers.Redis(t), containers.Postgres(t)
	client := containers.Client(t, redisURL)
	for _, point := range reference.CrashPoints() {
		t.Run(point, func(t *testing.T) {
			if err := client.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
			killAt(t, redisURL, pg.Database(t), point)
		})
	}
}
