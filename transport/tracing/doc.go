// Package tracing shows where the time of a request goes, as OpenTelemetry traces: from the request through the command
// and the append to every projection that applied its events.
//
// A request's id is a UUID, which has as many bits as the id of a trace: the one is the other, and the second half of it
// is the id of the request's own span. So an event's correlation, which is the id of its request, is all that a projection
// needs to know to take its place in the trace, in whatever process and after whatever restart; nothing is stored for it.
// A traceparent of the client's is linked to, and not continued: the ids of traces are ours to give, so that nobody can
// choose what is sampled or mix up the traces of others. The answer names our span in the header traceresponse.
//
//	GET /participant/{id}/sensor_event       the request (kind: server)
//	├── sign in, wait                        in the dialect; waiting is for read models
//	├── command observation.record           deciding, with all that it takes
//	│   └── append                           to the log, with the wait for the disk
//	└── project series                       one for each projection (kind: consumer)
//
// Spans have ids of requests, templates of routes, names that stand in the code, and numbers: no personal data, and no
// word of a client's.
//
// Spans leave in batches over OTLP/HTTP as JSON. The exporter is our own, a page of code: the usual one comes with all of
// gRPC, for which there is no other use here. Where nobody listens they are dropped, and requests are none the slower.
package tracing
