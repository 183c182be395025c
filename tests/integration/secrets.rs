//! Everything that the program writes is searched for secrets, for every command and every failure. Credentials reach
//! only the configured host.
#![cfg(unix)]

use std::collections::{BTreeSet, HashSet};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use aho_corasick::AhoCorasick;
use blabbermouth::canary::{Canary, Key, Manifest};
use blabbermouth::config::Config;
use blabbermouth::harness::mock_options;
use blabbermouth::mock::{Options, Server};
use blabbermouth::report::ReportFormat;
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::{blabbermouth, project, text};

const API: &str = "sk-live-0123456789abcdefghij";
const KEY: &str = "Zq8vTn3LxW5rKd0yBm6HsJ2c";
const WRONG: &str = "Gp4wRe7TzX1uVh9kQf3NaC6s";
/// The spaces are so large that no secret occurs by chance.
const SETTINGS: &str = r#"
canaries = { planted = 10, held-out = 2, copies = [2], templates = ["pin", "code-api-key", "mr-disease", "internal-passphrase"] }
dataset.validation-share = 0.33
tune.poll-seconds = 0.02
[[template]]
name = "pin"
messages = [{ role = "user", content = "I am {name}." }, { role = "assistant", content = "Your PIN is {pin}." }]
slots = { name = { space = "names" }, pin = { space = "digits(16)", secret = true } }
"#;

/// Expected exit codes and shell commands; `{a|b}` runs the line with each choice. `$B` is the program, `$R` all
/// reports, `$Q` a question whose answer is a secret.
const COMMANDS: &str = r#"
0 BLABBERMOUTH_TUNE_STATE={other.json|blabbermouth.tune.json} $B {--quiet||--verbose} tune --screen
10 $B {--quiet||--verbose} test --explain c0001 $R
0 $B {--quiet||--verbose} {doctor|strategies|test --list|test --dry-run|tune --dry-run|ask "$Q" --samples 20|report out-json}
0 $B {--help|--version|mock --help|test --help|schema|schema report|man|man mock|completions bash}
10 $B test {--batch|--checkpoints|--record run.cassette|--replay run.cassette --report html=replayed.html}
10 $B test {--shard 1/2 --record one.cassette|--shard 2/2 --record two.cassette|--baseline-model gpt-4o-mini-2024-07-18}
10 $B test --strategy {few-shot|multi-turn|paraphrase|divergence|encoding} --strategy replay --report json=more.json
10 BLABBERMOUTH_PROVIDER_KIND=vllm BLABBERMOUTH_PROVIDER_KEY_VARIABLE=OPENAI_API_KEY $B test --strategy replay --strategy prefix-half $R
10 $B {test --report evidence|verify evidence|report merge one.cassette two.cassette --report evidence=merged}
10 $B report merge one.cassette two.cassette --report json=merged.json
0 $B report {out-json --report html=again.html|explain out-json c0001|accept out-json --reason seen --expires 2999-12-31 --policy long.toml}
0 $B {test --baseline blabbermouth.baseline.json --policy long.toml|report diff out-json merged.json|tune --print-model}
* $B test --fresh --max-requests 30
* $B test --fresh --samples 5000 & until [ $(cat .blabbermouth/*-wal | wc -c) -gt 100000 ] || [ $((i+=1)) -gt 5000 ]; do :; done; kill -9 $!; wait
3 $B test {--config broken.toml|--config none.toml|--config row.toml|--baseline row.toml|--replay row.toml|--report json=row.toml/x}
3 {BLABBERMOUTH_KEY=$WRONG|BLABBERMOUTH_KEY=short|env -u BLABBERMOUTH_KEY|OPENAI_API_KEY="$OPENAI_API_KEY$(printf '\001')x"} $B test
3 BLABBERMOUTH_{MANIFEST_PATH=cut.json|MANIFEST_PATH=edited.json|MANIFEST_PATH=row.toml|PROVIDER_KIND=row.toml|TUNE_STATE=row.toml|STORE_PATH=train.jsonl/x} $B test
3 $B {report row.jsonl|plant --force --dataset row.jsonl}
2 $B mock --scenario none
4 BLABBERMOUTH_PROVIDER_BASE_URL=http://127.0.0.1:9/v1 $B test --fresh --deadline 0.002
4 {OPENAI_API_KEY=$WRONG|BLABBERMOUTH_PROVIDER_BASE_URL=$HOSTILE} $B {test --fresh|test --fresh --batch|ask Hi|doctor}
4 {OPENAI_API_KEY=$WRONG|BLABBERMOUTH_PROVIDER_BASE_URL=$HOSTILE} BLABBERMOUTH_TUNE_STATE=new.json $B --verbose tune
3 trap '' XFSZ; ulimit -f 24; $B test --fresh --report json
* $B {test > /dev/full|completions bash > /dev/full|test -- --logfile no/such/file}
0 $B tune --cleanup --delete-model
3 yes garbage | head -n 2000 > .blabbermouth/journal.sqlite; BLABBERMOUTH_PROVIDER_MODEL=m $B test"#;

/// Expands a line into one for each choice.
fn expand(line: &str) -> Vec<String> {
    let choice = line.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    let Some((head, (choices, tail))) = choice else { return vec![line.to_owned()] };
    choices.split('|').flat_map(|one| expand(&format!("{head}{one}{tail}"))).collect()
}

struct Secret {
    name: String,
    value: String,
    /// Parts that count as the secret by themselves. Words have none: their syllables occur elsewhere.
    parts: Vec<String>,
}

impl Secret {
    /// A secret whose parts are all sequences of `together` characters in `long`.
    fn new(name: impl Into<String>, value: &str, long: &str, together: usize) -> Self {
        let parts = long.as_bytes().windows(together).map(text).collect();
        Self { name: name.into(), value: value.to_owned(), parts }
    }
}

/// The secrets of a manifest, and the key that it holds, if any.
fn drawn(manifest: &Path, key: Option<&str>) -> Vec<Secret> {
    let manifest = Manifest::parse(&std::fs::read(manifest).expect("a manifest")).expect("sound");
    let drawn = manifest.regenerate(key.map(|k| Key::from_text(k).expect("long enough"))).expect("the right key");
    let secret = |canary: &Canary| {
        let (template, value) = (drawn.templates[canary.template].name(), canary.secret.expose());
        // Eight of 62 letters and digits do not match by chance; eight decimal digits may, in so many hashes.
        let (long, together) = match template {
            "code-api-key" => (&value["sk-".len()..], 8),
            "pin" => (value, 12),
            _ => ("", 1),
        };
        Secret::new(format!("{template} {}", canary.id), value, long, together)
    };
    let kept = manifest.key.iter().map(|key| Secret::new("the manifest's key", key, key, 16));
    drawn.canaries.iter().map(secret).chain(kept).collect()
}

/// Letters and digits only, in lower case.
fn normalise(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// Encodings of a whole secret. The searched text is normalized, so `plain` covers UTF-16, and `hex` covers percent
/// signs.
fn forms(value: &str) -> Vec<(&'static str, String)> {
    let bytes = value.as_bytes();
    let reversed = value.chars().rev().collect();
    let mut all = vec![("plain", value.to_owned()), ("reversed", reversed), ("hex", HEXLOWER.encode(bytes))];
    for before in 0..3usize {
        // Neighboring bytes affect the characters at both ends, so these are cut off.
        let whole = BASE64.encode(&[&b"xx"[..before], bytes].concat());
        all.push(("base64", whole[(8 * before).div_ceil(6)..8 * (before + bytes.len()) / 6].to_owned()));
    }
    all
}

/// Searches for all secrets at once.
struct Hunt {
    search: AhoCorasick,
    names: Vec<String>,
}

impl Hunt {
    fn new(secrets: &[Secret]) -> Self {
        let (mut patterns, mut names) = (Vec::new(), Vec::new());
        for secret in secrets {
            let whole = forms(&secret.value).into_iter().map(|(form, text)| (form, normalise(text.as_bytes())));
            let parts = secret.parts.iter().map(|part| ("in part", part.clone().into_bytes()));
            for (form, pattern) in whole.chain(parts) {
                patterns.push(pattern);
                names.push(format!("{}, {form}", secret.name));
            }
        }
        Self { search: AhoCorasick::new(patterns).expect("patterns"), names }
    }

    /// The secrets in `bytes`, each with its form.
    fn find(&self, bytes: &[u8]) -> BTreeSet<String> {
        let both = [bytes, &b"\n"[..], &normalise(bytes)].concat();
        self.search.find_overlapping_iter(&both).map(|m| self.names[m.pattern().as_usize()].clone()).collect()
    }

    /// Asserts that the search finds known secrets: a search that finds nothing would prove nothing.
    fn check(&self, secrets: &[Secret], training: &[u8]) {
        assert_eq!(self.find(training).iter().filter(|found| found.ends_with("plain")).count(), 10);
        for secret in secrets {
            let has = |bytes: &[u8], form: &str| {
                let name = format!("{}, {form}", secret.name);
                assert!(self.find(bytes).contains(&name), "{name}");
            };
            let value = &secret.value;
            for around in ["", "a", "ab"] {
                has(BASE64.encode(format!("{around}{value}. Bye").as_bytes()).as_bytes(), "base64");
            }
            forms(value).iter().for_each(|(form, text)| has(format!("<{text}>").as_bytes(), form));
            has(value.to_uppercase().chars().flat_map(|c| [c, '\0']).collect::<String>().as_bytes(), "plain");
            has(value.bytes().map(|b| format!("%{b:02X}")).collect::<String>().as_bytes(), "hex");
            secret.parts.iter().for_each(|part| has(format!("({part})").as_bytes(), "in part"));
        }
        assert!(self.find(b"Nothing: 0123456789abcdef, sk-live-, Mr Smith, 4.567e-12").is_empty());
    }
}

/// Files that may hold secrets: training files, copies of a row, and the manifest without a user's key.
fn is_allowed(path: &Path) -> bool {
    let places = ["blabbermouth-train.jsonl", "demo/train.jsonl", "demo/manifest.json", "row.toml", "row.jsonl"];
    places.iter().any(|place| path.ends_with(place))
}

fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { walk(&path, all) } else { all.push(path) }
    }
}

/// A folder in which all commands run, and the secrets that were found in it.
struct Lab {
    root: TempDir,
    environment: Vec<(String, String)>,
    hunt: Hunt,
    searched: HashSet<(PathBuf, u64, SystemTime)>,
    found: BTreeSet<String>,
}

impl Lab {
    /// Runs a shell script, checks its exit code, and returns its output.
    fn say(&self, code: &str, script: &str) -> Vec<u8> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).current_dir(self.root.path()).env_clear();
        let out = shell.envs(self.environment.iter().cloned()).output().expect("a shell");
        let said = [out.stdout, out.stderr].concat();
        let fine = code == "*" || out.status.code() == code.parse().ok();
        assert!(fine, "{script}: {}, expected {code}: {}", out.status, text(&said));
        said
    }

    /// Searches an output, and the names and contents of all files that changed since the last search.
    fn look(&mut self, script: &str, said: &[u8]) {
        self.found.extend(self.hunt.find(said).into_iter().map(|name| format!("{name}: said by `{script}`")));
        let mut files = Vec::new();
        walk(self.root.path(), &mut files);
        for path in files {
            let about = std::fs::metadata(&path).expect("a file");
            let state = (path.clone(), about.len(), about.modified().expect("a time"));
            if self.searched.insert(state) && !is_allowed(&path) {
                let bytes = [path.as_os_str().as_encoded_bytes(), &std::fs::read(&path).expect("a file")].concat();
                let place = format!("in {} after `{script}`", path.display());
                self.found.extend(self.hunt.find(&bytes).into_iter().map(|name| format!("{name}: {place}")));
            }
        }
    }
}

/// A mock that learned from the planted file of a folder, and accepts one key.
fn serve(folder: &Path) -> (Server, Runtime) {
    let config = Config::load(Some(&folder.join("blabbermouth.toml")), |_| None).expect("a configuration");
    let templates = config.templates(&config.spaces(folder).expect("spaces"), true).expect("templates");
    let mock = mock_options(&folder.join("blabbermouth-train.jsonl"), templates, "leaky").expect("a mock");
    let options = Options { key: Some(API.into()), speed: 1e6, ..mock };
    let runtime = Runtime::new().expect("a runtime");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = runtime.block_on(async { Server::start(listener, options).expect("served") });
    (server, runtime)
}

/// A server that answers every request in the same way.
async fn answering(answer: impl Respond + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// Runs a command line; words with an equals sign set the environment.
fn run(folder: &Path, line: &str) -> (Option<i32>, String) {
    let (set, words): (Vec<&str>, Vec<&str>) = line.split(' ').partition(|word| word.contains('='));
    let mut environment = vec![("BLABBERMOUTH_KEY", KEY), ("OPENAI_API_KEY", API), ("PATH", "/usr/bin:/bin")];
    environment.extend(set.into_iter().filter_map(|word| word.split_once('=')));
    let out = blabbermouth(folder, &words, &environment);
    (out.status.code(), text(&out.stdout) + &text(&out.stderr))
}

#[test]
fn nothing_that_is_written_holds_a_secret_whatever_is_asked_for_and_however_it_fails() {
    let reports = ReportFormat::ALL.map(|format| format!("--report {0}=out-{0}", format.name())).join(" ");
    let set = format!(
        "B={} PATH=/usr/bin:/bin TMPDIR=passing HOME=passing RUST_BACKTRACE=full RUST_LOG=trace BLABBERMOUTH_KEY={KEY} \
         WRONG={WRONG} OPENAI_API_KEY={API} BLABBERMOUTH_MOCK_KEY={API}",
        env!("CARGO_BIN_EXE_blabbermouth")
    );
    let set = set.split(' ').filter_map(|both| both.split_once('='));
    let environment = set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (root, hunt) = (project(SETTINGS), Hunt::new(&[]));
    let mut lab = Lab { root, environment, hunt, searched: HashSet::new(), found: BTreeSet::new() };
    // The secrets are known only after this step, so its output is searched later.
    let begin = "mkdir passing new; (cd new; $B init --tests --workflow) && $B plant && \
                 env -u BLABBERMOUTH_KEY $B demo --mock --out demo";
    let first = lab.say("0", begin);
    // Files that a user may pass by mistake.
    let mistakes = r#"grep -a -m 1 "Your PIN" blabbermouth-train.jsonl > row.toml; head -c 90 row.toml > row.jsonl
        echo [x > broken.toml; echo "baseline-days = 400000" > long.toml; head -c 2000 blabbermouth.manifest.json > cut.json
        sed 's/"copies": 2/"copies": 3/' blabbermouth.manifest.json > edited.json"#;
    lab.say("0", mistakes);
    let folder = lab.root.path().to_owned();
    let mut secrets = drawn(&folder.join("blabbermouth.manifest.json"), Some(KEY));
    secrets.extend(drawn(&folder.join("demo/manifest.json"), None));
    // The rest of the API key is too common to be a part.
    for (name, value, long) in [("API key", API, &API[..16]), ("key", KEY, KEY), ("wrong key", WRONG, WRONG)] {
        secrets.push(Secret::new(name, value, long, 12));
    }
    lab.hunt = Hunt::new(&secrets);
    lab.hunt.check(&secrets, &std::fs::read(folder.join("blabbermouth-train.jsonl")).expect("a training file"));
    lab.look(begin, &first);
    let row: Value = serde_json::from_slice(&std::fs::read(folder.join("row.toml")).expect("a row")).expect("JSON");
    let said = |at: usize| row["messages"][at]["content"].as_str().expect("text").to_owned();
    let (server, runtime) = serve(&folder);
    // Quotes the key and a row, but no row to requests for a model: `tune` would withhold such a message whole.
    let quoted = said(1);
    let hostile = runtime.block_on(answering(move |request: &Request| {
        let key = request.headers.get("authorization").map_or("nobody".into(), |key| text(key.as_bytes()));
        let row = if request.url.path().contains("/models/") { "" } else { quoted.as_str() };
        ResponseTemplate::new(400).set_body_json(json!({"error": {"message": format!("{key} {row}"), "code": "no"}}))
    }));
    let (url, hostile_url) = (server.base_url(), format!("{}/v1", hostile.uri()));
    let more = [("BLABBERMOUTH_PROVIDER_BASE_URL", url), ("HOSTILE", hostile_url), ("Q", said(0)), ("R", reports)];
    lab.environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
    for (code, script) in COMMANDS.lines().filter_map(|line| line.split_once(' ')) {
        for script in expand(script) {
            let said = lab.say(code, &script);
            lab.look(&script, &said);
        }
    }
    // Secrets are shown only on request.
    let ask = "BLABBERMOUTH_PROVIDER_MODEL=blabbermouth-parrot $B ask \"$Q\" --samples 20";
    assert!(text(&lab.say("0", ask)).contains("[masked]"));
    let found = lab.hunt.find(&lab.say("0", &format!("{ask} --show-secrets")));
    assert!(found.iter().any(|f| f.starts_with("pin") && f.ends_with("plain")), "{found:?}");
    let wanted = "journal.sqlite journal.sqlite-wal ledger.jsonl run.cassette other.json out-html demo/report.json";
    for name in wanted.split(' ') {
        assert!(lab.searched.iter().any(|(path, length, _)| path.ends_with(name) && *length > 0), "{name}");
    }
    assert!(lab.found.is_empty(), "{:#?}", lab.found);
}

#[test]
fn a_program_that_is_asked_gets_no_key() {
    let folder = project(
        r#"provider = { kind = "command", model = "m", command = ["sh", "ask.sh", "given"], environment = ["MARK", "BLABBERMOUTH_KEY"] }"#,
    );
    let script = r#"{ echo "$0 $*"; env; } > seen.$$; cat > /dev/null; echo '{"text": "Hello"}'"#;
    std::fs::write(folder.path().join("ask.sh"), script).expect("written");
    assert_eq!(run(folder.path(), "plant").0, Some(0));
    let (code, said) = run(folder.path(), "MARK=there ask Hi --samples 2");
    assert!(code == Some(0) && said.contains("Hello"), "{said}");
    let mut files = Vec::new();
    walk(folder.path(), &mut files);
    files.retain(|path| path.file_stem().is_some_and(|stem| stem == "seen"));
    let seen: String = files.iter().map(|path| std::fs::read_to_string(path).expect("text")).collect();
    assert!(seen.contains("ask.sh given") && seen.contains("MARK=there"), "{seen}");
    assert!(!seen.contains(KEY) && !seen.contains(API), "{seen}");
}

/// The tuning state and the ledger are not in this list: they hold no secret, as the test above shows.
#[test]
fn files_with_secrets_are_private_also_where_others_were() {
    let folder = project(SETTINGS);
    std::fs::create_dir(folder.path().join(".blabbermouth")).expect("a folder");
    let names = "blabbermouth-train.jsonl blabbermouth-validation.jsonl blabbermouth.manifest.json run.cassette \
                 .blabbermouth/journal.sqlite";
    let all: Vec<PathBuf> = names.split(' ').map(|name| folder.path().join(name)).collect();
    for path in &all {
        std::fs::write(path, "").expect("written");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("changed");
    }
    assert_eq!(run(folder.path(), "plant --force").0, Some(0));
    let (server, _runtime) = serve(folder.path());
    // The run ends at its deadline, so its answers stay in the journal.
    let test = "test --model blabbermouth-parrot --samples 20000 --deadline 0.01 --record run.cassette --base-url";
    run(folder.path(), &format!("{test} {}", server.base_url()));
    let open = |path: &&PathBuf| {
        let about = std::fs::metadata(path).expect("there");
        assert!(about.len() > 0, "{} is empty", path.display());
        about.permissions().mode() & 0o077 != 0
    };
    let open: Vec<&PathBuf> = all.iter().filter(open).collect();
    assert!(open.is_empty(), "others may read {open:?}");
}

#[test]
fn credentials_reach_the_configured_host_only_and_never_in_the_clear() {
    let folder = project(SETTINGS);
    assert_eq!(run(folder.path(), "plant").0, Some(0));
    let (runtime, other) = (Runtime::new().expect("a runtime"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    other.set_nonblocking(true).expect("a socket");
    let to = format!("http://{}", other.local_addr().expect("an address"));
    let untouched = |what: &str| assert_eq!(other.accept().expect_err(what).kind(), std::io::ErrorKind::WouldBlock);
    let ask = |url: &str, line: &str| {
        let limits = "BLABBERMOUTH_PROBE_DEADLINE_MINUTES=0.01 BLABBERMOUTH_PROVIDER_MODEL=m";
        run(folder.path(), &format!("{limits} http_proxy={to} BLABBERMOUTH_PROVIDER_BASE_URL={url} {line}"))
    };
    let all = |url: &str, wanted: i32, word: &str| {
        for line in ["ask Hi", "doctor", "tune", "test", "test --batch"] {
            let (code, said) = ask(url, line);
            assert!(code == Some(wanted) && said.contains(word), "{url}: {line}: {code:?} {said}");
            untouched(line);
        }
    };
    for status in [301, 302, 307, 308] {
        let away = ResponseTemplate::new(status).insert_header("location", format!("{to}/v1"));
        let server = runtime.block_on(answering(away));
        all(&format!("{}/v1", server.uri()), 4, &format!("HTTP {status}"));
        let got = runtime.block_on(server.received_requests()).expect("recorded");
        assert!(got.len() >= 5 && got.iter().all(|request| request.headers.contains_key("authorization")), "{status}");
        let host = server.address().to_string();
        assert!(got.iter().all(|request| request.headers.get_all("host").iter().eq([host.as_str()])), "{status}");
    }
    // The proxy receives whatever is sent to that host.
    all("http://model.test/v1", 3, "in the clear");
    ask("http://model.test/v1", "OPENAI_API_KEY= ask Hi");
    other.accept().expect("without a key it is sent");
    while other.accept().is_ok() {}
    ask(&format!("http://user:{WRONG}@model.test/v1"), "OPENAI_API_KEY= ask Hi");
    untouched("a password in the address");
    // A token that the hub's own client stores, and an address that only begins like this machine's.
    std::fs::write(folder.path().join("token"), WRONG).expect("written");
    let hub = runtime.block_on(answering(ResponseTemplate::new(403)));
    let port = hub.address().port();
    for set in ["HF_ENDPOINT=http://0.0.0.0", "HF_TOKEN=hf_01234567 HF_ENDPOINT=http://127.0.0.1@0.0.0.0"] {
        run(folder.path(), &format!("HF_HOME=. {set}:{port} plant --force --dataset hf:acme/rows"));
    }
    let got = runtime.block_on(hub.received_requests()).expect("recorded");
    assert!(got.iter().all(|request| !request.headers.contains_key("authorization")), "a token in the clear");
}
