// Package recordtest makes plausible records for the tests of whatever reads
// records, without running anything: a small model of one rush in which every
// span, counter, sample, group and mark of a real run occurs.
//
// Its numbers illustrate; they are no prediction. Same options, same bytes.
package recordtest
