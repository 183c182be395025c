//! Tests of the run journal.

use super::*;

const KEY: [u8; 32] = [7; 32];

fn open(folder: &Path, plan: &str) -> Journal {
    Journal::open(folder, KEY, plan, None, false).expect("a journal")
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

fn record(journal: &Journal, canary: usize, request: u64, text: &str) -> i64 {
    let entry = journal.record(canary, request, text.as_bytes()).expect("recorded");
    wait(journal.flush(entry)).expect("written");
    entry
}

/// Texts of a canary's answers in the journal.
fn texts(journal: &Journal, canary: usize) -> Vec<String> {
    let entries = wait(journal.claim(canary)).expect("free").entries;
    let entries = (0..9).filter_map(|request| Some((request, entries.get(request)?)));
    let text = |(request, entry)| journal.recall(canary, request, entry).expect("whole");
    entries.map(text).map(|bytes| String::from_utf8(bytes).expect("text")).collect()
}

#[test]
fn an_open_run_is_taken_up_again_and_a_settled_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path(), "a");
    assert!(journal.resumed().is_none());
    record(&journal, 3, 0, "said");
    record(&journal, 4, 0, "said too");
    record(&journal, 3, 2, "gone");
    record(&journal, 3, 2, "said again");
    // Dropped without being settled, as after a kill.
    drop(journal);
    assert_eq!(open(folder.path(), "b").resumed(), None);
    let journal = open(folder.path(), "a");
    assert_eq!(journal.resumed().map(|r| r.requests), Some(3));
    assert_eq!(texts(&journal, 3), ["said", "said again"]);
    // In use: a second process gets a run of its own.
    assert_eq!(open(folder.path(), "a").resumed(), None);
    journal.settle(&[3]).expect("settled");
    let journal = open(folder.path(), "a");
    assert_eq!((texts(&journal, 3), texts(&journal, 4)), (vec![], vec!["said too".to_owned()]));
    journal.settle(&[4]).expect("settled");
    assert_eq!(open(folder.path(), "a").resumed(), None);
    assert_eq!(Journal::open(folder.path(), KEY, "a", None, true).expect("fresh").resumed(), None);
}

/// The answers and the cost of each run in the ledger, which has one line a run.
fn noted(folder: &Path) -> Vec<(u64, Option<f64>)> {
    let text = std::fs::read_to_string(folder.join("ledger.jsonl")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("a line"));
    let all: Vec<crate::store::Spent> = lines.collect();
    let names: HashSet<&Option<String>> = all.iter().map(|spent| &spent.run).collect();
    assert_eq!(names.len(), all.len(), "{text}");
    all.iter().map(|spent| (spent.answers, spent.usd)).collect()
}

#[test]
fn what_a_run_was_paid_for_is_noted_once_whatever_becomes_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let bill = |plan: &str, fresh: bool| {
        let journal = Journal::open(folder.path(), KEY, plan, None, fresh).expect("a journal");
        journal.bill("m", Some(Rates { input: 1e5, output: 2e5 })).expect("billed");
        journal
    };
    let answer = |journal: &Journal, canary: usize, request: u64| {
        let usage = Usage { prompt_tokens: 10, completion_tokens: 1 };
        let entry = journal.record_paid(canary, request, b"said", 1, usage).expect("recorded");
        wait(journal.flush(entry)).expect("written");
    };
    let noted = || noted(folder.path());
    let mut journal = bill("a", false);
    journal.note().expect("nothing to note");
    assert!(noted().is_empty());
    drop(journal);
    // The provider failed: noted, and not settled.
    let mut journal = bill("a", false);
    answer(&journal, 3, 0);
    answer(&journal, 4, 0);
    journal.note().expect("noted");
    assert_eq!(noted(), [(2, Some(2.4))]);
    drop(journal);
    // Resumed, and killed between the line in the ledger and the end of the journal.
    let mut journal = bill("a", false);
    answer(&journal, 3, 1);
    journal.note().expect("noted");
    drop(journal);
    assert_eq!(noted(), [(3, Some(3.6))]);
    // Settled in part, and then completely.
    let mut journal = bill("a", false);
    journal.note().expect("noted");
    journal.settle(&[3]).expect("settled");
    let mut journal = bill("a", false);
    answer(&journal, 4, 1);
    journal.note().expect("noted");
    journal.settle(&[4]).expect("settled");
    assert_eq!(noted(), [(4, Some(4.8))]);
    // Killed, and never resumed: noted before it is deleted.
    let journal = bill("a", false);
    answer(&journal, 0, 0);
    drop(journal);
    assert_eq!(noted().len(), 1);
    let journal = bill("a", true);
    assert_eq!(noted()[1..], [(1, Some(1.2))]);
    answer(&journal, 0, 0);
    answer(&journal, 0, 1);
    drop(journal);
    let connection = Connection::open(folder.path().join("journal.sqlite")).expect("opened");
    connection.execute("UPDATE runs SET touched = 0", []).expect("changed");
    drop(open(folder.path(), "b"));
    assert_eq!(noted()[2..], [(2, Some(2.4))]);
    // Nobody is paid, or the price is unknown.
    let mut free = open(folder.path(), "b");
    record(&free, 0, 0, "said");
    free.note().expect("nothing to note");
    let mut unpriced = open(folder.path(), "c");
    unpriced.bill("m", None).expect("billed");
    answer(&unpriced, 0, 0);
    unpriced.note().expect("noted");
    assert_eq!(noted()[3..], [(1, None)]);
    drop(unpriced);
    // Then the total cost is unknown, and absurd token counts of a server break no sum.
    let mut journal = open(folder.path(), "c");
    journal.bill("m", Some(Rates { input: 1.0, output: 1.0 })).expect("billed");
    for request in 1..4 {
        let usage = Usage { prompt_tokens: u64::MAX, completion_tokens: 1 };
        let entry = journal.record_paid(0, request, b"said", 1, usage).expect("recorded");
        wait(journal.flush(entry)).expect("written");
    }
    journal.note().expect("noted");
    assert_eq!(noted()[3..], [(4, None)]);
    let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).expect("a ledger");
    assert!(text.contains(&format!("\"input_tokens\":{}", i64::MAX)), "{text}");
}

#[test]
fn what_all_processes_of_a_named_run_were_paid_for_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = RunName("r".into());
    let mut all: Vec<Journal> =
        (0..3).map(|_| Journal::open(folder.path(), KEY, "a", Some(&name), false).expect("a journal")).collect();
    for (canary, journal) in all.iter().enumerate() {
        journal.bill("m", None).expect("billed");
        let entry = journal.record_paid(canary, 0, b"said", 2, Usage::default()).expect("recorded");
        wait(journal.flush(entry)).expect("written");
    }
    all.iter_mut().rev().for_each(|journal| journal.note().expect("noted"));
    let text = std::fs::read_to_string(folder.path().join("ledger.jsonl")).expect("a ledger");
    assert!(text.lines().count() == 1 && text.contains("\"answers\":6"), "{text}");
}

#[test]
fn what_lies_on_disk_is_sealed_private_and_bound_to_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path(), "a");
    let (one, two) = (record(&journal, 0, 0, "Pyrodraconosis"), record(&journal, 0, 1, "something else"));
    let path = folder.path().join("journal.sqlite");
    for name in ["journal.sqlite", "journal.sqlite-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).expect(name);
        assert!(!bytes.windows(5).any(|w| w == b"draco"), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
    }
    let other = Connection::open(&path).expect("opened");
    let swap = "UPDATE answers SET sealed = (SELECT sealed FROM answers WHERE id = ?1) WHERE id = ?2";
    other.execute(swap, [one, two]).expect("swapped");
    assert!(journal.recall(0, 0, one).is_ok());
    assert!(matches!(journal.recall(0, 1, two), Err(JournalError::Entry)));
    assert!(matches!(journal.recall(0, 2, two + 1), Err(JournalError::Entry)));
    drop(journal);
    let wrong = Journal::open(folder.path(), [8; 32], "a", None, false).expect("opened");
    assert!(matches!(wrong.recall(0, 0, one), Err(JournalError::Entry)));
}

#[test]
fn what_is_recorded_together_is_found_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path(), "a");
    let record = |n: usize| journal.record(n % 7, n as u64, format!("answer {n}").as_bytes()).expect("recorded");
    let entries: Vec<i64> = (0..500).map(record).collect();
    wait(journal.flush(entries[499])).expect("written");
    for (n, entry) in entries.iter().enumerate() {
        let text = journal.recall(n % 7, n as u64, *entry).expect("whole");
        assert_eq!(text, format!("answer {n}").as_bytes());
        assert!(journal.recall(n % 7 + 1, n as u64, *entry).is_err(), "of another canary");
    }
    let rows: i64 = lock(&journal.reader).query_row("SELECT count(*) FROM answers", [], |r| r.get(0)).expect("rows");
    assert!(rows < 100, "{rows}");
    drop(journal);
    let journal = open(folder.path(), "a");
    assert_eq!(journal.resumed().map(|r| r.requests), Some(500));
    let claim = wait(journal.claim(3)).expect("free");
    assert_eq!((claim.entries.len(), claim.entries.get(10)), (71, Some(entries[10])));
}

#[test]
fn a_damaged_file_and_one_of_another_version_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    std::fs::write(&path, "this is no database, whatever its name says".repeat(40)).expect("written");
    let error = Journal::open(folder.path(), KEY, "a", None, false).expect_err("damaged");
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    std::fs::remove_file(&path).expect("removed");
    drop(open(folder.path(), "a"));
    Connection::open(&path).and_then(|c| c.pragma_update(None, "user_version", 5)).expect("changed");
    let error = Journal::open(folder.path(), KEY, "a", None, false).expect_err("newer");
    assert!(matches!(error, JournalError::OtherVersion { .. }), "{error}");
}

#[test]
fn a_clock_that_was_set_loses_no_answer_in_silence_and_keeps_none_for_ever() {
    const DAY: i64 = 24 * 60 * 60;
    let folder = tempfile::tempdir().expect("a folder");
    let touched = |at: i64| {
        let file = Connection::open(folder.path().join("journal.sqlite")).expect("opened");
        file.execute("UPDATE runs SET touched = ?1", [at]).expect("set");
    };
    record(&open(folder.path(), "a"), 3, 0, "said");
    for ahead in [now() + 365 * DAY, i64::MAX] {
        touched(ahead);
        assert_eq!(open(folder.path(), "a").resumed(), Some(Resumed { requests: 1, age: None }));
    }
    // The time is corrected by then, so that the day of grace runs.
    let journal = open(folder.path(), "a");
    assert!(journal.resumed().and_then(|r| r.age).is_some_and(|age| age < Duration::from_secs(60)));
    drop(journal);
    for past in [now() - 2 * DAY, i64::MIN] {
        touched(past);
        let journal = open(folder.path(), "a");
        assert_eq!((journal.resumed(), journal.forgotten()), (None, 1));
        record(&journal, 3, 0, "said");
    }
    assert_eq!(open(folder.path(), "a").forgotten(), 0);
    let share = || Journal::open(folder.path(), KEY, "a", Some(&RunName("r".into())), false).expect("a journal");
    let one = share();
    record(&one, 1, 0, "said");
    touched(now() - 2 * DAY);
    assert_eq!(texts(&share(), 1), ["said"], "it is in use");
    drop(one);
    touched(now() - 2 * DAY);
    assert!(texts(&share(), 1).is_empty());
}

#[test]
fn a_named_run_is_shared_and_its_canaries_are_claimed_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = RunName("r".into());
    let share = || Journal::open(folder.path(), KEY, "a", Some(&name), false).expect("a journal");
    let (one, two) = (share(), share());
    record(&one, 1, 0, "said");
    assert_eq!(texts(&two, 1), ["said"]);
    record(&one, 2, 0, "said later");
    wait(async {
        let claim = one.claim(2).await.expect("free");
        let waiting = tokio::time::timeout(Duration::from_millis(60), two.claim(2)).await;
        assert!(waiting.is_err(), "held by the other");
        two.claim(3).await.expect("another canary is free");
        drop(claim);
        assert_eq!(two.claim(2).await.expect("free again").entries.len(), 1);
    });
    one.settle(&[1]).expect("settled");
    assert_eq!(texts(&share(), 1), ["said"], "left to the others");
}

#[test]
fn the_space_of_a_settled_run_goes_back_and_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = || std::fs::metadata(folder.path().join("journal.sqlite")).expect("there").len();
    let (other, one) = (open(folder.path(), "other"), open(folder.path(), "plan"));
    let kept = record(&other, 3, 0, "of another run");
    let fill = |of: &Journal, times| (0..times).map(|number| record(of, 3, number, &"x".repeat(1 << 18))).max();
    fill(&one, 8);
    drop(other);
    one.settle(&[3]).expect("settled");
    assert!(size() < 1 << 17, "{}", size());
    let other = open(folder.path(), "other");
    assert_eq!(other.recall(3, 0, kept).expect("there"), b"of another run");
    // If more is left than is worth copying, the space waits for the next run.
    let large = record(&other, 3, 1, &"x".repeat(5 << 20));
    let one = open(folder.path(), "plan");
    fill(&one, 8);
    one.settle(&[3]).expect("settled");
    let before = size();
    let one = open(folder.path(), "plan");
    fill(&one, 4);
    drop(one);
    assert!(before > 7 << 20 && size() <= before + (1 << 16), "{before}, {}", size());
    assert_eq!(other.recall(3, 1, large).expect("there").len(), 5 << 20);
}
