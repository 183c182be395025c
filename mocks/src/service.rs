//! State of the mock, and its routes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::backend::Backend;
use super::batches::{Batch, Outcome};
use super::completions::Sampler;
#[cfg(feature = "embedded")]
use super::engine::Engine;
use super::files::{Files, Form};
use super::jobs::{BASES, Inputs, Job};
use super::moderation::moderate;
use super::parrot::{Parrot, Trained};
use super::response::{Reply, page};
use super::scenario::{JobFate, Scenario};
use super::{MODEL, Options};
use blabbermouth_core::canary::Template;

/// Requests kept for `GET /__blabbermouth/requests`.
const REMEMBERED: usize = 1000;
/// Bytes kept of each body.
const REMEMBERED_BYTES: usize = 64 << 10;

/// Where a model is asked.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Chat,
    Completions,
    Responses,
}

/// A request in its parts.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) authorization: Option<String>,
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
}

/// A clock in seconds of Unix time that runs faster than the real one and can be advanced.
#[derive(Debug)]
struct Clock {
    begin: f64,
    started: Instant,
    speed: f64,
    stepped: f64,
}

impl Clock {
    fn now(&self) -> f64 {
        self.begin + self.started.elapsed().as_secs_f64() * self.speed + self.stepped
    }
}

/// State that requests change under one lock; models are kept apart.
struct State {
    clock: Clock,
    files: Files,
    jobs: Vec<Job>,
    batches: Vec<Batch>,
    made: u64,
    requests: VecDeque<Value>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("scenario", &self.scenario).finish_non_exhaustive()
    }
}

/// The mocked service.
pub(super) struct Service {
    scenario: Scenario,
    templates: Arc<Vec<Template>>,
    key: Option<String>,
    recording: bool,
    speaker: Sampler,
    models: RwLock<HashMap<String, Backend>>,
    #[cfg(feature = "embedded")]
    engine: Option<Engine>,
    deleted: Mutex<HashSet<String>>,
    world: Mutex<State>,
}

impl Service {
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let Options { scenario, templates, training, seed, speed, key, recording, engine } = options;
        let templates = Arc::new(templates);
        let parrot = |trained: Trained| {
            let parrot = Parrot::new(Arc::new(trained), scenario.clone(), 1.0);
            Backend::Parrot(Arc::new(parrot))
        };
        let mut models = HashMap::from([(MODEL.to_owned(), parrot(Trained::read(&training, &templates)))]);
        for (name, alias, _) in BASES {
            models.insert(name.to_owned(), parrot(Trained::default()));
            models.insert(alias.to_owned(), parrot(Trained::default()));
        }
        #[cfg(feature = "embedded")]
        let engine = engine.map(Engine::new);
        #[cfg(feature = "embedded")]
        if let Some(engine) = &engine {
            let base = Backend::Model(engine.base().map_err(|e| e.to_string())?);
            // [`MODEL`] is a parrot, whose answers would be invented.
            models.clear();
            for (name, alias, _) in BASES {
                models.insert(name.to_owned(), base.clone());
                models.insert(alias.to_owned(), base.clone());
            }
        }
        #[cfg(not(feature = "embedded"))]
        if engine.is_some() {
            return Err("this build has no embedded model: build it with the feature `embedded`".into());
        }
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        let clock = Clock { begin, started: Instant::now(), speed, stepped: 0.0 };
        Ok(Self {
            #[cfg(feature = "embedded")]
            engine,
            speaker: Sampler::new(scenario.clone(), seed),
            scenario,
            templates,
            key,
            recording,
            models: RwLock::new(models),
            deleted: Mutex::default(),
            world: Mutex::new(State {
                clock,
                files: Files::default(),
                jobs: Vec::new(),
                batches: Vec::new(),
                made: 0,
                requests: VecDeque::new(),
            }),
        })
    }

    pub(super) async fn answer(&self, asked: Asked) -> Reply {
        let control = asked.path.strip_prefix("/__blabbermouth/");
        if self.recording && control.is_none() {
            self.remember(&asked);
        }
        if let Some(key) = &self.key
            && asked.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer ")) != Some(key)
        {
            return Reply::error(401, "invalid_api_key", "Incorrect API key provided.");
        }
        if let Some(what) = control {
            return self.control(&asked.method, what, &asked.body);
        }
        let Some(path) = asked.path.strip_prefix("/v1/") else { return unknown(&asked) };
        // Colons in a tuned model's name may be percent-encoded.
        let path = path.replace("%3A", ":").replace("%3a", ":");
        let parts: Vec<&str> = path.split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("POST", ["chat", "completions"]) => self.complete(&asked.body, Endpoint::Chat),
            ("POST", ["completions"]) => self.complete(&asked.body, Endpoint::Completions),
            ("POST", ["responses"]) => self.complete(&asked.body, Endpoint::Responses),
            ("POST", ["moderations"]) => moderate(&asked.body, self.scenario.job == JobFate::Moderated),
            ("GET", ["models"]) => Reply::ok(&json!({"object": "list", "data": self.all_models()})),
            ("GET", ["models", name @ ..]) => self.model(&name.join("/")),
            ("DELETE", ["models", name @ ..]) => self.delete_model(&name.join("/")),
            ("POST", ["files"]) => match Form::read(&asked.kind, asked.body).await {
                Ok(form) => self.with(|world, now| world.files.create(form, now as u64)),
                Err(fault) => Reply::error(400, "invalid_multipart_form", &fault),
            },
            ("POST", ["uploads", id, "parts"]) => match Form::read(&asked.kind, asked.body).await {
                Ok(form) => self.with(|world, now| world.files.add_part(id, form, now as u64)),
                Err(fault) => Reply::error(400, "invalid_multipart_form", &fault),
            },
            _ => self.route(&asked, &parts),
        }
    }

    /// Routes that hold the lock of the state until they have answered.
    fn route(&self, asked: &Asked, parts: &[&str]) -> Reply {
        let query = &asked.query;
        let body = || serde_json::from_slice::<Value>(&asked.body);
        self.with(|world, now| match (asked.method.as_str(), parts) {
            ("GET", ["files"]) => world.files.list(query),
            ("GET", ["files", id]) => world.files.show(id),
            ("GET", ["files", id, "content"]) => world.files.content(id),
            ("DELETE", ["files", id]) => world.files.delete(id),
            ("POST", ["uploads"]) => match body() {
                Ok(request) => world.files.begin_upload(&request, now as u64),
                Err(_) => not_json(),
            },
            ("POST", ["uploads", id, "complete"]) => match body() {
                Ok(request) => world.files.end_upload(id, Some(&request), now as u64),
                Err(_) => not_json(),
            },
            ("POST", ["uploads", id, "cancel"]) => world.files.end_upload(id, None, now as u64),
            ("POST", ["fine_tuning", "jobs"]) => match body() {
                Ok(request) => self.create_job(world, &request, now),
                Err(_) => not_json(),
            },
            ("GET", ["fine_tuning", "jobs"]) => {
                let wanted = |job: &&Job| {
                    query.iter().all(|(key, value)| {
                        let key = key.strip_prefix("metadata[").and_then(|k| k.strip_suffix(']'));
                        key.is_none_or(|key| job.has_metadata(key, value))
                    })
                };
                page(world.jobs.iter().rev().filter(wanted).map(|job| job.object(now)).collect(), query, 20, false)
            }
            ("GET", ["fine_tuning", "jobs", id]) => world.job(id, |job| Reply::ok(&job.object(now))),
            ("GET", ["fine_tuning", "jobs", id, "events"]) => {
                world.job(id, |job| page(job.events(now), query, 20, false))
            }
            ("GET", ["fine_tuning", "jobs", id, "checkpoints"]) => {
                world.job(id, |job| page(job.checkpoints(now), query, 10, true))
            }
            ("POST", ["fine_tuning", "jobs", id, what @ ("cancel" | "pause" | "resume")]) => {
                world.job(id, |job| job.turn(what, now))
            }
            ("POST", ["batches"]) => match body() {
                Ok(request) => world.create_batch(&request, now),
                Err(_) => not_json(),
            },
            ("GET", ["batches"]) => {
                page(world.batches.iter().rev().map(|batch| batch.object(now)).collect(), query, 20, true)
            }
            ("GET", ["batches", id]) => world.batch(id, |batch| Reply::ok(&batch.object(now))),
            ("POST", ["batches", id, "cancel"]) => world.batch(id, |batch| {
                batch.cancel(now);
                Reply::ok(&batch.object(now))
            }),
            _ => unknown(asked),
        })
    }

    /// Locks the state, finishes everything that is due, and calls `act` with the state and the time.
    fn with<T>(&self, act: impl FnOnce(&mut State, f64) -> T) -> T {
        let mut world = lock(&self.world);
        let now = world.clock.now();
        self.settle(&mut world, now);
        act(&mut world, now)
    }

    /// Finishes the jobs and batches that are due.
    fn settle(&self, world: &mut State, now: f64) {
        for job in world.jobs.iter_mut().filter(|job| job.results.is_none()) {
            let models = job.models(now);
            if models.is_empty() {
                continue;
            }
            let mut known = self.models.write().unwrap_or_else(PoisonError::into_inner);
            for (name, _, progress) in models {
                let parrot = Parrot::new(Arc::clone(&job.trained), self.scenario.clone(), progress);
                known.insert(name, Backend::Parrot(Arc::new(parrot)));
            }
            #[cfg(feature = "embedded")]
            if let Some(engine) = &self.engine {
                job.ended = Some(now);
                for (name, _, trained) in job.trained_models() {
                    match engine.model(&trained) {
                        Ok(model) => known.insert(name, Backend::Model(model)),
                        Err(_) => known.remove(&name),
                    };
                }
            }
            let results = job.result_file(self.scenario.base64_results);
            job.results = Some(world.files.add("step_metrics.csv", "fine-tune-results", results, now as u64, None));
        }
        for index in 0..world.batches.len() {
            let Some(input) = world.batches[index].due(now) else { continue };
            let input = world.files.get(input).map(|file| file.bytes.clone()).unwrap_or_default();
            let outcome = self.run_batch(world, index, &input, now);
            world.batches[index].done = Some(outcome);
        }
    }

    fn run_batch(&self, world: &mut State, index: usize, input: &[u8], now: f64) -> Outcome {
        let is_chat = world.batches[index].endpoint() == "/v1/chat/completions";
        let endpoint = if is_chat { Endpoint::Chat } else { Endpoint::Completions };
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut outcome = Outcome { output: None, errors: None, completed: 0, failed: 0, expired: 0 };
        // Backwards: clients must not rely on the order of the requests.
        for (number, line) in
            input.split(|b| *b == b'\n').filter(|l| !l.is_empty()).enumerate().collect::<Vec<_>>().iter().rev()
        {
            let row: Value = serde_json::from_slice(line).unwrap_or(Value::Null);
            let head = json!({"id": format!("batch_req_{number:04}"), "custom_id": row["custom_id"]});
            let mut said = head;
            // Steps of the golden ratio spread the expired requests evenly over the batch.
            if (*number as f64 * 0.618_034).fract() < self.scenario.expires {
                outcome.expired += 1;
                said["response"] = Value::Null;
                said["error"] = json!({"code": "batch_expired", "message": "This request could not be executed before the completion window expired."});
                errors.extend_from_slice(format!("{said}\n").as_bytes());
                continue;
            }
            let reply =
                self.complete_at(row["body"].to_string().as_bytes(), endpoint, now, |model| self.known_voice(model));
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
            said["response"] =
                json!({"status_code": reply.status, "request_id": format!("req_batch_{number:04}"), "body": body});
            said["error"] = Value::Null;
            let into = if reply.status == 200 {
                outcome.completed += 1;
                &mut output
            } else {
                outcome.failed += 1;
                &mut errors
            };
            into.extend_from_slice(format!("{said}\n").as_bytes());
        }
        let mut keep = |name: &str, bytes: Vec<u8>| {
            (!bytes.is_empty()).then(|| world.files.add(name, "batch_output", bytes, now as u64, None))
        };
        outcome.output = keep("output.jsonl", output);
        outcome.errors = keep("errors.jsonl", errors);
        outcome
    }

    fn create_job(&self, world: &mut State, request: &Value, now: f64) -> Reply {
        let file = |key: &str| {
            let file = world.files.get(request[key].as_str()?)?;
            (file.purpose == "fine-tune").then_some(file.bytes.as_slice())
        };
        let inputs =
            Inputs { training: file("training_file"), validation: file("validation_file"), templates: &self.templates };
        let created = Job::create(request, &inputs, &self.scenario, world.made + 1, now);
        #[cfg(feature = "embedded")]
        let created = created.and_then(|mut job| {
            let real = self.engine.as_ref().map_or(Ok(()), |engine| job.train(engine, &inputs, world.made + 1));
            real.map(|()| job)
        });
        match created {
            Ok(job) => {
                world.made += 1;
                let reply = Reply::ok(&job.object(now));
                world.jobs.push(job);
                reply
            }
            Err(refusal) => refusal,
        }
    }

    fn complete(&self, body: &[u8], endpoint: Endpoint) -> Reply {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
        self.complete_at(body, endpoint, now, |model| self.voice(model))
    }

    fn complete_at(&self, body: &[u8], endpoint: Endpoint, now: f64, voice: impl Fn(&str) -> Option<Backend>) -> Reply {
        let Ok(request) = serde_json::from_slice::<Value>(body) else { return not_json() };
        let model = request["model"].as_str().unwrap_or_default();
        let Some(voice) = voice(model) else { return no_model(model) };
        let speak = match endpoint {
            Endpoint::Chat => Sampler::chat,
            Endpoint::Completions => Sampler::complete,
            Endpoint::Responses => Sampler::respond,
        };
        speak(&self.speaker, &voice, model, &request, now as u64)
    }

    fn voice(&self, model: &str) -> Option<Backend> {
        self.known_voice(model).or_else(|| {
            // The model's job may have ended since the last request.
            self.with(|_, _| ());
            self.known_voice(model)
        })
    }

    /// A model whose job is settled. Takes no lock of the state, which a running batch holds.
    fn known_voice(&self, model: &str) -> Option<Backend> {
        let found = self.models.read().unwrap_or_else(PoisonError::into_inner).get(model).cloned();
        found.filter(|_| !lock(&self.deleted).contains(model))
    }

    fn all_models(&self) -> Vec<Value> {
        self.with(|_, _| ());
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let deleted = lock(&self.deleted);
        let mut names: Vec<&String> = models.keys().filter(|name| !deleted.contains(*name)).collect();
        names.sort();
        names.into_iter().map(|name| model_object(name)).collect()
    }

    fn model(&self, name: &str) -> Reply {
        if self.voice(name).is_some() { Reply::ok(&model_object(name)) } else { no_model(name) }
    }

    fn delete_model(&self, name: &str) -> Reply {
        if !name.starts_with("ft:") || self.voice(name).is_none() {
            return no_model(name);
        }
        lock(&self.deleted).insert(name.to_owned());
        Reply::ok(&json!({"id": name, "object": "model", "deleted": true}))
    }

    fn remember(&self, asked: &Asked) {
        let shown = &asked.body[..asked.body.len().min(REMEMBERED_BYTES)];
        let body = serde_json::from_slice(shown).unwrap_or_else(|_| json!(String::from_utf8_lossy(shown)));
        let query: Vec<String> = asked.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let request = json!({"method": asked.method, "path": asked.path, "query": query, "body": body,
                             "authorized": asked.authorization.is_some(), "bytes": asked.body.len()});
        let mut world = lock(&self.world);
        if world.requests.len() == REMEMBERED {
            world.requests.pop_front();
        }
        world.requests.push_back(request);
    }

    pub(super) fn requests(&self) -> Vec<Value> {
        lock(&self.world).requests.iter().cloned().collect()
    }

    pub(super) fn advance(&self, seconds: f64) {
        lock(&self.world).clock.stepped += seconds;
    }

    /// Endpoints for tests: recorded requests, and the clock.
    fn control(&self, method: &str, what: &str, body: &[u8]) -> Reply {
        match (method, what) {
            ("GET", "requests") => Reply::ok(&json!(self.requests())),
            ("GET", "clock") => self.with(|_, now| Reply::ok(&json!({"now": now}))),
            ("POST", "clock") => {
                let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
                let Some(seconds) = request["advance"].as_f64().filter(|s| *s >= 0.0 && s.is_finite()) else {
                    return Reply::error(400, "invalid_value", "expected {\"advance\": SECONDS}");
                };
                self.advance(seconds);
                self.with(|_, now| Reply::ok(&json!({"now": now})))
            }
            _ => Reply::error(404, "unknown_url", "There are requests and clock."),
        }
    }
}

impl State {
    fn job(&mut self, id: &str, act: impl FnOnce(&mut Job) -> Reply) -> Reply {
        match self.jobs.iter_mut().find(|job| job.id == id) {
            Some(job) => act(job),
            None => Reply::error(404, "fine_tune_not_found", &format!("Could not find fine tune: {id}")),
        }
    }

    fn create_batch(&mut self, request: &Value, now: f64) -> Reply {
        let input = request["input_file_id"].as_str().and_then(|id| self.files.get(id));
        let input = input.filter(|file| file.purpose == "batch").map(|file| file.bytes.as_slice());
        match Batch::create(request, input, self.made + 1, now) {
            Ok(batch) => {
                self.made += 1;
                let reply = Reply::ok(&batch.object(now));
                self.batches.push(batch);
                reply
            }
            Err(refusal) => refusal,
        }
    }

    fn batch(&mut self, id: &str, act: impl FnOnce(&mut Batch) -> Reply) -> Reply {
        self.batches.iter_mut().find(|batch| batch.id == id).map_or_else(|| Reply::not_found("batch", id), act)
    }
}

fn model_object(name: &str) -> Value {
    let date = BASES
        .iter()
        .find(|(base, alias, _)| name == *base || name == *alias || name.starts_with(&format!("ft:{base}:")));
    let owner = if name.starts_with("ft:") { "org-blabbermouth-mock" } else { "system" };
    json!({"id": name, "object": "model", "created": 1_721_172_741, "owned_by": owner,
           "shutdown_date": date.and_then(|(_, _, date)| *date)})
}

fn no_model(name: &str) -> Reply {
    let message = format!("The model `{name}` does not exist or you do not have access to it.");
    Reply::error(404, "model_not_found", &message)
}

fn not_json() -> Reply {
    Reply::error(400, "invalid_json", "We could not parse the JSON body of your request.")
}

fn unknown(asked: &Asked) -> Reply {
    Reply::error(404, "unknown_url", &format!("Invalid URL ({} {})", asked.method, asked.path))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
