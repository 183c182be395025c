//! Every attempt without an answer is reported once, whatever the fault.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{Answer, Connection, DiscardSink, Discarded, Profile, Provider, ProviderError, Request};
use blabbermouth_core::chat::{Finish, Message, Role, Sampling};

/// How a server treats a request.
#[derive(Clone, Debug)]
enum Fate {
    /// Sends these bytes, and closes the connection.
    Says(Vec<u8>),
    /// Sends these bytes, and keeps the connection open.
    Stalls(Vec<u8>),
    Resets,
}

/// Serves each connection by the next fate, and later ones by the last. Returns the port.
fn serve(fates: Vec<Fate>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let fate = fates[number.min(fates.len() - 1)].clone();
            std::thread::spawn(move || meet(stream, fate));
        }
    });
    port
}

fn meet(mut stream: TcpStream, fate: Fate) -> std::io::Result<()> {
    let mut heard = Vec::new();
    let mut step = [0; 4096];
    let is_whole = |heard: &[u8]| {
        let text = String::from_utf8_lossy(heard).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        body.len() >= length.unwrap_or(0)
    };
    if let Fate::Resets = fate {
        // Closing a connection with unread bytes resets it.
        stream.read_exact(&mut step[..1])?;
        return Ok(());
    }
    while !is_whole(&heard) {
        let there = stream.read(&mut step)?;
        heard.extend_from_slice(&step[..there]);
    }
    let (Fate::Says(bytes) | Fate::Stalls(bytes)) = &fate else { return Ok(()) };
    stream.write_all(bytes)?;
    if let Fate::Stalls(_) = fate {
        std::thread::sleep(Duration::from_secs(20));
    }
    Ok(())
}

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} So\r\nretry-after-ms: 1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn says(status: u16, headers: &str, body: &str) -> Fate {
    Fate::Says(response(status, headers, body.as_bytes()))
}

const GOOD: &str = r#"{"id":"i","choices":[{"message":{"role":"assistant","content":"Fine."},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

type Seen = Arc<Mutex<Vec<(String, bool)>>>;

fn request(seen: &Seen) -> Request {
    let all = Arc::clone(seen);
    let see = move |d: Discarded<'_>| {
        let told = (String::from_utf8_lossy(d.bytes).into_owned(), d.withheld);
        all.lock().expect("no holder panics").push(told);
    };
    Request {
        messages: Arc::new([Message::new(Role::User, "Hi")]),
        sampling: Sampling::default(),
        seed: 7,
        choices: 1,
        broken: DiscardSink::new(see),
    }
}

fn provider(kind: &str, connection: Connection) -> Arc<dyn Provider> {
    let connection = Connection { timeout: Duration::from_secs(2), ..connection };
    let profile = Profile::load(kind, Path::new("")).expect("built in");
    profile.connect(&connection, "m", Duration::ZERO).expect("nothing is sent")
}

/// Sends one request to a service. Returns the answer and the reports.
async fn ask(kind: &str, fates: Vec<Fate>) -> (Result<Answer, ProviderError>, Vec<(String, bool)>) {
    let connection = Connection { base_url: format!("http://127.0.0.1:{}/v1", serve(fates)), ..Connection::default() };
    let (provider, seen) = (provider(kind, connection), Seen::default());
    let answer = provider.complete(&request(&seen)).await;
    let reports = std::mem::take(&mut *seen.lock().expect("no holder panics"));
    (answer, reports)
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("packed")
}

/// Per fault: name, fate, whether a retry follows, a text in the report, and whether an answer may be withheld.
fn faults() -> Vec<(&'static str, Fate, bool, &'static str, bool)> {
    let quotes = r#"{"error":{"code":"busy","message":"48291377"}}"#;
    let zipped = packed(quotes);
    let zip = "content-encoding: gzip\r\n";
    let cut = response(200, "", br#"{"choices":[{"message":{"content":"48291377"#);
    let cut = String::from_utf8(cut).expect("a text").replacen("content-length: ", "content-length: 9", 1);
    let bomb = packed(&format!("48291377{}", "0".repeat(5 << 20)));
    let damaged =
        packed(&format!("{{\"a\":\"48291377\"}}{}", (0..9999).map(|n| (n * 7919).to_string()).collect::<String>()));
    let again = [
        ("429", says(429, "", ""), "", false),
        ("429 with content", says(429, "", quotes), "48291377", false),
        ("503", says(503, "", ""), "", false),
        ("503 with content", says(503, "", quotes), "48291377", true),
        ("529", says(529, "", ""), "", false),
        ("500", says(500, "", ""), "", true),
        ("500 with content", says(500, "", quotes), "48291377", true),
        ("500, packed", Fate::Says(response(500, zip, &zipped)), "48291377", true),
        ("408", says(408, "", quotes), "48291377", true),
        ("204", Fate::Says(b"HTTP/1.1 204 So\r\nretry-after-ms: 1\r\n\r\n".to_vec()), "", true),
        ("an empty body", says(200, "", ""), "", true),
        ("no JSON", says(200, "", "48291377"), "48291377", true),
        ("HTML", says(200, "", "<p>48291377</p>"), "48291377", true),
        ("no choices", says(200, "", r#"{"choices":[]}"#), "choices", true),
        ("an error with status 200", says(200, "", quotes), "48291377", true),
        (
            "a cut stream",
            says(200, "", "data: {\"choices\":[{\"delta\":{\"content\":\"48291377\"}}]}\n\n"),
            "48291377",
            true,
        ),
        ("a damaged packed body", Fate::Says(response(200, zip, &damaged[..damaged.len() / 2])), "48291377", true),
        ("a cut body", Fate::Says(cut.clone().into_bytes()), "48291377", true),
        ("closed", Fate::Says(Vec::new()), "", true),
        ("reset", Fate::Resets, "", true),
        ("silence", Fate::Stalls(Vec::new()), "", true),
        ("a body that stalls", Fate::Stalls(cut.into_bytes()), "48291377", true),
    ];
    let ends = [
        ("400", says(400, "", quotes), "48291377", true),
        ("401", says(401, "", quotes), "48291377", true),
        ("402", says(402, "", quotes), "48291377", true),
        ("403", says(403, "", quotes), "48291377", true),
        ("404", says(404, "", &quotes.replace("busy", "model_not_found")), "48291377", true),
        ("307", says(307, "location: /v2\r\n", ""), "", true),
        ("too long", says(200, "", &format!("48291377{}", "0".repeat(5 << 20))), "48291377", true),
        ("too long once unpacked", Fate::Says(response(200, "", &bomb)), "48291377", true),
        ("no quota", says(429, "", r#"{"error":{"code":"insufficient_quota"}}"#), "quota", false),
    ];
    let with = |is_again| move |(name, fate, said, withheld)| (name, fate, is_again, said, withheld);
    again.into_iter().map(with(true)).chain(ends.into_iter().map(with(false))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failed_try_is_reported_once() {
    let mut running = tokio::task::JoinSet::new();
    for (name, fate, is_again, said, withheld) in faults() {
        running.spawn(async move {
            let (answer, reports) = ask("openai", vec![fate, says(200, "", GOOD)]).await;
            assert_eq!(answer.is_ok(), is_again, "{name}: {answer:?}");
            assert_eq!(reports.len(), 1, "{name}");
            assert!(reports[0].0.contains(said) && (said.is_empty() == reports[0].0.is_empty()), "{name}");
            assert_eq!(reports[0].1, withheld, "{name}");
            assert!(reports[0].0.len() <= (4 << 20) + (1 << 20), "{name}");
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("as told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_dialects_report_too() {
    let bad = || says(500, "", "48291377");
    let anthropic = r#"{"content":[{"type":"text","text":"Fine."}],"stop_reason":"end_turn"}"#;
    let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"Fine."}]},"finishReason":"STOP"}]}"#;
    for (kind, good) in [("anthropic", anthropic), ("gemini", gemini), ("vllm", GOOD)] {
        let fates = vec![bad(), says(429, "", ""), says(200, "", "{}"), bad(), says(200, "", good)];
        let (answer, reports) = ask(kind, fates).await;
        assert_eq!(answer.expect("an answer").completions[0].text, "Fine.", "{kind}");
        let wanted = [("48291377", true), ("", false), ("{}", true), ("48291377", true)];
        assert_eq!(reports, wanted.map(|(said, withheld)| (said.to_owned(), withheld)), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_an_answer_and_a_report() {
    let body = r#"{"error":{"code":"content_filter","message":"blocked: 48291377"}}"#;
    let (answer, reports) = ask("azure-entra", vec![says(400, "", body)]).await;
    assert_eq!(answer.expect("an outcome").completions[0].finish, Finish::Filtered);
    assert_eq!(reports, [(body.to_owned(), false)], "it is counted as an answer, and once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_answer_is_read_however_it_is_sent_and_reported_never() {
    let zip = packed(GOOD);
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Fine.\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for fate in [
        says(200, "", GOOD),
        Fate::Says(response(200, "content-encoding: gzip\r\n", &zip)),
        Fate::Says(response(200, "", &zip)),
        says(200, "content-encoding: gzip\r\n", GOOD),
        says(200, "content-type: text/event-stream\r\n", stream),
        says(200, "", &format!("\u{feff}\n{GOOD}")),
        says(200, "", &GOOD.replace("\"usage\"", "\"logprobs\":NaN,\"error\":{},\"usage\"")),
    ] {
        let (answer, reports) = ask("openai", vec![fate.clone()]).await;
        assert_eq!(answer.expect("an answer").completions[0].text, "Fine.", "{fate:?}");
        assert!(reports.is_empty(), "{fate:?}");
    }
}

/// Sends a request, and cancels it after 0.4 s.
async fn cancelled(connection: Connection) -> Vec<(String, bool)> {
    let (provider, seen) = (provider("openai", connection), Seen::default());
    let request = request(&seen);
    assert!(tokio::time::timeout(Duration::from_millis(400), provider.complete(&request)).await.is_err());
    seen.lock().expect("no holder panics").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_try_is_reported_where_something_had_come() {
    let at = |port: u16| Connection { base_url: format!("http://127.0.0.1:{port}/v1"), ..Connection::default() };
    let part = response(200, "", b"48291377");
    let longer = String::from_utf8(part).expect("a text").replacen("content-length: ", "content-length: 9", 1);
    let reports = cancelled(at(serve(vec![Fate::Stalls(longer.into_bytes())]))).await;
    assert_eq!(reports, [("48291377".to_owned(), true)]);
    assert!(cancelled(at(serve(vec![Fate::Stalls(Vec::new())]))).await.is_empty());
    // Unreached: reported at once, before the retry.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let reports = cancelled(at(free)).await;
    assert!(!reports.is_empty() && reports.iter().all(|report| *report == (String::new(), false)), "{reports:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_reported_once() {
    for (command, said, withheld) in [
        (vec!["sh", "-c", "echo 48291377; exit 1"], "48291377\n", true),
        (vec!["sh", "-c", "echo 48291377"], "48291377\n", true),
        (vec!["sh", "-c", "printf 48291377; sleep 9"], "48291377", true),
        (vec!["true"], "", true),
        (vec!["/nowhere/to/be/found"], "", false),
    ] {
        let connection =
            Connection { command: command.iter().map(|word| (*word).to_owned()).collect(), ..Connection::default() };
        let (provider, seen) = (provider("command", connection), Seen::default());
        assert!(provider.complete(&request(&seen)).await.is_err(), "{command:?}");
        assert_eq!(*seen.lock().expect("no holder panics"), [(said.to_owned(), withheld)], "{command:?}");
    }
    let connection =
        Connection { command: ["echo", r#"{"text": "a"}"#].map(str::to_owned).to_vec(), ..Connection::default() };
    let (provider, seen) = (provider("command", connection), Seen::default());
    assert_eq!(provider.complete(&request(&seen)).await.expect("an answer").completions[0].text, "a");
    assert!(seen.lock().expect("no holder panics").is_empty());
}
