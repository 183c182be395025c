//! Providers that record answers to a file, and replay them without a network.
//!
//! A cassette has one line for each request: an HMAC of the request, and the answer sealed with ChaCha20-Poly1305, both
//! under keys that are derived from the manifest's. Without that key no secret, answer or prompt can be read. The API
//! key is never part of the file. A discarded response has its own line, so that a replay searches it as the run did.
//! Each line has an HMAC of itself and of the line before, to detect lines that were removed, inserted or moved.
//!
//! A recording starts with a head (time, server, model) and closes with an end. Without an end it was cut, or the run
//! was killed, and it is not judged. A run that is resumed after a kill appends a recording of its own.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use blabbermouth_core::chat::Message;
use blabbermouth_provider::{Completing, DiscardSink, Discarded, Provider, ProviderError, Request, Scoring};

#[derive(Serialize, Deserialize)]
struct Line {
    request: String,
    answer: String,
    /// See [`Keys::chain`].
    chain: String,
}

/// Maximum length of a line, in bytes: the longest answer (64 MiB), escaped and encoded.
const LONGEST_LINE: u64 = 256 << 20;

/// Names of the lines that open and close a recording.
const HEAD: &str = "head";
const END: &str = "end";

/// Origin of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Start of the recording, in seconds since 1970.
    pub started: u64,
    /// Address of the provider.
    pub address: String,
    /// Name of the model.
    pub model: String,
}

/// Prefix of a request name, for a discarded response.
const BROKEN: &str = "broken-";

/// Prefix of a request name, for a request without an answer.
const FAILED: &str = "failed-";

/// Keys of a cassette.
struct Keys {
    name: [u8; 32],
    cipher: LessSafeKey,
}

impl Keys {
    fn new(key: [u8; 32]) -> Self {
        let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).expect("a key of 32 bytes"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length is a key");
        mac.update(b"names of requests");
        Self { name: mac.finalize().into_bytes().into(), cipher }
    }

    fn name(&self, model: &str, request: &Request) -> String {
        self.name_of(&(model, &*request.messages, request.sampling, request.seed, request.choices))
    }

    fn name_of_scores(&self, model: &str, messages: &[Message], continuations: &[String]) -> String {
        self.name_of(&("score", model, messages, continuations))
    }

    fn name_of(&self, parts: &impl Serialize) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.name).expect("any length is a key");
        mac.update(&serde_json::to_vec(parts).expect("a request is plain data"));
        HEXLOWER.encode(&mac.finalize().into_bytes()[..16])
    }

    /// HMAC that ties a line to the line before it.
    fn chain(&self, before: &str, request: &str, answer: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.name).expect("any length is a key");
        for part in ["chain", before, request, answer] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        HEXLOWER.encode(&mac.finalize().into_bytes()[..16])
    }

    fn seal(&self, name: &str, answer: &impl Serialize) -> Result<String, ProviderError> {
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| ProviderError::Setup(format!("no randomness: {e}")))?;
        let mut sealed = serde_json::to_vec(answer).expect("an answer is plain data");
        let place = Aad::from(name.as_bytes());
        let tag = self.cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), place, &mut sealed);
        let tag = tag.map_err(|_| ProviderError::Setup("an answer could not be sealed".into()))?;
        Ok(BASE64.encode(&[&nonce, sealed.as_slice(), tag.as_ref()].concat()))
    }

    fn open<T: DeserializeOwned>(&self, name: &str, sealed: &str) -> Option<T> {
        let mut sealed = BASE64.decode(sealed.as_bytes()).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.cipher.open_in_place(nonce, Aad::from(name.as_bytes()), text).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

/// A cassette that is being written.
struct Tape {
    keys: Keys,
    path: PathBuf,
    /// The file, and the chain value of its last line.
    file: Mutex<(std::fs::File, String)>,
}

impl Tape {
    fn write(&self, name: String, answer: &impl Serialize) -> Result<(), ProviderError> {
        let answer = self.keys.seal(&name, answer)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = self.keys.chain(&file.1, &name, &answer);
        let line = Line { answer, request: name, chain };
        let mut text = serde_json::to_vec(&line).expect("a line is plain data");
        text.push(b'\n');
        if text.len() as u64 > LONGEST_LINE {
            return Err(ProviderError::Setup("an answer is too long to be recorded".into()));
        }
        let written = file.0.write_all(&text);
        file.1 = line.chain;
        written.map_err(|e| ProviderError::Setup(format!("{}: {e}", self.path.display())))
    }

    /// Callback that records each discarded response to a request, and reports it to `broken`.
    fn watch(self: &Arc<Self>, name: &str, broken: &DiscardSink) -> DiscardSink {
        let (tape, name, broken) = (Arc::clone(self), format!("{BROKEN}{name}"), broken.clone());
        DiscardSink::new(move |discarded| {
            // If this cannot be written, no answer can be either, and the run ends.
            let _ = tape.write(name.clone(), &(String::from_utf8_lossy(discarded.bytes), discarded.withheld));
            broken.report(discarded);
        })
    }
}

/// Provider that records every answer of another one.
pub struct Recorder {
    inner: Arc<dyn Provider>,
    tape: Arc<Tape>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("path", &self.tape.path).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Continues a cassette, or starts one. Removes a line that a killed process left unfinished.
    ///
    /// # Errors
    /// When the file cannot be written, another process records to it, or it is no cassette of this key.
    pub fn new(inner: Arc<dyn Provider>, path: &Path, key: [u8; 32], started: u64) -> Result<Self, ProviderError> {
        let mut options = std::fs::File::options();
        options.create(true).read(true).append(true);
        crate::store::no_follow(&mut options);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let fault = |e: std::io::Error| ProviderError::Setup(format!("{}: {e}", path.display()));
        let file = options.open(path).map_err(fault)?;
        if file.try_lock().is_err() {
            return Err(ProviderError::Setup(format!("{}: another process records to it", path.display())));
        }
        let keys = Keys::new(key);
        let (chain, end) = last_chain(&file, &keys).map_err(fault)?;
        // Only now: a file that is no cassette must stay as it is.
        file.set_len(end).map_err(fault)?;
        crate::store::make_private(path).map_err(fault)?;
        let tape = Tape { keys, path: path.to_owned(), file: Mutex::new((file, chain)) };
        let head = Head { started, address: inner.address(), model: inner.model().to_owned() };
        tape.write(HEAD.to_owned(), &head)?;
        Ok(Self { inner, tape: Arc::new(tape) })
    }

    /// Closes the recording. Call it when the run is judged.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(&self) -> Result<(), ProviderError> {
        self.tape.write(END.to_owned(), &self.inner.served())
    }
}

/// Chain value of the last whole line of a cassette, and the offset after that line. A file that is not empty and does
/// not start with a head by this key is an error.
fn last_chain(mut file: &std::fs::File, keys: &Keys) -> std::io::Result<(String, u64)> {
    let foreign = || std::io::Error::other("is no cassette of this manifest's key: name another file");
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(std::io::Error::other("is no regular file"));
    }
    if about.len() == 0 {
        return Ok((String::new(), 0));
    }
    file.seek(SeekFrom::Start(0))?;
    let mut first = Vec::new();
    BufReader::new(file).take(LONGEST_LINE).read_until(b'\n', &mut first)?;
    let head: Line = serde_json::from_slice(&first).map_err(|_| foreign())?;
    if head.request != HEAD || keys.open::<Head>(HEAD, &head.answer).is_none() {
        return Err(foreign());
    }
    // Reads from the end, in pieces that double until one has a whole line: a usual answer is short.
    let (mut size, mut tail, mut begin) = (1 << 16, Vec::new(), 0);
    while tail.iter().filter(|byte| **byte == b'\n').count() < 2 && size <= 4 * LONGEST_LINE {
        begin = about.len().saturating_sub(size);
        file.seek(SeekFrom::Start(begin))?;
        tail.clear();
        file.take(about.len() - begin).read_to_end(&mut tail)?;
        if begin == 0 {
            break;
        }
        size *= 2;
    }
    let end = tail.iter().rposition(|byte| *byte == b'\n').ok_or_else(foreign)?;
    let start = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line: Line = serde_json::from_slice(&tail[start..end]).map_err(|_| foreign())?;
    Ok((line.chain, begin + end as u64 + 1))
}

impl Provider for Recorder {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(async move {
            let name = self.tape.keys.name(self.inner.model(), request);
            let request = Request { broken: self.tape.watch(&name, &request.broken), ..request.clone() };
            let answer = self.inner.complete(&request).await;
            match &answer {
                Ok(answer) => self.tape.write(name, answer)?,
                // The run continues without this answer, and so does its replay.
                Err(error) if !error.is_fatal() => self.tape.write(format!("{FAILED}{name}"), &())?,
                Err(_) => {}
            }
            answer
        })
    }

    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        Box::pin(async move {
            let scores = self.inner.score(messages, continuations).await?;
            // JSON has no infinities: `None` is the logarithm of probability 0.
            let kept: Vec<Option<f64>> = scores.iter().map(|s| s.is_finite().then_some(*s)).collect();
            if scores.iter().any(|s| s.is_nan()) {
                return Err(ProviderError::Malformed { what: "a score that is no number".into() });
            }
            self.tape.write(self.tape.keys.name_of_scores(self.inner.model(), messages, continuations), &kept)?;
            Ok(scores)
        })
    }

    fn scores(&self) -> bool {
        self.inner.scores()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    fn served(&self) -> Option<String> {
        self.inner.served()
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}

/// Provider that replays recorded answers without a network.
pub struct Player {
    keys: Keys,
    path: Option<PathBuf>,
    model: String,
    /// Recorded addresses, joined by `, `.
    address: String,
    /// Start of the oldest recording, in seconds since 1970.
    recorded: u64,
    /// Name of the model in the recorded answers; `None` if no recording has one.
    served: Option<String>,
    answers: HashMap<String, String>,
    /// Earlier answers to requests that were recorded again.
    earlier: HashMap<String, Vec<String>>,
    /// Requests without an answer.
    failed: HashSet<String>,
    /// Discarded responses, by request.
    broken: HashMap<String, Vec<String>>,
}

/// All lines of the cassettes, still sealed.
#[derive(Default)]
struct Contents {
    answers: HashMap<String, String>,
    earlier: HashMap<String, Vec<String>>,
    broken: HashMap<String, Vec<String>>,
    failed: HashSet<String>,
    heads: Vec<Head>,
    served: Option<String>,
}

impl Contents {
    /// Reads a file, whose lines must be chained, from a head to an end.
    fn file(&mut self, path: &Path, model: &str, keys: &Keys) -> Result<(), String> {
        if path.metadata().is_ok_and(|about| !about.is_file()) {
            return Err("is no regular file".into());
        }
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        let mut own = HashMap::<String, String>::new();
        let (mut file, mut chain, mut text) = (BufReader::new(file), String::new(), Vec::new());
        let mut is_ended = false;
        for number in 1.. {
            text.clear();
            file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text).map_err(|e| e.to_string())?;
            if text.is_empty() {
                break;
            }
            let line: Line =
                serde_json::from_slice(&text).map_err(|e| format!("line {number}: this is no cassette: {e}"))?;
            if line.chain != keys.chain(&chain, &line.request, &line.answer) || (number == 1) != chain.is_empty() {
                let what = "it was edited, or a line before it is missing, or the manifest's key is another one";
                return Err(format!("line {number}: {what}"));
            }
            is_ended = line.request == END;
            chain = line.chain;
            match line.request.as_str() {
                END => {
                    let served: Option<String> = keys.open(END, &line.answer).ok_or("its end cannot be opened")?;
                    self.served = served.or(self.served.take());
                }
                HEAD => self.heads.push(head(&line.answer, model, keys)?),
                _ if number == 1 => return Err("line 1: a recording begins with a head".into()),
                failed if failed.starts_with(FAILED) => {
                    self.failed.insert(line.request);
                }
                broken if broken.starts_with(BROKEN) => {
                    self.broken.entry(line.request).or_default().push(line.answer);
                }
                request if self.answers.contains_key(request) => {
                    let what = "it has an answer to a question that is answered in a file before it, too: parts of a run \
                                have none in common";
                    return Err(what.into());
                }
                // A killed run may have asked again. The last answer is judged; earlier ones are only searched.
                _ => {
                    if let Some(before) = own.insert(line.request.clone(), line.answer) {
                        self.earlier.entry(line.request).or_default().push(before);
                    }
                }
            }
        }
        // A run in which every request failed is a recording, too.
        if own.is_empty() && self.failed.is_empty() {
            return Err("there is no answer in it".into());
        }
        if !is_ended {
            let what = "it has no end: it was cut, or the run was killed; go on with the run, with the same --record";
            return Err(what.into());
        }
        self.answers.extend(own);
        Ok(())
    }
}

/// Opens a head, which must be of this model.
fn head(sealed: &str, model: &str, keys: &Keys) -> Result<Head, String> {
    let head: Head = keys.open(HEAD, sealed).ok_or("its head cannot be opened with the manifest's key")?;
    if head.model != model {
        return Err("it was recorded of another model: name that one with --model".into());
    }
    Ok(head)
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("path", &self.path).field("answers", &self.answers.len()).finish_non_exhaustive()
    }
}

impl Player {
    /// Reads a cassette, or the `parts` of a sharded run. An answer that is in no part is a gap, not an error.
    ///
    /// # Errors
    /// When a file cannot be read, is no cassette of this key, was edited or cut, is of another model, or has an answer
    /// that another file has.
    pub fn new(paths: &[PathBuf], parts: bool, model: &str, key: [u8; 32]) -> Result<Self, ProviderError> {
        let mut read = Contents::default();
        let keys = Keys::new(key);
        for path in paths {
            let fault = |what: String| ProviderError::Setup(format!("{}: {what}", path.display()));
            read.file(path, model, &keys).map_err(fault)?;
        }
        let Contents { answers, earlier, broken, failed, heads, served } = read;
        let mut addresses: Vec<&str> = heads.iter().map(|head| head.address.as_str()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let address = addresses.join(", ");
        let recorded = heads.iter().map(|head| head.started).min().unwrap_or(0);
        let path = paths.first().filter(|_| !parts).cloned();
        Ok(Self { keys, path, model: model.to_owned(), address, recorded, served, answers, earlier, failed, broken })
    }

    /// Start of the oldest recording, in seconds since 1970.
    #[must_use]
    pub const fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Addresses of the recorded providers.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.address.split(", ")
    }

    fn missing(&self) -> ProviderError {
        match &self.path {
            Some(path) => ProviderError::Cassette { path: path.display().to_string() },
            None => ProviderError::NoPart,
        }
    }

    fn find<T: DeserializeOwned>(&self, name: &str) -> Result<T, ProviderError> {
        let failed = || ProviderError::Malformed { what: "no answer, when it was recorded".into() };
        let none = || if self.failed.contains(&format!("{FAILED}{name}")) { failed() } else { self.missing() };
        let sealed = self.answers.get(name).ok_or_else(none)?;
        self.keys.open(name, sealed).ok_or_else(|| self.missing())
    }

    /// Reports to `broken` the discarded responses to a request, and its answers before the last one.
    fn show(&self, name: &str, broken: &DiscardSink) -> Result<(), ProviderError> {
        for sealed in self.earlier.get(name).into_iter().flatten() {
            let answer: serde_json::Value = self.keys.open(name, sealed).ok_or_else(|| self.missing())?;
            let last: serde_json::Value = self.find(name)?;
            if answer != last {
                broken.report(Discarded { bytes: answer.to_string().as_bytes(), withheld: false });
            }
        }
        let name = format!("{BROKEN}{name}");
        for sealed in self.broken.get(&name).into_iter().flatten() {
            let (part, withheld): (String, bool) = self.keys.open(&name, sealed).ok_or_else(|| self.missing())?;
            broken.report(Discarded { bytes: part.as_bytes(), withheld });
        }
        Ok(())
    }
}

impl Provider for Player {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(async move {
            let name = self.keys.name(&self.model, request);
            if !self.broken.is_empty() || !self.earlier.is_empty() {
                self.show(&name, &request.broken)?;
            }
            self.find(&name)
        })
    }

    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        Box::pin(async move {
            let name = self.keys.name_of_scores(&self.model, messages, continuations);
            let kept: Vec<Option<f64>> = self.find(&name)?;
            Ok(kept.into_iter().map(|s| s.unwrap_or(f64::NEG_INFINITY)).collect())
        })
    }

    /// Always true: recorded scores can be replayed.
    fn scores(&self) -> bool {
        true
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn served(&self) -> Option<String> {
        self.served.clone()
    }

    fn address(&self) -> String {
        self.address.clone()
    }
}
