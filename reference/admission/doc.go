// Package admission keeps the runtime config that clients draw their coin under,
// and checks on submit what can be checked.
//
// The original gate lives in the client alone, so a submit under it cannot be
// checked and a bot that skips it passes. The coin can: its draw is a keyed hash
// of user and epoch. Clients hold older copies of the config, so a claim is
// checked under the largest probability that any of them may still hold, and a
// submit without a claim passes while a config without a coin is still about.
//
// # Decisions
//
//   - The salt is a keyed draw of the run's seed: it is public in the config, so
//     it need not be secret, and both arms get the same luck from one seed.
//   - A config may be held for its life in the client plus its life at the edge,
//     and is allowed one period of the coin on top, for the claim of an epoch
//     that has just ended.
package admission
