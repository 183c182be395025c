//! Parquet becomes JSONL: each row an object of its columns.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};

/// Writes every row of a Parquet file as a line of JSON, and counts them. Memory holds one row group.
///
/// # Errors
/// When the file is none, is damaged, or is compressed otherwise than by Snappy; when nothing can be written.
#[cfg(feature = "parquet")]
pub fn parquet_to_jsonl(from: File, to: &mut impl Write) -> Result<u64> {
    // The library takes some damaged files for faults of its own, and panics (found by fuzzing).
    let read = std::panic::AssertUnwindSafe(|| rows_to_jsonl(from, to));
    std::panic::catch_unwind(read).unwrap_or_else(|_| Err(Error::new(ErrorKind::InvalidData, "the file is damaged")))
}

#[cfg(feature = "parquet")]
fn rows_to_jsonl(from: File, to: &mut impl Write) -> Result<u64> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let fault = |e: parquet::errors::ParquetError| Error::new(ErrorKind::InvalidData, e.to_string());
    let reader = SerializedFileReader::new(from).map_err(fault)?;
    let mut count = 0;
    for row in reader.get_row_iter(None).map_err(fault)? {
        serde_json::to_writer(&mut *to, &row.map_err(fault)?.to_json_value())?;
        to.write_all(b"\n")?;
        count += 1;
    }
    Ok(count)
}

/// Says that this build reads no Parquet.
///
/// # Errors
/// Always.
#[cfg(not(feature = "parquet"))]
pub fn parquet_to_jsonl(_from: File, _to: &mut impl Write) -> Result<u64> {
    let how = "this build reads no Parquet: install it with the feature `parquet`, or convert the file to JSONL";
    Err(Error::new(ErrorKind::Unsupported, how))
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
