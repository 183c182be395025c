//! A bare client, the baseline of the probing benchmark. It sends the requests of a run with as many in flight, through
//! this program's HTTP library and the system allocator. It only reads the answers.
//!
//! `cargo bench --bench bare -- MANIFEST BASE-URL REQUESTS`, or through `benches/load.py`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blabbermouth::canary::{Drawn, Manifest};
use blabbermouth::mock::MODEL;
use tokio::task::JoinSet;

pub(crate) const IN_FLIGHT: usize = 64;

/// Bodies of requests about the canaries in turn. Each gets its seed when it is sent.
pub(crate) struct Bodies {
    /// The text before and after the seed.
    parts: Vec<(Vec<u8>, Vec<u8>)>,
    requests: u64,
}

impl Bodies {
    pub(crate) fn new(drawn: &Drawn, requests: u64) -> Self {
        let parts = drawn.canaries.iter().map(|canary| {
            let messages = drawn.templates[canary.template].prompt(&canary.subject);
            let body = serde_json::json!({
                "model": MODEL, "messages": messages, "temperature": 1.0, "top_p": 1.0, "max_completion_tokens": 256, "n": 1,
                "store": false, "seed": 12_345_678});
            let text = body.to_string();
            let (before, after) = text.split_once("12345678").unwrap();
            (before.as_bytes().to_vec(), after.as_bytes().to_vec())
        });
        Self { parts: parts.collect(), requests }
    }

    fn get(&self, number: u64) -> Option<Vec<u8>> {
        let (before, after) = &self.parts[(number % self.parts.len() as u64) as usize];
        (number < self.requests).then(|| [before, number.to_string().as_bytes(), after].concat())
    }
}

/// Sends all requests, and returns the time that this took.
pub(crate) async fn send(base_url: &str, bodies: Bodies) -> Duration {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
    let (url, next, bodies) = (format!("{base_url}/chat/completions"), Arc::new(AtomicU64::new(0)), Arc::new(bodies));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, url, next, bodies) = (client.clone(), url.clone(), Arc::clone(&next), Arc::clone(&bodies));
        tasks.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer =
                    client.post(&url).header("content-type", "application/json").body(body).send().await.unwrap();
                assert!(answer.status().is_success());
                assert!(!answer.bytes().await.unwrap().is_empty());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begin.elapsed()
}

#[allow(dead_code, reason = "the benchmark of probing takes what is above")]
fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [manifest, base_url, requests] = given.as_slice() else {
        println!("usage: cargo bench --bench bare -- MANIFEST BASE-URL REQUESTS");
        return;
    };
    let drawn = Manifest::parse(&std::fs::read(manifest).unwrap()).unwrap().regenerate(None).unwrap();
    let requests = requests.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let time = runtime.block_on(send(base_url, Bodies::new(&drawn, requests)));
    println!("{:.0} requests/s", requests as f64 / time.as_secs_f64());
}
