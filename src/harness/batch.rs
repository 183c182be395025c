//! Probing by batch jobs: all questions in files, answered within a day at half the price. The answers
//! go into the run journal, and are judged as those of any run.

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

/// How long the service keeps the files: they hold questions about canaries.
const KEPT: u32 = 7 * 24 * 60 * 60;

/// The longest wait for batches, which the service ends within a day.
const LONGEST: Duration = Duration::from_secs(26 * 60 * 60);

/// What is known of batches that were submitted and not collected.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Open {
    batches: Vec<OpenBatch>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OpenBatch {
    file: String,
    batch: Option<String>,
}

/// What is told on the way.
pub type Tell<'a> = &'a (dyn Fn(String) + Sync);

impl Session {
    /// Submits what the journal has no answer to, waits, collects, and judges. A killed run goes on with
    /// the batches that it submitted.
    ///
    /// # Errors
    /// When the service has no batches, refuses them, or the journal cannot be used.
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
        // Half the price.
        self.bill(&journal, &model, quoted.map(|p| Rates { input: p.input / 2.0, output: p.output / 2.0 }))?;
        let mut endpoint = self.profile.endpoint(&self.connection)?;
        endpoint.model_name = Some(Arc::new(journal.model_name()));
        let client = OpenAi::with_profile(&endpoint, &self.profile, &model)?.warm_up(warm_up).redact(redactor(&drawn));
        let at = folder.join(format!("batch-{}.json", &plan[..16]));
        if self.fresh {
            // Their answers are of the run that is forgotten.
            store::remove(&at)?;
        }
        let canaries = self.entries().len();
        let longest = |index: &usize| audit.batch_requests(*index).iter().map(|(_, number, _)| number + 1).max();
        let asked = selected.iter().take(1).filter_map(longest).max().unwrap_or(0);
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
        // The journal has what was answered; what is missing is an error, and never silence.
        // It is no interrupted run that goes on.
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
    /// What searches answers that do not count, of each canary that has some.
    sieves: Mutex<HashMap<usize, DiscardScanner>>,
    at: PathBuf,
    poll: Duration,
    tell: Tell<'a>,
    max_tokens: u32,
    canaries: usize,
    /// Requests for each canary.
    asked: u64,
    /// Until when batches are waited for.
    end: Instant,
}

impl Work<'_> {
    /// The requests that no batch has answered yet, as lines, and what they take at most.
    fn rest(&self, selected: &[usize], price: Option<&Price>) -> Result<(Vec<Vec<u8>>, Amount), SessionError> {
        let mut lines = Vec::new();
        let mut amount = Amount::default();
        // What an earlier batch answered is in the file of the journal by now.
        let known = self.journal.answered()?;
        for &index in selected {
            for (stream, number, request) in self.audit.batch_requests(index) {
                if known.contains(&(stream, number)) {
                    continue;
                }
                let worst = worst_case(&request);
                amount.requests += 1;
                amount.tokens += worst.prompt_tokens + worst.completion_tokens;
                // Half the price.
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

    /// Uploads the questions in as many files as the service's limits ask for, and creates their batches.
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

    /// Waits for all batches that are open, and takes their answers.
    async fn collect_all(&self) -> Result<(), SessionError> {
        let mut open = self.open()?;
        while let Some(next) = open.batches.first().cloned() {
            let id = match next.batch {
                Some(id) => id,
                // Killed before it was noted: it is found by its file, or created now.
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

    /// Puts the answers of a file into the journal.
    async fn collect(&self, file: &str) -> Result<u64, SessionError> {
        let io = |e: std::io::Error| ProviderError::Setup(format!("the batch's answers: {e}"));
        let mut held = tempfile::tempfile().map_err(io)?;
        self.client.content(file, &mut held).await?;
        held.rewind().map_err(io)?;
        let (mut answered, mut newest) = (0, 0i64);
        // What was collected before a kill is neither kept nor counted twice.
        let mut known = self.journal.answered()?;
        for line in BufReader::new(held).split(b'\n') {
            let line = line.map_err(io)?;
            let Some(said) = self.client.batch_answer(&line, self.max_tokens)? else { continue };
            let place = said.name.split_once('-').and_then(|(c, n)| Some((c.parse().ok()?, n.parse().ok()?)));
            // The service may say anything: only what was asked is answered.
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

    /// Searches what came and is no answer; gives the entry of what was noted last of its canary.
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
