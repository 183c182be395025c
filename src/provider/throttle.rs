//! As many requests at once as the service takes: more while it answers, half when it says that it is
//! too many, none while it asks to wait or its rate headers say that nothing is left.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use tokio::sync::Notify;

/// The longest wait that a rate header may ask for.
const LONGEST: Duration = Duration::from_secs(120);
/// Refusals of one moment count once.
const MOMENT: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct State {
    in_flight: usize,
    limit: f64,
    halved: Option<Instant>,
    resume: Option<Instant>,
}

/// The limit that all requests of a client share.
#[derive(Debug)]
pub(super) struct Throttle {
    most: f64,
    state: Mutex<State>,
    freed: Notify,
}

/// The right to have one request in flight.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a Throttle);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.freed.notify_one();
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
    pub(super) async fn slot(&self) -> Slot<'_> {
        loop {
            let freed = self.freed.notified();
            let wait = {
                let mut state = self.lock();
                let now = Instant::now();
                match state.resume.filter(|resume| *resume > now) {
                    Some(resume) => Some(resume - now),
                    None if state.in_flight < state.limit as usize => {
                        state.in_flight += 1;
                        // More than one place may have become free.
                        if state.in_flight < state.limit as usize {
                            self.freed.notify_one();
                        }
                        return Slot(self);
                    }
                    None => None,
                }
            };
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => freed.await,
            }
        }
    }

    /// A request was answered: one more may be in flight after about as many answers as are in flight.
    pub(super) fn answered(&self, headers: &HeaderMap) {
        let wait = exhausted(headers);
        let mut state = self.lock();
        state.limit = (state.limit + 1.0 / state.limit).min(self.most);
        if let Some(wait) = wait {
            state.resume = state.resume.max(Some(Instant::now() + wait));
        }
    }

    /// The service says that it is too much; all wait, not only who was told.
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

/// How long nothing is left, by the rate headers: of requests, or of tokens.
fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let of = |remaining: &str, reset: &str| {
        let left = text(remaining)?.trim();
        // Nearly always a number above zero.
        if matches!(left.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit)) {
            return None;
        }
        let left: f64 = left.parse().ok()?;
        if left > 0.0 { None } else { duration(text(reset)?).map(|wait| wait.min(LONGEST)) }
    };
    let requests = of("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests");
    let tokens = of("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens");
    requests.max(tokens)
}

/// A duration as Go writes it (`6m0s`, `12ms`, `1h2m3.5s`), or plain seconds; `None` for anything else,
/// also for `-1`.
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
        let file = include_str!("../../tests/data/openai/chat.response-headers.json");
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
        let all: Vec<Slot<'_>> = {
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
        (0..200).for_each(|_| throttle.answered(&HeaderMap::new()));
        assert_eq!(throttle.lock().limit, 8.0);
        throttle.refused(Some(Duration::from_millis(60)));
        let begun = Instant::now();
        drop(throttle.slot().await);
        assert!(begun.elapsed() >= Duration::from_millis(55), "all wait");
    }
}
