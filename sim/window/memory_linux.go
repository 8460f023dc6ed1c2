package window

import (
	"os"
	"syscall"
	"unsafe"
)

// advise asks for huge pages below the memory. That it may be refused changes no result.
func advise(b []byte) {
	page := uintptr(os.Getpagesize())
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (page - 1)
	if uintptr(len(b)) > skip+page {
		_ = syscall.Madvise(b[skip:], syscall.MADV_HUGEPAGE)
	}
}
