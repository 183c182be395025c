//! Sources of training rows: a file, or a data set of the Hugging Face hub. CSV and Parquet become JSONL.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::exit::ExitCode;
use crate::store::{Hub, HubData, open_data};
use blabbermouth_core::dataset::{csv_to_jsonl, parquet_to_jsonl};
use tempfile::TempPath;

use super::{Failure, Output, config_failure};

/// Training rows in a local file.
pub(crate) struct Data {
    /// The file to read.
    pub(crate) path: PathBuf,
    /// Name for messages.
    pub(crate) name: String,
    /// Deletes the file on drop, if it is a converted copy.
    _made: Option<TempPath>,
}

impl Data {
    /// Downloads and converts the data if necessary.
    pub(crate) fn get(name: &Path, output: &Output) -> Result<Self, Failure> {
        let text = name.display().to_string();
        let Some(wanted) = HubData::parse(&text) else {
            return Self::of(vec![name.to_owned()], text);
        };
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let hub = Hub {
            endpoint: variable("HF_ENDPOINT"),
            token: variable("HF_TOKEN"),
            home: variable("HF_HOME").map(PathBuf::from),
        };
        output.detail(&format!("fetching   {text}"));
        let files = wanted.fetch(&hub).map_err(|e| Failure::new(ExitCode::Config, e))?;
        Self::of(files, text)
    }

    /// Uses a single file as it is, unless it is CSV or Parquet; otherwise writes one JSONL file.
    fn of(mut files: Vec<PathBuf>, name: String) -> Result<Self, Failure> {
        let csv = |path: &Path| {
            let path = path.display().to_string().to_lowercase();
            path.ends_with(".csv") || path.ends_with(".csv.gz")
        };
        let parquet = |path: &Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
        if let [file] = files.as_mut_slice()
            && !csv(file)
            && !parquet(file)
        {
            return Ok(Self { path: std::mem::take(file), name, _made: None });
        }
        let made = tempfile::NamedTempFile::with_suffix(".jsonl").map_err(config_failure)?;
        let mut out = BufWriter::with_capacity(1 << 16, made.as_file());
        for file in &files {
            let at = |e: std::io::Error| Failure::new(ExitCode::Config, format!("{name}: {e}"));
            if parquet(file) {
                parquet_to_jsonl(std::fs::File::open(file).map_err(at)?, &mut out).map_err(at)?;
                continue;
            }
            let mut reader = open_data(file).map_err(config_failure)?;
            if csv(file) {
                csv_to_jsonl(reader, &mut out).map_err(at)?;
            } else {
                std::io::copy(&mut reader, &mut out).map_err(at)?;
                // A part may lack a final line break.
                out.write_all(b"\n").map_err(at)?;
            }
        }
        out.flush().map_err(config_failure)?;
        drop(out);
        let made = made.into_temp_path();
        Ok(Self { path: made.to_path_buf(), name, _made: Some(made) })
    }
}
