//go:build !unix

package attack

import "math"

// maxSockets is how many connections this process may hold: not known here.
func maxSockets() int { return math.MaxInt32 }
