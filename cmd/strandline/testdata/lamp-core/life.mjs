// Drives the unmodified SDK against a server, as an administrator, a researcher and a participant.
//
//   node life.mjs live STATE   lives a study from its first login on, and writes to the file STATE what it made and saw
//   node life.mjs look STATE   looks at everything again and fails if any answer differs from what STATE says
//
// The server and the root credential come in SERVER (host:port, https), ACCESS_KEY and SECRET_KEY.
import assert from "node:assert/strict"
import fs from "node:fs"

class Storage {
	#items = new Map()
	getItem(key) { return this.#items.get(key) ?? null }
	setItem(key, value) { this.#items.set(key, String(value)) }
	removeItem(key) { this.#items.delete(key) }
}
globalThis.localStorage = new Storage()
globalThis.sessionStorage = new Storage()
console.log = () => {} // the SDK prints the address with every call

const LAMP = (await import("lamp-core")).default.default
const server = process.env.SERVER
const T = 1_700_000_000_000 // ms; the study's first second
const events = Array.from({ length: 1000 }, (_, i) => ({
	timestamp: T + 1000 * i,
	sensor: i % 4 === 3 ? "lamp.heart_rate" : "lamp.accelerometer",
	data: i % 4 === 3 ? { value: 60 + (i % 40), unit: "bpm" } : { x: i / 7, y: 0.5 - i, z: 9.81, note: "ü\u0000 \ud83d\ude80" },
}))

const login = (id, password) => LAMP.Auth.set_identity({ id, password, serverAddress: server })
const asRoot = () => login(process.env.ACCESS_KEY, process.env.SECRET_KEY)
const plain = value => JSON.parse(JSON.stringify(value))
const done = (answer, what) => assert.equal(answer?.error, undefined, `${what}: ${JSON.stringify(answer)}`)
// made returns the id in the answer to a creation.
const made = (answer, what) => {
	done(answer, what)
	assert.match(answer.data, /^[0-9a-z]{20}$/, what)
	return answer.data
}
// fails: a refused list shows as a TypeError, or for sensor events as nothing.
const fails = async (call, what) => assert.equal(await call.catch(error => error instanceof TypeError ? undefined : error), undefined, what)

async function live() {
	await assert.rejects(login(process.env.ACCESS_KEY, "wrong"), /invalid id or password/)
	await asRoot()
	assert.equal(LAMP.Auth._type, "admin")
	const before = (await LAMP.Researcher.all()).length

	const r = made(await LAMP.Researcher.create({ name: "Dr. Anna Liddell" }), "researcher")
	const other = made(await LAMP.Researcher.create({ name: "Somebody else" }), "another researcher")
	assert.equal((await LAMP.Researcher.all()).length, before + 2)
	const [first, ...none] = await LAMP.Study.allByResearcher(r)
	assert.equal(first.name, "Dr. Anna Liddell", "a researcher comes with a study of the same name")
	assert.equal(none.length, 0)
	done(await LAMP.Credential.create(r, "anna@example.org", "se:cret", "hers"), "credential")
	done(await LAMP.Researcher.update(r, { name: "Dr. A. Liddell" }), "renaming")

	await login("anna@example.org", "se:cret")
	assert.equal(LAMP.Auth._type, "researcher")
	assert.equal(LAMP.Auth._me.id, r)
	assert.equal(LAMP.Auth._me.name, "Dr. A. Liddell")
	await fails(LAMP.Researcher.all(), "all researchers, as one of them")
	await fails(LAMP.Study.allByResearcher(other), "another researcher's studies")
	const study = made(await LAMP.Study.create(r, { name: "Sleep and mood" }), "study")
	done(await LAMP.Study.update(study, { name: "Sleep & mood" }), "renaming a study")
	const doomed = made(await LAMP.Study.create(r, { name: "never run" }), "second study")
	const p = (await LAMP.Participant.create(study, {})).data.id
	const q = (await LAMP.Participant.create(study, {})).data.id
	const gone = (await LAMP.Participant.create(study, {})).data.id
	for (const id of [p, q, gone]) assert.match(id, /^U\d{10}$/)
	done(await LAMP.Credential.create(p, `${p}@digitalpsych.org`, p, "Temporary Login"), "login")
	const again = await LAMP.Credential.create(q, `${p}@digitalpsych.org`, q)
	assert.equal(again.error, "403.access-key-already-in-use")
	done(await LAMP.Credential.create(q, "temporary", "x"), "a login to change")
	done(await LAMP.Credential.update(q, "temporary", { secret_key: "changed" }), "changing a secret")

	const survey = made(await LAMP.Activity.create(study, {
		spec: "lamp.survey", name: "Mood", category: ["assess"],
		settings: [{ type: "slider", text: "How are you?", options: [1, 2, 3] }],
		schedule: [{ start_date: "2026-01-01T00:00:00.000Z", time: "2026-01-01T09:00:00.000Z", repeat_interval: "daily", custom_time: null }],
	}), "activity")
	const dropped = made(await LAMP.Activity.create(study, { spec: "lamp.tips", name: "Tips" }), "second activity")
	const sensor = made(await LAMP.Sensor.create(study, { spec: "lamp.accelerometer", name: "Motion", settings: { hz: 5 } }), "sensor")
	const mute = made(await LAMP.Sensor.create(study, { spec: "lamp.gps", name: "Where" }), "second sensor")
	done(await LAMP.Activity.update(survey, { name: "Mood today" }), "renaming an activity")
	done(await LAMP.Sensor.update(sensor, { settings: { hz: 10 } }), "setting a sensor")
	done(await LAMP.Type.setAttachment(p, "me", "lamp.name", "Participant One"), "tag")
	done(await LAMP.Type.setAttachment(r, "Participant", "study.contact", { mail: "help@example.org" }), "tag for all participants")
	done(await LAMP.Type.setAttachment(study, "*", "study.colour", ["blue", null, 0, false, ""]), "tag for everything below")
	done(await LAMP.Type.setAttachment(p, "me", "to.be.cleared", 1), "tag to clear")
	done(await LAMP.Type.setAttachment(p, "me", "to.be.cleared", null), "clearing it")
	assert.equal((await LAMP.Type.getAttachment(p, "to.be.cleared")).error, "404.object-not-found")

	await login(`${p}@digitalpsych.org`, p)
	assert.equal(LAMP.Auth._type, "participant")
	assert.equal(LAMP.Auth._me.id, p)
	done(await LAMP.SensorEvent.create("me", events.slice(0, 400)), "batch")
	for (const e of events.slice(400, 420)) done(await LAMP.SensorEvent.create("me", e), "single event")
	done(await LAMP.SensorEvent.create(p, events.slice(420)), "batch")
	done(await LAMP.SensorEvent.create("me", []), "no events")
	done(await LAMP.ActivityEvent.create("me", [
		{ timestamp: T, duration: 3000, activity: survey, static_data: { mood: "fine" }, temporal_slices: [{ item: 1, value: 2, type: null, duration: 3, level: null }] },
		{ timestamp: T, duration: 3000, activity: survey },
		{ timestamp: T + 5, activity: dropped },
	]), "activity events")
	done(await LAMP.SensorEvent.create("me", Array.from({ length: 7 }, (_, i) => ({ timestamp: 1000 + i, sensor: "lamp.steps", data: i }))), "events to retract")
	done(await LAMP.SensorEvent.delete("me", "lamp.steps", 1002, 1005), "retracting three of them")
	await fails(LAMP.SensorEvent.allByParticipant(q), "another participant's events")
	assert.ok((await LAMP.SensorEvent.create(q, events[0])).error, "writing another participant's events")

	await login("anna@example.org", "se:cret")
	done(await LAMP.Activity.delete(dropped), "removing an activity")
	done(await LAMP.Sensor.delete(mute), "removing a sensor")
	done(await LAMP.Participant.delete(gone), "removing a participant")
	done(await LAMP.Study.delete(doomed), "removing a study")
	assert.equal((await LAMP.Study.delete(doomed)).error, "404.resource-not-found")
	done(await LAMP.Credential.delete(q, "temporary"), "revoking a credential")
	await assert.rejects(login("temporary", "changed"), /invalid id or password/)
	return { r, other, study, first: first.id, p, q, gone, doomed, survey, dropped, sensor, mute }
}

// look asks for everything that the study left, as each of the three, and returns the answers.
async function look(id) {
	const seen = {}
	await asRoot()
	seen.researchers = (await LAMP.Researcher.all()).map(x => x.id)
	seen.specs = [await LAMP.SensorSpec.all(), await LAMP.ActivitySpec.all()]
	seen.rootParent = await LAMP.Type.parent("me")

	await login("anna@example.org", "se:cret")
	seen.me = LAMP.Auth._me
	seen.studies = await LAMP.Study.allByResearcher("me")
	seen.participants = await LAMP.Participant.allByStudy(id.study)
	seen.activities = await LAMP.Activity.allByStudy(id.study)
	seen.sensors = await LAMP.Sensor.allByStudy(id.study)
	seen.credentials = [await LAMP.Credential.list(id.r), await LAMP.Credential.list(id.p), await LAMP.Credential.list(id.q)]
	seen.parents = [await LAMP.Type.parent(id.study), await LAMP.Type.parent(id.p), await LAMP.Type.parent(id.survey)]
	seen.gone = [await LAMP.Type.parent(id.gone), await LAMP.Type.parent(id.doomed), await LAMP.Type.parent(id.dropped), await LAMP.Type.parent(id.mute)]
	seen.forbidden = await LAMP.Type.parent(id.other)

	await login(`${id.p}@digitalpsych.org`, id.p)
	const sensorEvents = (...query) => LAMP.SensorEvent.allByParticipant("me", ...query)
	seen.newest = await sensorEvents()
	seen.oldest = await sensorEvents(undefined, undefined, undefined, -5)
	seen.range = await sensorEvents(undefined, T + 10_000, T + 20_000)
	seen.instant = await sensorEvents(undefined, T + 10_000, T + 10_000)
	seen.origin = await sensorEvents("lamp.heart_rate", undefined, undefined, 3)
	seen.steps = await sensorEvents("lamp.steps")
	seen.everything = await sensorEvents(undefined, undefined, undefined, 0)
	seen.activityEvents = await LAMP.ActivityEvent.allByParticipant("me")
	seen.activityOrigin = await LAMP.ActivityEvent.allByParticipant("me", id.survey)
	seen.tags = await LAMP.Type.listAttachments("me")
	for (const key of ["lamp.name", "study.contact", "study.colour", "to.be.cleared"]) seen[key] = await LAMP.Type.getAttachment("me", key)
	seen.siblings = [await LAMP.Activity.allByParticipant("me"), await LAMP.Sensor.allByParticipant("me")]
	return plain(seen)
}

// judge holds what was seen against what the contract promises.
function judge(id, seen) {
	const newestFirst = [...events].reverse()
	assert.deepEqual(seen.researchers.slice(-2), [id.r, id.other])
	assert.equal(seen.rootParent.error, "400.context-substitution-failed")
	assert.ok(seen.specs[0].length >= 20 && seen.specs[1].length >= 30, "a fresh installation has specs")
	assert.deepEqual(seen.studies.map(x => [x.id, x.name]), [[id.first, "Dr. Anna Liddell"], [id.study, "Sleep & mood"]])
	assert.deepEqual(seen.participants.map(x => x.id), [id.p, id.q])
	assert.deepEqual(seen.activities.map(x => [x.id, x.name, x.spec]), [[id.survey, "Mood today", "lamp.survey"]])
	assert.deepEqual(seen.activities[0].category, ["assess"])
	assert.deepEqual(seen.sensors.map(x => [x.id, x.settings]), [[id.sensor, { hz: 10 }]])
	assert.deepEqual(seen.credentials.map(x => x.data?.map(c => c.access_key) ?? x.map(c => c.access_key ?? c.accessKey)), [["anna@example.org"], [`${id.p}@digitalpsych.org`], []])
	assert.ok(!JSON.stringify(seen.credentials).includes("cret\""), "secrets stay on the server")
	assert.deepEqual(seen.parents.map(x => x.data), [{ Researcher: id.r }, { Study: id.study, Researcher: id.r }, { Study: id.study, Researcher: id.r }])
	assert.deepEqual(seen.gone.map(x => x.error), Array(4).fill("404.resource-not-found"))
	assert.equal(seen.forbidden.error, "403.security-context-out-of-scope")
	assert.deepEqual(seen.newest, newestFirst)
	assert.deepEqual(seen.oldest.map(x => x.timestamp), [1000, 1001, 1005, 1006, T])
	assert.deepEqual(seen.range, events.slice(10, 20).reverse())
	assert.deepEqual(seen.instant, [events[10]])
	assert.deepEqual(seen.origin, newestFirst.filter(x => x.sensor === "lamp.heart_rate").slice(0, 3))
	assert.deepEqual(seen.steps.map(x => x.data), [6, 5, 1, 0])
	assert.equal(seen.everything.length, 1004)
	assert.deepEqual(seen.activityEvents.map(x => [x.timestamp, x.activity]), [[T + 5, id.dropped], [T, id.survey], [T, id.survey]])
	assert.deepEqual(seen.activityOrigin.map(x => x.static_data), [{}, { mood: "fine" }])
	assert.deepEqual([...seen.tags.data].sort(), ["lamp.name", "study.colour", "study.contact"])
	assert.equal(seen["lamp.name"].data, "Participant One")
	assert.deepEqual(seen["study.contact"].data, { mail: "help@example.org" })
	assert.deepEqual(seen["study.colour"].data, ["blue", null, 0, false, ""])
	assert.equal(seen["to.be.cleared"].error, "404.object-not-found")
	assert.deepEqual(seen.siblings.map(list => list.map(x => x.id)), [[id.survey], [id.sensor]])
}

const [, , phase, file] = process.argv
if (phase === "live") {
	const id = await live()
	const seen = await look(id)
	judge(id, seen)
	fs.writeFileSync(file, JSON.stringify({ id, seen }))
} else {
	const { id, seen } = JSON.parse(fs.readFileSync(file, "utf8"))
	assert.deepEqual(await look(id), seen)
}
process.stdout.write(`${phase}: as expected\n`)
