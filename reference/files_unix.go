//go:build unix

package reference

import (
	"math"

	"golang.org/x/sys/unix"
)

// files is how many descriptors this process may have open.
func files() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || l.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	return int(l.Cur)
}
