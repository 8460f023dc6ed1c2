// Package gateway is the access layer: a station with a stated capacity that
// every dynamic request passes, and the instances that share it.
//
// A Station is a multi-server queue kept in virtual time. Work is counted in
// units; a slot serves one request at a time, units times the unit time long. A
// request begins when the earliest slot is free, not when a timer happens to
// fire, so a late timer makes one reply late but never lowers the capacity. The
// caller's real work runs while its modelled service does, and the reply leaves
// at the later of the two ends.
//
// In front of the slots stand, in this order: the kill switch, the retry budget,
// the degradation ladder, the in-flight limit and the bounded waiting room. At
// dequeue, work whose client has left or that waited too long is dropped and
// costs nothing. Refusals cost nothing either: they model the cheap answer of a
// process that does not touch its workers.
//
// # Decisions
//
//   - Slots are whole and the capacity is exact: with C units/s and a unit time
//     U there are n = round(C·U), at least one, slots and a unit takes n/C, which
//     is U wherever C·U is whole.
//   - The station is pooled over the instances. One slow server each would reach
//     a latency objective by scale alone (a 100th of a server has no slots left
//     to even out), and the pool is what the similarity law keeps.
//   - A lost instance takes its share of the slots away from the next start on;
//     what it was serving is finished, as behind a balancer that drains.
//   - A poll is never a retry for the budget: its attempt counts polls.
package gateway
