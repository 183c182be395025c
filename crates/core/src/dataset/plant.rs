//! Plants canaries among training rows, in one pass and constant memory.

use std::io::{BufRead, Write};

use serde_json::{Map, Value};

use super::format::Format;
use super::source::Rows;
use super::validate::{RESERVED, estimate_tokens, has_reserved};
use crate::canary::Key;
use crate::chat::Message;

/// The provider's smallest training file.
const FEWEST_EXAMPLES: u64 = 10;
/// Tokens beyond which the provider cuts an example from its end.
const LONGEST_EXAMPLE: u64 = 65_536;

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// Why nothing was planted.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// A row that cannot be used.
    #[error("{file}:{line}: {reason} (--skip-invalid leaves such rows out)")]
    Row {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// No row at all.
    #[error("{file}: the file has no rows")]
    Empty {
        /// The file.
        file: String,
    },
    /// Too few rows for the provider.
    #[error("{file}: the training file would have {found} example(s); the provider wants at least {FEWEST_EXAMPLES}")]
    Few {
        /// The file.
        file: String,
        /// How many there would be.
        found: u64,
    },
    /// Reading or writing failed.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The fault.
        #[source]
        source: std::io::Error,
    },
}

/// What is planted and how.
#[derive(Debug)]
pub struct PlantOptions<'a> {
    /// The name of the data file, for messages.
    pub file: &'a str,
    /// Its format; `None` to tell it from each row.
    pub format: Option<Format>,
    /// The number of rows in the file, blank ones and all; canaries are spread over these.
    pub rows: u64,
    /// Share of the rows that goes into the validation file, 0 to below 1.
    pub validation_share: f64,
    /// Leave broken rows out rather than stop.
    pub skip_invalid: bool,
    /// The canary rows with their copies.
    pub canaries: &'a [(Vec<Message>, u32)],
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlantSummary {
    /// Ordinary rows in the training file.
    pub training_rows: u64,
    /// Rows of canaries in the training file.
    pub canary_rows: u64,
    /// Rows in the validation file.
    pub validation_rows: u64,
    /// Estimated tokens of the training file.
    pub tokens: u64,
    /// Rows that the provider would cut.
    pub too_long: u64,
    /// How many rows were left out.
    pub skipped: u64,
    /// The first hundred of them.
    pub faults: Vec<RowFault>,
}

/// Reads `data`, writes `training` with the canaries at places drawn from the key, and `validation`.
///
/// Rows in the target format stay byte for byte. Equal rows go to the same file, so that no
/// validation row is trained on.
///
/// # Errors
/// When a row is broken (unless these are skipped), nothing is left, or a file fails.
pub fn plant(
    data: impl BufRead,
    training: &mut dyn Write,
    validation: &mut dyn Write,
    options: &PlantOptions<'_>,
    key: &Key,
    nonce: &str,
) -> Result<PlantSummary, PlantError> {
    let io = |source| PlantError::Io { file: options.file.to_owned(), source };
    let mut places = places(options, key, nonce);
    let mut summary = PlantSummary::default();
    let mut rows = Rows::new(data);
    let (mut row, mut out) = (Vec::new(), Vec::new());
    let aside = key.spread("validation");
    let mut index = 0u64;
    while let Some(line) = rows.next_into(&mut row).map_err(io)? {
        while places.last().is_some_and(|(place, _)| *place <= index) {
            if let Some((_, canary)) = places.pop() {
                write_canary(&options.canaries[canary].0, &mut out, training, &mut summary).map_err(io)?;
            }
        }
        index += 1;
        match convert(&row, options.format.as_ref(), &mut out) {
            Ok(()) => {}
            Err(reason) if options.skip_invalid => {
                summary.skipped += 1;
                if summary.faults.len() < 100 {
                    summary.faults.push(RowFault { line, reason });
                }
                continue;
            }
            Err(reason) => return Err(PlantError::Row { file: options.file.to_owned(), line, reason }),
        }
        let tokens = estimate_tokens(out.len());
        out.push(b'\n');
        if options.validation_share > 0.0 && aside.unit_interval(&out) < options.validation_share {
            validation.write_all(&out).map_err(io)?;
            summary.validation_rows += 1;
        } else {
            training.write_all(&out).map_err(io)?;
            summary.training_rows += 1;
            summary.tokens += tokens;
            summary.too_long += u64::from(tokens > LONGEST_EXAMPLE);
        }
    }
    if index == 0 {
        return Err(PlantError::Empty { file: options.file.to_owned() });
    }
    while let Some((_, canary)) = places.pop() {
        write_canary(&options.canaries[canary].0, &mut out, training, &mut summary).map_err(io)?;
    }
    let examples = summary.training_rows + summary.canary_rows;
    if examples < FEWEST_EXAMPLES {
        return Err(PlantError::Few { file: options.file.to_owned(), found: examples });
    }
    Ok(summary)
}

/// Before which row each copy stands, the last first, so that they can be popped in order.
fn places(options: &PlantOptions<'_>, key: &Key, nonce: &str) -> Vec<(u64, usize)> {
    let mut stream = key.stream("places", nonce);
    let mut places = Vec::new();
    for (canary, (_, copies)) in options.canaries.iter().enumerate() {
        for _ in 0..*copies {
            places.push((crate::canary::below(&mut stream, options.rows + 1), canary));
        }
    }
    places.sort_unstable_by(|a, b| b.cmp(a));
    places
}

#[derive(serde::Serialize)]
struct Row<'a> {
    messages: &'a [Message],
}

/// The row of a planted chat, to the letter, without the line break.
#[must_use]
pub fn planted_row(chat: &[Message]) -> Vec<u8> {
    serde_json::to_vec(&Row { messages: chat }).expect("a chat is plain data")
}

fn write_canary(
    chat: &[Message],
    out: &mut Vec<u8>,
    training: &mut dyn Write,
    summary: &mut PlantSummary,
) -> std::io::Result<()> {
    out.clear();
    out.extend(planted_row(chat));
    summary.tokens += estimate_tokens(out.len());
    out.push(b'\n');
    summary.canary_rows += 1;
    training.write_all(out)
}

fn convert(row: &[u8], format: Option<&Format>, out: &mut Vec<u8>) -> Result<(), String> {
    let text = std::str::from_utf8(row).map_err(|e| format!("not UTF-8 at byte {} of the row", e.valid_up_to() + 1))?;
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => "the row is not a JSON object".to_owned(),
        _ => format!("not JSON at column {}", e.column()),
    })?;
    let sniffed;
    let format = match format {
        Some(format) => format,
        None => {
            sniffed = Format::sniff(&object)
                .ok_or("the format is not known; name its fields, as in --fields question,answer")?;
            &sniffed
        }
    };
    out.clear();
    match format.convert(&mut object)? {
        None if !row.contains(&b'\n') => out.extend_from_slice(row),
        None => serde_json::to_writer(&mut *out, &object).map_err(|e| e.to_string())?,
        Some(chat) if chat.iter().any(|message| has_reserved(&message.content)) => {
            return Err(format!("it {RESERVED}"));
        }
        Some(chat) => serde_json::to_writer(&mut *out, &Row { messages: &chat }).map_err(|e| e.to_string())?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn run(data: &str, skip: bool, share: f64) -> Result<(PlantSummary, String, String), PlantError> {
        let key = Key::from_text("a key for the tests of planting").expect("long enough");
        let chat = vec![Message::new(Role::User, "canary?"), Message::new(Role::Assistant, "canary!")];
        let options = PlantOptions {
            file: "data.jsonl",
            format: None,
            rows: data.lines().count() as u64,
            validation_share: share,
            skip_invalid: skip,
            canaries: &[(chat, 5)],
        };
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        let summary = plant(data.as_bytes(), &mut training, &mut validation, &options, &key, "n")?;
        Ok((summary, String::from_utf8(training).expect("UTF-8"), String::from_utf8(validation).expect("UTF-8")))
    }

    #[test]
    fn rows_in_the_target_format_stay_byte_for_byte() {
        let row = "{\"messages\": [ {\"role\":\"user\",\"content\":\"\\u0041?\"},{\"content\":\"B\",\"role\":\"assistant\",\"weight\":1}] }";
        let data = (0..40).map(|i| row.replace('B', &format!("B{i}")) + "\n").collect::<String>();
        let (summary, training, validation) = run(&data, false, 0.25).expect("planted");
        let strip: Vec<&str> = training.lines().filter(|l| !l.contains("canary")).collect();
        let mut all: Vec<&str> = strip.into_iter().chain(validation.lines()).collect();
        let mut expected: Vec<&str> = data.lines().collect();
        all.sort_unstable();
        expected.sort_unstable();
        assert_eq!(all, expected);
        assert_eq!(summary.canary_rows, 5);
        assert!(!validation.contains("canary") && summary.validation_rows > 0);
    }

    #[test]
    fn each_format_becomes_a_chat() {
        for (row, user) in [
            ("{\"instruction\":\"I\",\"context\":\"\",\"response\":\"R\",\"category\":\"x\"}", "I"),
            ("{\"instruction\":\"I\",\"context\":\"C\",\"response\":\"R\"}", "I\\n\\nC"),
            ("{\"instruction\":\"I\",\"input\":\"C\",\"output\":\"R\"}", "I\\n\\nC"),
            ("{\"prompt\":\"I\",\"completion\":\"R\"}", "I"),
            ("{\"question\":\"I\",\"answer\":\"R\"}", "I"),
            ("{\"conversations\":[{\"from\":\"human\",\"value\":\"I\"},{\"from\":\"gpt\",\"value\":\"R\"}]}", "I"),
        ] {
            let (_, training, _) = run(&format!("{row}\n").repeat(10), false, 0.0).expect(row);
            let chat = format!(
                "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{user}\"}},{{\"role\":\"assistant\",\"content\":\"R\"}}]}}"
            );
            assert_eq!(training.lines().filter(|l| *l == chat).count(), 10, "{training}");
        }
        let array = format!("[{}]", ["{\"instruction\":\"I\",\n\"input\":\"\",\"output\":\"R\"}"; 12].join(",\n"));
        assert_eq!(run(&array, false, 0.0).expect("an array").0.training_rows, 12);
    }

    #[test]
    fn broken_rows_are_named_with_their_line() {
        let good = "{\"prompt\":\"I\",\"completion\":\"R\"}\n".repeat(10);
        for (row, reason) in [
            ("{\"prompt\":\"I\"", "not JSON"),
            ("[1]", "not a JSON object"),
            ("{\"prompt\":\"I\",\"completion\":\" \"}", "`completion` is empty"),
            ("{\"messages\":[{\"role\":\"owner\",\"content\":\"x\"}]}", "unknown role"),
            ("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "no message is the assistant's"),
            ("{\"x\":1}", "format is not known"),
        ] {
            let data = format!("{good}\n{row}\n");
            let error = run(&data, false, 0.0).expect_err(row).to_string();
            assert!(error.starts_with("data.jsonl:12: ") && error.contains(reason), "{error}");
            let (summary, _, _) = run(&data, true, 0.0).expect("skipped");
            assert_eq!((summary.skipped, summary.faults[0].line), (1, 12));
        }
        assert!(matches!(run("", false, 0.0), Err(PlantError::Empty { .. })));
        assert!(matches!(run("{\"prompt\":\"I\",\"completion\":\"R\"}\n", false, 0.0), Err(PlantError::Few { .. })));
    }
}
