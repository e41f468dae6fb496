// Package keys keeps one random 256-bit key for each subject and organization whose payloads are sealed, and forgets it
// on demand: what was sealed under a destroyed key can never be read again (decision 2, design section 4).
//
// # Files
//
// root.key holds 32 random bytes. It wraps all other keys and is the one thing that a backup must keep apart.
//
// subjects begins with 16 bytes of magic and goes on with groups, each written and synced as one:
//
//	4  magic "SKG1"
//	4  length of the entries, little endian as all numbers
//	8  size of the file that was durable before this group was written
//	4  CRC-32C of length, durable size and entries
//	n  entries: kind (1 key, 2 destroyed), 8 bytes key id, 2 bytes length of the owner, the owner, and of a key its
//	   wrapped form: 12 bytes nonce and 48 bytes AES-256-GCM under the root key, with key id and owner as associated data
//
// A bad group that no durable size reaches is a write that a crash has torn: nobody was told of it, and it is cut off.
// Any other is damage, which is reported and never repaired silently. The first group was durable before the file got
// its name. Destroying a key writes the file anew.
//
// # Several processes
//
// Who has the keys alone holds an exclusive flock of root.key, those who share them (see Share) a shared one. These take
// turns to write by an exclusive flock of the empty file lock, which ends with its process. Whoever has it first reads what
// others have added, and syncs it, so that no key is used that is not durable. Nobody needs it to use the keys there are:
// a look at the file, every 50 ms at most, tells whether it has been replaced, which is how keys are destroyed; who
// destroys one waits until all have looked.
package keys
