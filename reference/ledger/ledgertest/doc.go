// Package ledgertest is the conformance suite of the ledger's database: what must
// hold on every database it runs on.
package ledgertest
