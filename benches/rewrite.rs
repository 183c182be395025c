//! A plain read-parse-write of JSONL with this program's JSON library, the baseline of the planting benchmark.
//!
//! `cargo bench --bench rewrite -- FROM.jsonl TO.jsonl`, or through `benches/load.py`, parses each line into a value
//! and writes it again. The buffers are as large as those of `plant`. Two speeds are printed: until all bytes are
//! handed to the system, as for any plain program, and until they are on disk, as for `plant`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::Instant;

use serde_json::Value;

const BUFFER: usize = 1 << 16;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [from, to] = paths.as_slice() else {
        println!("usage: cargo bench --bench rewrite -- FROM.jsonl TO.jsonl");
        return;
    };
    let begin = Instant::now();
    let mut reader = BufReader::with_capacity(BUFFER, File::open(from).unwrap());
    let mut writer = BufWriter::with_capacity(BUFFER, File::create(to).unwrap());
    let (mut line, mut rows, mut bytes) = (Vec::new(), 0u64, 0u64);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
        let row: Value = serde_json::from_slice(&line).unwrap();
        serde_json::to_writer(&mut writer, &row).unwrap();
        writer.write_all(b"\n").unwrap();
        rows += 1;
        bytes += line.len() as u64;
    }
    let file = writer.into_inner().unwrap();
    let written = begin.elapsed().as_secs_f64();
    file.sync_all().unwrap();
    let on_disk = begin.elapsed().as_secs_f64();
    let speed = |seconds: f64| bytes as f64 / 1e6 / seconds;
    println!("{:.1} MB/s written, {:.1} MB/s on disk, {rows} rows", speed(written), speed(on_disk));
}
