//! Faults before the first byte of HTTP: a closed port, an unknown host, a broken handshake, a bad certificate. None
//! makes a verdict greener, and each has its own message and remedy.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use rcgen::CertificateParams;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};

use crate::faults::{KEY, Model, each, planted, response, serve, serve_at};
use crate::{blabbermouth, text};

/// The server's reaction to a new connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Greeting {
    Tls,
    /// HTTP without TLS.
    Plain,
    /// A fatal TLS alert in reply to the client's greeting.
    Alert,
    Closes,
}

/// A server of a model, with its own certificate.
struct Server {
    port: u16,
    /// Connections accepted.
    met: Arc<AtomicU64>,
    certificate: String,
}

/// Serves with a certificate for a name. `fate` selects the greeting of each connection by its number from 0.
fn serve_tls(
    model: Model,
    name: &str,
    alter: fn(&mut CertificateParams),
    fate: impl Fn(u64) -> Greeting + Send + 'static,
) -> Server {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut wanted = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    alter(&mut wanted);
    let certificate = wanted.self_signed(&key).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let settings = ServerConfig::builder().with_no_client_auth();
    let settings = settings.with_single_cert(vec![certificate.der().clone()], key).expect("settings");
    let settings = Arc::new(settings);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = Server { port, met: Arc::default(), certificate: certificate.pem() };
    let met = Arc::clone(&server.met);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let (greeting, settings) = (fate(met.fetch_add(1, SeqCst)), Arc::clone(&settings));
            let model = model.clone();
            thread::spawn(move || drop(meet(&model, greeting, stream, settings)));
        }
    });
    server
}

fn meet(model: &Model, greeting: Greeting, mut stream: TcpStream, settings: Arc<ServerConfig>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let said: &[u8] = match greeting {
        Greeting::Tls => {
            let connection = ServerConnection::new(settings).map_err(io::Error::other)?;
            return converse(model, StreamOwned::new(connection, stream));
        }
        Greeting::Plain => b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        // A TLS alert record: handshake_failure.
        Greeting::Alert => &[21, 3, 3, 0, 2, 2, 40],
        Greeting::Closes => &[],
    };
    // Unread bytes at the close of a connection cause a reset.
    let mut greeted = vec![0; 1 << 14];
    let there = stream.read(&mut greeted)?;
    if there > 0 && greeting != Greeting::Closes {
        stream.write_all(said)?;
        // The client closes first.
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(())
}

/// Gives good answers until the client closes the connection.
fn converse(model: &Model, mut stream: StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> {
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 1 << 14]);
    loop {
        let there = stream.read(&mut buffer)?;
        if there == 0 {
            return Ok(());
        }
        heard.extend_from_slice(&buffer[..there]);
        let seen = text(&heard);
        let Some((head, body)) = seen.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if body.len() >= length.parse::<usize>().expect("a number") {
            heard.clear();
            let answer = model.answer(body).to_string();
            stream.write_all(&response(200, "", answer.as_bytes()))?;
            stream.flush()?;
        }
    }
}

/// A bound port without a listener; the socket may start to listen later.
fn unheard() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

/// Tests the model at an address. Returns the exit code, the output, and the verdict on each canary.
fn run(folder: &Path, url: &str, more: &[(&str, &str)]) -> (Option<i32>, String, Vec<Value>) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let number = RUNS.fetch_add(1, SeqCst);
    let (store, report) = (format!("store-{number}"), format!("report-{number}.json"));
    let mut environment = vec![("BLABBERMOUTH_STORE_PATH", store.as_str())];
    environment.extend_from_slice(more);
    let arguments = ["test", "--base-url", url, "--model", "m", "--report", &format!("json={report}")];
    let output = blabbermouth(folder, &arguments, &environment);
    let said = text(&output.stdout) + &text(&output.stderr);
    let report = std::fs::read(folder.join(report)).unwrap_or_else(|e| panic!("no report ({e}): {said}"));
    assert!(!said.contains(KEY) && !text(&report).contains(KEY), "the key is told: {said}");
    let report: Value = serde_json::from_slice(&report).expect("a report");
    let canaries = report["canaries"].as_array().expect("canaries").iter();
    (output.status.code(), said, canaries.map(|canary| canary["verdict"].clone()).collect())
}

/// Asserts that a failed run names fault and remedy, and passes no canary.
fn assert_errored(fault: &str, (code, said, verdicts): (Option<i32>, String, Vec<Value>), words: [&str; 2]) {
    assert!(code == Some(4) && words.iter().all(|word| said.contains(word)), "{fault}: {code:?} {said}");
    assert!(verdicts.len() == 2 && verdicts.iter().all(|verdict| verdict == "errored"), "{fault}: {verdicts:?}");
}

/// Runs all faults in parallel: each takes six attempts, about 14 s.
#[test]
fn a_server_that_is_not_reached_is_said_with_its_remedy_and_never_green() {
    let folder = planted(1, 1, 0.14);
    let (_silent, refused) = unheard();
    let greeting = |greeting: Greeting| serve_tls(Model::default(), "localhost", |_| {}, move |_| greeting);
    let servers = [Greeting::Plain, Greeting::Alert, Greeting::Closes].map(greeting);
    let [plain, alert, closes] = servers.each_ref().map(|server| format!("https://127.0.0.1:{}/v1", server.port));
    let faults = [
        (format!("http://127.0.0.1:{refused}/v1"), true, "the connection was refused"),
        // Two dots: the resolver refuses the name by itself and asks nobody. The client sends no key there without TLS.
        ("http://nobody..invalid/v1".to_owned(), false, "its name does not resolve"),
        (plain, true, "speaks no TLS"),
        (alert, true, "HandshakeFailure"),
        (closes, true, "broke in the TLS handshake"),
    ];
    each(&faults, faults.len(), |(url, has_key, word)| {
        let key = [("OPENAI_API_KEY", KEY)];
        let ended = run(folder.path(), url, if *has_key { &key[..] } else { &[] });
        assert_errored(url, ended, [*word, "check"]);
    });
    for server in servers {
        assert_eq!(server.met.load(SeqCst), 12, "two canaries, six tries each");
    }
}

#[test]
fn a_server_that_comes_up_later_is_waited_for() {
    let folder = planted(1, 1, 0.14);
    let key = [("OPENAI_API_KEY", KEY)];
    let models = [(Model::clean(folder.path()), 0), (Model::trained(folder.path(), |_| true), 10)];
    each(&models, models.len(), |(model, wanted)| {
        let calm = serve(model.clone(), |_, _| None);
        let (code, said, verdicts) = run(folder.path(), &format!("http://127.0.0.1:{}/v1", calm.port), &key);
        assert_eq!(code, Some(*wanted), "{said}");
        let ((socket, port), model) = (unheard(), model.clone());
        let begin = thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let listener = runtime.block_on(async { socket.listen(64)?.into_std() }).expect("it listens");
            listener.set_nonblocking(false).expect("a socket");
            serve_at(listener, model, |_, _| None)
        });
        let late = run(folder.path(), &format!("http://127.0.0.1:{port}/v1"), &key);
        assert_eq!((late.0, &late.2), (code, &verdicts), "{}", late.1);
        let server = begin.join().expect("it listens");
        assert!(server.asked.load(SeqCst) > 0, "what was refused was asked again");
    });
}

#[test]
fn a_broken_handshake_is_asked_again() {
    let folder = planted(1, 1, 0.14);
    let broken = [Greeting::Plain, Greeting::Alert, Greeting::Closes];
    let server = serve_tls(
        Model::clean(folder.path()),
        "localhost",
        |_| {},
        move |at| broken.get(at as usize).copied().unwrap_or(Greeting::Tls),
    );
    std::fs::write(folder.path().join("own.pem"), &server.certificate).expect("written");
    let more = [("OPENAI_API_KEY", KEY), ("BLABBERMOUTH_PROVIDER_CERTIFICATES", "own.pem")];
    let (code, said, verdicts) = run(folder.path(), &format!("https://localhost:{}/v1", server.port), &more);
    assert!(code == Some(0) && verdicts.iter().all(|verdict| verdict == "clean"), "{code:?} {verdicts:?} {said}");
    assert!(server.met.load(SeqCst) > 3);
}

#[test]
fn what_asking_again_cannot_mend_is_not_asked_again() {
    let folder = planted(1, 1, 0.14);
    let fine: fn(&mut CertificateParams) = |_| {};
    let expired: fn(&mut CertificateParams) = |wanted| wanted.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let early: fn(&mut CertificateParams) = |wanted| wanted.not_before = rcgen::date_time_ymd(2999, 1, 1);
    for (name, alter, is_named, words) in [
        ("localhost", fine, false, ["is not trusted", "provider.certificates"]),
        ("localhost", expired, true, ["has expired", "set the clock"]),
        ("localhost", early, true, ["is not valid yet", "set the clock"]),
        ("other.test", fine, true, ["is for another name", "provider.base-url"]),
    ] {
        let server = serve_tls(Model::default(), name, alter, |_| Greeting::Tls);
        std::fs::write(folder.path().join("own.pem"), &server.certificate).expect("written");
        let more = [("OPENAI_API_KEY", KEY), ("BLABBERMOUTH_PROVIDER_CERTIFICATES", "own.pem")];
        let more = &more[..if is_named { 2 } else { 1 }];
        assert_errored(words[0], run(folder.path(), &format!("https://localhost:{}/v1", server.port), more), words);
        let met = server.met.load(SeqCst);
        assert!((1..=2).contains(&met), "{}: {met} connections", words[0]);
    }
    let ended = run(folder.path(), "https://nobody..invalid/v1", &[("OPENAI_API_KEY", KEY)]);
    assert_errored("no name", ended, ["cannot be the name of a host", "provider.base-url"]);
}
