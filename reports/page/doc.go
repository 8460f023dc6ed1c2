// Package page writes the report of a run as one HTML file that needs nothing
// else: no network, no script, no font. It reads in light and dark, on paper and
// on a phone.
//
// # Decisions
//
//   - Figures are images with a data URI, not inline markup: an image runs no
//     script and loads nothing, whatever its text came from, and the ids of two
//     figures cannot clash.
//   - A content security policy in the page forbids everything but its own style
//     and data images, so that an escape that fails still does nothing.
package page
