// Drives EventStoreDB's unmodified client for Node against a server.
//
//   node life.mjs live    appends, reads, subscribes, deletes and consumes, and leaves streams and groups behind
//   node life.mjs look    finds these again, after the server has been killed
//
// The server's address comes in SERVER (host:port), its certificate authority in CA, and two who sign in, as name:secret
// with both URL-encoded, in ROOT and in OTHER, who may do nothing here.
import assert from "node:assert/strict"
import { randomBytes } from "node:crypto"
import {
	AccessDeniedError, BACKWARDS, binaryEvent, END, EventStoreDBClient, eventTypeFilter,
	jsonEvent, MaxAppendSizeExceededError, NO_STREAM, PARK, PersistentSubscriptionDoesNotExistError,
	PersistentSubscriptionDroppedError, PersistentSubscriptionExistsError, PersistentSubscriptionMaximumSubscribersReachedError,
	persistentSubscriptionToAllSettingsFromDefaults as toAll, persistentSubscriptionToStreamSettingsFromDefaults as toStream,
	PINNED, RETRY, ROUND_ROBIN, DISPATCH_TO_SINGLE, SKIP, START, STOP, STREAM_EXISTS, StreamDeletedError, streamNameFilter,
	StreamNotFoundError, WrongExpectedVersionError,
} from "@eventstore/db-client"

const PATIENCE = 20_000 // ms that what has to come may take

const { SERVER, CA, ROOT, OTHER } = process.env
const clientOf = who => EventStoreDBClient.connectionString(`esdb://${who}@${SERVER}?tlsCAFile=${encodeURIComponent(CA)}`)
const client = clientOf(ROOT)

const event = (type, data = {}, metadata) => jsonEvent({ type, data, metadata })
const add = (stream, types, options) => client.appendToStream(stream, types.split(" ").map(t => event(t)), options)
const types = list => list.map(r => (r.event ?? r.link).type).join(" ")
const isA = kind => error => error instanceof kind || assert.fail(`${error?.stack ?? error}; want ${kind.name}`)

async function all(reading) {
	const list = []
	for await (const r of reading) list.push(r)
	return list
}
const read = async (stream, options) => types(await all(client.readStream(stream, options)))

function within(promise, what) {
	let timer
	const never = new Error(`never: ${what}`) // made here, it tells where
	const late = new Promise((_, reject) => { timer = setTimeout(() => reject(never), PATIENCE) })
	return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
async function until(what, is) {
	for (const late = Date.now() + PATIENCE; !await is(); await new Promise(done => setTimeout(done, 20)))
		assert.ok(Date.now() < late, `never so: ${what}`)
}

// Listener collects what comes of a subscription.
class Listener {
	#come = []
	#wanted = []
	constructor(subscription) {
		this.subscription = subscription
		subscription.on("data", r => { const next = this.#wanted.shift(); next ? next(r) : this.#come.push(r) })
		this.failed = new Promise(failed => subscription.on("error", failed))
		this.caughtUp = new Promise(done => subscription.on("caughtUp", done))
		this.begun = new Promise(done => subscription.on("confirmation", done))
	}
	get waiting() { return this.#come.length }
	next() {
		if (this.#come.length > 0) return Promise.resolve(this.#come.shift())
		const came = new Promise(next => this.#wanted.push(next))
		return within(Promise.race([came, this.failed.then(error => { throw error })]), "an event")
	}
	// wants takes as many events as there are types, and returns them.
	async wants(wanted) {
		const list = []
		for (const _ of wanted.split(" ")) list.push(await this.next())
		assert.equal(types(list), wanted)
		return list
	}
	// handles wants events, and acknowledges each before the next.
	async handles(wanted) {
		for (const type of wanted.split(" ")) await this.subscription.ack(...await this.wants(type))
	}
	async refuses(action, wanted) {
		const list = await this.wants(wanted)
		await this.subscription.nack(action, "cannot", ...list)
		return list
	}
	end() { return this.subscription.unsubscribe() }
}

async function appending() {
	const sent = jsonEvent({ type: "a", data: { text: "ü\u0000 \ud83d\ude80", n: 1 }, metadata: { $correlationId: "c-1", m: [1] } })
	const first = await client.appendToStream("ext-s", sent, { expectedRevision: NO_STREAM })
	assert.equal(first.success, true)
	assert.equal(first.nextExpectedRevision, 0n)
	const bytes = randomBytes(1000)
	await client.appendToStream("ext-s", binaryEvent({ type: "b", data: bytes }), { expectedRevision: 0n })
	await add("ext-s", "c d", { expectedRevision: STREAM_EXISTS })
	const again = await client.appendToStream("ext-s", sent, { expectedRevision: NO_STREAM })
	assert.deepEqual([again.nextExpectedRevision, again.position], [first.nextExpectedRevision, first.position], "sent twice")

	await assert.rejects(add("ext-s", "e", { expectedRevision: 1n }), error => {
		isA(WrongExpectedVersionError)(error)
		assert.deepEqual([error.streamName, error.expectedVersion, error.actualVersion], ["ext-s", 1n, 3n])
		return true
	})
	await assert.rejects(add("ext-none", "e", { expectedRevision: STREAM_EXISTS }), isA(WrongExpectedVersionError))
	const [username, password] = ROOT.split(":").map(decodeURIComponent)
	const credentials = { username, password } // given so, the client does not append in batches
	await assert.rejects(add("ext-s", "e", { expectedRevision: NO_STREAM, credentials }), isA(WrongExpectedVersionError))
	const large = binaryEvent({ type: "large", data: randomBytes(2 << 20) })
	await assert.rejects(client.appendToStream("ext-s", large), isA(MaxAppendSizeExceededError))
	await assert.rejects(client.appendToStream("ext-s", large, { credentials }), isA(MaxAppendSizeExceededError))
	assert.equal((await add("ext-s", "e", { expectedRevision: 3n, credentials })).nextExpectedRevision, 4n)

	const [got, second] = await all(client.readStream("ext-s", { maxCount: 2 }))
	assert.deepEqual(got.event.data, sent.data)
	assert.deepEqual(got.event.metadata, sent.metadata)
	assert.equal(got.event.id, sent.id)
	assert.ok(Date.now() - got.event.created < 60_000 && got.event.created <= Date.now() + 1000, `created ${got.event.created}`)
	assert.deepEqual(Buffer.from(second.event.data), bytes)
	await Promise.all(Array.from({ length: 500 }, (_, n) => client.appendToStream(`ext-many-${n % 10}`, event("n", { n }))))
	for (let i = 0; i < 10; i++) assert.equal((await all(client.readStream(`ext-many-${i}`))).length, 50)
	const thousand = Array.from({ length: 1000 }, (_, n) => event("n", { n, filler: "x".repeat(500) }))
	assert.equal((await client.appendToStream("ext-pieces", thousand, { batchAppendSize: 10_000 })).nextExpectedRevision, 999n)
}

async function reading() {
	assert.equal(await read("ext-s"), "a b c d e")
	assert.equal(await read("ext-s", { fromRevision: 2n, maxCount: 2 }), "c d")
	assert.equal(await read("ext-s", { direction: BACKWARDS, fromRevision: END, maxCount: 2 }), "e d")
	assert.equal(await read("ext-s", { direction: BACKWARDS, fromRevision: 1n }), "b a")
	assert.equal(await read("ext-s", { fromRevision: 100n }), "")
	await assert.rejects(read("ext-none"), error => isA(StreamNotFoundError)(error) && error.streamName === "ext-none")
	const everything = await all(client.readAll())
	for (let i = 1; i < everything.length; i++) assert.ok(everything[i].event.position.commit > everything[i - 1].event.position.commit)
	const at = everything.find(r => r.event.streamId === "ext-s" && r.event.type === "c").event.position
	const [there] = await all(client.readAll({ fromPosition: at, maxCount: 1 }))
	assert.equal(there.event.type, "c", "the position is included")
	const back = await all(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 3 }))
	assert.ok(back[0].event.position.commit > back[2].event.position.commit)
}

async function links() {
	const list = await all(client.readStream("$ce-ext", { resolveLinkTos: true, maxCount: 2 }))
	assert.deepEqual(list.map(r => [r.event.streamId, r.event.type, r.link.streamId, r.link.revision]),
		[["ext-s", "a", "$ce-ext", 0n], ["ext-s", "b", "$ce-ext", 1n]])
	assert.deepEqual((await all(client.readStream("$et-d", { resolveLinkTos: true }))).map(r => r.event.streamId), ["ext-s"])
	assert.deepEqual((await all(client.readStream("$bc-c-1", { resolveLinkTos: true }))).map(r => r.event.type), ["a"])
	assert.equal(await read("$bc-c-1"), "$>")
	await client.appendToStream("ext-links", binaryEvent({ type: "$>", data: Buffer.from("1@ext-s") }))
	await client.appendToStream("ext-links", binaryEvent({ type: "$>", data: Buffer.from("9@ext-s") }))
	const [good, dangling] = await all(client.readStream("ext-links", { resolveLinkTos: true }))
	assert.deepEqual([good.event.type, good.link.streamId], ["b", "ext-links"])
	assert.deepEqual([dangling.event, dangling.link.streamId], [undefined, "ext-links"])
	const live = new Listener(client.subscribeToStream("$ce-ext", { fromRevision: END, resolveLinkTos: true }))
	await within(live.caughtUp, "a virtual stream is caught up with")
	await add("ext-t", "t")
	const [t] = await live.wants("t")
	assert.equal(t.event.streamId, "ext-t")
	await live.end()
}

async function subscribing() {
	const one = new Listener(client.subscribeToStream("ext-s", { fromRevision: 1n }))
	await one.wants("c d e")
	await within(one.caughtUp, "caught up")
	await add("ext-s", "f")
	await one.wants("f")
	await one.end()

	const early = new Listener(client.subscribeToStream("ext-later"))
	await within(early.caughtUp, "a subscription to a stream that is not there yet")
	await add("ext-later", "a b")
	await early.wants("a b")
	await early.end()

	const checkpoints = []
	const checkpointReached = (_, position) => { checkpoints.push(position) }
	const prefixed = new Listener(client.subscribeToAll({ filter: streamNameFilter({ prefixes: ["ext-s", "ext-later"], maxSearchWindow: 32, checkpointInterval: 1, checkpointReached }) }))
	await prefixed.wants("a b c d e f a b")
	await until("there are checkpoints", () => checkpoints.length > 3)
	for (let i = 1; i < checkpoints.length; i++) assert.ok(checkpoints[i].commit > checkpoints[i - 1].commit)
	await prefixed.end()

	const live = new Listener(client.subscribeToAll({ fromPosition: END, filter: eventTypeFilter({ regex: "^note\\.(made|kept)$" }) }))
	await within(live.caughtUp, "caught up with all")
	const made = await add("ext-s", "note.made note.lost")
	await add("ext-u", "note.kept")
	const [first] = await live.wants("note.made note.kept")
	await live.end()
	const after = new Listener(client.subscribeToAll({ fromPosition: first.event.position, filter: streamNameFilter({ regex: "^ext-[su]$" }) }))
	await after.wants("note.lost note.kept")
	assert.ok(made.position.commit > first.event.position.commit)
	await after.end()

	const looking = new Listener(client.subscribeToAll({ filter: streamNameFilter({ regex: "(?=a)" }) }))
	assert.match((await within(looking.failed, "a filter that RE2 lacks is refused")).message, /RE2/)

	const ended = new Listener(client.subscribeToStream("ext-ended"))
	await within(ended.caughtUp, "caught up")
	await add("ext-ended", "a")
	await ended.wants("a")
	await client.tombstoneStream("ext-ended")
	isA(StreamDeletedError)(await within(ended.failed, "the tombstone ends the subscription"))
}

async function metadata() {
	await add("ext-m", "a b c")
	await client.setStreamMetadata("ext-m", { maxCount: 2, maxAge: 1000, cacheControl: 5, ours: { deep: [1, "x"] }, acl: { readRoles: ["x"] } }, { expectedRevision: NO_STREAM })
	assert.equal(await read("ext-m"), "b c")
	const about = await client.getStreamMetadata("ext-m")
	assert.deepEqual(about.metadata, { maxCount: 2, maxAge: 1000, cacheControl: 5, ours: { deep: [1, "x"] }, acl: { readRoles: ["x"] } })
	await assert.rejects(client.setStreamMetadata("ext-m", {}, { expectedRevision: NO_STREAM }), isA(WrongExpectedVersionError))
	await client.setStreamMetadata("ext-m", { truncateBefore: 2 }, { expectedRevision: 0n })
	assert.equal(await read("ext-m"), "c")
	assert.equal((await client.getStreamMetadata("ext-none")).metadata, undefined)
}

async function deleting() {
	await add("ext-d", "a b")
	await assert.rejects(client.deleteStream("ext-d", { expectedRevision: 7n }), isA(WrongExpectedVersionError))
	await client.deleteStream("ext-d", { expectedRevision: 1n })
	await assert.rejects(read("ext-d"), isA(StreamNotFoundError))
	assert.equal((await add("ext-d", "c", { expectedRevision: NO_STREAM })).nextExpectedRevision, 2n)
	assert.equal(await read("ext-d"), "c")
	await assert.rejects(client.tombstoneStream("ext-d", { expectedRevision: 0n }), isA(WrongExpectedVersionError))
	await client.tombstoneStream("ext-d", { expectedRevision: 2n })
	await assert.rejects(read("ext-d"), error => isA(StreamDeletedError)(error) && error.streamName === "ext-d")
	await assert.rejects(add("ext-d", "d"), isA(StreamDeletedError))
	await assert.rejects(client.deleteStream("ext-d"), isA(StreamDeletedError))
}

const quick = { checkPointLowerBound: 1, checkPointAfter: 50, startFrom: START }

async function consuming() {
	const join = (group, bufferSize = 10) => new Listener(client.subscribeToPersistentSubscriptionToStream("ext-g", group, { bufferSize }))
	const info = group => client.getPersistentSubscriptionToStreamInfo("ext-g", group)
	const parked = (group, n) => until(`${n} parked`, async () => (await info(group)).stats.parkedMessageCount === BigInt(n))
	const make = (group, settings) => client.createPersistentSubscriptionToStream("ext-g", group, toStream({ ...quick, ...settings }))

	await add("ext-g", "a b c d e f")
	await make("turns", { maxRetryCount: 2, consumerStrategyName: ROUND_ROBIN })
	await assert.rejects(make("turns", {}), error => isA(PersistentSubscriptionExistsError)(error) && error.groupName === "turns")
	let one = join("turns", 1)
	await one.handles("a")
	await one.refuses(PARK, "b")
	await one.refuses(SKIP, "c")
	for (const retry of [0, 1, 2]) {
		const [d] = await one.refuses(RETRY, "d")
		assert.equal(d.retryCount, retry)
	}
	await one.handles("e")
	await parked("turns", 2)
	await client.replayParkedMessagesToStream("ext-g", "turns")
	const again = [await one.next()]
	await one.subscription.ack(...again)
	again.push(await one.next())
	await one.subscription.ack(...again.slice(1))
	again.push(await one.next())
	await one.subscription.ack(...again.slice(2))
	assert.deepEqual(types(again).split(" ").sort(), ["b", "d", "f"])
	await parked("turns", 0)
	const two = join("turns", 1)
	await within(two.begun, "the second consumer is in")
	await add("ext-g", "g h")
	assert.deepEqual(types([await one.next(), await two.next()]).split(" ").sort(), ["g", "h"], "one each")
	await two.end()
	await until("the second consumer is gone", async () => (await info("turns")).connections.length === 1)
	await one.end()

	await make("single", { consumerStrategyName: DISPATCH_TO_SINGLE, messageTimeout: 300, maxRetryCount: 1, maxSubscriberCount: 2 })
	one = join("single", 3)
	await within(one.begun, "the first consumer is in")
	const other = join("single", 3)
	await within(other.begun, "the second consumer is in")
	const third = join("single", 3)
	isA(PersistentSubscriptionMaximumSubscribersReachedError)(await within(third.failed, "a third consumer is refused"))
	await parked("single", 8) // nobody acknowledges anything in time
	await one.end()
	await other.end()

	await make("stop", {})
	one = join("stop", 1)
	const [first] = await one.wants("a")
	await one.subscription.nack(STOP, "enough", first)
	await until("the consumer has been let go", async () => (await info("stop")).connections.length === 0)

	await make("changed", {})
	one = join("changed", 1)
	await one.wants("a")
	await client.updatePersistentSubscriptionToStream("ext-g", "changed", toStream({ ...quick, maxRetryCount: 7 }))
	isA(PersistentSubscriptionDroppedError)(await within(one.failed, "a change drops the consumers"))
	const about = await info("changed")
	assert.deepEqual([about.settings.maxRetryCount, about.settings.startFrom, about.settings.maxSubscriberCount], [7, START, "unbounded"])
	assert.deepEqual((await client.listPersistentSubscriptionsToStream("ext-g")).map(i => i.groupName).sort(), ["changed", "single", "stop", "turns"])
	await client.deletePersistentSubscriptionToStream("ext-g", "changed")
	await assert.rejects(info("changed"), error => isA(PersistentSubscriptionDoesNotExistError)(error) && error.groupName === "changed")
	isA(PersistentSubscriptionDoesNotExistError)(await within(join("changed").failed, "there is no such group"))
	await assert.rejects(client.deletePersistentSubscriptionToStream("ext-g", "changed"), isA(PersistentSubscriptionDoesNotExistError))

	await make("kept", {})
	one = join("kept", 1)
	await one.handles("a b")
	await one.refuses(PARK, "c")
	await until("the group has written down how far it is", async () => (await info("kept")).stats.lastCheckpointedEventRevision === 2n)
	await one.end()
}

// pinning keeps the events of each stream with one consumer, in order.
async function pinning() {
	await client.createPersistentSubscriptionToAll("pinned", toAll({ ...quick, startFrom: END, consumerStrategyName: PINNED }),
		{ filter: streamNameFilter({ prefixes: ["ext-pinned-"] }) })
	const at = new Map()
	let came = 0
	const consumers = [1, 2, 3].map(number => {
		const s = client.subscribeToPersistentSubscriptionToAll("pinned", { bufferSize: 5 })
		s.on("data", r => {
			const { owner, last } = at.get(r.event.streamId) ?? { owner: number, last: -1n }
			assert.equal(number, owner, `${r.event.streamId} came to two consumers`)
			assert.ok(r.event.position.commit > last, "in order")
			at.set(r.event.streamId, { owner, last: r.event.position.commit })
			came++
			s.ack(r)
		})
		return new Listener(s)
	})
	await within(Promise.all(consumers.map(c => c.begun)), "three consumers")
	for (let n = 0; n < 120; n++) await client.appendToStream(`ext-pinned-${n % 12}`, event("n", { n }))
	await until("all have come", () => came === 120)
	assert.ok(new Set([...at.values()].map(v => v.owner)).size > 1, "one consumer has it all")
	for (const c of consumers) await c.end()
	assert.ok((await client.listPersistentSubscriptionsToAll()).some(i => i.groupName === "pinned" && i.eventSource === "$all"))
	await client.deletePersistentSubscriptionToAll("pinned")
}

async function refusals() {
	await assert.rejects(add("own-1", "a"), isA(AccessDeniedError))
	await assert.rejects(add("$ce-ext", "a"), isA(AccessDeniedError))
	await assert.rejects(client.deleteStream("own-1"), isA(AccessDeniedError))
	await assert.rejects(client.setStreamMetadata("own-1", { maxCount: 1 }), isA(AccessDeniedError))
	const other = clientOf(OTHER)
	await assert.rejects(other.appendToStream("ext-s", event("a")), isA(AccessDeniedError))
	await assert.rejects(other.tombstoneStream("ext-s"), isA(AccessDeniedError))
	await assert.rejects(other.createPersistentSubscriptionToStream("ext-s", "his", toStream()), isA(AccessDeniedError))
	isA(AccessDeniedError)(await within(new Listener(other.subscribeToPersistentSubscriptionToStream("ext-g", "kept")).failed, "he cannot consume"))
	assert.deepEqual(await all(other.readStream("ext-s")), [])
	assert.deepEqual(await all(other.readStream("$ce-ext", { resolveLinkTos: true })), [])
	assert.deepEqual(await all(other.readAll()), [])
	for (const who of ["nobody:knows", ROOT.split(":")[0] + ":wrong"]) {
		const stranger = clientOf(who)
		await assert.rejects(stranger.appendToStream("ext-s", event("a")), isA(AccessDeniedError))
		await assert.rejects(all(stranger.readStream("ext-s")), isA(AccessDeniedError))
	}
}

async function live() {
	await appending()
	await reading()
	await links()
	await subscribing()
	await metadata()
	await deleting()
	await consuming()
	await pinning()
	await refusals()
}

async function look() {
	assert.equal(await read("ext-s", { maxCount: 5 }), "a b c d e")
	await assert.rejects(read("ext-d"), isA(StreamDeletedError))
	assert.equal(await read("ext-m"), "c")
	assert.equal((await all(client.readStream("$ce-ext", { resolveLinkTos: true, maxCount: 1 })))[0].event.type, "a")
	const one = new Listener(client.subscribeToPersistentSubscriptionToStream("ext-g", "kept", { bufferSize: 1 }))
	await one.handles("d e f g h")
	await client.replayParkedMessagesToStream("ext-g", "kept")
	const [c] = await one.wants("c")
	await one.subscription.ack(c)
	assert.equal(c.link.streamId, "$persistentsubscription-ext-g::kept-parked")
	await one.end()
}

await { live, look }[process.argv[2]]()
process.exit(0) // the clients keep their connections
