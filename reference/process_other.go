//go:build !linux

package reference

import "math"

// resident is not told here.
func resident() float64 { return math.NaN() }

// descriptors are not told here.
func descriptors() float64 { return math.NaN() }
