//go:build !unix

package lottery

import "os"

// lock does nothing where files have no advisory locks: two processes must not write
// one log there.
func lock(*os.File) error { return nil }
