// Package lamp speaks the LAMP protocol, so that the unmodified LAMP clients work against Strandline. "Contract" in its
// comments is the LAMP wire contract.
//
// A request meets, in this order: its route (table.go), sign-in, the object that its path names (resolve.go), the policy,
// and only then its body and the route's handler. What the client may not know, it does not learn from a later step.
// Clients' JSON is never decoded and encoded again: it is checked, cut into parts and put together as bytes.
package lamp
