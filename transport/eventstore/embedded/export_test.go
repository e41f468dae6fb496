package embedded

// OpenWithHash opens a store in which streams are indexed by another hash, so that collisions can be had.
var OpenWithHash = open
