//! Answers of services: through HTTP as a client gets them, and as lines of a batch. No text that was said is lost,
//! whichever reader takes it, and no message quotes it. The first byte names the way, the second one the status.
#![no_main]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use blabbermouth::chat::{Completion, Message, Role, Sampling, Usage};
use blabbermouth::provider::{Connection, Profile, Provider, Request, read_batch_line};
use blabbermouth_fuzz::SECRET;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

const SERVICES: [&str; 4] = ["openai", "anthropic", "gemini", "vllm-completions"];
/// None of them asks for a pause: a service that does is waited for.
const STATUS: [u16; 6] = [200, 200, 200, 400, 404, 500];
const MAX_TOKENS: u32 = 64;
/// A key that no input has.
const UNKNOWN: &str = "unknown to the quick reader";

struct World {
    runtime: Runtime,
    providers: Vec<Arc<dyn Provider>>,
    answer: Arc<Mutex<Vec<u8>>>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let said = Arc::clone(&said);
            thread::spawn(move || talk(stream, &said));
        }
    });
    let connect = |name: &&str| {
        let connection = Connection {
            base_url: format!("http://{address}/v1"),
            timeout: Duration::from_secs(10),
            ..Connection::default()
        };
        let profile = Profile::load(name, Path::new("")).expect("built in");
        profile.connect(&connection, "m", Duration::ZERO).expect("nothing is sent yet")
    };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let providers = runtime.block_on(async { SERVICES.iter().map(connect).collect() });
    World { runtime, providers, answer }
});

/// Answers every request with the same bytes, until the client goes away.
fn talk(mut stream: TcpStream, answer: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stream.write_all(&answer)?;
    }
}

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let [way, status, body @ ..] = data else { return };
    let status = STATUS[usize::from(*status) % STATUS.len()];
    // A client remembers under which name its model answered, and this one is used again for every input.
    let body = nameless(body);
    // HTTP is a hundred times as slow.
    let asked = WORLD.providers.get(usize::from(way % 16)).map(|provider| ask(provider.as_ref(), status, &body));
    let _ = read_batch_line(&body, MAX_TOKENS);
    let Ok(value) = serde_json::from_slice::<Value>(&body) else { return };
    // In a line of a batch it stands two levels deeper, and no reader goes deeper than 128.
    let flat = body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() < 100;
    if flat && way % 16 == 0 && status == 200 && value.get("model").is_none() {
        assert!(asked == Some(through_batch(&body)), "a batch is read otherwise");
    }
    if way % 16 != 1 || value.get("choices").is_none() {
        return;
    }
    // The quick reader leaves a body with an unknown key to the other one, which adds the key to what stands beside.
    let mut slow = value.clone();
    for choice in slow.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(message) = choice.get_mut("message").and_then(Value::as_object_mut) {
            message.insert(UNKNOWN.to_owned(), Value::Null);
        }
    }
    let [quick, mut slow] = [value, slow].map(|body| over_http(&body));
    for said in slow.iter_mut().flat_map(|(completions, _)| completions) {
        let lines: Vec<&str> = said.beside.split('\n').filter(|line| *line != UNKNOWN).collect();
        said.beside = lines.join("\n");
    }
    assert!(quick == slow, "the quick reader reads otherwise");
}

/// The same bytes, apart from the name of one field.
fn nameless(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(b"\"model\"") {
            bytes[at + 5] = b'1';
        }
    }
    bytes
}

type Answered = Option<(Vec<Completion>, Usage)>;

fn ask(provider: &dyn Provider, status: u16, body: &[u8]) -> Answered {
    let head = format!("HTTP/1.1 {status} So\r\ncontent-length: {}\r\nretry-after-ms: 0\r\n\r\n", body.len());
    *WORLD.answer.lock().unwrap_or_else(PoisonError::into_inner) = [head.as_bytes(), body].concat();
    let request = Request {
        messages: Arc::new([Message::new(Role::User, "Hi")]),
        sampling: Sampling { temperature: 1.0, top_p: 1.0, max_tokens: MAX_TOKENS, ..Sampling::default() },
        seed: 7,
        choices: 1,
        broken: Default::default(),
    };
    match WORLD.runtime.block_on(provider.complete(&request)) {
        Ok(answer) => {
            // Only what a filter stopped is an answer without a good status.
            assert!(!answer.completions.is_empty() && (status == 200 || answer.completions[0].text.is_empty()));
            Some((answer.completions, answer.usage))
        }
        Err(error) => {
            let told = error.to_string();
            assert!(status != 200 || !told.contains(SECRET), "{told}");
            assert!(!told.contains(char::is_control), "{told:?}");
            None
        }
    }
}

/// Through the reader of OpenAI's chat, which tries the quick one first.
fn over_http(body: &Value) -> Answered {
    ask(WORLD.providers[0].as_ref(), 200, &nameless(body.to_string().as_bytes()))
}

fn through_batch(body: &[u8]) -> Answered {
    let line = [&br#"{"custom_id":"x","response":{"status_code":200,"body":"#[..], body, b"}}"].concat();
    let (name, answer) = read_batch_line(&line, MAX_TOKENS)?;
    assert_eq!(name, "x");
    answer.map(|answer| (answer.completions, answer.usage))
}
