//! Ledger: a line for every run and every training that was paid for.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::StoreError;

/// Cost of one run, or of one training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Name of the run, or id of the job; `None` in lines of older versions. A later count with the same name
    /// replaces this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it was first noted, in seconds since 1970.
    pub time: u64,
    /// Purpose: `test` or `tune`.
    pub on: String,
    /// Name of the model.
    pub model: String,
    /// Number of paid answers; 0 for training.
    pub answers: u64,
    /// Prompt tokens, or tokens of the training.
    pub input_tokens: u64,
    /// Answer tokens.
    pub output_tokens: u64,
    /// USD by the price list; `None` if no price is known.
    pub usd: Option<f64>,
}

impl Spent {
    /// Whether this line replaces an earlier one.
    fn replaces(&self, old: &Self) -> bool {
        match (&self.run, &old.run) {
            (Some(own), Some(run)) => own == run,
            // Every training makes a model of its own, which identifies a line without a job.
            _ => self.on == "tune" && old.on == "tune" && !self.model.is_empty() && self.model == old.model,
        }
    }
}

/// Ledger in a folder, `ledger.jsonl`, while no other process writes to it.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    _lock: File,
}

impl Ledger {
    /// Waits until no other process writes to the ledger.
    pub(super) fn hold(folder: &Path) -> Result<Self, StoreError> {
        super::private_folder(folder).map_err(StoreError::at(folder))?;
        let path = folder.join("ledger.lock");
        let file = super::open_own(&path);
        let lock = file.and_then(|file| file.lock().map(|()| file)).map_err(StoreError::at(&path))?;
        Ok(Self { path: folder.join("ledger.jsonl"), _lock: lock })
    }

    /// Adds a line, or replaces an earlier one of the same run. The file is whole at any moment; lines that cannot be
    /// read stay as they are.
    pub(super) fn note(self, mut spent: Spent) -> Result<(), StoreError> {
        let all = match std::fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(StoreError::at(&self.path))?,
        };
        let mut next = Vec::with_capacity(all.len() + 512);
        let mut noted = false;
        for line in all.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice::<Spent>(line) {
                Ok(old) if spent.replaces(&old) => {
                    if !noted {
                        spent.time = old.time;
                        push(&mut next, &spent);
                    }
                    noted = true;
                }
                _ => {
                    next.extend_from_slice(line);
                    // The end of the line was cut.
                    if !line.ends_with(b"\n") {
                        next.push(b'\n');
                    }
                }
            }
        }
        if !noted {
            spent.time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            push(&mut next, &spent);
        }
        if next == all { Ok(()) } else { super::write(&self.path, &next, false) }
    }
}

fn push(lines: &mut Vec<u8>, spent: &Spent) {
    serde_json::to_writer(&mut *lines, spent).expect("a line is plain data");
    lines.push(b'\n');
}

/// Writes a cost to the ledger of a folder, and sets its time. A line of the same run or job is replaced, so that
/// nothing is counted twice.
///
/// # Errors
/// When it cannot be written.
pub fn note_spent(folder: &Path, spent: Spent) -> Result<(), StoreError> {
    Ledger::hold(folder)?.note(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(on: &str, run: Option<&str>, model: &str, answers: u64) -> Spent {
        Spent {
            run: run.map(str::to_owned),
            time: 0,
            on: on.into(),
            model: model.into(),
            answers,
            input_tokens: 10 * answers,
            output_tokens: answers,
            usd: None,
        }
    }

    #[test]
    fn a_run_stands_there_once_and_old_lines_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.jsonl");
        let old = |time: u64, on: &str, model: &str| {
            let first = format!(r#""time":{time},"on":"{on}","model":"{model}""#);
            let rest = r#""answers":3,"input_tokens":5,"output_tokens":7,"usd":1.5"#;
            format!("{{{first},{rest}}}\n")
        };
        let (old, tuned) = (old(5, "test", "m"), old(6, "tune", "ft"));
        let cut = "{\"time\":7,\"on\":\"te";
        std::fs::write(&path, format!("{old}{tuned}{cut}")).expect("written");
        let note = |spent: Spent| note_spent(folder.path(), spent).expect("noted");
        let lines = || -> Vec<String> {
            let text = std::fs::read_to_string(&path).expect("a ledger");
            assert!(text.ends_with('\n'), "{text}");
            text.lines().map(str::to_owned).collect()
        };
        note(spent("test", Some("a"), "m", 1));
        note(spent("test", Some("b"), "m", 2));
        let before = lines();
        assert_eq!(before.len(), 5);
        assert_eq!([&before[0], &before[2]], [old.trim_end(), cut]);
        note(spent("test", Some("a"), "m", 9));
        let after = lines();
        let read = |line: &str| serde_json::from_str::<Spent>(line).expect("a line");
        assert_eq!((read(&after[3]).answers, read(&after[3]).time), (9, read(&before[3]).time));
        assert_eq!((after.len(), &after[4]), (5, &before[4]));
        // The same cost again changes nothing; a training is identified by its model if its line has no job.
        note(spent("test", Some("a"), "m", 9));
        assert_eq!(lines(), after);
        note(spent("tune", Some("job"), "ft", 0));
        assert_eq!(lines().len(), 5);
        assert_eq!((read(&lines()[1]).run.as_deref(), read(&lines()[1]).time), (Some("job"), 6));
        // Without the name of a run nothing is replaced.
        note(spent("test", None, "m", 9));
        assert_eq!(lines().len(), 6);
    }

    #[test]
    fn processes_that_note_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for number in 0..4 {
                let folder = folder.path();
                scope.spawn(move || {
                    for answers in 1..=8 {
                        note_spent(folder, spent("test", Some(&format!("run {number}")), "m", answers)).expect("noted");
                    }
                });
            }
        });
        let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).expect("a ledger");
        let all: Vec<Spent> = text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
        assert_eq!(all.iter().map(|spent| spent.answers).collect::<Vec<_>>(), [8; 4]);
    }
}
