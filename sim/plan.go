package sim

// Search finds the first of n levels that holds, where levels grow safer with their
// number: servers and places upwards, an admission probability downwards. It begins
// at start and asks holds for as few levels as bisection needs, each once.
//
// It takes for granted that what holds at one level holds at every later one up to
// the level it found holding; where that is not so (so few are admitted that the
// stock stays) it returns the lower edge of the stretch nearest to start. ok is false
// when no level that was asked holds. An error of holds ends the search.
func Search(n, start int, holds func(level int) (bool, error)) (first int, ok bool, err error) {
	start = min(max(start, 0), n-1)
	low, high := -1, -1 // below: does not hold; found: holds
	ask := func(level int) bool {
		if err != nil {
			return false
		}
		var yes bool
		yes, err = holds(level)
		return yes && err == nil
	}
	if ask(start) {
		high = start
	}
	// Upwards in steps that double, and if nothing holds there downwards.
	low = start
	for step := 1; high < 0 && err == nil && low < n-1; step *= 2 {
		at := min(low+step, n-1)
		if ask(at) {
			high = at
		} else {
			low = at
		}
	}
	if high < 0 {
		for at, step := start, 1; high < 0 && err == nil && at > 0; step *= 2 {
			at = max(at-step, 0)
			if ask(at) {
				high = at
			}
		}
	}
	if high < 0 || err != nil {
		return 0, false, err
	}
	if high <= start {
		low = -1
	}
	for high-low > 1 && err == nil {
		if mid := (low + high) / 2; ask(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high, err == nil, err
}
