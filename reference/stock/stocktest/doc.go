// Package stocktest is the conformance suite of the stock layer: what must hold
// on every store it runs on.
package stocktest
