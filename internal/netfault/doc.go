// Package netfault is a network that can be made to fail: the link between two
// parties, for connections that one of them dials or accepts, for calls inside one
// process, and as a small TCP proxy between two processes.
//
//	l := netfault.New(clk, seed)
//	dial = l.Dial(dial)                               // or l.Listener(x), l.Conn(c)
//	l.Set(netfault.State{Delay: 50 * time.Millisecond, Jitter: 5 * time.Millisecond})
//	l.Set(netfault.State{Mode: netfault.Cut})         // reset, and refused
//	l.Set(netfault.State{})                           // as if it were not there
//
// Jitter is drawn by seed, connection and message, so the n-th message of the n-th
// connection has the same luck in every run.
//
// # Decisions
//
//   - A link that is up without delay costs a pointer read for each Read and Write.
//   - Delay is what a round trip takes longer, half of it each way. A message is what
//     one Write or one Read carries; a stream of many is slowed for each of them, which
//     suits requests and replies and would be wrong for bulk transfer.
//   - A stalled link keeps what is under way and delivers it afterwards, as TCP does
//     across a partition that heals. A black hole loses it: connections that sent into
//     it are reset when it ends.
package netfault
