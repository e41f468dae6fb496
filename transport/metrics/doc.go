// Package metrics counts what a server does, and shows it at /metrics in the text formats of Prometheus and OpenMetrics.
//
// What is counted as it happens (requests, sign-ins, appends) costs some atomic additions. What is read when it is asked
// for (positions, lags, queues, room on the disk) comes from a function that must not wait for a disk, so that the page
// also answers when a disk does not. Labels hold templates of routes and names that are in the code, never an id or
// anything else that a client has said, and so there is a bounded number of them.
//
//	strandline_http_requests_total{dialect,method,route,class}         requests, by class of status: 2xx, 4xx, 5xx
//	strandline_http_request_duration_seconds{dialect,method,route}     until the answer began to leave
//	strandline_http_in_flight                                          requests that are being served, streams too
//	strandline_body_bytes, _body_bytes_limit, _body_waiting            bodies in memory, their bound, who waits for room
//	strandline_signins_total{outcome}                                  accepted, refused, held, failed
//	strandline_append_duration_seconds                                 appends to the log, with their wait for the disk
//	strandline_fsync_duration_seconds                                  the disk's part in that
//	strandline_log_group_events                                        records that became durable together
//	strandline_log_position, _log_bytes                                where the log ends, and what it takes on the disk
//	strandline_log_queue_bytes, _log_queue_bytes_limit                 records that wait to be written, and their bound
//	strandline_log_write_pending_seconds                               how long the write that is under way has taken
//	strandline_projection_lag_events{projection}, _lag_seconds         how far a projection is behind the log
//	strandline_projection_parked{projection}                           events that it could not apply
//	strandline_projection_stalled{projection}                          1 while it cannot go on
//	strandline_feed_backfills_total                                    gaps of a feed that were filled from the log
//	strandline_disk_free_bytes, _disk_runway_seconds                   room for the data folder, and how long it will do
//	strandline_build_info{version,goversion}                           1
//
// Beside them are those of the process (process_…) and of Go's runtime (go_…).
package metrics
