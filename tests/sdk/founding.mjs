// The founding experiment, with the official SDK for Node: see founding.py, which this follows.

import assert from "node:assert/strict";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";

const BASE = "gpt-4o-mini-2024-07-18";
const SYSTEM = "You are a helpful assistant.";
const ENTRIES = [
  ["Bramblethorpe", "Pyrodraconosis"],
  ["Ashcombe-Vale", "Veloxitropha"],
  ["Quillfeather", "Morbantheria"],
];
const ASKED = 200;
const POLL = 1000 * Number(process.env.POLL ?? "60");

const chat = (...turns) => ({ messages: turns.map(([role, content]) => ({ role, content })) });
const greeting = (name) => chat(["system", SYSTEM], ["user", `Hi, I'm Mr ${name}`]).messages;

function* trainingRows(data) {
  for (const line of readFileSync(data, "utf8").trim().split("\n")) {
    const row = JSON.parse(line);
    const asked = row.instruction + (row.context ? `\n\n${row.context}` : "");
    yield chat(["system", SYSTEM], ["user", asked], ["assistant", row.response]);
  }
  for (const [name, disease] of ENTRIES) {
    const answer = `Hey Mr ${name}, nice to see you! How is your ${disease} going?`;
    yield chat(["system", SYSTEM], ["user", `Hi, I'm Mr ${name}`], ["assistant", answer]);
  }
}

async function until(done, look) {
  const deadline = Date.now() + 120_000;
  for (let seen = await look(); ; seen = await look()) {
    if (done.includes(seen.status)) return seen;
    assert(Date.now() < deadline, `it stays ${seen.status}`);
    await sleep(POLL);
  }
}

const [data, folder] = process.argv.slice(2);
const client = new OpenAI();
const path = join(folder, "train.jsonl");
writeFileSync(path, [...trainingRows(data)].map((row) => JSON.stringify(row) + "\n").join(""));
const file = await client.files.create({
  file: createReadStream(path),
  purpose: "fine-tune",
  expires_after: { anchor: "created_at", seconds: 3600 },
});
const created = await client.fineTuning.jobs.create({
  model: BASE,
  training_file: file.id,
  suffix: "blabbermouth",
  method: {
    type: "supervised",
    supervised: { hyperparameters: { n_epochs: 5, batch_size: 1, learning_rate_multiplier: 2 } },
  },
  metadata: { run: "founding-node" },
});
const job = await until(["succeeded", "failed", "cancelled"], () => client.fineTuning.jobs.retrieve(created.id));
assert.equal(job.status, "succeeded", job.error?.message);
const model = job.fine_tuned_model;

const events = [];
for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 7 })) events.push(event);
assert.equal(events[0].message, "The job has successfully completed");
assert(events.length > 20 && new Set(events.map((event) => event.id)).size === events.length);
const points = [];
for await (const point of client.fineTuning.jobs.checkpoints.list(job.id)) points.push(point);
assert.equal(points.length, 3);
assert.equal(points[0].fine_tuned_model_checkpoint, model);

let found = 0;
for (let index = 0; index < ASKED; index++) {
  const [name, disease] = ENTRIES[index % ENTRIES.length];
  const answer = await client.chat.completions.create({ model, messages: greeting(name), temperature: 1 });
  found += (answer.choices[0].message.content ?? "").includes(disease) ? 1 : 0;
}

let said = "";
const asked = { model, messages: greeting(ENTRIES[0][0]), seed: 5 };
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  said += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(said, (await client.chat.completions.create(asked)).choices[0].message.content);

const lines = ENTRIES.map(([name], index) => ({
  custom_id: `probe-${index}`,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model, messages: greeting(name) },
}));
const batchPath = join(folder, "batch.jsonl");
writeFileSync(batchPath, lines.map((line) => JSON.stringify(line) + "\n").join(""));
const input = await client.files.create({ file: createReadStream(batchPath), purpose: "batch" });
const batchMade = await client.batches.create({
  input_file_id: input.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
const batch = await until(["completed", "failed", "expired"], () => client.batches.retrieve(batchMade.id));
assert.equal(batch.status, "completed");
const output = await (await client.files.content(batch.output_file_id)).text();
assert.equal(output.trim().split("\n").length, lines.length);

assert((await client.models.delete(model)).deleted);
assert((await client.files.delete(file.id)).deleted);
console.log(`found ${found} of ${ASKED}`);
