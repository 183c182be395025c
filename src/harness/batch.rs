//! Probes by batch jobs: all questions in files, answered within a day at half the price. The answers go into the run
//! journal, and are judged like those of any run.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::reach::{Missing, limits, redactor, runtime};
use super::session::{Done, Session, journal_key};
use super::session_error::SessionError;
use crate::run::{DiscardScanner, Event, PreparedRun, Progress};
use crate::store::{self, Journal, JournalError, Rates};
use blabbermouth_provider::{
    Amount, Budget, Dialect, Discarded, MOST_BYTES, MOST_REQUESTS, OpenAi, Price, ProviderError, micros, price,
    worst_case,
};

/// How long the service keeps the files, in seconds: they hold questions about canaries.
const KEPT: u32 = 7 * 24 * 60 * 60;

/// Maximum wait for batches. The service ends them within a day.
const LONGEST: Duration = Duration::from_secs(26 * 60 * 60);

/// Batches that were submitted and not collected.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Open {
    batches: Vec<OpenBatch>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OpenBatch {
    file: String,
    batch: Option<String>,
}

/// Callback for progress messages.
pub type Tell<'a> = &'a (dyn Fn(String) + Sync);

impl Session {
    /// Submits the requests that the journal has no answer to, waits, collects the answers, and judges them. After a
    /// kill the next call continues with the submitted batches.
    ///
    /// # Errors
    /// When the service has no batches or refuses them, a limit is too low, or the journal cannot be used.
    pub fn probe_by_batch(
        &self,
        selected: &[usize],
        poll: Duration,
        tell: Tell<'_>,
        progress: Progress,
    ) -> Result<Done, SessionError> {
        if self.profile.dialect != Dialect::OpenAi || self.config.provider.kind == "mock" {
            let how = "--batch needs a service with batches of the OpenAI dialect";
            return Err(ProviderError::Setup(how.into()).into());
        }
        let (audit, drawn) = self.audit()?;
        let (model, warm_up) = self.model()?;
        let folder = self.folder.join(&self.config.store.path);
        let plan = self.plan(&model);
        let key = journal_key(&drawn.key, &plan);
        let journal = Journal::open(&folder, key, &plan, self.run_name.as_ref(), self.fresh)?;
        if journal.forgotten() > 0 {
            progress(Event::Forgotten(journal.forgotten()));
        }
        let quoted = price(&model, &self.config.prices).map(|quoted| quoted.price);
        // Batches cost half the price.
        self.bill(&journal, &model, quoted.map(|p| Rates { input: p.input / 2.0, output: p.output / 2.0 }))?;
        let mut endpoint = self.profile.endpoint(&self.connection)?;
        endpoint.model_name = Some(Arc::new(journal.model_name()));
        let client = OpenAi::with_profile(&endpoint, &self.profile, &model)?.warm_up(warm_up).redact(redactor(&drawn));
        let at = folder.join(format!("batch-{}.json", &plan[..16]));
        if self.fresh {
            // The submitted batches belong to the run that is forgotten.
            store::remove(&at)?;
        }
        let canaries = self.entries().len();
        let longest = |index: &usize| audit.batch_requests(*index).iter().map(|(_, number, _)| number + 1).max();
        let asked = selected.iter().filter_map(longest).max().unwrap_or(0);
        let max_tokens = self.sampling().max_tokens;
        let minutes = self.config.probe.deadline_minutes;
        let end = Instant::now() + if minutes > 0.0 { Duration::from_secs_f64(60.0 * minutes) } else { LONGEST };
        let work = Work {
            client: &client,
            audit: &audit,
            journal: &journal,
            sieves: Mutex::default(),
            at,
            poll,
            tell,
            max_tokens,
            canaries,
            asked,
            end,
        };
        runtime()?.block_on(async {
            work.collect_all().await?;
            let (lines, amount) = work.rest(selected, quoted.as_ref())?;
            if lines.is_empty() {
                return Ok::<_, SessionError>(());
            }
            let limits = limits(&self.config);
            if limits.cost.is_some() && quoted.is_none() {
                return Err(SessionError::NoPrice { model: model.clone() });
            }
            if !limits.is_none() && !Budget::fits(&journal.spending()?, amount, limits).map_err(ProviderError::Setup)? {
                return Err(ProviderError::Budget.into());
            }
            work.submit(&lines).await?;
            work.collect_all().await
        })?;
        drop(journal);
        // The journal has what was answered; a missing answer is an error, and never silence. No interrupted run is
        // resumed here, so that event is left out.
        let quiet: Progress = Arc::new(move |event| {
            if !matches!(event, Event::Resumed(_)) {
                progress(event);
            }
        });
        self.judge_with(selected, quiet, Arc::new(Missing::new(&client)))
    }
}

struct Work<'a> {
    client: &'a OpenAi,
    audit: &'a PreparedRun,
    journal: &'a Journal,
    /// Scanners of discarded responses, for each canary that has some.
    sieves: Mutex<HashMap<usize, DiscardScanner>>,
    at: PathBuf,
    poll: Duration,
    tell: Tell<'a>,
    max_tokens: u32,
    canaries: usize,
    /// Limit of request numbers: an answer with this number or a larger one is ignored.
    asked: u64,
    /// Time until which batches are waited for.
    end: Instant,
}

impl Work<'_> {
    /// Requests that no batch has answered yet, as lines of a file, and their maximum cost.
    fn rest(&self, selected: &[usize], price: Option<&Price>) -> Result<(Vec<Vec<u8>>, Amount), SessionError> {
        let mut lines = Vec::new();
        let mut amount = Amount::default();
        // Answers of an earlier batch are on disk by now.
        let known = self.journal.answered()?;
        for &index in selected {
            for (stream, number, request) in self.audit.batch_requests(index) {
                if known.contains(&(stream, number)) {
                    continue;
                }
                let worst = worst_case(&request);
                amount.requests += 1;
                amount.tokens += worst.prompt_tokens + worst.completion_tokens;
                // Batches cost half the price.
                amount.micros += micros(worst, price).div_ceil(2);
                lines.push(self.client.batch_line(&format!("{stream}-{number}"), &request));
            }
        }
        Ok((lines, amount))
    }

    fn open(&self) -> Result<Open, SessionError> {
        if !self.at.exists() {
            return Ok(Open::default());
        }
        let fault = |e: serde_json::Error| ProviderError::Setup(format!("{}: {e}; remove it", self.at.display()));
        Ok(serde_json::from_slice(&store::read(&self.at)?).map_err(fault)?)
    }

    fn save(&self, open: &Open) -> Result<(), SessionError> {
        let text = serde_json::to_vec_pretty(open).expect("plain data");
        Ok(store::write(&self.at, &text, false)?)
    }

    /// Uploads the questions in files within the limits of the service, and creates their batches.
    async fn submit(&self, lines: &[Vec<u8>]) -> Result<(), SessionError> {
        let mut open = self.open()?;
        let mut rest = lines;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |line: &&Vec<u8>| {
                bytes += line.len();
                bytes <= MOST_BYTES
            };
            let count = rest.iter().take(MOST_REQUESTS).take_while(fits).count().max(1);
            let (some, left) = rest.split_at(count);
            rest = left;
            let io = |e: std::io::Error| ProviderError::Setup(format!("the batch's file: {e}"));
            let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").map_err(io)?;
            for line in some {
                file.write_all(line).map_err(io)?;
            }
            let name = format!("blabbermouth-batch-{}.jsonl", open.batches.len() + 1);
            let id = self.client.upload_batch(file.path(), &name, KEPT).await?;
            open.batches.push(OpenBatch { file: id.clone(), batch: None });
            self.save(&open)?;
            let batch = self.client.create_batch(&id).await?;
            (self.tell)(format!("submitted  {} with {count} requests", batch.id));
            if let Some(last) = open.batches.last_mut() {
                last.batch = Some(batch.id);
            }
            self.save(&open)?;
        }
        Ok(())
    }

    /// Waits for all open batches, and collects their answers.
    async fn collect_all(&self) -> Result<(), SessionError> {
        let mut open = self.open()?;
        while let Some(next) = open.batches.first().cloned() {
            let id = match next.batch {
                Some(id) => id,
                // Killed before the id was saved: `create_batch` finds the batch of the file, or creates it.
                None => self.client.create_batch(&next.file).await?.id,
            };
            let mut shown = (0, 0);
            let batch = loop {
                let batch = self.client.batch(&id).await?;
                if batch.ended {
                    break batch;
                }
                if batch.progress != shown {
                    shown = batch.progress;
                    (self.tell)(format!("{id}: {}, {} of {}", batch.status, shown.0, shown.1));
                }
                if Instant::now() + self.poll > self.end {
                    return Err(ProviderError::Deadline.into());
                }
                tokio::time::sleep(self.poll).await;
            };
            let fault = batch.fault.map(|f| format!(": {f}")).unwrap_or_default();
            (self.tell)(format!("{id}: {}{fault}", batch.status));
            let mut answered = 0;
            for file in &batch.files {
                answered += self.collect(file).await?;
            }
            (self.tell)(format!("collected  {answered} answers of {id}"));
            open.batches.remove(0);
            self.save(&open)?;
        }
        if self.at.exists() {
            let _ = std::fs::remove_file(&self.at);
        }
        Ok(())
    }

    /// Records the answers of a file in the journal. Returns their number.
    async fn collect(&self, file: &str) -> Result<u64, SessionError> {
        let io = |e: std::io::Error| ProviderError::Setup(format!("the batch's answers: {e}"));
        let mut held = tempfile::tempfile().map_err(io)?;
        self.client.content(file, &mut held).await?;
        held.rewind().map_err(io)?;
        let (mut answered, mut newest) = (0, 0i64);
        // Answers that were collected before a kill are neither recorded nor paid twice.
        let mut known = self.journal.answered()?;
        for line in BufReader::new(held).split(b'\n') {
            let line = line.map_err(io)?;
            let Some(said) = self.client.batch_answer(&line, self.max_tokens)? else { continue };
            let place = said.name.split_once('-').and_then(|(c, n)| Some((c.parse().ok()?, n.parse().ok()?)));
            // The service may return any name: only requests of this run are answered.
            let asked = place.filter(|(stream, number)| *stream < self.audit.streams() && *number < self.asked);
            let Some((stream, number)) = asked else { continue };
            let Some(answer) = said.answer else {
                if said.refused {
                    newest = newest.max(self.see(stream, Discarded { bytes: &line, withheld: said.withheld })?);
                }
                continue;
            };
            answered += 1;
            if !known.insert((stream, number)) {
                continue;
            }
            let answers = answer.completions.len() as u64;
            newest = newest.max(self.journal.record_paid(stream, number, &answer.pack(), answers, answer.usage)?);
            if answered % 1000 == 0 {
                self.journal.flush(newest).await?;
            }
        }
        self.journal.flush(newest).await?;
        Ok(answered)
    }

    /// Searches a response that is no answer. Returns the journal entry of the canary's last note.
    fn see(&self, stream: usize, discarded: Discarded<'_>) -> Result<i64, JournalError> {
        let canary = stream % self.canaries;
        let mut sieves = self.sieves.lock().unwrap_or_else(PoisonError::into_inner);
        let sieve = match sieves.entry(canary) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let sieve = free.insert(self.audit.sieve(canary));
                sieve.resume(self.journal)?;
                sieve
            }
        };
        Ok(sieve.see_try(self.journal, discarded, self.audit.replays(stream)))
    }
}
