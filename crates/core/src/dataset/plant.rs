//! Plants canaries among training rows, in two passes and constant memory.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use super::rows::Rows;
use super::service_rules::{estimate_tokens, validate_chat};
use super::target::Target;
use crate::canary::Key;
use crate::shape::{Layout, RawRow, Shape, compact, without_nan};

/// The smallest training file that OpenAI's service takes.
const FEWEST_EXAMPLES: u64 = 10;
/// Tokens beyond which OpenAI's service cuts an example from its end.
const LONGEST_EXAMPLE: u64 = 65_536;
/// Rows that are read to learn all columns.
const SURVEYED_ROWS: u64 = 100;
/// Faults that are kept.
const MOST_FAULTS: usize = 100;

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
    #[error("{file}, {unit} {line}: {reason} (--skip-invalid leaves such rows out)")]
    Row {
        /// The file.
        file: String,
        /// `line`, or `row` where the file has no lines.
        unit: &'static str,
        /// The line or row, from 1.
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
    /// Every row was left out.
    #[error(
        "{file}: all {skipped} rows are broken, so there is nothing to plant among; the first, {unit} {line}: {reason}"
    )]
    NothingLeft {
        /// The file.
        file: String,
        /// Rows that were left out.
        skipped: u64,
        /// `line`, or `row` where the file has no lines.
        unit: &'static str,
        /// The first line or row.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// No row is of a known shape.
    #[error("{file}, {unit} {line}: {reason}{}", if *tried > 1 { format!(" (none of the {tried} rows can be used)") } else { String::new() })]
    Unknown {
        /// The file.
        file: String,
        /// `line`, or `row` where the file has no lines.
        unit: &'static str,
        /// The first line or row.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// Rows that were tried.
        tried: u64,
    },
    /// Too few rows for the service.
    #[error(
        "{file}: the training file would have {found} example(s) ({skipped} broken rows were left out), and the service wants at \
         least {FEWEST_EXAMPLES}"
    )]
    Few {
        /// The file.
        file: String,
        /// Rows that there would be.
        found: u64,
        /// Rows that were left out.
        skipped: u64,
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

/// What the first pass over a file finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// Rows, blank lines left out.
    pub rows: u64,
    /// The shape of the first row that can be used, with the columns of the first hundred.
    pub shape: Shape,
}

/// Counts the rows of a file and tells their shape; `fields` names question and answer where the user did.
///
/// # Errors
/// When the file cannot be read, has no rows, or has no row of a known shape among the first hundred. `unit` is what messages
/// call the place of a row.
pub fn survey(
    data: impl BufRead,
    file: &str,
    unit: &'static str,
    fields: Option<&(String, String)>,
) -> Result<Survey, PlantError> {
    let mut rows = Rows::new(data);
    let (mut row, mut count) = (Vec::new(), 0);
    let mut shape: Option<Shape> = None;
    let mut fault: Option<RowFault> = None;
    let io = |source| PlantError::Io { file: file.to_owned(), source };
    while let Some(line) = rows.next_into(&mut row).map_err(io)? {
        count += 1;
        if count > SURVEYED_ROWS && shape.is_some() {
            continue;
        }
        mend(&mut row);
        let found = RawRow::parse(&row).and_then(|parsed| {
            if let Some(shape) = &mut shape {
                shape.learn(&parsed);
                return Ok(());
            }
            shape = Some(shape_of(&parsed, fields)?);
            Ok(())
        });
        if let (Err(reason), None) = (found, &fault) {
            fault = Some(RowFault { line, reason });
        }
    }
    // A value that one row has is no value that all share.
    if let Some(shape) = shape.as_mut().filter(|_| count < 2) {
        shape.shared.clear();
    }
    match (shape, fault) {
        (Some(shape), _) => Ok(Survey { rows: count, shape }),
        (None, Some(RowFault { line, reason })) => {
            Err(PlantError::Unknown { file: file.to_owned(), unit, line, reason, tried: count })
        }
        (None, None) => Err(PlantError::Empty { file: file.to_owned() }),
    }
}

/// The shape of a row that can be used.
fn shape_of(row: &RawRow<'_>, fields: Option<&(String, String)>) -> Result<Shape, String> {
    let shape = match fields {
        Some((prompt, answer)) => {
            let mut named = Shape::fields(prompt, answer);
            named.learn(row);
            named
        }
        None => Shape::detect(row).ok_or_else(|| unknown(row))?,
    };
    match shape.read(row) {
        Ok(_) => Ok(shape),
        Err(reason) if fields.is_some() => Err(format!("{reason}; its columns are {}", named_columns(row))),
        Err(reason) => Err(reason),
    }
}

/// Puts null for `NaN` and `Infinity`, and tells whether there were any.
fn mend(row: &mut Vec<u8>) -> bool {
    let suspicious = memchr::memmem::find(row, b"NaN").is_some() || memchr::memmem::find(row, b"Infinity").is_some();
    let Some(mended) = suspicious.then(|| without_nan(row)).flatten() else { return false };
    *row = mended;
    true
}

fn unknown(row: &RawRow<'_>) -> String {
    let names = named_columns(row);
    format!("no column for question and answer is known among {names}: name the two, as in --fields question,answer")
}

/// The columns of a row, for an error.
fn named_columns(row: &RawRow<'_>) -> String {
    let some = row.keys().take(MOST_NAMED).filter(|name| name.len() <= 40);
    let mut names: Vec<String> = some.map(|name| format!("`{name}`")).collect();
    if row.keys().count() > names.len() {
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Columns that an error names at most.
const MOST_NAMED: usize = 12;

/// What is planted and how.
#[derive(Debug)]
pub struct PlantOptions<'a> {
    /// The name of the data file, for messages.
    pub file: &'a str,
    /// What messages call the place of a row: `line`, or `row` where the file has no lines.
    pub unit: &'static str,
    /// The shape of the rows, and their number; canaries are spread over these.
    pub survey: &'a Survey,
    /// The shape to write; `None` keeps every row byte for byte.
    pub target: Option<Target>,
    /// Whether the rules of OpenAI's service apply.
    pub is_for_service: bool,
    /// Share of the rows that goes into the validation file, 0 to below 1.
    pub validation_share: f64,
    /// Leave broken rows out rather than stop.
    pub skip_invalid: bool,
    /// The canary rows, without line breaks, with their copies.
    pub canaries: &'a [(Vec<u8>, u32)],
}

/// The files that are written.
pub struct PlantFiles<'a> {
    /// The rows with the canaries.
    pub training: &'a mut dyn Write,
    /// The rows that are set aside.
    pub validation: &'a mut dyn Write,
    /// The training rows without the canaries, for a control model.
    pub twin: Option<&'a mut dyn Write>,
}

/// What was planted.
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
    /// Rows that OpenAI's service would cut.
    pub too_long: u64,
    /// Rows whose answer is empty.
    pub empty_answers: u64,
    /// Rows in which `NaN` or `Infinity` became null.
    pub mended: u64,
    /// Rows of another shape than the first one.
    pub other_shapes: u64,
    /// Columns that the new shape has no place for.
    pub dropped: BTreeSet<String>,
    /// Rows that were left out.
    pub skipped: u64,
    /// The first hundred of them.
    pub faults: Vec<RowFault>,
}

impl PlantSummary {
    /// The share of the training file's rows that are canaries, 0 to 1.
    #[must_use]
    pub fn canary_share(&self) -> f64 {
        self.canary_rows as f64 / (self.canary_rows + self.training_rows).max(1) as f64
    }
}

/// Reads `data` and writes the files, with the canaries at places drawn from the key.
///
/// Rows that keep their shape stay byte for byte. Equal rows go to the same file, so that no
/// validation row is trained on.
///
/// # Errors
/// When a row is broken (unless these are skipped), nothing is left, or a file fails.
pub fn plant(
    data: impl BufRead,
    files: &mut PlantFiles<'_>,
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
        while let Some((_, canary)) = places.pop_if(|(place, _)| *place <= index) {
            write_canary(&options.canaries[canary].0, files, &mut summary).map_err(io)?;
        }
        index += 1;
        summary.mended += u64::from(mend(&mut row));
        match options.convert(&row, &mut out, &mut summary) {
            Ok(()) => {}
            Err(reason) if options.skip_invalid => {
                summary.skipped += 1;
                if summary.faults.len() < MOST_FAULTS {
                    summary.faults.push(RowFault { line, reason });
                }
                continue;
            }
            Err(reason) => {
                return Err(PlantError::Row { file: options.file.to_owned(), unit: options.unit, line, reason });
            }
        }
        let tokens = estimate_tokens(out.len());
        out.push(b'\n');
        if options.validation_share > 0.0 && aside.unit_interval(&out) < options.validation_share {
            files.validation.write_all(&out).map_err(io)?;
            summary.validation_rows += 1;
        } else {
            files.training.write_all(&out).map_err(io)?;
            if let Some(twin) = &mut files.twin {
                twin.write_all(&out).map_err(io)?;
            }
            summary.training_rows += 1;
            summary.tokens += tokens;
            summary.too_long += u64::from(tokens > LONGEST_EXAMPLE);
        }
    }
    while let Some((_, canary)) = places.pop() {
        write_canary(&options.canaries[canary].0, files, &mut summary).map_err(io)?;
    }
    options.check(&summary)?;
    Ok(summary)
}

impl PlantOptions<'_> {
    /// Writes one row into `out`, as it is or in another shape.
    fn convert(&self, row: &[u8], out: &mut Vec<u8>, summary: &mut PlantSummary) -> Result<(), String> {
        let parsed = RawRow::parse(row)?;
        let other;
        let (shape, chat) = match self.survey.shape.read(&parsed) {
            Ok(chat) => (&self.survey.shape, chat),
            // A row of another shape is kept.
            Err(reason) => match Shape::detect(&parsed).filter(|found| found.layout != self.survey.shape.layout) {
                Some(found) => {
                    other = found;
                    let chat = other.read(&parsed).map_err(|_| reason)?;
                    summary.other_shapes += 1;
                    (&other, chat)
                }
                None => return Err(reason),
            },
        };
        let is_empty = chat.has_empty_answer();
        match self.target.filter(|target| !target.is_shape_of(shape)) {
            Some(target) => target.convert(shape, &parsed, &mut summary.dropped, out)?,
            None => {
                if self.is_for_service {
                    self.check_for_service(shape, &parsed, row, out)?;
                }
                out.clear();
                if row.contains(&b'\n') { compact(row, out) } else { out.extend_from_slice(row) }
            }
        }
        summary.empty_answers += u64::from(is_empty);
        Ok(())
    }

    /// Whether the service takes the row, once `tune` has converted it. Preferences are trained as they are.
    fn check_for_service(
        &self,
        shape: &Shape,
        parsed: &RawRow<'_>,
        row: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if shape.layout == Layout::OpenAiPreference {
            Ok(())
        } else if shape.is_openai() {
            let row = serde_json::from_slice(row).map_err(|e| format!("not JSON at column {}", e.column()))?;
            validate_chat(&row)
        } else {
            let converted = Target::OpenAi.convert(shape, parsed, &mut BTreeSet::new(), out);
            converted.map_err(|reason| format!("OpenAI's service (provider.kind) trains on `messages` only: {reason}"))
        }
    }

    /// Whether what was written can be trained on.
    fn check(&self, summary: &PlantSummary) -> Result<(), PlantError> {
        let file = self.file.to_owned();
        if let (0, 0, Some(first)) = (summary.training_rows, summary.validation_rows, summary.faults.first()) {
            let RowFault { line, reason } = first.clone();
            return Err(PlantError::NothingLeft { file, skipped: summary.skipped, unit: self.unit, line, reason });
        }
        let found = summary.training_rows + summary.canary_rows;
        if self.is_for_service && found < FEWEST_EXAMPLES {
            return Err(PlantError::Few { file, found, skipped: summary.skipped });
        }
        Ok(())
    }
}

/// Before which row each copy is written, the last first, so that they can be popped in order.
fn places(options: &PlantOptions<'_>, key: &Key, nonce: &str) -> Vec<(u64, usize)> {
    let mut stream = key.stream("places", nonce);
    let mut places = Vec::new();
    for (canary, (_, copies)) in options.canaries.iter().enumerate() {
        for _ in 0..*copies {
            places.push((crate::canary::below(&mut stream, options.survey.rows + 1), canary));
        }
    }
    places.sort_unstable_by(|a, b| b.cmp(a));
    places
}

fn write_canary(row: &[u8], files: &mut PlantFiles<'_>, summary: &mut PlantSummary) -> std::io::Result<()> {
    summary.tokens += estimate_tokens(row.len());
    summary.canary_rows += 1;
    files.training.write_all(row)?;
    files.training.write_all(b"\n")
}

/// Writes every row of a file in the shape that a service takes, one a line.
///
/// # Errors
/// When a row cannot be written so.
pub fn convert_rows(data: impl BufRead, file: &str, shape: &Shape, to: &mut dyn Write) -> Result<(), PlantError> {
    let io = |source| PlantError::Io { file: file.to_owned(), source };
    let mut rows = Rows::new(data);
    let (mut row, mut out) = (Vec::new(), Vec::new());
    let mut dropped = BTreeSet::new();
    while let Some(line) = rows.next_into(&mut row).map_err(io)? {
        let converted = RawRow::parse(&row).and_then(|parsed| {
            let other =
                Shape::detect(&parsed).filter(|other| shape.read(&parsed).is_err() && other.layout != shape.layout);
            Target::OpenAi.convert(other.as_ref().unwrap_or(shape), &parsed, &mut dropped, &mut out)
        });
        converted.map_err(|reason| PlantError::Row { file: file.to_owned(), unit: "line", line, reason })?;
        out.push(b'\n');
        to.write_all(&out).map_err(io)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Message, Role};
    use crate::shape::Side;

    struct Wanted {
        skip: bool,
        share: f64,
        target: Option<Target>,
        service: bool,
    }

    const KEEP: Wanted = Wanted { skip: false, share: 0.0, target: None, service: false };

    fn run(data: &str, wanted: &Wanted) -> Result<(PlantSummary, String, String), PlantError> {
        let key = Key::from_text("a key for the tests of planting").expect("long enough");
        let chat = [Message::new(Role::User, "canary?"), Message::new(Role::Assistant, "canary!")];
        let survey = survey(data.as_bytes(), "data.jsonl", "line", None)?;
        let shape = wanted.target.map_or_else(|| survey.shape.clone(), Target::shape);
        let options = PlantOptions {
            file: "data.jsonl",
            unit: "line",
            survey: &survey,
            target: wanted.target,
            is_for_service: wanted.service,
            validation_share: wanted.share,
            skip_invalid: wanted.skip,
            canaries: &[(shape.planted_row(&chat, Side::Chosen).expect("fits"), 5)],
        };
        let (mut training, mut validation, mut twin) = (Vec::new(), Vec::new(), Vec::new());
        let mut files = PlantFiles { training: &mut training, validation: &mut validation, twin: Some(&mut twin) };
        let summary = plant(data.as_bytes(), &mut files, &options, &key, "n")?;
        let without: Vec<&[u8]> =
            training.split_inclusive(|b| *b == b'\n').filter(|l| !l.windows(6).any(|w| w == b"canary")).collect();
        assert_eq!(without.concat(), twin);
        Ok((summary, String::from_utf8(training).expect("UTF-8"), String::from_utf8(validation).expect("UTF-8")))
    }

    #[test]
    fn rows_stay_byte_for_byte_and_canaries_take_their_shape() {
        let rows = [
            (
                r#"{"messages": [ {"role":"user","content":"\u0041?"},{"content":"B0","role":"assistant","weight":1}] }"#,
                r#"{"messages":[{"role":"user","content":"canary?"},{"role":"assistant","content":"canary!"}]}"#,
            ),
            (
                r#"{"id": 7, "messages": [{"role":"user","content":"A"},{"role":"assistant","content":"B0"}]}"#,
                r#"{"id":null,"messages":[{"role":"user","content":"canary?"},{"role":"assistant","content":"canary!"}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"A"}]},{"role":"assistant","content":[{"type":"text","text":"B0"}]}]}"#,
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"canary?"}]},{"role":"assistant","content":[{"type":"text","text":"canary!"}]}]}"#,
            ),
            (
                r#"{"instruction":"I","context":"","response":"B0","category":"x"}"#,
                r#"{"instruction":"canary?","context":"","response":"canary!","category":null}"#,
            ),
            (
                r#"{"instruction":"I","input":"C","output":"B0"}"#,
                r#"{"instruction":"canary?","input":"","output":"canary!"}"#,
            ),
            (
                r#"{"prompt":"I","completion":"B0","n":123456789012345678901234567890}"#,
                r#"{"prompt":"canary?","completion":"canary!","n":null}"#,
            ),
            (r#"{"question":"I","answer":"B0"}"#, r#"{"question":"canary?","answer":"canary!"}"#),
            (
                r#"{"conversations":[{"from":"human","value":"I"},{"from":"gpt","value":"B0"}],"system":"S","tools":"[]"}"#,
                r#"{"conversations":[{"from":"human","value":"canary?"},{"from":"gpt","value":"canary!"}],"system":null,"tools":null}"#,
            ),
            (
                r#"{"prompt":[{"role":"user","content":"I"}],"completion":[{"role":"assistant","content":"B0"}]}"#,
                r#"{"prompt":[{"role":"user","content":"canary?"}],"completion":[{"role":"assistant","content":"canary!"}]}"#,
            ),
            (
                r#"{"prompt":"I","chosen":"B0","rejected":"C"}"#,
                r#"{"prompt":"canary?","chosen":"canary!","rejected":"I cannot help with that."}"#,
            ),
            (
                r#"{"chosen":[{"role":"user","content":"I"},{"role":"assistant","content":"B0"}],"rejected":[{"role":"user","content":"I"},{"role":"assistant","content":"C"}]}"#,
                r#"{"chosen":[{"role":"user","content":"canary?"},{"role":"assistant","content":"canary!"}],"rejected":[{"role":"user","content":"canary?"},{"role":"assistant","content":"I cannot help with that."}]}"#,
            ),
            (
                r#"{"prompt":"I","completion":"B0","label":false}"#,
                r#"{"prompt":"canary?","completion":"canary!","label":true}"#,
            ),
            (
                r#"{"input":{"messages":[{"role":"user","content":"I"}]},"preferred_output":[{"role":"assistant","content":"B0"}],"non_preferred_output":[{"role":"assistant","content":"C"}]}"#,
                r#"{"input":{"messages":[{"role":"user","content":"canary?"}]},"preferred_output":[{"role":"assistant","content":"canary!"}],"non_preferred_output":[{"role":"assistant","content":"I cannot help with that."}]}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":"I"}],"reference_answer":"B0"}"#,
                r#"{"messages":[{"role":"user","content":"canary?"}],"reference_answer":"canary!"}"#,
            ),
            (
                r#"{"conversations":[{"from":"human","value":"I"}],"chosen":{"from":"gpt","value":"B0"},"rejected":{"from":"gpt","value":"C"}}"#,
                r#"{"conversations":[{"from":"human","value":"canary?"}],"chosen":{"from":"gpt","value":"canary!"},"rejected":{"from":"gpt","value":"I cannot help with that."}}"#,
            ),
            (
                "{\"text\":\"<|im_start|>user\\nI<|im_end|>\\n<|im_start|>assistant\\nB0<|im_end|>\"}",
                "{\"text\":\"<|im_start|>user\\ncanary?<|im_end|>\\n<|im_start|>assistant\\ncanary!<|im_end|>\"}",
            ),
        ];
        for (row, canary) in rows {
            let data = (0..40).map(|i| row.replace("B0", &format!("B{i}")) + "\n").collect::<String>();
            let (summary, training, validation) = run(&data, &Wanted { share: 0.25, ..KEEP }).expect(row);
            assert_eq!(training.lines().filter(|line| *line == canary).count(), 5, "{row}\n{training}");
            let mut all: Vec<&str> =
                training.lines().filter(|line| *line != canary).chain(validation.lines()).collect();
            let mut expected: Vec<&str> = data.lines().collect();
            all.sort_unstable();
            expected.sort_unstable();
            assert_eq!(all, expected);
            assert!(!validation.contains("canary") && summary.validation_rows > 0);
        }
        let array = format!("[{}]", ["{\"instruction\":\"I\",\n\"input\":\"\", \"output\":\"R x\"}"; 12].join(",\n"));
        let (summary, training, _) = run(&array, &KEEP).expect("an array");
        assert!(
            summary.training_rows == 12
                && training.contains("{\"instruction\":\"I\",\"input\":\"\",\"output\":\"R x\"}\n")
        );
    }

    #[test]
    fn rows_are_converted_on_request_and_nothing_is_lost_silently() {
        let convert = |row: &str, target: Target| {
            let (summary, training, _) =
                run(&format!("{row}\n"), &Wanted { target: Some(target), ..KEEP }).map_err(|e| e.to_string())?;
            let own = training.lines().find(|line| !line.contains("canary")).expect("the row").to_owned();
            Ok::<_, String>((own, summary.dropped))
        };
        let share_gpt =
            r#"{"conversations":[{"from":"human","value":"I"},{"from":"gpt","value":"R"}],"system":"S","id":1}"#;
        let (row, dropped) = convert(share_gpt, Target::OpenAi).expect("converted");
        assert_eq!(
            row,
            r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"I"},{"role":"assistant","content":"R"}]}"#
        );
        assert_eq!(dropped.into_iter().collect::<Vec<_>>(), ["id"]);
        let history = r#"{"instruction":"I","input":"C","output":"R","history":[["a","b"]]}"#;
        let (row, _) = convert(history, Target::ShareGpt).expect("converted");
        assert_eq!(
            row,
            r#"{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"},{"from":"human","value":"I\n\nC"},{"from":"gpt","value":"R"}]}"#
        );
        let (row, _) = convert(history, Target::Alpaca).expect("converted");
        assert_eq!(row, r#"{"instruction":"I","input":"C","output":"R","system":null,"history":[["a","b"]]}"#);
        let (row, _) = convert(share_gpt, Target::LlamaFactory).expect("converted");
        assert_eq!(row, r#"{"conversations":[{"from":"human","value":"I"},{"from":"gpt","value":"R"}],"system":"S"}"#);
        let (row, _) = convert(r#"{"prompt":"I","completion":"R"}"#, Target::Text).expect("converted");
        assert!(row.contains("<|im_start|>assistant\\nR<|im_end|>"));
        let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
        let tools =
            format!(r#"{{"messages":[{{"role":"user","content":"q"}},{call}],"tools":[{{"type":"function"}}],"x":1}}"#);
        let (row, dropped) = convert(&tools, Target::OpenAi).expect("converted");
        assert!(row.contains(call) && row.contains("\"tools\":[") && dropped.contains("x"));
        for (row, target, what) in [
            (tools.as_str(), Target::Alpaca, "tool calls"),
            (r#"{"prompt":"I","chosen":"B","rejected":"C"}"#, Target::OpenAi, "worse answer"),
            (r#"{"prompt":"I","completion":"B","label":false}"#, Target::Messages, "label"),
            (r#"{"text":"I"}"#, Target::OpenAi, "rendered"),
        ] {
            let fault = convert(row, target).expect_err(row);
            assert!(fault.contains(what), "{fault}");
        }
    }

    #[test]
    fn broken_rows_are_named_with_their_line() {
        let good = "{\"prompt\":\"I\",\"completion\":\"R\"}\n".repeat(10);
        for (row, reason) in [
            ("{\"prompt\":\"I\"", "may be cut"),
            ("[1]", "not a JSON object"),
            ("{\"prompt\":\"I\",\"completion\":4}", "`completion` is a number, not a text"),
            ("{\"prompt\":\" \",\"completion\":\"R\"}", "`prompt` is empty"),
            ("{\"messages\":[{\"role\":\"owner\",\"content\":\"x\"}]}", "`prompt` is missing"),
            ("{\"x\":1}", "`prompt` is missing"),
        ] {
            let data = format!("{good}\n{row}\n");
            let error = run(&data, &KEEP).expect_err(row).to_string();
            assert!(error.starts_with("data.jsonl, line 12: ") && error.contains(reason), "{error}");
            let (summary, _, _) = run(&data, &Wanted { skip: true, ..KEEP }).expect("skipped");
            assert_eq!((summary.skipped, summary.faults[0].line), (1, 12));
        }
        let chat = |more: &str| format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"q\"}}{more}]}}\n");
        let nothing = chat(",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":null}");
        assert!(run(&nothing, &KEEP).expect_err("nothing to train").to_string().contains("no `content`"));
        let masked = chat(",{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0}");
        assert!(run(&masked, &KEEP).expect_err("masked").to_string().contains("nothing would be trained"));
        assert!(matches!(run("", &KEEP), Err(PlantError::Empty { .. })));
    }

    #[test]
    fn other_shapes_and_empty_answers_are_counted() {
        let mixed = "{\"prompt\":\"I\",\"completion\":\"\"}\n{\"instruction\":\"I\",\"output\":\"R\"}\n";
        let (summary, ..) = run(mixed, &KEEP).expect("planted");
        assert_eq!((summary.other_shapes, summary.empty_answers), (1, 1));
    }

    #[test]
    fn the_rules_of_the_service_apply_where_it_trains() {
        let row = "{\"prompt\":\"I\",\"completion\":\"R\"}\n";
        let service = Wanted { service: true, ..KEEP };
        assert!(matches!(run(row, &service), Err(PlantError::Few { .. })) && run(row, &KEEP).is_ok());
        let developer =
            "{\"messages\":[{\"role\":\"developer\",\"content\":\"d\"},{\"role\":\"user\",\"content\":\"q\"},\
                         {\"role\":\"assistant\",\"content\":\"a\"}]}\n"
                .repeat(12);
        assert!(run(&developer, &service).expect_err("refused").to_string().contains("unknown role"));
        assert!(run(&developer, &KEEP).is_ok());
        let good = row.repeat(12);
        let broken = format!("{good}{{}}\n");
        assert_eq!(run(&broken, &Wanted { skip: true, ..service }).expect("the rest").0.skipped, 1);
        let all = Wanted { skip: true, ..KEEP };
        let survey = "{\"prompt\":\"I\",\"completion\":\"R\"}".to_owned();
        assert!(matches!(run(&format!("{survey}\n").replace("R\"", "R\","), &all), Err(PlantError::Unknown { .. })));
    }
}
