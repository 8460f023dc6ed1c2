// Package deploy does to the containers of the compose deployment what a scenario's
// faults ask for: kills and pauses processes, takes stores off the network that they
// share with one side, empties or fills them, and puts everything back in time.
//
// It speaks to the local Docker engine through its command line, and only to the
// containers of one compose project on this machine. What it does not know it leaves
// to the admin part, which reaches every process.
//
// # Decisions
//
//   - A partition takes the store off the network of the pair (docker network
//     disconnect), not the many gateways: one call, so that all are cut at once. The
//     networks are named like the targets of the fault.
//   - The killed writer is the one that has the lease, else nothing would be shown.
//   - connections-full closes the database to connections and ends those there are:
//     taking all of them would race with their owners.
//   - disk-full fills a disk in memory (docker/bounded.yaml) with a file that cannot
//     outgrow it, and is refused where the volume has no such bound: there only the
//     host's disk could be filled. A bound on a real disk would take a loop device, and
//     with it rights on the host. In memory fsync costs nothing: what is lost is told as
//     truly, for a killed process loses no page, but waits and recoveries are without it.
//   - A full disk alone leaves PostgreSQL what is free in its pages and its WAL segment:
//     minutes, at the rate of a scaled rush. Then it dies, at the latest at its next
//     checkpoint. The fault asks for that checkpoint; what PostgreSQL does afterwards, until
//     there is room, is its own: recoveries that fail, and a container that starts again.
//   - The file is made and removed in a container of its own, which no fault hits: a
//     database that dies of its full disk, or is killed, must find it gone.
//   - slow is left to the processes, whose own links delay messages.
package deploy
