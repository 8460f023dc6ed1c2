//go:build amd64 || arm64

package window

// prefetch asks for n > 0 lines. The compiler knows the instruction, for the runtime
// alone.
//
//go:noescape
func prefetch(lines *uintptr, n int)
