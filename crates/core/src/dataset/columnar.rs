//! Parquet and Arrow become JSONL: each row an object of its columns.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};

/// Writes every row of a Parquet file as a line of JSON, and counts them. Memory holds one batch of rows.
///
/// # Errors
/// When the file is not Parquet, is damaged, or has a column of bytes that are not text; when the copy cannot be written.
#[cfg(feature = "parquet")]
pub fn parquet_to_jsonl(from: File, to: &mut impl Write) -> Result<u64> {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    guarded(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(from).map_err(damaged)?;
        let reader = reader.with_batch_size(columns::BATCH).build().map_err(damaged)?;
        columns::write(reader, to)
    })
}

/// Writes every row of an Arrow file or stream, as `datasets.save_to_disk` writes it, as a line of JSON, and counts them.
///
/// # Errors
/// As [`parquet_to_jsonl`].
#[cfg(feature = "parquet")]
pub fn arrow_to_jsonl(mut from: File, to: &mut impl Write) -> Result<u64> {
    use std::io::{BufReader, Read, Seek};
    let mut magic = [0u8; 6];
    let is_file = from.read(&mut magic)? == 6 && &magic == b"ARROW1";
    from.rewind()?;
    guarded(|| {
        if is_file {
            columns::write(arrow_ipc::reader::FileReader::try_new(from, None).map_err(damaged)?, to)
        } else {
            columns::write(arrow_ipc::reader::StreamReader::try_new(BufReader::new(from), None).map_err(damaged)?, to)
        }
    })
}

/// The libraries take some damaged files for faults of their own, and panic (found by fuzzing).
#[cfg(feature = "parquet")]
fn guarded(read: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let read = std::panic::AssertUnwindSafe(read);
    std::panic::catch_unwind(read).unwrap_or_else(|_| Err(Error::new(ErrorKind::InvalidData, "the file is damaged")))
}

#[cfg(feature = "parquet")]
fn damaged(error: impl std::fmt::Display) -> Error {
    let text = error.to_string();
    let is_cut = ["fill whole buffer", "footer", "EOF", "eof"].iter().any(|word| text.contains(word));
    let what =
        if is_cut { "the file is cut or damaged".to_owned() } else { format!("the file cannot be read: {text}") };
    Error::new(ErrorKind::InvalidData, what)
}

#[cfg(feature = "parquet")]
mod columns {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch};
    use arrow_cast::cast_with_options;
    use arrow_json::writer::{LineDelimited, WriterBuilder};
    use arrow_schema::{ArrowError, DataType, Field, Schema};

    use super::{Error, ErrorKind, Result, Write, damaged};

    /// Rows that are in memory at once.
    pub(super) const BATCH: usize = 1024;

    /// Writes all batches.
    pub(super) fn write(
        batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
        to: &mut impl Write,
    ) -> Result<u64> {
        let mut rows = 0;
        for batch in batches {
            let batch = batch.map_err(damaged)?;
            let schema = batch.schema();
            let json: Vec<&str> = schema.fields().iter().filter(|f| holds_json(f)).map(|f| f.name().as_str()).collect();
            let batch = readable(&batch)?;
            rows += batch.num_rows() as u64;
            let builder = WriterBuilder::new().with_explicit_nulls(true);
            if json.is_empty() {
                let mut writer = builder.build::<_, LineDelimited>(&mut *to);
                writer.write(&batch).and_then(|()| writer.finish()).map_err(damaged)?;
                continue;
            }
            let mut lines = Vec::new();
            let mut writer = builder.build::<_, LineDelimited>(&mut lines);
            writer.write(&batch).and_then(|()| writer.finish()).map_err(damaged)?;
            drop(writer);
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                to.write_all(&crate::shape::with_nested(line, &json).map_err(damaged)?)?;
                to.write_all(b"\n")?;
            }
        }
        Ok(rows)
    }

    /// Whether a column holds JSON as text, as `datasets` marks it.
    fn holds_json(field: &Field) -> bool {
        let is_json = field.extension_type_name() == Some("arrow.json");
        is_json
            || match field.data_type() {
                DataType::List(inner) | DataType::LargeList(inner) => holds_json(inner),
                _ => false,
            }
    }

    /// Turns bytes into texts, and time zones into offsets; all else stays as it is.
    fn readable(batch: &RecordBatch) -> Result<RecordBatch> {
        let schema = batch.schema();
        let mut fields = Vec::with_capacity(schema.fields().len());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let kind = readable_kind(field.data_type());
            if kind == *field.data_type() {
                fields.push(Arc::clone(field));
                arrays.push(Arc::clone(array));
                continue;
            }
            let options = arrow_cast::CastOptions { safe: false, ..Default::default() };
            let bytes = match field.data_type() {
                DataType::FixedSizeBinary(_) => {
                    cast_with_options(array, &DataType::Binary, &options).map_err(damaged)?
                }
                _ => Arc::clone(array),
            };
            let text = cast_with_options(&bytes, &kind, &options).map_err(|_| {
                let what = format!("the column `{}` holds bytes that are no text: leave it out", field.name());
                Error::new(ErrorKind::InvalidData, what)
            })?;
            fields.push(Arc::new(Field::new(field.name(), kind, field.is_nullable())));
            arrays.push(text);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(damaged)
    }

    fn readable_kind(kind: &DataType) -> DataType {
        let inner = |field: &Arc<Field>| {
            let kind = readable_kind(field.data_type());
            if kind == *field.data_type() {
                Arc::clone(field)
            } else {
                Arc::new(Field::clone(field).with_data_type(kind))
            }
        };
        match kind {
            DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Utf8,
            DataType::LargeBinary => DataType::LargeUtf8,
            DataType::Dictionary(_, value) => match readable_kind(value) {
                text if text == **value => kind.clone(),
                text => text,
            },
            // A named zone needs a database of zones; the same instant has an offset of 0.
            DataType::Timestamp(unit, Some(zone)) if !zone.starts_with(['+', '-']) => {
                DataType::Timestamp(*unit, Some("+00:00".into()))
            }
            DataType::List(field) => DataType::List(inner(field)),
            DataType::LargeList(field) => DataType::LargeList(inner(field)),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
            other => other.clone(),
        }
    }
}

/// Says that this build reads no Parquet.
///
/// # Errors
/// Always.
#[cfg(not(feature = "parquet"))]
pub fn parquet_to_jsonl(_from: File, _to: &mut impl Write) -> Result<u64> {
    Err(unsupported())
}

/// Says that this build reads no Arrow.
///
/// # Errors
/// Always.
#[cfg(not(feature = "parquet"))]
pub fn arrow_to_jsonl(_from: File, _to: &mut impl Write) -> Result<u64> {
    Err(unsupported())
}

#[cfg(not(feature = "parquet"))]
fn unsupported() -> Error {
    let how =
        "this build reads no Parquet and no Arrow: install it with the feature `parquet`, or convert the file to JSONL";
    Error::new(ErrorKind::Unsupported, how)
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use std::io::Seek;
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn written(schema: &str, columns: &[(&[&str], &[i16], &[i16])], packed: parquet::basic::Compression) -> File {
        let file = tempfile::tempfile().expect("a file");
        let schema = Arc::new(parse_message_type(schema).expect("a schema"));
        let properties = Arc::new(WriterProperties::builder().set_compression(packed).build());
        let mut writer =
            SerializedFileWriter::new(file.try_clone().expect("a handle"), schema, properties).expect("it");
        let mut group = writer.next_row_group().expect("a group");
        for (texts, definition, repetition) in columns {
            let mut column = group.next_column().expect("no fault").expect("a column");
            let texts: Vec<ByteArray> = texts.iter().map(|t| ByteArray::from(*t)).collect();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(definition), Some(repetition)).expect("written");
            column.close().expect("closed");
        }
        group.close().expect("closed");
        writer.close().expect("closed");
        let mut file = file;
        file.rewind().expect("rewound");
        file
    }

    #[test]
    fn rows_with_nested_messages_become_chats() {
        let schema = "message row { required group messages (LIST) { repeated group list { required group element {
                      required binary role (UTF8); required binary content (UTF8); } } } }";
        let (definition, repetition) = ([1, 1, 1, 1], [0, 1, 0, 1]);
        let roles = ["user", "assistant", "user", "assistant"];
        let columns: [(&[&str], &[i16], &[i16]); 2] =
            [(&roles, &definition, &repetition), (&["Hi", "Hello", "Why?", "So."], &definition, &repetition)];
        let file = written(schema, &columns, parquet::basic::Compression::SNAPPY);
        let mut lines = Vec::new();
        assert_eq!(parquet_to_jsonl(file, &mut lines).expect("read"), 2);
        let first: serde_json::Value =
            serde_json::from_slice(lines.split(|b| *b == b'\n').next().expect("a line")).expect("JSON");
        let wanted = serde_json::json!({"messages": [{"role": "user", "content": "Hi"},
                                                     {"role": "assistant", "content": "Hello"}]});
        assert_eq!(first, wanted);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"PAR1 and then nothing of the kind PAR1").expect("written");
        file.rewind().expect("rewound");
        assert!(parquet_to_jsonl(file, &mut Vec::new()).is_err());
        // One for which the library panics; the first two bytes are for the fuzzing target.
        let mut file = tempfile::tempfile().expect("a file");
        let seed = include_bytes!("../../testdata/parquet-negative-length");
        file.write_all(&seed[2..]).expect("written");
        file.rewind().expect("rewound");
        assert_eq!(parquet_to_jsonl(file, &mut Vec::new()).expect_err("damaged").to_string(), "the file is damaged");
    }
}
