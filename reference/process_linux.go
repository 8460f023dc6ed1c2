package reference

import (
	"math"
	"os"
	"strconv"
	"strings"
)

// resident is the memory of this process that is in use, in bytes: proc(5), second
// field of statm. NaN = it cannot be told.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return math.NaN()
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return math.NaN()
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return math.NaN()
	}
	return float64(pages) * float64(os.Getpagesize())
}

// descriptors is how many files and connections this process has open. NaN = it
// cannot be told.
func descriptors() float64 {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return math.NaN()
	}
	defer dir.Close() // read only: nothing to lose
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return math.NaN()
	}
	return float64(len(names) - 1) // without the one that reads them
}
