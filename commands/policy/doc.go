// Package policy decides who may do what, for every door. The rules are the Cedar texts in this folder, which an auditor
// can read without knowing Go; each cites the section of the contract that it keeps. Whatever no rule permits is denied.
package policy
