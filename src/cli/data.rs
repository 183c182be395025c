//! Training rows: a file, a folder, standard input, or a data set of the Hugging Face hub. Tables, Parquet and Arrow become JSONL.

use std::io::{BufRead, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::exit::ExitCode;
use crate::store::{DataKind, Encoding, Hub, HubData, choose_files, data_kind, open_data, open_text};
use blabbermouth_core::dataset::{RowFault, Rows, arrow_to_jsonl, columns_to_jsonl, parquet_to_jsonl, table_to_jsonl};
use tempfile::{NamedTempFile, TempPath};

use super::{Failure, Output, config_failure};

/// Bytes of standard input and of decoded files that are kept in a temporary file.
const MOST_BYTES: u64 = 64 << 30;

/// The largest file of columns, which is held in memory.
const LARGEST_COLUMNS: u64 = 1 << 30;

/// Training rows on the local disk, as UTF-8.
pub(crate) struct Data {
    /// File that is read.
    pub(crate) path: PathBuf,
    /// Name in messages.
    pub(crate) name: String,
    /// Place of a row in messages: `line`, or `row` where the file has no lines.
    pub(crate) unit: &'static str,
    /// How the data was read, for the user.
    pub(crate) notes: Vec<String>,
    /// Records of a table that were left out.
    pub(crate) skipped: u64,
    /// The first of them.
    pub(crate) faults: Vec<RowFault>,
    /// Temporary files, removed on drop.
    _made: Vec<TempPath>,
}

/// How a text file is read.
#[derive(Clone, Copy)]
struct Reading {
    encoding: Encoding,
    skip_invalid: bool,
}

impl Data {
    /// Finds the rows by their name, fetches them if needed, and converts them to JSONL if needed.
    pub(crate) fn get(
        name: &Path,
        config: &Config,
        folder: &Path,
        skip_invalid: bool,
        output: &Output,
    ) -> Result<Self, Failure> {
        let text = name.display().to_string();
        let encoding = Encoding::by_name(&config.dataset.encoding).unwrap_or_default();
        let reading = Reading { encoding, skip_invalid };
        // A pipe can be read once, and the rows are read twice.
        let is_pipe = std::fs::metadata(name).is_ok_and(|about| !about.is_file() && !about.is_dir());
        if text == "-" || is_pipe {
            let (mut data, kept) = if is_pipe {
                let at = |e: std::io::Error| Failure::new(ExitCode::Config, format!("{text}: {e}"));
                (Self::new(text.clone()), keep(&mut std::fs::File::open(name).map_err(at)?)?)
            } else {
                (Self::new("standard input".to_owned()), keep(&mut std::io::stdin().lock())?)
            };
            let path = kept.display().to_string();
            let read = data.read(&[kept.to_path_buf()], reading);
            read.map_err(|fault| Failure { message: fault.message.replace(&path, &data.name), ..fault })?;
            data._made.push(kept);
            return Ok(data);
        }
        let mut data = Self::new(text.clone());
        let files = match HubData::parse(&text) {
            Some(wanted) => {
                output.detail(&format!("fetching   {text}"));
                wanted.fetch(&hub()).map_err(|e| Failure::new(ExitCode::Config, e))?
            }
            None if name.is_dir() => files_of(name, &own_files(config, folder), &mut data.notes)?,
            None => vec![name.to_owned()],
        };
        data.read(&files, reading)?;
        Ok(data)
    }

    fn new(name: String) -> Self {
        Self {
            path: PathBuf::new(),
            name,
            unit: "line",
            notes: Vec::new(),
            skipped: 0,
            faults: Vec::new(),
            _made: Vec::new(),
        }
    }

    /// Uses one UTF-8 text of JSON as it is. Converts other files, and joins several into one.
    fn read(&mut self, files: &[PathBuf], reading: Reading) -> Result<(), Failure> {
        let is_plain = |path: &Path| -> Result<bool, Failure> {
            let is_text = data_kind(path).map_err(config_failure)? == DataKind::Text;
            Ok(is_text
                && !is_bare_utf16(path)?
                && !is_table(path)?
                && matches!(reading.encoding, Encoding::Auto)
                && !is_utf16(path)?)
        };
        if let [file] = files
            && self.read_columns(file)?
        {
            return Ok(());
        }
        if let [file] = files
            && is_plain(file)?
        {
            self.path.clone_from(file);
            return Ok(());
        }
        let made = NamedTempFile::with_suffix(".jsonl").map_err(config_failure)?;
        let mut out = BufWriter::with_capacity(1 << 16, made.as_file());
        for file in files {
            self.convert(file, reading, &mut out)?;
        }
        out.flush().map_err(config_failure)?;
        drop(out);
        let made = made.into_temp_path();
        self.path = made.to_path_buf();
        self._made.push(made);
        Ok(())
    }

    /// Reads one object of columns, as `pandas.DataFrame.to_json` writes it. Returns whether the file is one.
    fn read_columns(&mut self, file: &Path) -> Result<bool, Failure> {
        let is_json = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        if !is_json || std::fs::metadata(file).is_ok_and(|about| about.len() > LARGEST_COLUMNS) {
            return Ok(false);
        }
        let bytes = std::fs::read(file).map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", self.name)))?;
        let Some(rows) = columns_to_jsonl(&bytes) else { return Ok(false) };
        let mut made = NamedTempFile::with_suffix(".jsonl").map_err(config_failure)?;
        made.write_all(&rows).map_err(config_failure)?;
        let made = made.into_temp_path();
        self.path = made.to_path_buf();
        self.unit = "row";
        self.notes.push("the file holds columns, which were turned into rows".to_owned());
        self._made.push(made);
        Ok(true)
    }

    /// Writes the rows of one file as JSONL.
    fn convert(&mut self, file: &Path, reading: Reading, out: &mut impl Write) -> Result<(), Failure> {
        let name = self.name.clone();
        let at = |e: std::io::Error| Failure::new(ExitCode::Config, format!("{name}: {e}"));
        match data_kind(file).map_err(config_failure)? {
            DataKind::Parquet => {
                self.unit = "row";
                parquet_to_jsonl(std::fs::File::open(file).map_err(at)?, out).map_err(at)?;
            }
            DataKind::Arrow => {
                self.unit = "row";
                arrow_to_jsonl(std::fs::File::open(file).map_err(at)?, out).map_err(at)?;
            }
            DataKind::Text if !reading.is_named() && is_bare_utf16(file)? => {
                let what = "is UTF-16 without its mark: give --encoding utf-16le";
                return Err(Failure::new(ExitCode::Config, format!("{name}: {what}")));
            }
            DataKind::Text if is_table(file)? => {
                self.unit = "row";
                let encoding = self.encoding_of_table(file, reading.encoding)?;
                let is_named = !matches!(encoding, Encoding::Auto);
                let reader = Decoded { inner: open_text(file, encoding).map_err(config_failure)?, is_named };
                let summary = table_to_jsonl(std::io::BufReader::new(reader), reading.skip_invalid, out).map_err(at)?;
                if summary.separator != ',' {
                    self.notes.push(format!("the columns are separated by {}", separator_name(summary.separator)));
                }
                self.skipped += summary.skipped;
                self.faults.extend(summary.faults);
            }
            DataKind::Text => {
                let reader = open_text(file, reading.encoding).map_err(config_failure)?.take(MOST_BYTES);
                let reader = std::io::BufReader::new(Decoded { inner: reader, is_named: reading.is_named() });
                let mut rows = Rows::new(reader);
                let mut row = Vec::new();
                while rows.next_into(&mut row).map_err(at)?.is_some() {
                    // A row of several lines becomes one.
                    row.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
                    row.push(b'\n');
                    out.write_all(&row).map_err(at)?;
                }
            }
        }
        Ok(())
    }

    /// Takes a table that is no UTF-8 for windows-1252, as spreadsheets of Western Europe write it, and says so.
    fn encoding_of_table(&mut self, file: &Path, asked: Encoding) -> Result<Encoding, Failure> {
        if !matches!(asked, Encoding::Auto) || is_utf16(file)? || is_utf8(file)? {
            return Ok(asked);
        }
        self.notes.push("the file is not UTF-8, and was read as windows-1252; --encoding names another one".to_owned());
        Ok(Encoding::by_name("windows-1252").unwrap_or_default())
    }
}

impl Reading {
    fn is_named(self) -> bool {
        !matches!(self.encoding, Encoding::Auto)
    }
}

/// A decoded text; a byte that the named encoding does not have is an error.
struct Decoded<R> {
    inner: R,
    is_named: bool,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(into)?;
        // The decoder writes the replacement character, which no text of people holds.
        if self.is_named && into[..count].windows(3).any(|part| part == "\u{fffd}".as_bytes()) {
            let what = "the file holds bytes that this encoding does not have: name another one by --encoding";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        }
        Ok(count)
    }
}

fn hub() -> Hub {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Hub { endpoint: variable("HF_ENDPOINT"), token: variable("HF_TOKEN"), home: variable("HF_HOME").map(PathBuf::from) }
}

fn separator_name(separator: char) -> &'static str {
    match separator {
        ';' => "semicolons",
        '\t' => "tabs",
        '|' => "bars",
        _ => "commas",
    }
}

/// Keeps what can be read once in a file.
fn keep(from: &mut impl Read) -> Result<TempPath, Failure> {
    let mut kept = NamedTempFile::new().map_err(config_failure)?;
    std::io::copy(&mut from.take(MOST_BYTES), &mut kept).map_err(config_failure)?;
    Ok(kept.into_temp_path())
}

/// Files that `plant` writes, which are no training rows.
fn own_files(config: &Config, folder: &Path) -> Vec<PathBuf> {
    let d = &config.dataset;
    let paths = [&d.training, &d.validation, &d.twin, &config.manifest.path, &config.tune.state];
    paths.into_iter().filter_map(|path| folder.join(path).canonicalize().ok()).collect()
}

/// Whether a text is a table: by the end of its name, and where that tells nothing, by its first byte.
fn is_table(path: &Path) -> Result<bool, Failure> {
    let name = path.display().to_string().to_lowercase();
    let name = [".gz", ".zst", ".bz2"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let has_name_of_table = [".csv", ".tsv", ".tab"].iter().any(|end| name.ends_with(end));
    if [".jsonl", ".json", ".ndjson"].iter().any(|end| name.ends_with(end)) {
        return Ok(false);
    }
    let mut reader = open_text(path, Encoding::Auto).map_err(config_failure)?;
    let start = reader.fill_buf().map_err(|e| Failure::new(ExitCode::Config, format!("{}: {e}", path.display())))?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    // Rows of JSON under the name of a table are still rows of JSON.
    Ok(first.map_or(has_name_of_table, |first| !b"{[".contains(first)))
}

fn is_utf16(path: &Path) -> Result<bool, Failure> {
    let mut start = [0u8; 2];
    let mut reader = open_data(path).map_err(config_failure)?;
    let at = |e: std::io::Error| Failure::new(ExitCode::Config, format!("{}: {e}", path.display()));
    let read = reader.read(&mut start).map_err(at)?;
    Ok(read == 2 && (start == [0xff, 0xfe] || start == [0xfe, 0xff]))
}

/// Whether every other byte at the beginning is zero, as in UTF-16 of most texts.
fn is_bare_utf16(path: &Path) -> Result<bool, Failure> {
    let mut start = Vec::new();
    let reader = open_data(path).map_err(config_failure)?;
    // Damage is told where the rows are read.
    let _ = reader.take(64).read_to_end(&mut start);
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Ok(false);
    }
    let zeros = start.iter().skip(1).step_by(2).filter(|byte| **byte == 0).count();
    Ok(start.len() >= 16 && zeros * 2 > start.len() / 2)
}

/// Whether all lines of a file are UTF-8.
fn is_utf8(path: &Path) -> Result<bool, Failure> {
    let mut reader = open_data(path).map_err(config_failure)?.take(MOST_BYTES);
    let mut line = Vec::new();
    loop {
        line.clear();
        let at = |e: std::io::Error| Failure::new(ExitCode::Config, format!("{}: {e}", path.display()));
        if reader.read_until(b'\n', &mut line).map_err(at)? == 0 {
            return Ok(true);
        }
        if std::str::from_utf8(&line).is_err() {
            return Ok(false);
        }
    }
}

/// The data files of a folder: what `datasets.save_to_disk` writes, or files of one kind.
fn files_of(folder: &Path, own: &[PathBuf], notes: &mut Vec<String>) -> Result<Vec<PathBuf>, Failure> {
    let fault = |what: String| Failure::new(ExitCode::Config, format!("{}: {what}", folder.display()));
    if folder.join("dataset_dict.json").is_file() {
        let train = folder.join("train");
        if !train.is_dir() {
            let text = std::fs::read_to_string(folder.join("dataset_dict.json")).unwrap_or_default();
            let dict: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let names = dict.get("splits").and_then(serde_json::Value::as_array).into_iter().flatten();
            let names: Vec<&str> = names.filter_map(serde_json::Value::as_str).collect();
            let text = format!("none of its splits is `train`: name the folder of one ({})", names.join(", "));
            return Err(fault(text));
        }
        notes.push("the folder holds several splits, of which `train` is read".to_owned());
        return files_of(&train, own, notes);
    }
    if let Ok(state) = std::fs::read(folder.join("state.json")) {
        let state: serde_json::Value =
            serde_json::from_slice(&state).map_err(|_| fault("state.json is no JSON".into()))?;
        let files = state.get("_data_files").and_then(serde_json::Value::as_array);
        let names = files.into_iter().flatten().filter_map(|file| file.get("filename")?.as_str());
        // Names only: what a file says is no path.
        let sound = names.filter(|name| Path::new(name).components().count() == 1 && *name != "..");
        let files: Vec<PathBuf> = sound.map(|name| folder.join(name)).collect();
        return if files.is_empty() { Err(fault("state.json names no data files".into())) } else { Ok(files) };
    }
    let entries = std::fs::read_dir(folder).map_err(|e| fault(e.to_string()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_own = |name: &String| folder.join(name).canonicalize().is_ok_and(|path| own.contains(&path));
    let names: Vec<String> = names.filter(|name| folder.join(name).is_file() && !is_own(name)).collect();
    let name_one = |what: String| fault(format!("it is a folder: {what}; name one file"));
    let chosen = choose_files(&names, None, None).map_err(name_one)?;
    notes.push(format!("of the folder, {} is read", chosen.join(", ")));
    Ok(chosen.into_iter().map(|name| folder.join(name)).collect())
}
