//! What the user is told while requests are sent: waits, and fields that a service does not take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Receives notices; whoever shows them sets it later. Clones share the receiver.
#[derive(Clone, Default)]
pub struct Notices {
    state: Arc<Mutex<State>>,
}

/// Shows a notice.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct State {
    tell: Option<Tell>,
    /// Time of the last notice about a wait.
    waited: Option<Instant>,
}

/// Shortest time between two notices about waits.
const BETWEEN_WAITS: Duration = Duration::from_secs(15);
/// Waits below this are not worth a notice.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// Keeps a receiver of notices in place.
#[derive(Debug)]
pub struct Listening(Notices);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).tell = None;
    }
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").finish_non_exhaustive()
    }
}

impl Notices {
    /// Sets who is told, until the guard is dropped: whoever waits for the receiver's end would otherwise wait for ever.
    #[must_use]
    pub fn listen(&self, tell: Tell) -> Listening {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).tell = Some(tell);
        Listening(self.clone())
    }

    /// Passes a notice on. Its text holds nothing of an answer.
    pub(crate) fn tell(&self, text: &str) {
        let tell = self.state.lock().unwrap_or_else(PoisonError::into_inner).tell.clone();
        if let Some(tell) = tell {
            tell(text);
        }
    }

    /// Tells of a wait, unless it is short or another one was told of just now.
    pub(crate) fn waiting(&self, wait: Duration, why: &str) {
        if wait < LONG_WAIT {
            return;
        }
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waited.is_some_and(|last| last.elapsed() < BETWEEN_WAITS) {
                return;
            }
            state.waited = Some(Instant::now());
        }
        self.tell(&format!("waiting    {} s: {why}", wait.as_secs()));
    }
}
