// Package queuetest is the conformance suite of the queue layer: what must hold
// on every store it runs on.
package queuetest
