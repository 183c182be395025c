//! Readers of training rows: nothing is lost, nothing is written that the provider would refuse, no message quotes a row.
//! The first byte says what the others are, the second one in which format the rows are.
#![no_main]

use std::io::{Read, Seek, Write};

use blabbermouth::canary::Key;
use blabbermouth::chat::{Message, Role};
use blabbermouth::dataset::{
    Format, PlantError, PlantOptions, Rows, csv_to_jsonl, parquet_to_jsonl, plant, validate_chat,
};
use blabbermouth::store::open_data;
use blabbermouth_fuzz::{SECRET, folder};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// Copies of the one canary: with them alone the training file is long enough.
const COPIES: u32 = 12;
/// As much is read of what was packed.
const MOST: u64 = 1 << 20;

fuzz_target!(
    // A panic of the library for Parquet that is caught is no crash; any other ends the run all the same.
    init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))),
    |data: &[u8]| check(data)
);

fn check(data: &[u8]) {
    let [kind, format, data @ ..] = data else { return };
    let format = Format::by_name(Format::NAMES[usize::from(*format) % Format::NAMES.len()]);
    match kind % 4 {
        0 => planted(data, format),
        1 => {
            let mut lines = Vec::new();
            if let Ok(count) = csv_to_jsonl(data, &mut lines) {
                assert_eq!(all_lines(&lines).count() as u64, count);
                let texts = |row: &Map<String, Value>| row.values().all(Value::is_string);
                assert!(all_lines(&lines).all(|line| serde_json::from_slice(line).is_ok_and(|row| texts(&row))));
                planted(&lines, format);
            }
        }
        2 => {
            let folder = folder();
            let path = folder.path().join("rows.gz");
            std::fs::write(&path, data).expect("written");
            let mut read = Vec::new();
            if open_data(&path).expect("it is there").take(MOST).read_to_end(&mut read).is_ok() {
                planted(&read, format);
            }
        }
        _ => {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(data).and_then(|()| file.rewind()).expect("written");
            let mut lines = Vec::new();
            if let Ok(count) = parquet_to_jsonl(file, &mut lines) {
                assert_eq!(all_lines(&lines).count() as u64, count);
            }
        }
    }
}

fn all_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn planted(data: &[u8], format: Option<Format>) {
    let rows = rows(data);
    let key = Key::from_text("a key for the fuzzing of planting").expect("long enough");
    let chat = vec![Message::new(Role::User, "canary?"), Message::new(Role::Assistant, "canary!")];
    let canaries = [(chat, COPIES)];
    let run = |skip_invalid| {
        let options = PlantOptions {
            file: "data",
            format: format.clone(),
            rows: 10,
            validation_share: 0.25,
            skip_invalid,
            canaries: &canaries,
        };
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        let done = plant(data, &mut training, &mut validation, &options, &key, "nonce");
        done.map(|summary| (summary, training, validation))
    };
    let (summary, training, validation) = match run(true) {
        Ok(done) => done,
        Err(error) => {
            assert!(matches!(error, PlantError::Empty { .. }) && rows.is_empty(), "{error}");
            return;
        }
    };
    assert_eq!(summary.skipped + summary.training_rows + summary.validation_rows, rows.len() as u64);
    assert_eq!(summary.canary_rows, u64::from(COPIES));
    assert_eq!(all_lines(&training).count() as u64, summary.training_rows + summary.canary_rows);
    assert_eq!(all_lines(&validation).count() as u64, summary.validation_rows);
    for line in all_lines(&training).chain(all_lines(&validation)) {
        let row: Map<String, Value> = serde_json::from_slice(line).expect("a row is an object");
        assert_eq!(validate_chat(&row), Ok(()), "{}", String::from_utf8_lossy(line));
    }
    assert!(summary.faults.iter().all(|fault| !fault.reason.contains(SECRET)), "a message quotes a row");
    match (run(false), summary.faults.first()) {
        (Ok(_), None) => {}
        (Err(PlantError::Row { line, reason, .. }), Some(fault)) => {
            assert_eq!((line, &reason), (fault.line, &fault.reason));
        }
        (other, fault) => panic!("{other:?} {fault:?}"),
    }
}

/// All rows, compared with those of a reader that is given the whole file.
fn rows(data: &[u8]) -> Vec<Vec<u8>> {
    let (mut reader, mut row, mut all, mut last) = (Rows::new(data), Vec::new(), Vec::new(), 1);
    while let Some(line) = reader.next_into(&mut row).expect("memory is read") {
        assert!(line >= last && !row.trim_ascii().is_empty());
        last = line;
        all.push(row.clone());
    }
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data).trim_ascii_start();
    if !text.starts_with(b"[") {
        let lines = text.split(|byte| *byte == b'\n').map(without_return);
        assert!(lines.filter(|line| !line.trim_ascii().is_empty()).eq(all.iter().map(Vec::as_slice)));
    } else if let Ok(elements) = serde_json::from_slice::<Vec<Value>>(text) {
        let read = all.iter().map(|row| serde_json::from_slice::<Value>(row).expect("an element"));
        assert!(read.eq(elements));
    }
    all
}

fn without_return(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = line {
        line = rest;
    }
    line
}
