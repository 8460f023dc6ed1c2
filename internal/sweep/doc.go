// Package sweep runs one scenario at many settings and seeds. It serves both
// arms: what runs a point is a function from a Spec to a Record.
//
// A sweep is resumable: every finished point is a record of its own in the
// sweep's folder, named by a digest of scenario text, settings, seed and commit,
// so an interrupted sweep does only what is missing, and a changed scenario or
// program never reuses an old point.
//
// # Decisions
//
//   - Every point runs on the same seeds. Draws are keyed by visit, so the same
//     people with the same luck meet every point, and a difference between points is
//     the setting's, not the draw's.
//   - Points may run side by side where the arm bears it; what comes back is in the
//     order of the plan.
package sweep
