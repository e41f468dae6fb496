// Package commands turns requests into recorded events: authorise, load, fold, decide, append. It owns the ports that
// this needs: the event store, the keys, the directory.
//
// # The way of a command
//
//	permit, err := bus.Permit(principal, verb, object) // is it there? may they?
//	receipt, err := bus.Do(ctx, permit, meta, command) // events on disk, or a refusal, or nothing to do
//	err = directory.Wait(ctx, receipt.Position)        // and whatever other read model the caller will look at
//
// Do takes its turn at the command's stream, folds what is new in it over the state that it remembers, lets the decider
// of the stream's category decide, seals the events and appends them at the revision that it has seen. If somebody else
// was faster, it decides again. Observations are appended without a look at their stream. DoPlan does the same with
// several streams (decision 7).
//
// # Everything on the record
//
// Each request leaves one record, by its id (decision 10). A command that changes something leaves it with its events:
// the first carries the domain.Request. All other requests are recorded by Record, once, by the pipeline of their door
// and before the answer's first byte:
//
//   - a read: access.Served with its rows
//   - a Receipt that is not Changed: access.Served with access.OutcomeQuiet, and Meta.Remember if there is an idempotency key
//   - a Receipt that is Repeated: access.Served with access.OutcomeQuiet, since its events belong to the first request
//   - an error of Permit, Do or anything before them: access.Refused with the dialect's code
//   - more requests of nobody known than can have a record each: access.Flooded with their count
//
// Do itself records no refusals: many requests are refused before there is a command, and one place has to see to
// exactly one record. Once an append has begun it is waited for, even if the caller has gone; so an error of Do means
// that nothing was recorded, unless the store has failed or a plan is still to be finished by Resume.
package commands
