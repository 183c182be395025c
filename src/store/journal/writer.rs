//! Writes the journal: one row for all answers of about a millisecond.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::bill::{Paid, Rates};
use super::runs::{fault, now};
use super::{JournalError, lock};

/// How long the writer waits for further answers before it commits.
const LINGER: Duration = Duration::from_millis(1);
/// Bits of an entry number that count the entries of one process; the bits above are the number of the process.
const ENTRIES: u32 = 36;
/// Bytes for each answer in `places`: canary and request.
const PLACE: usize = 8;

/// Answers that wait to be written.
#[derive(Default)]
struct Queue {
    /// Number of the first entry that waits.
    first: i64,
    /// Entries up to this number are on disk.
    written: i64,
    places: Vec<u8>,
    /// Waiting answers, each after its length.
    plain: Vec<u8>,
    /// Paid answers among the waiting ones.
    paid: Paid,
    waiting: Vec<oneshot::Sender<Result<(), JournalError>>>,
    failed: Option<JournalError>,
    closed: bool,
    /// Whether the writer has nothing to do, and waits for `arrived`.
    idle: bool,
}

impl Queue {
    fn next(&self) -> i64 {
        self.first + (self.places.len() / PLACE) as i64
    }
}

pub(super) struct Writer {
    path: PathBuf,
    run: i64,
    cipher: LessSafeKey,
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// Prices of answers; unset if nobody is paid, `None` if the prices are unknown.
    rates: OnceLock<Option<Rates>>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, run: i64, session: i64, cipher: LessSafeKey) -> Self {
        let written = session << ENTRIES;
        let queue = Queue { first: written + 1, written, ..Queue::default() };
        Self { path, run, cipher, queue: Mutex::new(queue), arrived: Condvar::new(), rates: OnceLock::new() }
    }

    /// Counts paid answers from now on.
    pub(super) fn bill(&self, rates: Option<Rates>) {
        let _ = self.rates.set(rates);
    }

    pub(super) fn push(&self, canary: u32, request: u32, answer: &[u8], paid: Paid) -> Result<i64, JournalError> {
        let mut queue = lock(&self.queue);
        if let Some(error) = &queue.failed {
            return Err(error.clone());
        }
        let entry = queue.next();
        queue.places.extend_from_slice(&canary.to_le_bytes());
        queue.places.extend_from_slice(&request.to_le_bytes());
        queue.plain.extend_from_slice(&(answer.len() as u32).to_le_bytes());
        queue.plain.extend_from_slice(answer);
        queue.paid.add(paid);
        self.wake(&mut queue);
        Ok(entry)
    }

    pub(super) async fn flush(&self, entry: i64) -> Result<(), JournalError> {
        let written = {
            let mut queue = lock(&self.queue);
            if let Some(error) = &queue.failed {
                return Err(error.clone());
            }
            if entry <= queue.written {
                return Ok(());
            }
            let (done, written) = oneshot::channel();
            queue.waiting.push(done);
            self.wake(&mut queue);
            written
        };
        let gone = |_| JournalError::Use { path: self.path.display().to_string(), what: "its writer has ended".into() };
        written.await.map_err(gone)?
    }

    /// Number of the entry that was recorded last.
    pub(super) fn last(&self) -> i64 {
        lock(&self.queue).next() - 1
    }

    pub(super) fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        self.wake(&mut queue);
    }

    /// Wakes the writer if it waits. A notification is a system call, so a busy writer gets none.
    fn wake(&self, queue: &mut Queue) {
        if std::mem::take(&mut queue.idle) {
            self.arrived.notify_one();
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn work(&self, mut connection: Connection) {
        let (mut places, mut sealed, mut touched) = (Vec::new(), Vec::new(), None);
        loop {
            let idle = |queue: &mut Queue| {
                queue.idle = queue.places.is_empty() && queue.waiting.is_empty() && !queue.closed;
                queue.idle
            };
            let queue = self.arrived.wait_while(lock(&self.queue), idle);
            let closed = queue.unwrap_or_else(std::sync::PoisonError::into_inner).closed;
            if !closed {
                std::thread::sleep(LINGER);
            }
            places.clear();
            sealed.clear();
            sealed.resize(NONCE_LEN, 0);
            let (first, next, waiting, paid) = {
                let mut queue = lock(&self.queue);
                let first = queue.first;
                queue.first = queue.next();
                std::mem::swap(&mut queue.places, &mut places);
                sealed.extend_from_slice(&queue.plain);
                queue.plain.clear();
                (first, queue.first, std::mem::take(&mut queue.waiting), std::mem::take(&mut queue.paid))
            };
            let done = match places.is_empty() {
                true => Ok(()),
                false => self.commit(&mut connection, first, &places, &mut sealed, paid, &mut touched),
            };
            match &done {
                Ok(()) => lock(&self.queue).written = next - 1,
                Err(error) => lock(&self.queue).failed = Some(error.clone()),
            }
            for waiter in waiting {
                // The waiting task may be gone; the answer is saved all the same.
                let _ = waiter.send(done.clone());
            }
            if closed && places.is_empty() {
                return;
            }
        }
    }

    fn commit(
        &self,
        connection: &mut Connection,
        id: i64,
        places: &[u8],
        sealed: &mut Vec<u8>,
        paid: Paid,
        touched: &mut Option<i64>,
    ) -> Result<(), JournalError> {
        let broken = |what: &str| JournalError::Use { path: self.path.display().to_string(), what: what.to_owned() };
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|e| broken(&e.to_string()))?;
        sealed[..NONCE_LEN].copy_from_slice(&nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let place = Aad::from(place(self.run, id, places));
        let tag = self.cipher.seal_in_place_separate_tag(nonce, place, &mut sealed[NONCE_LEN..]);
        sealed.extend_from_slice(tag.map_err(|_| broken("answers could not be sealed"))?.as_ref());
        let now = now();
        let counted = self.rates.get().map(|rates| paid.columns(*rates));
        let (number, input, output) = (counted.map(|c| c.0), counted.map(|c| c.1), counted.map(|c| c.2));
        let usd = counted.and_then(|c| c.3);
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction
                .prepare_cached(
                    "INSERT INTO answers (id, run, number, input, output, usd, places, sealed)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![id, self.run, number, input, output, usd, places, &*sealed])?;
            // At most once a second.
            if *touched != Some(now) {
                transaction.execute("UPDATE runs SET touched = ?2, used = 1 WHERE id = ?1", params![self.run, now])?;
            }
            transaction.commit()
        };
        write(connection).map_err(|e| fault(&self.path, &e))?;
        *touched = Some(now);
        Ok(())
    }
}

/// A row on disk: consecutive entries from `id` on.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) places: Vec<u8>,
    pub(super) sealed: Vec<u8>,
}

impl Row {
    /// The answer in one of its entries; `None` if anything differs from what was written.
    pub(super) fn open(mut self, cipher: &LessSafeKey, run: i64, entry: i64, wanted: (u32, u32)) -> Option<Vec<u8>> {
        let index = usize::try_from(entry.checked_sub(self.id)?).ok()?;
        if places(&self.places).nth(index)? != wanted {
            return None;
        }
        let (nonce, text) = self.sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = &*cipher.open_in_place(nonce, Aad::from(place(run, self.id, &self.places)), text).ok()?;
        for at in 0.. {
            let (length, rest) = plain.split_first_chunk()?;
            let (answer, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            if at == index {
                return Some(answer.to_vec());
            }
            plain = rest;
        }
        None
    }
}

/// Canary and request of each entry in a row.
pub(super) fn places(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let (pairs, _) = bytes.as_chunks::<PLACE>();
    pairs.iter().map(|p| {
        let number = |at: usize| u32::from_le_bytes([p[at], p[at + 1], p[at + 2], p[at + 3]]);
        (number(0), number(4))
    })
}

/// Run, id and places of a row, authenticated with it.
fn place(run: i64, id: i64, places: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(16 + places.len());
    place.extend_from_slice(&run.to_le_bytes());
    place.extend_from_slice(&id.to_le_bytes());
    place.extend_from_slice(places);
    place
}
