// Package window is what a simulation needs to run in windows of time instead of
// event by event: a calendar of the windows to come, a sort of what is due in one,
// and a crew that plays windows side by side. It knows no model.
//
//	cal := window.NewCalendar[event](512)
//	cal.Put(7, e)                        // due in window 7
//	due = cal.Take(7, due[:0])           // everything due there, in the order of Put
//	keys = window.Sort(keys, spare)      // by moment within the window
//
//	lines.Add(unsafe.Pointer(&clients[i])); lines.Fetch() // so that it is at hand soon
//
//	crew := window.Crew{Lead: serve, Follow: []func(int64){left, right}}
//	crew.Run(runtime.GOMAXPROCS(0), 512) // left and right play window 7 once serve has played 5, serve once both have
//
// # Why
//
// A queue of all that is to come costs a cache miss or several an event (Jones, CACM
// 29(4), 1986, for how queues compare). Whoever is independent until a window ends
// needs no order before it: an event is appended to its window's bucket, and only
// what is due in one window is sorted, in the cache. What may be done side by side
// is the conservative rule of Chandy and Misra (IEEE TSE 5(5), 1979): a part may
// run ahead of another by as long as nothing of that other can reach it.
//
// # Decisions
//
//   - Buckets are lists of chunks of 4 KiB, so that appending touches one line of
//     memory and emptied chunks serve the next bucket: memory follows what waits.
//   - The sort moves 8-byte keys that hold moment and place, not the events: one pass
//     into about as many buckets as keys, for moments are spread over a window, and an
//     insertion sort of the rest.
//   - Memory is fetched ahead by the machine's own instruction, in ten lines of assembly:
//     the compiler has it for the runtime alone. Reading it ahead instead takes as long as
//     it takes side by side: 20 ns an arrival where fetching takes 7.
//   - Nobody in the crew waits for all the others: of a leader and two followers on two
//     cores, who take 35, 30 and 30, a window takes 47.5 so, and 60 in steps of all.
//   - The crew spins for a millisecond before it sleeps: whatever it waits for lasts
//     about a tenth of that, and waking a thread costs as much.
package window
