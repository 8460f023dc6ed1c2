// Package scenarios says what is to happen: the evening as a strict file, its
// arrival curve, the similarity law that makes a run of it, and a prediction of
// what the run will show.
//
// A scenario file is YAML in which every number carries its unit. Unknown keys,
// missing units and numbers out of range are refused with file, line and column.
// Each value says where it comes from:
//
//	depth: 20_000 entries                                # chosen
//	timeout: {value: 15s, source: public client copy}    # sourced
//	give_up:                                             # assumed
//	  value: 20 %
//	  assumption: {low: 10 %, high: 40 %, why: nobody counted it}
//
// "extends: NAME" takes another scenario and overrides it key by key; a list is
// replaced whole, and so is a value with its provenance.
//
// Load reads a file, Scale applies the law, and the Scaled answers everything a
// run asks: when visits arrive, whose they are, which config copy their owner
// holds, which changes and faults come when.
//
// # Faults
//
//	faults:
//	  - {at: 11s, kind: kill, target: writer, for: 10s}
//	  - {at: 30s, kind: slow, target: gateway-redis, for: 5s, amount: 300ms}
//
// Package fault has the kinds, their targets and amounts ("spillway scenario faults").
// Seconds are quickened like every wait; messages and entries are thinned like people,
// but never to none.
//
// # Stations
//
// A file with the key "station" describes a bare service station instead of an
// evening, in the same grammar; LoadStation reads it, the shipped ones are
// StationNames. Everything that can be said:
//
//	name: mine
//	station:
//	  servers: 16 servers
//	  places: 40 places            # waiting and in service; absent or 0 = no bound
//	  arrivals: {rate: 1440 customers/s, process: poisson}       # or regular
//	  service: {law: log-normal, mean: 10ms, cv: 0.5 x}
//	  patience: {law: exponential, mean: 50ms}                   # absent = for ever
//	  retry: {probability: 80 %, delay: {law: exponential, mean: 1s}, attempts: 5 attempts}
//	  order: fifo                                                # or lifo
//	  classes: [30 %, 70 %]                                      # first served first
//	  measure: {method: replications, blocks: 20 blocks, customers: 100_000 customers,
//	            warm_up: auto, confidence: 95 %}                 # or batch-means
//
// A law is exponential or deterministic (mean), log-normal (mean, cv) or empirical
// (values: [9ms, 12ms], or file: times.txt, a time a line).
//
// # Decisions
//
//   - The text is walked through the YAML library's syntax tree, not decoded into
//     maps: "1:100", "20 %" and "off" are read as written, and every error knows
//     its place. Anchors, aliases, tags and second documents are refused.
//   - Numbers take "_" between digits (170_000_000 visits), never ",": a comma
//     parts the values of --vary.
//   - A rank (class priority) is the one bare number of the grammar: an order has
//     no unit.
//   - There are no defaults. A file of one's own extends a shipped one or says
//     everything. A station's optional parts are the exception: absent means none.
//   - A law replaces the one it extends whole when it names its family, for the
//     parameters belong to that. A station that extends an evening is refused, and so
//     is the reverse: their keys have nothing in common.
//   - The values of a file are put into the merged text, so that the digest covers
//     them and the text runs anywhere; that bounds them to 5,000.
//   - The arrival rate is constant within each 100 ms of scenario time, with the
//     integral of the curve over it. Inversion is then one multiplication, and
//     any window with the same start shares its first arrivals.
//   - A config copy's history is drawn backwards from the window's start, to the
//     first gap longer than the copy's life: what lies before it cannot matter.
//   - Scaled.Admission is what the config says at offset 0 of the run: changes
//     before the window are applied, RuntimeAt still knows the earlier ones.
//   - The prediction moves expected numbers of visitors in steps of 100 ms
//     through the same journey as policy.Program. It knows means, not tails.
package scenarios
