//! The run journal, damaged: an error or fewer answers, and never one that was not recorded for that request.
//!
//! After an even byte stand changes to a sound journal, five bytes each: a place (four bytes), and what is flipped
//! there, or 0 to cut the file. After an odd byte stands a whole file.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use blabbermouth::store::Journal;
use blabbermouth_fuzz::folder;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

const KEY: [u8; 32] = [7; 32];
const PLAN: &str = "a plan";
const CANARIES: usize = 4;
const REQUESTS: u64 = 6;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// A journal with a few rows, each with the answers of a canary.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = folder();
    let journal = Journal::open(folder.path(), KEY, PLAN, None, false).expect("a journal");
    for canary in 0..CANARIES {
        let record = |request| journal.record(canary, request, &answer(canary, request)).expect("recorded");
        let last = (0..REQUESTS).map(record).last().expect("one at least");
        RUNTIME.block_on(journal.flush(last)).expect("written");
    }
    drop(journal);
    let bytes = std::fs::read(folder.path().join("journal.sqlite")).expect("a file");
    assert_eq!(found(&bytes), CANARIES * REQUESTS as usize, "all are there before anything is damaged");
    bytes
});

fn answer(canary: usize, request: u64) -> Vec<u8> {
    format!("answer {request} of canary {canary}").into_bytes()
}

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    if kind % 2 == 1 {
        found(data);
        return;
    }
    let mut bytes = SOUND.clone();
    for [a, b, c, d, flip] in data.as_chunks::<5>().0 {
        if bytes.is_empty() {
            break;
        }
        let place = u32::from_le_bytes([*a, *b, *c, *d]) as usize % bytes.len();
        match flip {
            0 => bytes.truncate(place),
            flip => bytes[place] ^= flip,
        }
    }
    assert!(found(&bytes) <= CANARIES * REQUESTS as usize);
}

/// How many answers a file still gives. Each has to be the right one.
fn found(bytes: &[u8]) -> usize {
    let folder = folder();
    std::fs::write(folder.path().join("journal.sqlite"), bytes).expect("written");
    let opened = Journal::open(folder.path(), KEY, PLAN, None, false);
    let Ok(journal) = opened.map_err(|error| error.to_string()) else { return 0 };
    let Ok(places) = journal.answered().map_err(|error| error.to_string()) else { return 0 };
    let mut requests: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (canary, request) in places {
        requests.entry(canary).or_default().push(request);
    }
    let mut found = 0;
    for (canary, requests) in requests {
        let Ok(claim) = RUNTIME.block_on(journal.claim(canary)) else { continue };
        for request in requests {
            let entry = claim.entries.get(request).expect("it was listed");
            if let Ok(said) = journal.recall(canary, request, entry) {
                assert!(said == answer(canary, request), "an answer to something else");
                found += 1;
            }
        }
    }
    // The run goes on, or says why it does not.
    if let Ok(entry) = journal.record(0, REQUESTS, b"new")
        && RUNTIME.block_on(journal.flush(entry)).is_ok()
        && let Ok(said) = journal.recall(0, REQUESTS, entry)
    {
        assert!(said == b"new", "not what was recorded");
    }
    let _ = journal.settle(&[0]).map_err(|error| error.to_string());
    found
}
