//go:build !linux

package window

func advise([]byte) {}
