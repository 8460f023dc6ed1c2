// Package edge is the cache in front of everything that need not be live: the
// runtime config and the catalogues, with the HTTP semantics of a shared cache
// (RFC 9111): a stated life, Age, validators and 304, one fetch from the origin
// for any number of misses at once, and a stale copy while the origin fails.
//
// The cache key is the path, or the whole URL with its query. The latter is what
// the original's config URL met: a query string that always changes makes every
// request a miss.
//
// # Decisions
//
//   - Lives are kept to the nanosecond; the headers say whole seconds, rounded
//     up for s-maxage, since RFC 9111 has nothing finer.
//   - A stale copy is served for StaleFor after its life (RFC 5861,
//     stale-if-error), and the origin is left alone for a tenth of the life after
//     a failure, so that a failing origin is not asked by every request.
//   - With the whole URL as key the number of entries is bounded, oldest out.
package edge
