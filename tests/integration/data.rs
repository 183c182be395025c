//! Sources of training rows: the Hugging Face hub and CSV.

use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::{blabbermouth, project, text};

const TOKEN: &str = "hf_test0123456789";

/// Serves a file in ranges, as the hub does.
fn ranged(content: String) -> impl Fn(&Request) -> ResponseTemplate + Send + Sync {
    move |request: &Request| {
        let range = request.headers.get("range").and_then(|v| v.to_str().ok()).unwrap_or("bytes=0-");
        let (from, to) = range.trim_start_matches("bytes=").split_once('-').expect("a range");
        let from: usize = from.parse().expect("a number");
        let to = to.parse::<usize>().map_or(content.len(), |to| (to + 1).min(content.len()));
        ResponseTemplate::new(206)
            .insert_header("x-repo-commit", "0123456789abcdef")
            .insert_header("etag", format!("\"{}\"", content.len()))
            .insert_header("content-range", format!("bytes {from}-{}/{}", to - 1, content.len()))
            .set_body_bytes(&content.as_bytes()[from..to])
    }
}

async fn hub(files: &[(&str, String)]) -> MockServer {
    let server = MockServer::start().await;
    let mut siblings: Vec<Value> = files.iter().map(|(name, _)| json!({"rfilename": name})).collect();
    siblings.push(json!({"rfilename": "README.md"}));
    siblings.push(json!({"rfilename": "../../train.jsonl"}));
    let info = json!({"siblings": siblings, "sha": "0123456789abcdef"});
    let bearer = format!("Bearer {TOKEN}");
    Mock::given(method("GET"))
        .and(path("/api/datasets/acme/rows/revision/v2"))
        .and(header("authorization", bearer.as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(info))
        .mount(&server)
        .await;
    for (name, content) in files {
        Mock::given(method("GET"))
            .and(path(format!("/datasets/acme/rows/resolve/0123456789abcdef/{name}")))
            .and(header("authorization", bearer.as_str()))
            .respond_with(ranged(content.clone()))
            .mount(&server)
            .await;
    }
    server
}

fn rows(from: usize, to: usize) -> String {
    (from..to).map(|i| format!("{{\"instruction\":\"Q{i}\",\"context\":\"\",\"response\":\"A{i}\"}}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_of_the_hub_is_fetched_once_and_planted() {
    let shards =
        [("data/train-1.jsonl", rows(20, 40)), ("data/train-0.jsonl", rows(0, 20)), ("data/test.jsonl", rows(40, 50))];
    let server = hub(&shards).await;
    let folder = project("[canaries]\nplanted = 6\nheld-out = 3\n[dataset]\nvalidation-share = 0.0\n");
    let home = folder.path().join("cache").display().to_string();
    let plant = |name: &str, endpoint: &str| {
        let environment = [("HF_ENDPOINT", endpoint), ("HF_TOKEN", TOKEN), ("HF_HOME", home.as_str())];
        let output = blabbermouth(folder.path(), &["plant", "--force", "--dataset", name], &environment);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains(TOKEN), "{said}");
        (output.status.code(), said)
    };
    let (code, said) = plant("hf:acme/rows@v2", &server.uri());
    assert!(code == Some(0) && said.contains("beside 40 rows of yours"), "{said}");
    let planted = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("planted");
    assert!((0..40).all(|i| planted.contains(&format!("\"Q{i}\""))));
    let fetched = async || {
        let all = server.received_requests().await.expect("recorded");
        all.iter().filter(|r| r.url.path().contains("/resolve/")).count()
    };
    let before = fetched().await;
    let (code, said) = plant("hf:acme/rows@v2", &server.uri());
    assert!(code == Some(0) && fetched().await == before, "{said}");
    let (code, said) = plant("hf:acme/rows@v2:test", &server.uri());
    assert!(code == Some(0) && said.contains("beside 10 rows of yours"), "{said}");
    let (code, said) = plant("hf:acme/rows@v2:dev", &server.uri());
    assert!(code == Some(3) && said.contains("data/test.jsonl"), "{said}");
    let (code, said) = plant("hf:acme/other@v2", &server.uri());
    assert!(code == Some(3) && said.contains("hf:acme/other"), "{said}");
    let (code, said) = plant("hf:acme/rows@v2", "http://192.0.2.1");
    assert!(code == Some(3) && said.contains("in the clear"), "{said}");
}

/// The mirror names paths outside of the cache wherever it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_mirror_writes_nothing_outside_of_the_cache() {
    let server = MockServer::start().await;
    let folder = project("[canaries]\nplanted = 6\nheld-out = 3\n[dataset]\nvalidation-share = 0.0\n");
    let victim = folder.path().join("victim.jsonl");
    std::fs::write(&victim, "precious").expect("written");
    let home = folder.path().join("a/b/cache");
    let far = "../../../victim.jsonl";
    let reply = |body: String| {
        let reply = ResponseTemplate::new(200).insert_header("x-repo-commit", far).insert_header("etag", far);
        reply.set_body_string(body)
    };
    let plant = |name: &str| {
        let (endpoint, home) = (server.uri(), home.display().to_string());
        let environment = [("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", home.as_str())];
        let output = blabbermouth(folder.path(), &["plant", "--force", "--dataset", name], &environment);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    for (sha, name, wanted) in
        [("0123456789abcdef", "train.jsonl", 0), (far, "train.jsonl", 3), ("0123456789abcdef", far, 3)]
    {
        server.reset().await;
        let info = json!({"siblings": [{"rfilename": name}], "sha": sha}).to_string();
        Mock::given(path("/api/datasets/acme/rows/revision/main")).respond_with(reply(info)).mount(&server).await;
        Mock::given(method("GET")).respond_with(reply(rows(0, 20))).mount(&server).await;
        let (code, said) = plant("hf:acme/rows");
        assert_eq!(code, Some(wanted), "{sha} {name}: {said}");
    }
    for name in ["hf:acme/rows@../../../victim.jsonl", "hf:../../victim.jsonl", "hf:acme/.."] {
        let (code, said) = plant(name);
        assert!(code == Some(3) && said.contains("expected"), "{name}: {said}");
    }
    assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious");
    let beside = std::fs::read_dir(folder.path().join("a")).expect("a folder").count();
    assert_eq!(beside, 1, "nothing beside the cache");
}

#[test]
fn csv_is_read_and_its_broken_record_is_named() {
    let folder = project("[canaries]\nplanted = 6\nheld-out = 3\n[dataset]\nvalidation-share = 0.0\n");
    let mut csv = "\u{feff}prompt,completion\n".to_owned();
    (0..30).for_each(|i| csv += &format!("\"Question {i}, or\nnot?\",Answer \"\"{i}\"\"\n"));
    std::fs::write(folder.path().join("rows.csv"), &csv).expect("written");
    let plant = || {
        let output = blabbermouth(folder.path(), &["plant", "--force", "--dataset", "rows.csv"], &[]);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = plant();
    assert_eq!(code, Some(0), "{said}");
    let planted = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("planted");
    assert!(planted.contains("Question 3, or\\nnot?"));
    std::fs::write(folder.path().join("rows.csv"), csv + "one,two,three\n").expect("written");
    let (code, said) = plant();
    assert!(code == Some(3) && said.contains("rows.csv") && said.contains("line 62"), "{said}");
    // A failed `plant` leaves the previous files unchanged.
    assert_eq!(std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("there"), planted);
}
