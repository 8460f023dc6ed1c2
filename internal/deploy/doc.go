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
//   - disk-full is refused: the volume has no bound that could be reached without the
//     host's. slow is left to the processes, whose own links delay messages.
package deploy
