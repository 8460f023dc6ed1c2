//go:build !linux

package attack

func newSleeper() (sleeper, error) { return newTimerSleeper(), nil }
