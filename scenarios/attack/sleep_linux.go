package attack

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fdSleeper waits on a timerfd that is registered with the runtime's poller. The
// kernel's timer ends the wait to within microseconds, and while it lasts no
// thread and no processor slot is held. A wake is a deadline in the past: the
// runtime then readies the goroutine without a system call.
type fdSleeper struct {
	file   *os.File
	conn   syscall.RawConn
	stale  bool // a wake has left its deadline behind
	d      time.Duration
	called bool
	err    error
	park   func(fd uintptr) bool
}

var _ sleeper = (*fdSleeper)(nil)

// longAgo is any moment in the past.
var longAgo = time.Unix(1, 0)

func newSleeper() (sleeper, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("attack: no timer from the kernel: %w; raise the limit of open files", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close() // the first error is the one to tell
		return nil, fmt.Errorf("attack: timer cannot be polled: %w", err)
	}
	s := &fdSleeper{file: file, conn: conn}
	s.park = func(fd uintptr) bool {
		if s.called {
			return true
		}
		s.called = true
		// Armed only here, after the poller has forgotten older expiries: it tells
		// of each expiry once.
		s.err = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(s.d))}, nil)
		return s.err != nil
	}
	return s, nil
}

func (s *fdSleeper) ready() {
	if s.stale {
		s.stale = false
		_ = s.file.SetReadDeadline(time.Time{}) // fails only when closed
	}
}

func (s *fdSleeper) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	s.d, s.called, s.err = d, false, nil
	if err := s.conn.Read(s.park); err != nil {
		s.stale = true // woken
		return
	}
	if s.err != nil { // cannot happen with a valid time; do not spin all the same
		time.Sleep(min(d, time.Millisecond))
	}
}

func (s *fdSleeper) wake() { _ = s.file.SetReadDeadline(longAgo) } // fails only when closed

func (s *fdSleeper) close() error { return s.file.Close() }
