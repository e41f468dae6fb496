// Package faultfs is a file system in memory that fails as real ones do. It implements files.System and keeps two pictures
// of every file: what a running process sees (the page cache) and what is on the disk.
//
// At a loss of power only the disk's picture is left. What was not synced may have reached it or not: 4 KiB pages in any
// subset and order, a page in part (its first sectors), a size that grew or did not, names in any subset and order. A name
// is durable after SyncDir of its folder only; syncing a file does not help its name. A rename stays whole. A sync that
// fails leaves its pages marked clean: they can still be read, and are gone after a loss of power, as on Linux.
//
// Everything that is left to chance is drawn from a seed, so a failure can be played again as far as the scheduling of
// the tested goroutines allows.
//
// One thing is simpler than in life: Map gives a copy of the file as it is at the call. Code under test maps only files
// that do not change any more.
package faultfs
