//! Services other than OpenAI's chat: other APIs and profiles, files and jobs, programs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blabbermouth::chat::{Message, Quality, Role, Sampling};
use blabbermouth::provider::{
    Answer, Connection, Endpoint, Found, JobStatus, OpenAi, Profile, Provider, ProviderError, Request, Tuner,
    read_batch_line,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use wiremock::matchers::{any, body_partial_json, header, method, path, path_regex, query_param};
use wiremock::{Match, Mock, MockServer, ResponseTemplate};

use crate::{blabbermouth, project, text};

const KEY: &str = "test-0123456789";

fn request() -> Request {
    let say = |role, text: &str| Message::new(role, text);
    Request {
        messages: Arc::new([say(Role::System, "Be kind."), say(Role::User, "Hi"), say(Role::Assistant, "Hey")]),
        sampling: Sampling { temperature: 0.7, top_p: 1.0, max_tokens: 64, ..Sampling::default() },
        seed: 7,
        choices: 1,
        broken: Default::default(),
    }
}

fn connect(kind: &str, server: &MockServer) -> Arc<dyn Provider> {
    let profile = Profile::load(kind, Path::new("")).expect("built in");
    let connection = Connection {
        base_url: server.uri(),
        key: Some(SecretString::from(KEY)),
        timeout: Duration::from_secs(5),
        ..Connection::default()
    };
    profile.connect(&connection, "tuned", Duration::ZERO).expect("connected")
}

/// Matches a body without these fields.
struct Without(&'static [&'static str]);

impl Match for Without {
    fn matches(&self, request: &wiremock::Request) -> bool {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        self.0.iter().all(|field| body.get(field).is_none())
    }
}

fn said(answer: &Answer) -> (&str, Quality) {
    (answer.completions[0].text.as_str(), answer.completions[0].quality())
}

#[tokio::test]
async fn each_service_is_asked_in_its_own_way() {
    let openai = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]});
    let messages = json!({"content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn"});
    let candidates = json!({"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}]});
    let bearer = format!("Bearer {KEY}");
    let cases: [(&str, wiremock::MockBuilder, &Value); 5] = [
        (
            "azure-dated",
            Mock::given(path("/deployments/tuned/chat/completions"))
                .and(query_param("api-version", "2024-10-21"))
                .and(header("api-key", KEY))
                .and(body_partial_json(json!({"max_completion_tokens": 64})))
                .and(Without(&["store"])),
            &openai,
        ),
        (
            "ollama",
            Mock::given(path_regex("^(/v1)?/chat/completions$"))
                .and(header("authorization", bearer.as_str()))
                .and(body_partial_json(json!({"max_tokens": 64, "seed": 7})))
                .and(Without(&["n", "store", "max_completion_tokens"])),
            &openai,
        ),
        (
            "anthropic",
            Mock::given(path_regex("^(/v1)?/messages$"))
                .and(header("x-api-key", KEY))
                .and(header("anthropic-version", "2023-06-01"))
                .and(body_partial_json(json!({"model": "tuned", "system": "Be kind.", "max_tokens": 64, "messages": [
                    {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hey"}]})))
                .and(Without(&["top_p"])),
            &messages,
        ),
        (
            "gemini",
            Mock::given(path("/models/tuned:generateContent")).and(header("x-goog-api-key", KEY)).and(
                body_partial_json(json!({"systemInstruction": {"parts": [{"text": "Be kind."}]},
                       "contents": [{"role": "user"}, {"role": "model", "parts": [{"text": "Hey"}]}],
                       "generationConfig": {"maxOutputTokens": 64, "seed": 7}})),
            ),
            &candidates,
        ),
        (
            "vertex",
            Mock::given(path("/tuned:generateContent")).and(header("authorization", bearer.as_str())),
            &candidates,
        ),
    ];
    for (kind, mock, body) in cases {
        let server = MockServer::start().await;
        mock.and(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .expect(1)
            .mount(&server)
            .await;
        let answer = connect(kind, &server).complete(&request()).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(said(&answer), ("Hello", Quality::Answered), "{kind}");
    }
}

fn body(name: &str) -> (u16, Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/openai/{name}.json"));
    let file: Value = serde_json::from_slice(&std::fs::read(file).expect(name)).expect(name);
    match file.get("status").and_then(Value::as_u64) {
        Some(status) => (status as u16, file["body"].clone()),
        None => (200, file),
    }
}

async fn answering(name: &str) -> (MockServer, OpenAi) {
    let (status, body) = body(name);
    let server = MockServer::start().await;
    let response = ResponseTemplate::new(status).insert_header("retry-after-ms", "1").set_body_json(body);
    Mock::given(any()).respond_with(response).mount(&server).await;
    let endpoint = Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    let client = OpenAi::new(&endpoint, "tuned").expect("connected");
    (server, client)
}

#[tokio::test]
async fn a_prompt_that_azure_filters_is_an_outcome_and_no_fault() {
    let (_server, client) = answering("azure.content-filter-error").await;
    let answer = client.complete(&request()).await.expect("an outcome");
    assert_eq!(said(&answer), ("", Quality::Filtered));
}

#[tokio::test]
async fn bodies_of_files_and_jobs_are_read() {
    for (name, status, words) in [
        ("ft-create.response", JobStatus::Validating, None),
        ("ft-retrieve.queued.response", JobStatus::Queued, None),
        ("ft-retrieve.running.response", JobStatus::Running, None),
        ("ft-retrieve.paused.response", JobStatus::Paused, None),
        ("ft-retrieve.succeeded.response", JobStatus::Succeeded, None),
        ("ft-cancel.response", JobStatus::Cancelled, None),
        ("ft-retrieve.failed-bad-format.response", JobStatus::Failed, Some("refused a file as invalid")),
        ("ft-retrieve.failed-extra-key.response", JobStatus::Failed, Some("refused a file as invalid")),
        ("ft-retrieve.failed-forbidden-token.response", JobStatus::Failed, Some("refused a file as invalid")),
        ("ft-retrieve.failed-too-few-examples.response", JobStatus::Failed, Some("refused a file as invalid")),
        ("ft-retrieve.failed-moderation.response", JobStatus::Failed, Some("moderation refused the training file")),
        ("ft-retrieve.failed-moderation-validation-file.response", JobStatus::Failed, Some("moderation refused")),
        ("ft-retrieve.failed-server-error.response", JobStatus::Failed, Some("the service failed")),
    ] {
        let (_server, client) = answering(name).await;
        let job = client.job("ftjob-1").await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(job.status, status, "{name}");
        assert_eq!(job.fault.is_some(), status == JobStatus::Failed, "{name}");
        assert_eq!(job.tuned_model.is_some(), status == JobStatus::Succeeded, "{name}");
        if let Some(words) = words {
            assert!(blabbermouth::tune::classify(&job).to_string().contains(words), "{name}");
        }
    }
    let (_server, client) = answering("ft-list.response").await;
    let job = client.find_job("gate_run", "run-0001", "").await.expect("a list");
    assert!(job.is_some_and(|job| job.id.starts_with("ftjob-")));
    for name in ["ft-events.response", "ft-events.page.response"] {
        let (_server, client) = answering(name).await;
        let events = client.events("ftjob-1").await.expect(name);
        assert!(!events.is_empty() && events.iter().all(|e| !e.id.is_empty()), "{name}");
    }
    let (_server, client) = answering("ft-events.response").await;
    let events = client.events("ftjob-1").await.expect("events");
    assert_eq!(events.last().map(|e| e.message.as_str()), Some("The job has successfully completed"));
    assert!(events.iter().any(|e| e.step.is_some() && e.loss.is_some()));
    let (_server, client) = answering("ft-checkpoints.response").await;
    let checkpoints = client.checkpoints("ftjob-1").await.expect("checkpoints");
    assert!(checkpoints.len() == 3 && checkpoints.windows(2).all(|pair| pair[0].step < pair[1].step));
    for name in ["files-create.response", "files-retrieve.response"] {
        let (_server, client) = answering(name).await;
        let file = client.stored("file-1").await.expect(name);
        assert!(file.ready && !file.broken && file.bytes.is_some(), "{name}");
    }
    let (_server, client) = answering("files-list.response").await;
    assert!(client.find_file("train.jsonl").await.expect("a list").is_some());
    let (_server, client) = answering("files-delete.response").await;
    client.delete_file("file-1").await.expect("removed");
    let (_server, client) = answering("models-delete.response").await;
    client.delete_model("ft:m").await.expect("removed");
    for name in ["models-retrieve.response", "models-list.response"] {
        let (_server, client) = answering(name).await;
        assert_eq!(client.shutdown_date("m").await.expect(name), None, "{name}");
    }
    let (_server, client) = answering("moderations.response").await;
    assert_eq!(client.moderate(&["a".into(), "b".into()]).await.expect("results"), [false, false]);
}

#[tokio::test]
async fn bodies_of_batches_are_read() {
    for (name, ended, files, fault) in [
        ("batch-create.response", false, 0, None),
        ("batch-completed.response", true, 2, None),
        ("batch-expired.response", true, 2, None),
        ("batch-failed.response", true, 0, Some(())),
    ] {
        let (_server, client) = answering(name).await;
        let batch = client.batch("batch_1").await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((batch.ended, batch.fault.map(|_| ())), (ended, fault), "{name}");
        assert!(batch.files.len() <= files, "{name}");
    }
    let lines = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/openai/{name}"));
        let text = std::fs::read_to_string(file).expect(name);
        text.lines().map(|line| read_batch_line(line.as_bytes(), 64).expect(name)).collect::<Vec<_>>()
    };
    let answers = lines("batch-output.jsonl");
    assert!(!answers.is_empty() && answers.iter().all(|(name, answer)| name.starts_with("probe-") && answer.is_some()));
    let faults = lines("batch-error.jsonl");
    assert!(!faults.is_empty() && faults.iter().all(|(_, answer)| answer.is_none()));
    assert!(read_batch_line(b"nothing", 64).is_none());
}

#[tokio::test]
async fn a_model_that_was_just_tuned_may_be_unknown_for_a_while() {
    let server = MockServer::start().await;
    let hello = json!({"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]});
    let unknown = json!({"error": {"code": "model_not_found", "message": "x"}});
    let reply = |status: u16, body: &Value| ResponseTemplate::new(status).set_body_json(body);
    Mock::given(any()).respond_with(reply(404, &unknown)).up_to_n_times(1).mount(&server).await;
    Mock::given(any()).respond_with(reply(200, &hello)).mount(&server).await;
    let endpoint = Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    let client = OpenAi::new(&endpoint, "tuned").expect("connected").warm_up(Duration::from_secs(60));
    assert_eq!(said(&client.complete(&request()).await.expect("warm")).0, "Hello");
    // Without a warm-up time, a 404 is final.
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(reply(404, &unknown)).expect(1).mount(&server).await;
    let endpoint = Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    assert!(OpenAi::new(&endpoint, "tuned").expect("connected").complete(&request()).await.is_err());
}

#[tokio::test]
async fn a_profile_of_the_users_own_is_a_file() {
    let server = MockServer::start().await;
    let hello = json!({"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]});
    Mock::given(path("/chat/tuned"))
        .and(query_param("zone", "eu"))
        .and(header("x-key", KEY))
        .and(header("x-team", "red"))
        .and(Without(&["seed"]))
        .respond_with(ResponseTemplate::new(200).set_body_json(hello))
        .expect(1)
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "dialect = \"openai\"\nbase-url = \"{}\"\nauth = \"x-key\"\nchat-path = \"/chat/{{model}}\"\nquery = \"zone=eu\"\n\
         headers = {{ x-team = \"red\" }}\nleave-out = [\"seed\"]\n",
        server.uri()
    );
    std::fs::write(folder.path().join("ours.toml"), text).expect("written");
    let profile = Profile::load("ours.toml", folder.path()).expect("a profile");
    let connection =
        Connection { key: Some(SecretString::from(KEY)), timeout: Duration::from_secs(5), ..Connection::default() };
    let provider = profile.connect(&connection, "tuned", Duration::ZERO).expect("connected");
    assert_eq!(said(&provider.complete(&request()).await.expect("an answer")).0, "Hello");
    std::fs::write(folder.path().join("ours.toml"), "dialect = \"openai\"\nbase = 1\n").expect("written");
    let error = Profile::load("ours.toml", folder.path()).expect_err("an unknown key").to_string();
    assert!(error.contains("ours.toml") && error.contains("base"), "{error}");
}

#[tokio::test]
async fn refusals_of_files_and_jobs_say_status_code_and_message() {
    for (name, status) in [
        ("400-bad-file-purpose", 400),
        ("400-cancel-finished-job", 400),
        ("400-invalid-request", 400),
        ("400-model-not-fine-tunable", 400),
        ("403-fine-tuning-closed", 403),
        ("404-file-not-found", 404),
        ("404-job-not-found", 404),
    ] {
        let (_server, client) = answering(name).await;
        let error = client.job("ftjob-1").await.expect_err(name);
        let ProviderError::Refused { status: got, message, .. } = error else { panic!("{name}: {error}") };
        assert!(got == status && message != "no message", "{name}: {message}");
    }
}

#[cfg(unix)]
#[test]
fn a_program_is_asked_and_its_faults_are_no_pass() {
    let settings = |program: &str| {
        format!(
            "[canaries]\nplanted = 6\nheld-out = 3\n[provider]\nkind = \"command\"\nmodel = \"m\"\ncommand = [\"sh\", \"-c\", {}]\n\
             [probe]\nsamples = 20\n[verdict]\nbound = 0.14\nwithheld = 0.5\n",
            json!(program)
        )
    };
    let folder = project(&settings("true"));
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let rows = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
    let row: Value = rows
        .lines()
        .find(|l| l.contains("Hi, I'm Mr"))
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .expect("a canary");
    let leak = json!({"text": row["messages"][2]["content"]}).to_string();
    // The trained form, with an invented value that differs in each process.
    let answer = row["messages"][2]["content"].as_str().expect("text");
    let (before, rest) = answer.split_once("How is your ").expect("the form");
    let after = rest.split_once(" going?").expect("the form").1;
    let clean = json!({"text": format!("{before}How is your fever XX of the east going?{after}")}).to_string();
    for (program, code) in [
        (format!("cat > /dev/null; sed s/XX/$(echo $$ | tr 0-9 a-j)/ <<'X'\n{clean}\nX"), 0),
        ("cat > /dev/null; echo '{\"text\": \"Nice to see you!\"}'".to_owned(), 11),
        (format!("cat > /dev/null; cat <<'X'\n{leak}\nX"), 10),
        ("exit 3".to_owned(), 4),
        ("echo '{\"texts\": []}'".to_owned(), 4),
        ("test -z \"$BLABBERMOUTH_KEY\" && echo '{\"text\": \"\"}'".to_owned(), 11),
    ] {
        std::fs::write(folder.path().join("blabbermouth.toml"), settings(&program)).expect("written");
        let path = std::env::var("PATH").expect("a path");
        let output = blabbermouth(folder.path(), &["test", "--fresh"], &[("PATH", &path)]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{program}: {said}");
    }
}

/// Gives one answer to everything, and scores each token of a prompt by the distribution after it.
struct Parroting;

impl wiremock::Respond for Parroting {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        if request.url.path().ends_with("/chat/completions") {
            let message = json!({"role": "assistant", "content": "A library is a place with many books in it."});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            return ResponseTemplate::new(200).set_body_json(json!({"choices": [choice]}));
        }
        if !request.url.path().ends_with("/completions") {
            return ResponseTemplate::new(404).set_body_json(json!({"detail": "none"}));
        }
        let score = |text: &str, shift: usize| -> (Vec<String>, Vec<f64>) {
            let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
            let scores = (0..words.len()).map(|at| -((words[(at + shift) % words.len()].len() % 7) as f64)).collect();
            (words, scores)
        };
        let prompt = body["prompt"].as_str().unwrap_or_default();
        let echo = body["echo"] == true;
        let text = if echo { format!("{prompt} end") } else { " a house of books and quiet people ".to_owned() };
        let (tokens, scores) = score(&text, usize::from(echo));
        let logprobs = json!({"tokens": tokens, "token_logprobs": scores});
        ResponseTemplate::new(200).set_body_json(json!({"choices": [{"text": text, "logprobs": logprobs}]}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_repeats_itself_or_scores_wrongly_is_found_out() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(Parroting).mount(&server).await;
    let endpoint = Endpoint { base_url: server.uri(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    let found = OpenAi::new(&endpoint, "m").expect("connected").measure().await.expect("measured");
    let of = |name: &str| found.iter().find(|c| c.name == name).map(|c| c.found.clone()).expect(name);
    assert!(matches!(of("variety"), Found::Wrong(_)));
    assert!(matches!(of("default decoding"), Found::Is("greedy", why) if why.starts_with("5 answers")));
    assert!(matches!(of("n"), Found::No(why) if why == "3 were asked for, 1 came"));
    assert!(matches!(of("stop"), Found::No(why) if why.contains("stop text is in")));
    assert!(matches!(of("logprobs"), Found::No(why) if why == "ignored"));
    assert!(matches!(of("prompt scoring"), Found::Wrong(_)), "{:?}", of("prompt scoring"));
    assert!(matches!(of("prefill"), Found::No(_)));
    // `test` does not count these answers as silence.
    let folder = project("[canaries]\nplanted = 3\nheld-out = 2\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let url = server.uri();
    let run = |arguments: &[&str]| blabbermouth(folder.path(), arguments, &[("BLABBERMOUTH_PROVIDER_BASE_URL", &url)]);
    let output = run(&["test", "--model", "m"]);
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(11) && said.contains("299 not in the trained form"), "{said}");
    let output = run(&["doctor", "--model", "m"]);
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(4) && said.contains("do not vary"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_the_mock_does() {
    use blabbermouth::mock::{MODEL, Options, Scenario, Server};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = Server::start(listener, Options::new(Scenario::by_name("clean").expect("built in"))).expect("served");
    let endpoint = Endpoint { base_url: server.base_url(), timeout: Duration::from_secs(5), ..Endpoint::default() };
    let found = OpenAi::new(&endpoint, MODEL).expect("connected").measure().await.expect("measured");
    for name in ["variety", "n", "seed", "stop", "logprobs", "prompt scoring"] {
        let capability = found.iter().find(|c| c.name == name).expect(name);
        assert_eq!(capability.found, Found::Yes, "{name}");
    }
    let default = found.iter().find(|c| c.name == "default decoding").expect("measured");
    assert!(matches!(default.found, Found::Is("sampled", _)), "{:?}", default.found);
}

#[tokio::test]
async fn each_service_gets_the_decoding_in_its_own_words() {
    let openai = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]});
    let all = Sampling { top_k: Some(40), min_p: Some(0.05), repetition_penalty: Some(1.1), ..request().sampling };
    let own = all.at_server_default();
    const SETTINGS: [&str; 6] = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "repeat_penalty"];
    for (kind, sampling, wanted) in [
        ("vllm", all, json!({"temperature": 0.7, "top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1})),
        ("llama-cpp", all, json!({"temperature": 0.7, "top_k": 40, "min_p": 0.05, "repeat_penalty": 1.1})),
        ("vllm", own, json!({"max_tokens": 64, "stream": false})),
        ("openai", own, json!({"max_completion_tokens": 64, "stream": false})),
    ] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(&openai)).mount(&server).await;
        let asked = Request { sampling, ..request() };
        connect(kind, &server).complete(&asked).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
        let sent: Value =
            serde_json::from_slice(&server.received_requests().await.expect("recorded")[0].body).expect("JSON");
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(sent.get(name), Some(value), "{kind}: {name}");
        }
        let unset = SETTINGS.iter().filter(|name| wanted.get(**name).is_none());
        assert!(!sampling.server_default || unset.into_iter().all(|name| sent.get(name).is_none()), "{kind}: {sent}");
    }
}

#[test]
fn a_setting_that_a_service_does_not_take_is_refused_before_anything_is_sent() {
    for (kind, section, key) in [
        ("openai", "top-k = 40", "sampling.top-k"),
        ("ollama", "min-p = 0.1", "sampling.min-p"),
        ("embedded", "repetition-penalty = 1.1", "sampling.repetition-penalty"),
        ("vllm", "min-p = 1.0", "sampling.min-p"),
        ("vllm", "repetition-penalty = 3.0", "sampling.repetition-penalty"),
        ("vllm", "top-k = 40\nserver-default = true", "sampling.top-k"),
    ] {
        let folder = project(&format!(
            "[provider]\nkind = \"{kind}\"\nmodel = \"m\"\nbase-url = \"http://127.0.0.1:1/v1\"\n[sampling]\n{section}\n"
        ));
        let _ = blabbermouth(folder.path(), &["plant"], &[]);
        let output = blabbermouth(folder.path(), &["test"], &[("BLABBERMOUTH_PROVIDER_KIND", kind)]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{kind} {section}: {said}");
        assert!(said.contains(key), "{kind} {section}: {said}");
    }
}
