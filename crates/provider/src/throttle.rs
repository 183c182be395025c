//! Adapts the number of concurrent requests to the service: more while it answers, half when it refuses, and none while
//! it asks to wait or its rate headers report that nothing is left.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName};
use tokio::sync::Notify;

/// The longest wait by a rate header or a refusal.
const LONGEST: Duration = Duration::from_secs(120);
/// Refusals within this time halve the limit once.
const MOMENT: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct State {
    in_flight: usize,
    limit: f64,
    halved: Option<Instant>,
    resume: Option<Instant>,
}

impl State {
    fn is_full(&self) -> bool {
        self.in_flight >= self.limit as usize
    }
}

/// The limit that all requests of a client share.
#[derive(Debug)]
pub(super) struct Throttle {
    most: f64,
    state: Mutex<State>,
    freed: Notify,
}

/// Permission for one request in flight.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    throttle: &'a Throttle,
    answered: bool,
    /// Time until the limits of the rate headers are reset, if nothing is left.
    wait: Option<Duration>,
}

impl Permit<'_> {
    /// Records an answer. About as many answers as the limit raise it by one.
    pub(super) fn answered(&mut self, headers: &HeaderMap) {
        self.answered = true;
        self.wait = exhausted(headers);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.throttle.lock();
        // If there was room before, no task waits, or one that is awake already wakes the next.
        let was_full = state.is_full();
        state.in_flight -= 1;
        if self.answered {
            state.limit = (state.limit + 1.0 / state.limit).min(self.throttle.most);
        }
        if let Some(wait) = self.wait {
            state.resume = state.resume.max(Some(Instant::now() + wait));
        }
        drop(state);
        if was_full {
            self.throttle.freed.notify_one();
        }
    }
}

impl Throttle {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        let state = State { in_flight: 0, limit: most, halved: None, resume: None };
        Self { most, state: Mutex::new(state), freed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more request may be sent.
    pub(super) async fn slot(&self) -> Permit<'_> {
        let mut woken = false;
        loop {
            let freed = self.freed.notified();
            let wait = {
                let mut state = self.lock();
                let wait = state.resume.map(|resume| resume.saturating_duration_since(Instant::now()));
                let wait = wait.filter(|wait| !wait.is_zero());
                let takes = wait.is_none() && !state.is_full();
                state.in_flight += usize::from(takes);
                // Each woken task wakes the next: several places may be free.
                if woken && !state.is_full() {
                    self.freed.notify_one();
                }
                if takes {
                    return Permit { throttle: self, answered: false, wait: None };
                }
                wait
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => {
                    freed.await;
                    woken = true;
                }
            }
        }
    }

    /// Records a refusal. All requests wait, not only the refused one.
    pub(super) fn refused(&self, wait: Option<Duration>) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.halved.is_none_or(|then| now - then > MOMENT) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.halved = Some(now);
        }
        if let Some(wait) = wait {
            state.resume = state.resume.max(Some(now + wait.min(LONGEST)));
        }
    }
}

/// Rate headers of requests: number left, and time until the reset.
const REQUESTS: [HeaderName; 2] = names("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests");
/// Rate headers of tokens: number left, and time until the reset.
const TOKENS: [HeaderName; 2] = names("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens");

const fn names(remaining: &'static str, reset: &'static str) -> [HeaderName; 2] {
    [HeaderName::from_static(remaining), HeaderName::from_static(reset)]
}

/// Time until the reset, if no requests or no tokens are left.
fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
    let of = |[remaining, reset]: &[HeaderName; 2]| {
        let left = text(remaining)?.trim();
        // Fast path: nearly always a number above zero.
        if matches!(left.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit)) {
            return None;
        }
        let left: f64 = left.parse().ok()?;
        if left > 0.0 { None } else { duration(text(reset)?).map(|wait| wait.min(LONGEST)) }
    };
    of(&REQUESTS).max(of(&TOKENS))
}

/// A duration in Go's format (`6m0s`, `12ms`, `1h2m3.5s`), or in seconds; `None` for anything else, such as `-1`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let (mut total, mut rest) = (0.0, text);
            while !rest.is_empty() {
                let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
                let number: f64 = rest[..digits].parse().ok()?;
                let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
                total += number
                    * match &rest[digits..unit] {
                        "h" => 3600.0,
                        "m" => 60.0,
                        "s" => 1.0,
                        "ms" => 1e-3,
                        "us" | "µs" => 1e-6,
                        "ns" => 1e-9,
                        _ => return None,
                    };
                rest = &rest[unit..];
            }
            total
        }
    };
    (seconds > 0.0 && seconds < 1e7).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_and_azure_write_them() {
        for (text, millis) in [("12ms", 12), ("6m0s", 360_000), ("1h2m3.5s", 3_723_500), ("1s", 1000), ("30", 30_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["-1", "0", "", "soon", "5 apples", "s", "1e99"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn headers_of_a_real_answer_leave_room_and_their_durations_are_read() {
        let file = include_str!("../../../testdata/openai/chat.response-headers.json");
        let fields: std::collections::BTreeMap<String, String> = serde_json::from_str(file).expect("JSON");
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.insert(name, value.parse().expect("a value"));
        }
        assert_eq!(exhausted(&headers), None);
        headers.insert("x-ratelimit-remaining-tokens", "0".parse().expect("a value"));
        assert_eq!(exhausted(&headers), Some(LONGEST.min(Duration::from_secs(360))));
    }

    #[tokio::test]
    async fn it_halves_when_told_and_grows_while_answered() {
        let throttle = Throttle::new(8);
        let all: Vec<Permit<'_>> = {
            let mut all = Vec::new();
            for _ in 0..8 {
                all.push(throttle.slot().await);
            }
            all
        };
        let wait = Duration::from_millis(20);
        assert!(tokio::time::timeout(wait, throttle.slot()).await.is_err(), "a ninth is too many");
        drop(all);
        throttle.refused(None);
        throttle.refused(None);
        assert_eq!(throttle.lock().limit, 4.0);
        let four = [throttle.slot().await, throttle.slot().await, throttle.slot().await, throttle.slot().await];
        assert!(tokio::time::timeout(wait, throttle.slot()).await.is_err(), "a fifth is too many");
        drop(four);
        for _ in 0..200 {
            throttle.slot().await.answered(&HeaderMap::new());
        }
        assert_eq!(throttle.lock().limit, 8.0);
        throttle.refused(Some(Duration::from_millis(60)));
        let begun = Instant::now();
        drop(throttle.slot().await);
        assert!(begun.elapsed() >= Duration::from_millis(55), "all wait");
    }

    #[tokio::test]
    async fn whoever_waits_gets_a_place_whatever_becomes_of_the_others() {
        for (most, tasks) in [(1, 50), (3, 50), (7, 8)] {
            let throttle = std::sync::Arc::new(Throttle::new(most));
            let mut all = tokio::task::JoinSet::new();
            for number in 0..tasks {
                let throttle = std::sync::Arc::clone(&throttle);
                all.spawn(async move {
                    // Some tasks are canceled while they wait, some while in flight.
                    let patience = Duration::from_millis(if number % 3 == 0 { 2 } else { 60_000 });
                    let asked = tokio::time::timeout(patience, async {
                        let mut slot = throttle.slot().await;
                        tokio::time::sleep(Duration::from_millis(number % 4)).await;
                        match number % 5 {
                            0 => throttle.refused(Some(Duration::from_millis(3))),
                            1 => drop(slot),
                            _ => slot.answered(&HeaderMap::new()),
                        }
                    });
                    asked.await.is_ok() || number % 3 == 0
                });
            }
            let all = tokio::time::timeout(Duration::from_secs(30), all.join_all()).await;
            assert!(all.expect("nobody waits for ever").into_iter().all(|came_through| came_through), "{most} {tasks}");
            assert_eq!(throttle.lock().in_flight, 0);
        }
    }
}
