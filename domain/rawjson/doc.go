// Package rawjson handles JSON text without changing what it says: clients' values are kept as they were sent, key
// order, spelling of numbers and escapes included (decision 1). Compact checks a text from outside and removes the
// space between its tokens; the other functions read text that Compact has passed.
package rawjson
