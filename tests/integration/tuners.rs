//! Fine-tuning at services with their own APIs: the real binary against servers of these APIs.

use std::path::Path;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::{body_partial_json, body_string_contains, header, header_exists, method, path, query_param};
use wiremock::{Match, Mock, MockServer, Request, ResponseTemplate};

use crate::{blabbermouth, project, text};

const CANARIES: &str = "[canaries]\nplanted = 12\nheld-out = 6\n[dataset]\nvalidation-share = 0.0\n";
const KEY: &str = "key-test-0123456789";

fn planted(settings: &str) -> tempfile::TempDir {
    let folder = project(&format!("{CANARIES}{settings}"));
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    folder
}

fn fixture(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openai").join(name);
    serde_json::from_slice(&std::fs::read(file).expect("a fixture")).expect("JSON")
}

fn run(folder: &Path, variable: &str, url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let environment =
        [(variable, KEY), ("BLABBERMOUTH_PROVIDER_BASE_URL", url), ("AZURE_MANAGEMENT_TOKEN", "token-0123456789")];
    let output = blabbermouth(folder, arguments, &environment);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains(KEY) && !said.contains("token-0123456789"), "{said}");
    (output.status.code(), said)
}

fn state(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("blabbermouth.tune.json")).expect("a state")).expect("JSON")
}

struct NoKey;

impl Match for NoKey {
    fn matches(&self, request: &Request) -> bool {
        !request.headers.contains_key("authorization") && !request.headers.contains_key("api-key")
    }
}

fn json_of(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

async fn posts(server: &MockServer, method: &str, path: &str) -> usize {
    let all = server.received_requests().await.expect("recorded");
    all.iter().filter(|r| r.method.as_str() == method && r.url.path() == path).count()
}

#[test]
fn together_stores_by_a_signed_address_and_creates_one_job() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = planted("[provider]\nkind = \"together\"\n[tune]\nbase-model = \"llama\"\npoll-seconds = 0.02\n");
    let server = runtime.block_on(MockServer::start());
    let base = format!("{}/v1", server.uri());
    let mount = |mock: Mock| runtime.block_on(mock.mount(&server));
    let with_key = || header("authorization", format!("Bearer {KEY}").as_str());
    mount(Mock::given(method("GET")).and(path("/v1/files")).respond_with(json_of(200, json!({"data": []}))));
    let upload = ResponseTemplate::new(302)
        .insert_header("Location", format!("{}/signed/x?sig=1", server.uri()).as_str())
        .insert_header("X-Together-File-Id", "file-x");
    let form = body_string_contains("checksum");
    mount(Mock::given(method("POST")).and(path("/v1/files")).and(with_key()).and(form).respond_with(upload));
    let put = Mock::given(method("PUT")).and(path("/signed/x")).and(NoKey).and(header_exists("content-length"));
    mount(put.and(body_string_contains("messages")).respond_with(ResponseTemplate::new(200)));
    let file = |processed| json!({"id": "file-x", "filename": "x.jsonl", "bytes": 9, "Processed": processed});
    mount(Mock::given(method("POST")).and(path("/v1/files/file-x/preprocess")).respond_with(json_of(200, file(false))));
    mount(Mock::given(method("GET")).and(path("/v1/files/file-x")).respond_with(json_of(200, file(true))));
    mount(
        Mock::given(method("GET"))
            .and(path("/v1/fine-tunes"))
            .respond_with(json_of(200, json!({"data": []})))
            .up_to_n_times(1),
    );
    let wanted =
        json!({"model": "llama", "training_file": "file-x", "n_epochs": 5, "batch_size": 1, "learning_rate": 2e-5});
    let running = fixture("together.ft-job.json");
    mount(
        Mock::given(method("POST"))
            .and(path("/v1/fine-tunes"))
            .and(body_partial_json(wanted))
            .respond_with(json_of(200, running.clone())),
    );
    mount(
        Mock::given(method("GET"))
            .and(path("/v1/fine-tunes/ft-0123"))
            .respond_with(json_of(200, running.clone()))
            .up_to_n_times(2),
    );
    let mut done = running.clone();
    done["status"] = json!("completed");
    mount(Mock::given(method("GET")).and(path("/v1/fine-tunes/ft-0123")).respond_with(json_of(200, done.clone())));
    let events = json!({"data": [{"created_at": "2026-11-23T12:00:01Z", "type": "training_start", "message": "on"}]});
    mount(Mock::given(method("GET")).and(path("/v1/fine-tunes/ft-0123/events")).respond_with(json_of(200, events)));
    let (code, said) = run(folder.path(), "TOGETHER_API_KEY", &base, &["tune"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(state(folder.path())["model"], "acme/llama-blabbermouth");
    // The state file is lost: the job is found by its training file.
    std::fs::remove_file(folder.path().join("blabbermouth.tune.json")).expect("removed");
    let list = json!({"data": [{"id": "ft-old", "status": "cancelled", "training_file": "file-x",
                                "created_at": "2026-01-01T00:00:00Z"}, done]});
    mount(Mock::given(method("GET")).and(path("/v1/fine-tunes")).respond_with(json_of(200, list)));
    assert_eq!(run(folder.path(), "TOGETHER_API_KEY", &base, &["tune"]).0, Some(0));
    assert_eq!(runtime.block_on(posts(&server, "POST", "/v1/fine-tunes")), 1);
    let screened = run(folder.path(), "TOGETHER_API_KEY", &base, &["tune", "--screen"]);
    assert!(screened.0 == Some(3) && screened.1.contains("leave out --screen"), "{screened:?}");
}

#[test]
fn together_failures_have_their_reason_and_a_stranger_gets_no_file() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = planted("[provider]\nkind = \"together\"\n[tune]\nbase-model = \"llama\"\npoll-seconds = 0.02\n");
    let server = runtime.block_on(MockServer::start());
    let mount = |mock: Mock| runtime.block_on(mock.mount(&server));
    mount(Mock::given(method("GET")).and(path("/v1/files")).respond_with(json_of(200, json!({"data": []}))));
    let elsewhere = ResponseTemplate::new(302)
        .insert_header("Location", "http://storage.example/x")
        .insert_header("X-Together-File-Id", "file-x");
    mount(Mock::given(method("POST")).and(path("/v1/files")).respond_with(elsewhere));
    let base = format!("{}/v1", server.uri());
    let (code, said) = run(folder.path(), "TOGETHER_API_KEY", &base, &["tune"]);
    assert!(code == Some(4) && said.contains("no safe address"), "{code:?} {said}");
    let (code, said) = run(folder.path(), "TOGETHER_API_KEY", "http://together.example/v1", &["tune"]);
    assert!(code == Some(3) && said.contains("in the clear"), "{code:?} {said}");
}

#[test]
fn fireworks_names_its_datasets_and_jobs() {
    let runtime = Runtime::new().expect("a runtime");
    let settings = "[provider]\nkind = \"fireworks\"\n[tune]\nbase-model = \"accounts/fireworks/models/llama-v3p1-8b-instruct\"\n\
                    poll-seconds = 0.02\n";
    let folder = planted(settings);
    let server = runtime.block_on(MockServer::start());
    let base = format!("{}/inference/v1", server.uri());
    let (code, said) = run(folder.path(), "FIREWORKS_API_KEY", &base, &["tune"]);
    assert!(code == Some(3) && said.contains("tune.account"), "{code:?} {said}");
    let account = |rest: &str| format!("/v1/accounts/acme/{rest}");
    let mount = |mock: Mock| runtime.block_on(mock.mount(&server));
    mount(
        Mock::given(method("POST"))
            .and(path(account("datasets")))
            .and(body_partial_json(json!({"dataset": {"format": "CHAT", "exampleCount": "114"}})))
            .respond_with(json_of(200, json!({}))),
    );
    let found = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = found.clone();
    // The dataset, under any name, exists once its rows are uploaded.
    mount(Mock::given(wiremock::matchers::path_regex("^/v1/accounts/acme/datasets/.+$")).respond_with(
        move |request: &Request| {
            let mut seen = seen.lock().expect("no panic");
            let name = request.url.path().rsplit('/').next().expect("a name").to_owned();
            if let Some(name) = name.strip_suffix(":upload") {
                *seen = name.to_owned();
                return json_of(200, json!({}));
            }
            if *seen != name {
                return json_of(404, json!({"code": 5, "message": "not found"}));
            }
            json_of(200, json!({"name": format!("accounts/acme/datasets/{name}"), "state": "READY"}))
        },
    ));
    let job = fixture("fireworks.sft-job.json");
    let none = json_of(404, json!({"code": 5, "message": "not found"}));
    let unknown = wiremock::matchers::path_regex("^/v1/accounts/acme/supervisedFineTuningJobs/blabbermouth-.+$");
    mount(Mock::given(method("GET")).and(unknown).respond_with(none));
    let wanted = json!({"baseModel": "accounts/fireworks/models/llama-v3p1-8b-instruct", "epochs": 5,
                        "batchSizeSamples": 1, "learningRate": 2e-4});
    let create = Mock::given(method("POST")).and(path(account("supervisedFineTuningJobs")));
    mount(create.and(body_partial_json(wanted)).respond_with(json_of(200, job.clone())).up_to_n_times(1));
    let one = || Mock::given(method("GET")).and(path(account("supervisedFineTuningJobs/j1")));
    mount(one().respond_with(json_of(200, job.clone())).up_to_n_times(2));
    let mut done = job.clone();
    done["state"] = json!("JOB_STATE_COMPLETED");
    mount(one().respond_with(json_of(200, done)));
    std::fs::write(folder.path().join("blabbermouth.toml"), format!("{CANARIES}{settings}account = \"acme\"\n"))
        .expect("written");
    let (code, said) = run(folder.path(), "FIREWORKS_API_KEY", &base, &["tune"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(state(folder.path())["model"], "accounts/acme/models/blabbermouth");
    assert!(found.lock().expect("no panic").starts_with("blabbermouth-"), "a dataset's name");
    // A failure reports its reason.
    std::fs::remove_file(folder.path().join("blabbermouth.tune.json")).expect("removed");
    let mut failed = job;
    failed["name"] = json!("accounts/acme/supervisedFineTuningJobs/j2");
    failed["state"] = json!("JOB_STATE_FAILED");
    failed["status"] = json!({"code": "INVALID_ARGUMENT", "message": "row 3 of the file has a bad format"});
    mount(
        Mock::given(method("POST"))
            .and(path(account("supervisedFineTuningJobs")))
            .respond_with(json_of(200, failed.clone())),
    );
    mount(
        Mock::given(method("GET")).and(path(account("supervisedFineTuningJobs/j2"))).respond_with(json_of(200, failed)),
    );
    let (code, said) = run(folder.path(), "FIREWORKS_API_KEY", &base, &["tune"]);
    assert!(code == Some(4) && said.contains("row 3") && said.contains("mend the rows"), "{code:?} {said}");
}

#[test]
fn azure_deploys_what_it_tuned_and_removes_the_deployment() {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(MockServer::start());
    let resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a";
    let settings = format!(
        "[provider]\nkind = \"azure\"\n[tune]\npoll-seconds = 0.02\n[azure]\nresource = \"{resource}\"\n\
         management-url = \"{}\"\n",
        server.uri()
    );
    let folder = planted(&settings);
    let mount = |mock: Mock| runtime.block_on(mock.mount(&server));
    let with_key = || header("api-key", KEY);
    mount(Mock::given(method("GET")).and(path("/v1/files")).respond_with(json_of(200, json!({"data": []}))));
    mount(
        Mock::given(method("POST"))
            .and(path("/v1/files"))
            .and(with_key())
            .respond_with(json_of(200, json!({"id": "file-1", "object": "file", "status": "processed"}))),
    );
    mount(Mock::given(method("GET")).and(path("/v1/fine_tuning/jobs")).respond_with(json_of(200, json!({"data": []}))));
    let job = |status: &str, model: Value| json!({"id": "ftjob-1", "object": "fine_tuning.job", "status": status, "fine_tuned_model": model});
    mount(
        Mock::given(method("POST"))
            .and(path("/v1/fine_tuning/jobs"))
            .respond_with(json_of(200, job("pending", Value::Null))),
    );
    let model = "gpt-4o-mini-2024-07-18.ft-1";
    mount(
        Mock::given(method("GET"))
            .and(path("/v1/fine_tuning/jobs/ftjob-1"))
            .respond_with(json_of(200, job("succeeded", json!(model)))),
    );
    let at = format!("{resource}/deployments/blabbermouth");
    let deployment = |state: &str| json!({"properties": {"model": {"name": model}, "provisioningState": state}});
    let get = || Mock::given(method("GET")).and(path(at.as_str())).and(query_param("api-version", "2024-10-01"));
    mount(get().respond_with(json_of(404, json!({"error": {"code": "NotFound"}}))).up_to_n_times(1));
    let body = json!({"sku": {"name": "Standard", "capacity": 10},
                      "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}}});
    let token = header("authorization", "Bearer token-0123456789");
    mount(
        Mock::given(method("PUT"))
            .and(path(at.as_str()))
            .and(token)
            .and(body_partial_json(body))
            .respond_with(json_of(201, deployment("Creating"))),
    );
    mount(get().respond_with(json_of(200, deployment("Creating"))).up_to_n_times(2));
    mount(get().respond_with(json_of(200, deployment("Succeeded"))));
    let base = format!("{}/v1", server.uri());
    let (code, said) = run(folder.path(), "AZURE_OPENAI_API_KEY", &base, &["tune"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(state(folder.path())["model"], "blabbermouth");
    assert_eq!(runtime.block_on(posts(&server, "PUT", &at)), 1);
    // The management API never sees the key of the service, and the service never the token.
    for request in runtime.block_on(server.received_requests()).expect("recorded") {
        let managed = request.url.path().starts_with("/subscriptions");
        assert_eq!(request.headers.contains_key("api-key"), !managed, "{}", request.url);
    }
    mount(Mock::given(method("DELETE")).respond_with(json_of(200, json!({"deleted": true}))));
    let (code, said) = run(folder.path(), "AZURE_OPENAI_API_KEY", &base, &["tune", "--cleanup", "--delete-model"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(runtime.block_on(posts(&server, "DELETE", &at)), 1);
}

#[test]
fn a_service_without_fine_tuning_says_so_and_a_wrong_key_names_its_variable() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = planted("[provider]\nkind = \"groq\"\n");
    let (code, said) = run(folder.path(), "GROQ_API_KEY", "http://127.0.0.1:9/v1", &["tune"]);
    assert!(code == Some(3) && said.contains("tune elsewhere"), "{code:?} {said}");
    let folder = planted("[provider]\nkind = \"openai\"\n");
    let server = runtime.block_on(MockServer::start());
    let refused = json_of(401, json!({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}));
    runtime.block_on(Mock::given(wiremock::matchers::any()).respond_with(refused).mount(&server));
    let (code, said) = run(folder.path(), "OPENAI_API_KEY", &format!("{}/v1", server.uri()), &["tune"]);
    assert!(code == Some(4) && said.contains("OPENAI_API_KEY"), "{code:?} {said}");
}
