// Package signin finds out who is calling: it checks the access key and the secret that come with every request.
//
// A secret is checked against its argon2id hash once and then remembered for a while, as a keyed digest under a key that
// this process draws at its start, bound to the revision of its credential. So a known caller costs microseconds, and a
// changed or deleted credential stops working with the next request. Wrong secrets are remembered too. At most two
// hashes are computed at once, and a bounded number waits: those whose secret was right before, or whose source is known,
// go first. Failures are limited by source, and beyond a limit they are told late, so that whoever guesses cannot slow
// down those who are known (decision 22). Fewer than a hundred wrong secrets a day are hashed for one access key, however
// many are tried and from wherever, and still its owner gets in: guess.go says how. An access key of nobody costs and
// answers the same as a wrong secret.
//
// API keys come as bearer tokens. Their secrets are random, so one SHA-256 checks them: nothing is remembered, nothing
// waits, and a revoked key stops working with the next request too.
package signin
