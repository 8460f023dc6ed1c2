//go:build unix

package attack

import (
	"math"

	"golang.org/x/sys/unix"
)

// maxSockets is how many connections this process may hold, with some files left
// for everything else.
func maxSockets() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || l.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return max(int(l.Cur)-100, 1)
}
