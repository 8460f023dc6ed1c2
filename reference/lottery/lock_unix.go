//go:build unix

package lottery

import (
	"os"
	"syscall"
)

// lock waits until no other process writes the file; it ends with closing it.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
