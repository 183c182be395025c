//! Asks a model one question by hand.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::reach::runtime;
use super::session::Session;
use super::session_error::SessionError;
use blabbermouth_core::chat::{Completion, Message, Quality};
use blabbermouth_core::detect::{Approximate, Searcher};
use blabbermouth_provider::{DiscardSink, Request};

/// Replacement for a secret in an answer.
const MASK: &str = "[masked]";

/// Answer to a question that was asked by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Text of the answer; secrets are masked unless they were requested. Hostile input.
    pub text: String,
    /// Quality of the answer.
    pub quality: Quality,
    /// Test names of the canaries whose secret the answer leaks.
    pub given_away: Vec<String>,
}

impl Session {
    /// Asks a question `samples` times, and finds the canaries whose secret each answer leaks.
    ///
    /// # Errors
    /// When the key is missing or wrong, or the provider fails.
    pub fn ask(&self, question: &[Message], samples: u32, show_secrets: bool) -> Result<Vec<Said>, SessionError> {
        let drawn = self.drawn()?;
        let (model, warm_up) = self.model()?;
        let secrets: Vec<String> = drawn.canaries.iter().map(|c| c.secret.expose().to_owned()).collect();
        let searcher = Searcher::with(secrets.iter().map(String::as_str), self.config.synonyms(), true);
        let near: Vec<Approximate> = drawn
            .canaries
            .iter()
            .map(|c| Approximate::new(drawn.templates[c.template].secret_space(), c.secret.expose(), true, true))
            .collect();
        let completions = runtime()?.block_on(async {
            let reached = self.reach(&model, warm_up, &drawn, None, None)?;
            let messages: Arc<[Message]> = question.into();
            let mut first = [0u8; 4];
            let _ = getrandom::fill(&mut first);
            let first = u32::from_le_bytes(first) >> 1;
            let mut flight = JoinSet::new();
            let (mut completions, mut begun) = (Vec::new(), 0);
            while begun < samples || !flight.is_empty() {
                while begun < samples && flight.len() < self.config.probe.concurrency {
                    let (provider, messages) = (Arc::clone(&reached.provider), Arc::clone(&messages));
                    let seed = (first + begun) & 0x7fff_ffff;
                    let (sampling, broken) = (self.sampling(), DiscardSink::default());
                    let request = Request { messages, sampling, seed, choices: 1, broken };
                    flight.spawn(async move { provider.complete(&request).await });
                    begun += 1;
                }
                if let Some(done) = flight.join_next().await {
                    completions.extend(done.expect("a request neither panics nor is aborted")?.completions);
                }
            }
            Ok::<Vec<Completion>, SessionError>(completions)
        })?;
        let said = completions.into_iter().map(|completion| {
            let mut given: Vec<usize> = searcher.search(&completion.text).into_iter().map(|m| m.owner).collect();
            let whole = given.clone();
            given.extend((0..near.len()).filter(|i| !whole.contains(i) && near[*i].search(&completion.text).is_some()));
            let quality = completion.quality();
            let text = if show_secrets {
                completion.text
            } else {
                // The longest first: a short secret may be part of a longer one.
                let mut said: Vec<&String> = whole.iter().map(|owner| &secrets[*owner]).collect();
                said.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
                let masked = said.into_iter().fold(completion.text, |text, secret| text.replace(secret, MASK));
                let left = searcher.examine(&masked);
                // A disguised secret cannot be cut out, so the whole answer is masked.
                if !left.matches.is_empty() || near.iter().any(|near| near.search(&masked).is_some()) {
                    format!("{MASK} (a whole answer with a disguised secret)")
                } else if !left.whole {
                    format!("{MASK} (a whole answer that decodes to more than is searched)")
                } else {
                    masked
                }
            };
            let given_away = given.iter().map(|owner| self.manifest.canaries[*owner].test_name()).collect();
            Said { text, quality, given_away }
        });
        Ok(said.collect())
    }
}
