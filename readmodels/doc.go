// Package readmodels keeps what projections write and queries read: one SQLite file for each projection and version,
// with the checkpoint inside (decision 16), so that one transaction moves both and no projection waits for another.
//
// A DB is what a read model holds for its whole life. The file below it can be dropped at any stop and comes back from
// the log; while the process runs it can be replaced by one that was built beside it.
package readmodels
