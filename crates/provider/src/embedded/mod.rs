//! The embedded model as a service in this process, which answers and is tuned like a remote one.
//!
//! | file | contents |
//! | --- | --- |
//! | `home` | the folder of models, uploaded files and jobs |
//! | `model` | a model on disk, in the format of the `transformers` library, and its answers |
//! | `training_plan` | rows to tokens, settings to a training configuration, epsilon to noise |
//! | `job` | a running fine-tuning, on a thread of its own |
//! | `tuner` | files and jobs, by the `Tuner` trait |

mod home;
mod job;
mod model;
mod training_plan;
mod tuner;

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::budget::{Budget, worst_case};
use super::{Answer, Completing, Provider, ProviderError, Request, Scoring};
use blabbermouth_core::chat::Message;

pub use home::Home;
pub use job::Record;
pub use model::{Model, Spoken};
pub use tuner::EmbeddedTuner;

/// The embedded model as a provider.
#[derive(Debug)]
pub struct Embedded {
    model: Arc<Model>,
    budget: Option<Arc<Budget>>,
    /// Limits concurrent work to the number of processors.
    turns: Arc<Semaphore>,
}

impl Embedded {
    /// Loads a model: `tiny`, `small`, a tuned one, or a folder.
    ///
    /// # Errors
    /// When there is none of that name, or its files cannot be used.
    pub fn open(home: &Home, model: &str, budget: Option<Arc<Budget>>) -> Result<Self, ProviderError> {
        let model = Arc::new(home.model(model)?);
        Ok(Self { model, budget, turns: Arc::new(Semaphore::new(threads())) })
    }
}

/// Number of processors.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Provider for Embedded {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        Box::pin(async move {
            let worst = worst_case(request);
            if let Some(budget) = &self.budget {
                budget.reserve(worst)?;
            }
            let answer: Answer = self
                .on_a_thread({
                    let request = request.clone();
                    move |model| model.answer(&request)
                })
                .await?;
            if let Some(budget) = &self.budget {
                budget.settle(worst, answer.usage)?;
            }
            Ok(answer)
        })
    }

    fn score<'a>(&'a self, messages: &'a Arc<[Message]>, continuations: &'a [String]) -> Scoring<'a> {
        Box::pin(async move {
            let (messages, continuations) = (Arc::clone(messages), continuations.to_vec());
            self.on_a_thread(move |model| model.score(&messages, &continuations)).await
        })
    }

    fn scores(&self) -> bool {
        true
    }

    fn model(&self) -> &str {
        &self.model.name
    }

    fn address(&self) -> String {
        "this process".into()
    }
}

impl Embedded {
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Model) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let _turn = self.turns.acquire().await.map_err(|e| ProviderError::Setup(e.to_string()))?;
        let model = Arc::clone(&self.model);
        let done = tokio::task::spawn_blocking(move || work(&model)).await;
        done.map_err(|e| ProviderError::Setup(format!("the embedded model failed: {e}")))?
    }
}
