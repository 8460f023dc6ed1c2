// Package wire is the HTTP contract between the attack and a backend: paths,
// headers, bodies and the token-guarded admin part. openapi.yaml beside this
// file describes the same for anybody who wants to be a target.
//
// The outcome of every reply is carried in the header Spillway-Outcome and never
// inferred from the status code. A reply without it is "unmapped".
//
// # Decisions
//
//   - The samples live under /admin/, since they are token-guarded like the rest.
//   - /admin/start tells the backend when offset 0 of the run is, so that both
//     sides speak of the same moments without sharing a clock.
package wire
