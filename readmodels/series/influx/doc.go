// Package influx keeps the samples of readmodels/series in InfluxDB, and answers for them as the embedded store does.
//
// A sample is one point. Its tags are subject, channel and series; its fields are the value as it was sent (in pieces of
// 64,000 bytes, the longest string that InfluxDB promises to take), the same as a float where it is a number, and its
// place: position of the event, index in it and length of the value.
//
// InfluxDB overwrites a point whose tags and time are those of an earlier one, so equal times need something else to tell
// them apart, and a repeated write must find the same again. Every sample has a number: how many came before it in its
// lane, one of 64 into which subjects fall by hash. The numbers follow from the order of events alone, and the checkpoint
// holds those reached, so that what is written again after a crash gets the numbers it had. Times are in whole
// milliseconds; the nanoseconds below say which of 999,999 samples of an era it is, and the tag "era" which era. Thus no two
// samples meet, however many have one time; within a millisecond (era, time) is the order of positions and indexes; and a
// series has a second era only after a million samples in its lane, 64 million altogether: there is next to no additional
// cardinality. What clients see is always the whole millisecond.
//
// Times before 1900 and after 2099, which no instrument means and InfluxDB could hold in part only, lie in measurements of
// their own, where 100 ns stand for a millisecond; and so do missing ones, with nothing but the number for a time.
//
// The checkpoint is a point too, written when everything up to it is there. Readers look at nothing beyond it.
//
// One process writes; others follow: they ask which build serves and where its checkpoint is, and read up to there. A build
// that has been replaced is dropped once they have had time to hear of it. Who has not heard of it by then is told so
// where samples could be missing.
package influx
