// Package walls holds tests only: which project package may import which, with
// the reason for each wall, and what no package but one may do.
package walls
