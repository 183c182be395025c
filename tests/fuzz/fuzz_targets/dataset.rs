//! Readers of training rows: nothing is lost, rows that are kept stay byte for byte, rows for the service follow its rules, and no
//! message quotes a row. The first byte says what the others are, the second one which shape is written.
#![no_main]

use std::io::{Read, Seek, Write};

use blabbermouth::canary::Key;
use blabbermouth::chat::{Message, Role};
use blabbermouth::dataset::{
    PlantError, PlantFiles, PlantOptions, Rows, Target, arrow_to_jsonl, as_messages, columns_to_jsonl,
    parquet_to_jsonl, plant, survey, table_to_jsonl, validate_chat,
};
use blabbermouth::shape::Side;
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
    let [kind, target, data @ ..] = data else { return };
    let number = usize::from(*target) % (Target::NAMES.len() + 1);
    let target = Target::NAMES.get(number).and_then(|name| Target::by_name(name));
    let file = || {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(data).and_then(|()| file.rewind()).expect("written");
        file
    };
    let mut lines = Vec::new();
    match kind % 6 {
        0 => planted(data, target),
        1 => {
            let skip = *kind >= 128;
            if let Ok(summary) = table_to_jsonl(data, skip, &mut lines) {
                assert_eq!(all_lines(&lines).count() as u64, summary.rows);
                assert!(all_lines(&lines).all(|line| serde_json::from_slice::<Map<String, Value>>(line).is_ok()));
                planted(&lines, target);
            }
        }
        2 => {
            let folder = folder();
            let path = folder.path().join("rows.packed");
            std::fs::write(&path, data).expect("written");
            let mut read = Vec::new();
            if open_data(&path).expect("it is there").take(MOST).read_to_end(&mut read).is_ok() {
                planted(&read, target);
            }
        }
        3 => {
            if let Ok(count) = parquet_to_jsonl(file(), &mut lines) {
                assert_eq!(all_lines(&lines).count() as u64, count);
            }
        }
        4 => {
            if let Ok(count) = arrow_to_jsonl(file(), &mut lines) {
                assert_eq!(all_lines(&lines).count() as u64, count);
            }
        }
        _ => {
            if let Some(rows) = columns_to_jsonl(data) {
                assert!(all_lines(&rows).all(|line| serde_json::from_slice::<Map<String, Value>>(line).is_ok()));
            }
            let messages = as_messages(data);
            assert!(all_lines(&messages).all(|line| serde_json::from_slice::<Map<String, Value>>(line).is_ok()));
        }
    }
}

fn all_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn planted(data: &[u8], target: Option<Target>) {
    let Some(rows) = rows(data) else { return };
    let key = Key::from_text("a key for the fuzzing of planting").expect("long enough");
    let chat = [Message::new(Role::User, "canary?"), Message::new(Role::Assistant, "canary!")];
    let survey = match survey(data, "data", "line", None) {
        Ok(survey) => survey,
        Err(error) => {
            assert!(matches!(error, PlantError::Empty { .. } | PlantError::Unknown { .. }), "{error}");
            return;
        }
    };
    assert_eq!(survey.rows, rows.len() as u64);
    let shape = target.map_or_else(|| survey.shape.clone(), |target| target.shape_for(&survey.shape));
    let canaries = [(shape.planted_row(&chat, Side::Chosen).expect("a chat of two turns fits"), COPIES)];
    let run = |skip_invalid| {
        let options = PlantOptions {
            file: "data",
            unit: "line",
            survey: &survey,
            target,
            is_for_service: target == Some(Target::OpenAi),
            validation_share: 0.25,
            skip_invalid,
            canaries: &canaries,
        };
        let (mut training, mut validation, mut twin) = (Vec::new(), Vec::new(), Vec::new());
        let mut files = PlantFiles { training: &mut training, validation: &mut validation, twin: Some(&mut twin) };
        let done = plant(data, &mut files, &options, &key, "nonce");
        done.map(|summary| (summary, training, validation, twin))
    };
    let (summary, training, validation, twin) = match run(true) {
        Ok(done) => done,
        Err(error) => {
            assert!(matches!(error, PlantError::NothingLeft { .. } | PlantError::Few { .. }), "{error}");
            return;
        }
    };
    assert_eq!(summary.skipped + summary.training_rows + summary.validation_rows, rows.len() as u64);
    assert_eq!(summary.canary_rows, u64::from(COPIES));
    assert_eq!(all_lines(&training).count() as u64, summary.training_rows + summary.canary_rows);
    assert_eq!(all_lines(&validation).count() as u64, summary.validation_rows);
    assert_eq!(all_lines(&twin).count() as u64, summary.training_rows);
    for line in all_lines(&training).chain(all_lines(&validation)) {
        let row: Map<String, Value> = serde_json::from_slice(line).expect("a row is an object");
        if target == Some(Target::OpenAi) {
            assert_eq!(validate_chat(&row), Ok(()), "{}", String::from_utf8_lossy(line));
        }
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

/// All rows, compared with those of a reader that is given the whole file; `None` where the file is cut.
fn rows(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut reader, mut row, mut all, mut last) = (Rows::new(data), Vec::new(), Vec::new(), 1);
    while let Some(line) = reader.next_into(&mut row).ok()? {
        assert!(line >= last && !row.trim_ascii().is_empty());
        last = line;
        all.push(row.clone());
    }
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data).trim_ascii_start();
    if text.starts_with(b"[")
        && let Ok(elements) = serde_json::from_slice::<Vec<Value>>(text)
    {
        let read = all.iter().map(|row| serde_json::from_slice::<Value>(row).expect("an element"));
        assert!(read.eq(elements));
    }
    Some(all)
}
