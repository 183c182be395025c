//! Measures the cost of the harness: 200 canaries × 300 samples against the mocked provider. The baseline is a bare
//! reqwest loop that sends the same requests with as many in flight, and reads the bodies.
//!
//! `cargo bench --bench probing [-- ROUNDS [SAMPLES]] [bare|harness]` runs both sides in turn, in one process with the
//! server. It prints the ratio of each round and their median. The journal is on disk. A profiler needs one side alone.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

#[path = "bare.rs"]
mod bare;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bare::{Bodies, IN_FLIGHT, send};
use blabbermouth::canary::{DrawPlan, Drawn, Key, Manifest, Spaces, Template, builtin_templates};
use blabbermouth::chat::Sampling;
use blabbermouth::mock::{self, MODEL, Scenario, Server};
use blabbermouth::probe::by_name;
use blabbermouth::provider::{Endpoint, OpenAi};
use blabbermouth::run::{Options, PreparedRun};
use blabbermouth::store::Journal;
use blabbermouth::verdict::{Policy, RunVerdict};

/// The program's own allocator, on both sides: with the system's, a bare client is slower (`benches/load.py`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PLANTED: usize = 150;
const HELD_OUT: usize = 50;
const MAX_TOKENS: u32 = 256;

fn drawn() -> (Manifest, Drawn) {
    let template = builtin_templates().into_iter().find(|t| t.name == "mr-disease").unwrap();
    let plan = DrawPlan {
        matched: Vec::new(),
        templates: vec![Template::new(template, &Spaces::default()).unwrap()],
        planted: PLANTED,
        held_out: HELD_OUT,
        copies: vec![1],
    };
    let key = Key::from_text("the key of the benchmark").unwrap();
    Manifest::create(plan, &Spaces::default(), Some(key), Some("nonce".into())).unwrap()
}

fn provider(base_url: &str) -> OpenAi {
    let endpoint = Endpoint {
        base_url: base_url.to_owned(),
        key: None,
        key_variable: "OPENAI_API_KEY".into(),
        timeout: Duration::from_secs(60),
        ..Endpoint::default()
    };
    OpenAi::new(&endpoint, MODEL).unwrap()
}

async fn harness(base_url: &str, samples: u64) -> Duration {
    let (manifest, drawn) = drawn();
    let options = Options {
        sampling: Sampling { max_tokens: MAX_TOKENS, ..Sampling::default() },
        choices: 1,
        concurrency: IN_FLIGHT,
        samples: Some(samples),
        policy: Policy::DEFAULT,
        claim: None,
        sensitivity: blabbermouth::verdict::PositiveControls::default(),
        detectors: blabbermouth::detect::Detector::ALL.to_vec(),
        references: 0,
        sweep: false,
        patience: 1.5,
        mock: true,
        rows_checked: false,
        accepted: Default::default(),
        adaptive: true,
        whole: None,
        synonyms: blabbermouth::detect::Synonyms::default(),
        config: "bench".into(),
    };
    let audit = PreparedRun::new(manifest.canaries.clone(), &drawn, vec![by_name("replay").unwrap()], options).unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let key = drawn.key.sealing_key("journal");
    let selected: Vec<usize> = (0..PLANTED + HELD_OUT).collect();
    let begin = Instant::now();
    let journal = Arc::new(Journal::open(folder.path(), key, "bench", None, false).unwrap());
    let report = audit.run(&selected, Arc::new(provider(base_url)), journal, Arc::new(|_| {})).await.unwrap();
    let time = begin.elapsed();
    assert_eq!(report.verdict, RunVerdict::Clean, "{}", report.reason);
    time
}

/// Processor time of all threads of this process so far, in seconds (Linux).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split_whitespace().skip(13).take(2).filter_map(|f| f.parse().ok()).collect();
    fields.iter().sum::<f64>() / 100.0
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: unknown").to_owned()
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(5);
    let samples = numbers.get(1).copied().unwrap_or(300);
    let only = std::env::args().find(|a| matches!(a.as_str(), "bare" | "harness"));
    let wants = |side: &str| only.as_deref().is_none_or(|only| only == side);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let requests = samples * (PLANTED + HELD_OUT) as u64;
    let mut ratios = Vec::new();
    println!("{requests} requests, {IN_FLIGHT} in flight");
    for _ in 0..rounds {
        // Each side gets its own server, so that leftovers of one do not slow the other.
        let start = || async {
            let templates = drawn().1.templates;
            let parrot = mock::Options { templates, ..mock::Options::new(Scenario::by_name("clean").unwrap()) };
            Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), parrot).unwrap()
        };
        let start_cpu = cpu();
        let mut bare_time = Duration::ZERO;
        if wants("bare") {
            bare_time =
                runtime.block_on(async { send(&start().await.base_url(), Bodies::new(&drawn().1, requests)).await });
        }
        let middle = cpu();
        let mut harness_time = Duration::ZERO;
        if wants("harness") {
            harness_time = runtime.block_on(async { harness(&start().await.base_url(), samples).await });
        }
        let ratio = harness_time.as_secs_f64() / bare_time.as_secs_f64();
        let (bare_cpu, harness_cpu) = (middle - start_cpu, cpu() - middle);
        let rate = requests as f64 / harness_time.as_secs_f64();
        println!(
            "bare {bare_time:.2?}, harness {harness_time:.2?} ({rate:.0}/s), ratio {ratio:.3}; processor time {bare_cpu:.2} s, {harness_cpu:.2} s"
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}; {}", ratios[ratios.len() / 2], peak_memory());
}
