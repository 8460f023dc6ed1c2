package window

import "unsafe"

// Make is make([]T, n) for a large table that is met in no order. Where the system
// has huge pages it asks for them: on a virtual machine half the cost of such a
// meeting is finding the page (49 ns against 17 with huge ones, 80 MB of clients).
// T must hold no pointers.
func Make[T any](n int) []T {
	s := make([]T, n)
	if bytes := uintptr(n) * unsafe.Sizeof(*new(T)); bytes >= hugeFrom {
		advise(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), bytes))
	}
	return s
}

// hugeFrom is the size from which huge pages are worth asking for: two of them.
const hugeFrom = 4 << 20
