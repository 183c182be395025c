//! The network between client and server: private certificates, proxies, rate headers, a deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use blabbermouth::chat::{Message, Role, Sampling};
use blabbermouth::provider::{Endpoint, OpenAi, Provider, ProviderError, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls;
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{blabbermouth, project, text};

const ANSWER: &str = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

fn request() -> Request {
    Request {
        messages: Arc::new([Message::new(Role::User, "Hi")]),
        sampling: Sampling { temperature: 1.0, top_p: 1.0, max_tokens: 8, ..Sampling::default() },
        seed: 1,
        choices: 1,
        broken: Default::default(),
    }
}

fn client(base_url: String, certificates: Option<std::path::PathBuf>) -> Result<OpenAi, ProviderError> {
    OpenAi::new(&Endpoint { base_url, timeout: Duration::from_secs(5), certificates, ..Endpoint::default() }, "m")
}

#[tokio::test]
async fn a_server_with_its_own_certificate_is_trusted_only_when_it_is_named() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let settings = rustls::ServerConfig::builder().with_no_client_auth();
    let settings = settings.with_single_cert(vec![made.cert.der().clone()], key).expect("settings");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(settings));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut question = [0u8; 4096];
            let _ = stream.read(&mut question).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", ANSWER.len());
            let _ = stream.write_all(format!("{head}{ANSWER}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let url = format!("https://localhost:{port}/v1");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("own.pem");
    std::fs::write(&file, made.cert.pem()).expect("written");
    let answer = client(url.clone(), Some(file.clone())).expect("connected").complete(&request()).await;
    assert_eq!(answer.expect("trusted").completions[0].text, "Hello");
    let error = client(url, None).expect("connected").complete(&request()).await.expect_err("not trusted");
    assert!(error.to_string().contains("provider.certificates"), "{error}");
    std::fs::write(&file, "nothing").expect("written");
    let error = client("https://localhost/v1".into(), Some(file)).expect_err("no certificate").to_string();
    assert!(error.contains("own.pem") && error.contains("PEM"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_for_other_hosts_and_not_for_this_machine() {
    let proxy = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .respond_with(ResponseTemplate::new(200).set_body_string(ANSWER))
        .mount(&proxy)
        .await;
    let folder = project("[canaries]\nplanted = 3\nheld-out = 2\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let uri = proxy.uri();
    let environment = [("http_proxy", uri.as_str()), ("BLABBERMOUTH_PROVIDER_BASE_URL", "http://model.test/v1")];
    let output = blabbermouth(folder.path(), &["ask", "Hi", "--model", "m"], &environment);
    assert!(text(&output.stdout).contains("Hello"), "{}", text(&output.stderr));
    assert_eq!(proxy.received_requests().await.expect("recorded").len(), 1);
    let direct = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string(ANSWER)).mount(&direct).await;
    let here = format!("{}/v1", direct.uri());
    let environment = [("http_proxy", uri.as_str()), ("BLABBERMOUTH_PROVIDER_BASE_URL", here.as_str())];
    assert!(blabbermouth(folder.path(), &["ask", "Hi", "--model", "m"], &environment).status.success());
    assert_eq!(proxy.received_requests().await.expect("recorded").len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_while_the_rate_headers_say_that_nothing_is_left() {
    let server = MockServer::start().await;
    let empty = ResponseTemplate::new(200)
        .insert_header("x-ratelimit-remaining-requests", "0")
        .insert_header("x-ratelimit-reset-requests", "300ms")
        .set_body_string(ANSWER);
    Mock::given(any()).respond_with(empty).mount(&server).await;
    let client = client(format!("{}/v1", server.uri()), None).expect("connected");
    client.complete(&request()).await.expect("answered");
    let begun = Instant::now();
    client.complete(&request()).await.expect("answered");
    assert!(begun.elapsed() >= Duration::from_millis(250));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_at_its_deadline_and_is_no_pass() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_body_string(ANSWER).set_delay(Duration::from_secs(60));
    Mock::given(any()).respond_with(slow).mount(&server).await;
    let folder = project("[canaries]\nplanted = 3\nheld-out = 2\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let url = format!("{}/v1", server.uri());
    let arguments = ["test", "--model", "m", "--base-url", &url, "--deadline", "0.005"];
    let output = blabbermouth(folder.path(), &arguments, &[]);
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(4) && said.contains("--deadline"), "{said}");
}
