// Package booking holds the words that every other package speaks: modes,
// steps, outcomes, rungs, user and visit ids. It imports no project package.
//
// Every enum starts at 1, so that a zero is never a valid value, and has one
// String and one Parse that are each other's inverse.
package booking
