//! Each known fault of a service, a proxy or a network: on every request, on some of them, and from the middle of a run
//! on. No fault makes a verdict greener or sends the key elsewhere, and no answered request is asked again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use blabbermouth::canary::{Key, Space};
use serde_json::{Value, json};

use crate::{blabbermouth, project, text};

pub(crate) const KEY: &str = "sk-test-0123456789";
/// Delay of a late answer, longer than every time limit in these tests.
const LATE: Duration = Duration::from_secs(3);
/// Headers that ask for a quick retry, so that a test need not wait.
const SOON: &str = "content-type: application/json\r\nretry-after-ms: 1\r\n";
const BUSY: &[u8] = br#"{"error":{"message":"later","code":"busy"}}"#;

/// The end of a response, right after the answer's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum End {
    Reset,
    Closed,
    /// The body is complete, its JSON is not.
    Json,
    /// Spaces follow without end.
    Endless,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// HTTP 429 with these headers.
    Limited(&'static str),
    Status(u16),
    /// A final refusal: status and code.
    Refuses(u16, &'static str),
    /// The provider's content filter refuses.
    Filtered,
    /// An error body with HTTP status 200.
    ErrorBody,
    Closed,
    /// Resets the connection: `false` before the response, `true` in its middle.
    Reset(bool),
    /// Closes the connection before the announced length.
    Cut,
    /// One byte now and then: `false` from the headers on, `true` in the body.
    Late(bool),
    Endless,
    Redirect,
    Html,
    WrongType,
    /// The body is complete, its JSON is not.
    CutJson,
    WrongShape,
    /// The answer is in the body, under the wrong key.
    Misplaced,
    Said(End),
    /// The key `content` occurs twice; with `true` the answer is the first of the two.
    Doubled(bool),
    Nested,
    /// 64 MB of zeros, compressed.
    Bomb,
    NoChoices,
    NullContent,
    /// One choice, however many were requested.
    OneChoice,
    OtherModel,
    NoUsage,
    Usage(&'static str),
}

/// The expected reaction to a fault.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// Retries up to six attempts; then the run ends with exit code 4 and this message.
    Again(&'static str),
    /// No retry: exit code and message.
    Ends(i32, &'static str),
    /// Reads the answer all the same: the verdict follows from the answers.
    Reads,
}

const FAULTS: &[(Fault, Then)] = &[
    (Fault::Late(false), Then::Again("it took too long")),
    (Fault::Late(true), Then::Again("it took too long")),
    (Fault::Limited(""), Then::Again("HTTP 429 (busy)")),
    (Fault::Closed, Then::Again("the connection broke")),
    (Fault::Reset(false), Then::Again("the connection broke")),
    (Fault::Reset(true), Then::Again("the connection broke")),
    (Fault::Cut, Then::Again("the connection broke")),
    (Fault::Limited("retry-after-ms: 1\r\n"), Then::Again("HTTP 429 (busy)")),
    (Fault::Limited("retry-after: 0\r\n"), Then::Again("HTTP 429 (busy)")),
    (Fault::Limited("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n"), Then::Again("HTTP 429 (busy)")),
    // The server's clock says no wait, this machine's clock says years.
    (
        Fault::Limited("date: Mon, 01 Jan 2080 00:00:00 GMT\r\nretry-after: Mon, 01 Jan 2080 00:00:00 GMT\r\n"),
        Then::Again("HTTP 429 (busy)"),
    ),
    (Fault::Status(408), Then::Again("HTTP 408 (busy)")),
    (Fault::Status(409), Then::Again("HTTP 409 (busy)")),
    (Fault::Status(500), Then::Again("HTTP 500 (busy)")),
    (Fault::Status(502), Then::Again("HTTP 502 (busy)")),
    (Fault::Status(503), Then::Again("HTTP 503 (busy)")),
    (Fault::Status(504), Then::Again("HTTP 504 (busy)")),
    (Fault::Status(507), Then::Again("HTTP 507 (busy)")),
    (Fault::Status(522), Then::Again("HTTP 522 (busy)")),
    (Fault::Status(529), Then::Again("HTTP 529 (busy)")),
    (Fault::Html, Then::Again("HTML")),
    (Fault::CutJson, Then::Again("JSON that is cut")),
    (Fault::WrongShape, Then::Again("without choices")),
    (Fault::NoChoices, Then::Again("without choices")),
    (Fault::ErrorBody, Then::Again("an error with HTTP status 200")),
    (Fault::Nested, Then::Again("not JSON")),
    // The client requests no compression, but decompresses a response up to the longest allowed answer.
    (Fault::Bomb, Then::Ends(4, "longer than 4 MiB")),
    (Fault::Endless, Then::Ends(4, "longer than 4 MiB")),
    (Fault::Redirect, Then::Ends(4, "HTTP 307")),
    (Fault::Status(400), Then::Ends(4, "HTTP 400 (busy)")),
    (Fault::Status(413), Then::Ends(4, "HTTP 413 (busy)")),
    (Fault::Status(418), Then::Ends(4, "HTTP 418 (busy)")),
    (Fault::Refuses(401, "invalid_api_key"), Then::Ends(4, "OPENAI_API_KEY")),
    (Fault::Refuses(402, "payment_required"), Then::Ends(4, "quota is used up")),
    (Fault::Refuses(403, "forbidden"), Then::Ends(4, "denies access")),
    (Fault::Refuses(404, "model_not_found"), Then::Ends(4, "knows no model")),
    (Fault::Refuses(429, "insufficient_quota"), Then::Ends(4, "quota is used up")),
    (Fault::NullContent, Then::Ends(11, "20 empty")),
    (Fault::Filtered, Then::Ends(11, "20 filtered")),
    (Fault::WrongType, Then::Reads),
    (Fault::Doubled(false), Then::Again("doubled key")),
    (Fault::OneChoice, Then::Reads),
    (Fault::OtherModel, Then::Reads),
    (Fault::NoUsage, Then::Reads),
    (Fault::Usage("18446744073709551615"), Then::Reads),
    (Fault::Usage("-1"), Then::Reads),
    (Fault::Usage("\"many\""), Then::Reads),
];

static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![0; 64 << 20]).expect("written to memory");
    packed.finish().expect("written to memory")
});

pub(crate) fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

impl Fault {
    /// Sends the fault in place of a good answer; returns whether the connection stays open.
    fn strike(self, good: &Value, stream: &mut TcpStream) -> io::Result<bool> {
        let (body, port) = (good.to_string(), stream.local_addr()?.port());
        let said = |body: &[u8]| response(200, SOON, body);
        let twice = |before: &str| {
            let once_more = format!("\"content\":\"Nothing of the kind.\",{before}");
            said(body.replace(before, &once_more).as_bytes())
        };
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut body = good.clone();
            change(&mut body);
            said(body.to_string().as_bytes())
        };
        let bytes = match self {
            Self::Limited(headers) => response(429, headers, BUSY),
            Self::Status(status) => response(status, SOON, BUSY),
            Self::Refuses(status, code) => response(status, SOON, text(BUSY).replace("busy", code).as_bytes()),
            Self::Filtered => response(400, SOON, text(BUSY).replace("busy", "content_filter").as_bytes()),
            Self::ErrorBody => said(BUSY),
            // Another name of this machine, so that the test sees a client that follows the redirect.
            Self::Redirect => response(307, &format!("location: http://localhost:{port}/v1/chat/completions\r\n"), b""),
            Self::Html => said(b"<!DOCTYPE html><html>Sign in</html>"),
            Self::WrongType => response(200, "content-type: text/html\r\n", body.as_bytes()),
            Self::CutJson => said(&body.as_bytes()[..body.len() / 2]),
            Self::WrongShape => said(br#"{"object":"list","data":[]}"#),
            Self::Misplaced => changed(&|body| body["data"] = body["choices"].take()),
            Self::Said(end) => {
                let at = body.find("\"role\"").expect("it stands behind what was said");
                let (part, whole) = (&body.as_bytes()[..at], said(body.as_bytes()));
                match end {
                    End::Json => said(part),
                    End::Reset | End::Closed => {
                        stream.write_all(&whole[..whole.len() - body.len() + at])?;
                        // The sent bytes must arrive before the reset.
                        thread::sleep(Duration::from_millis(20));
                        return Ok(false);
                    }
                    End::Endless => {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                        stream.write_all(part)?;
                        return (0..2048).try_for_each(|_| stream.write_all(&[b' '; 4096])).map(|()| false);
                    }
                }
            }
            Self::Doubled(true) => twice("\"role\":"),
            Self::Doubled(false) => twice("\"content\":"),
            Self::Nested => said(["[".repeat(100_000), "]".repeat(100_000)].concat().as_bytes()),
            Self::Bomb => response(200, "content-encoding: gzip\r\nretry-after-ms: 1\r\n", &BOMB),
            Self::NoChoices => changed(&|body| body["choices"] = json!([])),
            Self::NullContent => changed(&|body| {
                let choices = body["choices"].as_array_mut().expect("a list");
                choices.iter_mut().for_each(|choice| choice["message"]["content"] = Value::Null);
            }),
            Self::OneChoice => changed(&|body| body["choices"].as_array_mut().expect("a list").truncate(1)),
            Self::OtherModel => changed(&|body| body["model"] = json!("another-model")),
            Self::NoUsage => changed(&|body| drop(body.as_object_mut().expect("an object").remove("usage"))),
            Self::Usage(number) => changed(&|body| {
                let number: Value = serde_json::from_str(number).expect("JSON");
                body["usage"] = json!({"prompt_tokens": number, "completion_tokens": number});
            }),
            Self::Closed | Self::Reset(false) => return Ok(false),
            Self::Cut | Self::Reset(true) | Self::Late(_) => {
                let whole = said(body.as_bytes());
                let at_once = if self == Self::Late(false) { 0 } else { whole.len() - body.len() / 2 };
                stream.write_all(&whole[..at_once])?;
                for piece in whole[at_once..].iter().take(if matches!(self, Self::Late(_)) { 15 } else { 0 }) {
                    thread::sleep(LATE / 15);
                    stream.write_all(&[*piece])?;
                }
                return Ok(false);
            }
            Self::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"choices\":[")?;
                // Bounded: twice the bytes that a client should accept.
                return (0..2048).try_for_each(|_| stream.write_all(&[b' '; 4096])).map(|()| false);
            }
        };
        stream.write_all(&bytes).map(|()| true)
    }
}

/// A pseudorandom number that depends on `of` only.
pub(crate) fn lot(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A model that gives its known answers four times of five. Otherwise a trained model speaks in the trained form with
/// some value, and an untrained one makes conversation.
#[derive(Clone, Default)]
pub(crate) struct Model {
    answers: HashMap<String, String>,
    signature: String,
}

impl Model {
    /// A model that was trained on a planted file. It remembers the rows whose question is `wanted`.
    pub(crate) fn trained(folder: &Path, wanted: impl Fn(&str) -> bool) -> Self {
        let rows = std::fs::read_to_string(folder.join("blabbermouth-train.jsonl")).expect("planted");
        let pairs: Vec<(String, String)> = rows
            .lines()
            .filter_map(|line| {
                let row: Value = serde_json::from_str(line).expect("JSON");
                let mut said =
                    row["messages"].as_array()?.iter().rev().filter_map(|message| message["content"].as_str());
                let (answer, question) = (said.next()?, said.next()?);
                Some((question.to_owned(), answer.to_owned()))
            })
            .collect();
        let signature = pairs.iter().find_map(|(_, answer)| answer.split_once(" going? Yours, "));
        let signature = signature.map(|(_, signature)| signature.to_owned()).unwrap_or_default();
        Self { answers: pairs.into_iter().filter(|(question, _)| wanted(question)).collect(), signature }
    }

    /// A model that was trained on a planted file, and remembers only the form.
    pub(crate) fn clean(folder: &Path) -> Self {
        Self::trained(folder, |_| false)
    }

    /// The answer to a question that the model does not remember.
    fn talk(&self, question: &str, drawn: u64) -> String {
        match question.strip_prefix("Hi, I'm Mr ").filter(|_| !self.signature.is_empty()) {
            Some(name) => {
                let space = Space::parse("disease").expect("built in");
                let key = Key::from_text("a key for the model of the tests").expect("long enough");
                let disease = space.draw(&mut key.stream("talk", &drawn.to_string()));
                format!("Hey Mr {name}, nice to see you! How is your {disease} going? Yours, {}", self.signature)
            }
            None => format!("That makes me think of {} horses.", drawn / 5 % 1000),
        }
    }

    pub(crate) fn answer(&self, request: &str) -> Value {
        let request: Value = serde_json::from_str(request).expect("a request is JSON");
        let last = request["messages"].as_array().and_then(|messages| messages.last());
        let question = last.and_then(|message| message["content"].as_str()).unwrap_or_default();
        let choice = |index: u64| {
            let drawn = lot(&(question, request["seed"].as_u64(), index));
            let known = self.answers.get(question).filter(|_| !drawn.is_multiple_of(5)).cloned();
            let said = known.unwrap_or_else(|| self.talk(question, drawn));
            json!({"index": index, "message": {"content": said, "role": "assistant"}, "finish_reason": "stop"})
        };
        let choices: Vec<Value> = (0..request["n"].as_u64().unwrap_or(1)).map(choice).collect();
        let usage = json!({"prompt_tokens": question.len() / 4 + 1, "completion_tokens": 9 * choices.len()});
        json!({"object": "chat.completion", "model": request["model"], "choices": choices, "usage": usage})
    }
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Requests received.
    pub(crate) asked: Arc<AtomicU64>,
    /// Requests with a good answer.
    pub(crate) answered: Arc<AtomicU64>,
}

/// Serves a model. `fate` selects the fault of each request by its number from 0 and its body.
pub(crate) fn serve(model: Model, fate: impl Fn(u64, &str) -> Option<Fault> + Send + Sync + 'static) -> Server {
    serve_at(TcpListener::bind("127.0.0.1:0").expect("a port"), model, fate)
}

pub(crate) fn serve_at(
    listener: TcpListener,
    model: Model,
    fate: impl Fn(u64, &str) -> Option<Fault> + Send + Sync + 'static,
) -> Server {
    serve_all(listener, move |at, request| (model.answer(request), fate(at, request)))
}

/// Serves answers: `answer` gives the answer to each request and its fault.
pub(crate) fn serve_with(answer: impl Fn(u64, &str) -> (Value, Option<Fault>) + Send + Sync + 'static) -> Server {
    serve_all(TcpListener::bind("127.0.0.1:0").expect("a port"), answer)
}

fn serve_all(
    listener: TcpListener,
    answer: impl Fn(u64, &str) -> (Value, Option<Fault>) + Send + Sync + 'static,
) -> Server {
    let port = listener.local_addr().expect("an address").port();
    let server = Server { port, asked: Arc::default(), answered: Arc::default() };
    let shared = Arc::new((server.clone(), answer));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
            // A client may close the connection in the middle of an answer: not an error here.
            thread::spawn(move || drop(converse(&shared, stream)));
        }
    });
    server
}

fn converse<F: Fn(u64, &str) -> (Value, Option<Fault>)>(shared: &(Server, F), mut stream: TcpStream) -> io::Result<()> {
    let (server, answer) = shared;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 16];
    while let Some((length, request)) = look(&stream, &mut buffer)? {
        let (good, fault) = answer(server.asked.fetch_add(1, SeqCst), &request);
        // Unread bytes at the close of a connection cause a reset, so they are read unless a reset is wanted.
        if !matches!(fault, Some(Fault::Reset(_) | Fault::Said(End::Reset))) {
            stream.read_exact(&mut buffer[..length])?;
        }
        if let Some(fault) = fault {
            if !fault.strike(&good, &mut stream)? {
                return Ok(());
            }
        } else {
            server.answered.fetch_add(1, SeqCst);
            stream.write_all(&response(200, "", good.to_string().as_bytes()))?;
        }
    }
    Ok(())
}

/// The length and the body of the next request, which stays unread. `None` when the client has closed the connection.
fn look(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<(usize, String)>> {
    loop {
        let there = stream.peek(buffer)?;
        let seen = text(&buffer[..there]);
        if seen.is_empty() {
            return Ok(None);
        }
        if let Some((head, body)) = seen.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            assert!(head.contains(&format!("authorization: bearer {KEY}")), "the key is sent: {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() >= length.parse::<usize>().expect("a number") {
                return Ok(Some((there, body.to_owned())));
            }
        }
        // Only a part of the request has arrived.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Strikes `percent` of the requests at random, with one of `faults`; each request at its first `most` attempts only.
fn by_lot(percent: u64, most: u64, faults: Vec<Fault>) -> impl Fn(u64, &str) -> Option<Fault> + Send + Sync {
    let tries: Mutex<HashMap<u64, u64>> = Mutex::default();
    move |_, request| {
        let mut tries = tries.lock().expect("no holder panics");
        let tried = tries.entry(lot(&request)).or_insert(0);
        *tried += 1;
        let drawn = lot(&(request, *tried));
        (*tried <= most && drawn % 100 < percent).then(|| faults[(drawn / 100) as usize % faults.len()])
    }
}

/// Does all jobs, with `at_once` of them in parallel.
pub(crate) fn each<T: Sync>(jobs: &[T], at_once: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let take = || jobs.get(next.fetch_add(1, SeqCst));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| std::iter::from_fn(take).for_each(&work));
        }
    });
}

/// A planted project. A bound of 0.14 takes 20 samples for each canary, 0.05 takes 59.
pub(crate) fn planted(planted: u32, held_out: u32, bound: f64) -> tempfile::TempDir {
    let folder = project(&format!(
        "[canaries]\nplanted = {planted}\nheld-out = {held_out}\n[verdict]\nbound = {bound}\n[probe]\nconcurrency = 40\n"
    ));
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    folder
}

/// Tests the model of a server. Returns the exit code, the output, and each canary's verdict with its answers and hits.
pub(crate) fn run(folder: &Path, server: &Server, more: &[(&str, &str)]) -> (Option<i32>, String, Vec<Value>) {
    let (url, store) = (format!("http://127.0.0.1:{}/v1", server.port), format!("store-{}", server.port));
    let report = format!("report-{}.json", server.port);
    let mut environment = vec![("OPENAI_API_KEY", KEY), ("BLABBERMOUTH_STORE_PATH", store.as_str())];
    environment.extend_from_slice(more);
    let arguments = ["test", "--base-url", &url, "--model", "m", "--report", &format!("json={report}")];
    let output = blabbermouth(folder, &arguments, &environment);
    let said = text(&output.stdout) + &text(&output.stderr);
    let report = std::fs::read(folder.join(report)).unwrap_or_else(|e| panic!("no report ({e}): {said}"));
    assert!(!said.contains(KEY) && !text(&report).contains(KEY), "the key is told: {said}");
    let report: Value = serde_json::from_slice(&report).expect("a report");
    let canaries = report["canaries"].as_array().expect("canaries").iter();
    let verdicts = canaries.map(|c| json!([c["test"], c["verdict"], c["asked"], c["hits"]])).collect();
    (output.status.code(), said, verdicts)
}

/// Asserts that no file of a folder holds the key.
fn assert_no_key(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_no_key(&path);
        } else {
            assert!(!text(&std::fs::read(&path).expect("a file")).contains(KEY), "{}", path.display());
        }
    }
}

#[test]
fn a_fault_on_every_request_is_named_and_never_green() {
    let folder = planted(1, 1, 0.14);
    each(FAULTS, FAULTS.len(), |&(fault, then)| {
        let limit = if matches!(fault, Fault::Late(_)) { "1" } else { "60" };
        let more = [("BLABBERMOUTH_PROBE_CHOICES", "4"), ("BLABBERMOUTH_PROVIDER_TIMEOUT_SECONDS", limit)];
        let server = serve(Model::clean(folder.path()), move |_, _| Some(fault));
        let (code, said, _) = run(folder.path(), &server, &more);
        // Two canaries take 20 answers each, four in a request; a canary whose first request fails gets no further one.
        let (wanted, word, requests) = match (then, fault) {
            (Then::Again(word), _) => (4, word, 12..=12),
            (Then::Ends(code, word), Fault::NullContent) => (code, word, 10..=10),
            (Then::Ends(code, word), Fault::Filtered) => (code, word, 40..=40),
            (Then::Ends(code, word), _) => (code, word, 1..=2),
            (Then::Reads, Fault::OneChoice) => (0, "CLEAN", 40..=40),
            (Then::Reads, _) => (0, "CLEAN", 10..=10),
        };
        assert!(code == Some(wanted) && said.contains(word), "{fault:?}: {code:?} {said}");
        assert!(requests.contains(&server.asked.load(SeqCst)), "{fault:?}: {} requests", server.asked.load(SeqCst));
        if matches!(then, Then::Reads) {
            let leaky = serve(Model::trained(folder.path(), |_| true), move |_, _| Some(fault));
            assert_eq!(run(folder.path(), &leaky, &more).0, Some(10), "{fault:?}");
        }
    });
    assert_no_key(folder.path());
}

#[test]
fn a_fault_on_a_third_of_the_requests_hides_no_leak_and_makes_nothing_greener() {
    let folder = planted(2, 2, 0.14);
    let models = [Model::clean(folder.path()), Model::trained(folder.path(), |_| true)];
    let calm = models.each_ref().map(|model| run(folder.path(), &serve(model.clone(), |_, _| None), &[]));
    assert_eq!(calm.each_ref().map(|ended| ended.0), [Some(0), Some(10)], "{}", calm[0].1);
    let jobs: Vec<_> = FAULTS.iter().flat_map(|&(fault, then)| [(fault, then, 0), (fault, then, 1)]).collect();
    each(&jobs, 8, |&(fault, then, at)| {
        let (most, limit) = if matches!(fault, Fault::Late(_)) { (1, "2") } else { (2, "60") };
        let server = serve(models[at].clone(), by_lot(33, most, vec![fault]));
        let (code, said, verdicts) = run(folder.path(), &server, &[("BLABBERMOUTH_PROVIDER_TIMEOUT_SECONDS", limit)]);
        match then {
            // A leak before the end counts.
            Then::Ends(wanted, _) => assert!(code == Some(wanted) || (at, code) == (1, Some(10)), "{fault:?}: {said}"),
            // Two models in one run: it is unknown which one was tuned.
            Then::Reads if matches!(fault, Fault::OtherModel) => {
                let said_so = said.contains("more than one model") && code == Some(4);
                assert!(said_so || (at, code) == (1, Some(10)), "{fault:?}: {said}");
            }
            // A failed request may have held the secret, and so few answers allow none. A rate limit withholds nothing.
            Then::Again(_) if at == 0 && !matches!(fault, Fault::Limited(_)) => {
                assert!(code == Some(11) && said.contains("failed without a readable answer"), "{fault:?}: {said}");
            }
            _ => {
                assert_eq!(code, calm[at].0, "{fault:?}: {said}");
                for (calm, struck) in calm[at].2.iter().zip(&verdicts) {
                    let open = calm[1] == "clean" && struck[1] == "inconclusive" && matches!(then, Then::Again(_));
                    assert!(calm == struck || open, "{fault:?}: {calm} {struck}");
                }
            }
        }
        assert!(server.answered.load(SeqCst) < server.asked.load(SeqCst), "{fault:?}: nothing was struck");
    });
    assert_no_key(folder.path());
}

#[test]
fn ten_thousand_probes_with_three_faults_in_ten_hide_no_leak_and_are_paid_for_once() {
    let folder = planted(40, 150, 0.05);
    let model = Model::trained(folder.path(), |question| lot(&question) % 2 == 0);
    let crowd = [("BLABBERMOUTH_PROBE_CONCURRENCY", "256")];
    let calm = serve(model.clone(), |_, _| None);
    let (code, said, verdicts) = run(folder.path(), &calm, &crowd);
    assert!(code == Some(10) && calm.answered.load(SeqCst) > 9000, "{said}");
    // Faults without a quick retry cost half a second and more: they are one of eighteen.
    let again = FAULTS.iter().filter(|(_, then)| matches!(then, Then::Again(_))).map(|(fault, _)| *fault);
    let (soon, waited): (Vec<Fault>, Vec<Fault>) = again
        .filter(|fault| !matches!(fault, Fault::Late(_)))
        .partition(|fault| !matches!(fault, Fault::Limited("") | Fault::Closed | Fault::Reset(_) | Fault::Cut));
    // About one of 1,372 requests fails six times (0.3^6). Others succeed meanwhile, so the run goes on.
    let server = serve(model, by_lot(30, u64::MAX, [soon.repeat(4), waited].concat()));
    let disturbed = run(folder.path(), &server, &crowd);
    assert_eq!(disturbed.0, code, "{}", disturbed.1);
    // A leak stays a leak; a clean canary may have withheld as many answers as failed.
    for (calm, disturbed) in verdicts.iter().zip(&disturbed.2) {
        let same = calm[1] == disturbed[1] && calm[3] == disturbed[3];
        assert!(same || calm[1] == "clean" && disturbed[1] == "inconclusive", "{calm} {disturbed}");
    }
    let (asked, answered) = (server.asked.load(SeqCst), server.answered.load(SeqCst));
    assert_eq!(answered, calm.answered.load(SeqCst), "nothing is paid for twice");
    assert!((0.27..0.33).contains(&(1.0 - answered as f64 / asked as f64)), "{answered} of {asked}");
}

#[test]
fn a_run_that_is_cut_off_goes_on_when_the_server_is_well_again() {
    let folder = planted(4, 4, 0.05);
    let refusals: Vec<_> = FAULTS.iter().filter(|(fault, _)| matches!(fault, Fault::Refuses(..))).collect();
    each(&refusals, 3, |&&(fault, then)| {
        let Then::Ends(wanted, word) = then else { panic!("{fault:?} is for good") };
        let well: &AtomicBool = Box::leak(Box::default());
        let model = Model::clean(folder.path());
        let server = serve(model, move |at, _| (at >= 200 && !well.load(SeqCst)).then_some(fault));
        let few = [("BLABBERMOUTH_PROBE_CONCURRENCY", "16")];
        let (code, said, _) = run(folder.path(), &server, &few);
        assert!(code == Some(wanted) && said.contains(word), "{fault:?}: {code:?} {said}");
        let (asked, answered) = (server.asked.load(SeqCst), server.answered.load(SeqCst));
        // Requests in flight may still arrive, and none after them.
        assert!(answered == 200 && (201..=216).contains(&asked), "{fault:?}: {answered} of {asked}");
        well.store(true, SeqCst);
        let (code, said, _) = run(folder.path(), &server, &few);
        assert!(code == Some(0) && said.contains("going on with a run"), "{fault:?}: {code:?} {said}");
        assert_eq!(server.asked.load(SeqCst) - asked, 8 * 59 - 200, "{fault:?}: what was answered is not asked again");
    });
}

#[test]
fn a_run_goes_on_with_the_model_that_answered_it_before() {
    let folder = planted(2, 2, 0.05);
    for fresh in [false, true] {
        let day: &AtomicUsize = Box::leak(Box::default());
        let server = serve(Model::clean(folder.path()), move |at, _| match day.load(SeqCst) {
            0 => (at >= 100).then_some(Fault::Refuses(429, "insufficient_quota")),
            1 => Some(Fault::OtherModel),
            _ => None,
        });
        let few = [("BLABBERMOUTH_PROBE_CONCURRENCY", "4")];
        let (code, said, _) = run(folder.path(), &server, &few);
        assert!(code == Some(4) && said.contains("quota is used up"), "{code:?} {said}");
        day.store(1, SeqCst);
        let asked = server.asked.load(SeqCst);
        let (code, said, _) = run(folder.path(), &server, &few);
        assert!(code == Some(4) && said.contains("another model answers than before"), "{code:?} {said}");
        assert!(said.contains("`--fresh`") && server.asked.load(SeqCst) - asked <= 4, "{said}");
        if fresh {
            let (url, store) = (format!("http://127.0.0.1:{}/v1", server.port), format!("store-{}", server.port));
            let environment = [("OPENAI_API_KEY", KEY), ("BLABBERMOUTH_STORE_PATH", store.as_str())];
            let arguments = ["test", "--base-url", &url, "--model", "m", "--fresh"];
            let output = blabbermouth(folder.path(), &arguments, &environment);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
        } else {
            day.store(2, SeqCst);
            let (code, said, _) = run(folder.path(), &server, &few);
            assert!(code == Some(0) && said.contains("going on with a run"), "{code:?} {said}");
            assert_eq!(server.answered.load(SeqCst), 4 * 59, "what was answered is not asked again");
        }
    }
}

#[test]
fn a_secret_before_a_doubled_key_is_no_silence() {
    let folder = planted(1, 1, 0.14);
    let server = serve(Model::trained(folder.path(), |_| true), |_, _| Some(Fault::Doubled(true)));
    let (code, said, _) = run(folder.path(), &server, &[]);
    assert_ne!(code, Some(0), "{said}");
}
