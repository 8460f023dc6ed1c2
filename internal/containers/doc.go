// Package containers is support for tests on real stores: Redis, a Redis Cluster
// of three primaries and PostgreSQL, each in containers of its own that go when
// the test ends.
//
// Use, in files with the build tag "real":
//
//	url := containers.Redis(t)              // redis://…
//	url := containers.Cluster(t)            // redis://…?addr=…&addr=…
//	client := containers.Client(t, url)     // closed with the test
//	pg := containers.Postgres(t)
//	url := pg.Database(t)                   // postgres://…, an empty database
//	url := pg.Small(t)                      // the same on a disk that is soon full
//
// A test is skipped, with a plain message, only where no Docker engine answers.
// Where one does, a missing image is a failure: "make images" puts it there.
//
// # Decisions
//
//   - The reaper of the containers' library is off: its image is one more to have.
//     Tests remove what they started; what a killed test left behind carries its
//     process id as a label and is removed by the next run.
//   - Nodes of the cluster are reached by their own addresses in the engine's
//     network, the same ones that they tell each other and clients: that wants the
//     engine on this machine, on Linux.
//   - PostgreSQL keeps fsync on, which its module would switch off: a database
//     that may forget what it committed proves nothing here.
package containers
