package reference

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// parseCrash reads Config.Crash: a crash point, or with ":N" its N-th passing.
func parseCrash(s string) (point string, passing int64, err error) {
	point, n, numbered := strings.Cut(s, ":")
	passing = 1
	if numbered {
		if passing, err = strconv.ParseInt(n, 10, 32); err != nil || passing < 1 {
			return "", 0, fmt.Errorf("crash: %.60q: want POINT or POINT:N with an N from 1", s)
		}
	}
	if !slices.Contains(CrashPoints(), point) {
		return "", 0, fmt.Errorf("crash: unknown point %.60q; want one of %v", point, CrashPoints())
	}
	return point, passing, nil
}

// crashTap ends this process at a crash point as kill -9 does: nothing is
// finished, closed or said. It is nil when the config names none.
func (c Config) crashTap() Tap {
	if c.Crash == "" {
		return nil
	}
	at, passing, err := parseCrash(c.Crash)
	if err != nil {
		return func(context.Context, string) error { return err }
	}
	var passed atomic.Int64
	return func(_ context.Context, point string) error {
		if point != at || passed.Add(1) < passing {
			return nil
		}
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			return fmt.Errorf("crash: the process cannot kill itself: %w", err)
		}
		select {} // the signal is on its way
	}
}
