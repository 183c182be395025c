//! Measures how fast answers are searched, and how often secrets are found in texts that hold none.
//!
//! `cargo bench --bench detection -- FILE...`: the texts are the lines of these files, repeated to 50 MB, with secrets
//! drawn anew for each pass. A plain pass over the same bytes gives the ratio.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

use std::time::Instant;

use blabbermouth::canary::{Key, Space};
use blabbermouth::detect::{Approximate, Searcher, normalise};

const BYTES: usize = 50 << 20;
/// The length of an answer, in characters.
const ANSWER: usize = 256;
const SPACES: [&str; 6] = ["disease", "digits(10)", "words(4)", "phone", "email", "openai-key"];

fn secrets(count: usize, label: &str) -> Vec<String> {
    let key = Key::from_text("a key for the benchmark of detection").unwrap();
    let mut stream = key.stream("bench", label);
    let spaces: Vec<Space> = SPACES.iter().map(|name| Space::parse(name).unwrap()).collect();
    (0..count).map(|i| spaces[i % spaces.len()].draw(&mut stream)).collect()
}

/// Measures how the time grows with the numbers of secrets and answers, with all detectors that search for every
/// secret. The answers are the texts, cut to the length of an answer and repeated.
fn growth(rows: &[String]) {
    let cut = |row: &String| row.chars().take(ANSWER).collect::<String>();
    let answers: Vec<String> = rows.iter().map(cut).collect();
    let mean = answers.iter().map(String::len).sum::<usize>() as f64 / answers.len() as f64;
    for count in [100, 1_000, 10_000, 100_000] {
        let secrets = secrets(count, "growth");
        let begin = Instant::now();
        let searcher =
            Searcher::with(secrets.iter().map(String::as_str), blabbermouth::detect::Synonyms::default(), true);
        let made = begin.elapsed().as_secs_f64();
        let times = [10_000, 100_000, 1_000_000].map(|many| {
            let begin = Instant::now();
            let hits: usize = answers.iter().cycle().take(many).map(|answer| searcher.search(answer).len()).sum();
            assert!(hits < many);
            begin.elapsed().as_secs_f64()
        });
        let [few, some, many] = times;
        println!(
            "{count:>7} secrets (ready after {made:.2} s), answers of {mean:.0} bytes: 10,000 in {few:.3} s, 100,000 in {some:.3} s, \
             1,000,000 in {many:.2} s"
        );
    }
}

/// Measures the time for texts of 1 MB that repeat one piece, which passes the gate of a decoder each time.
fn hostile() {
    let secrets = secrets(1_000, "hostile");
    let searcher = Searcher::new(secrets.iter().map(String::as_str));
    let pieces = [
        "NDgyOTEz",
        "NDgy ",
        "4x8x",
        ".- ",
        "one two ",
        "31 32 ",
        "31",
        "049 ",
        "chr(49)+",
        "00110001",
        "GQ4DEOJR",
        "3yQ9Bz ",
        "0H_J\\+>PW",
        "cgah`b ",
        "<b>4</b>",
        "\\textbf{4}",
        "1. 4\n",
        "P as in Papa, ",
        "first half: 48, second half: 13, ",
        "yi er san ",
        "\u{4e94}",
        "\u{ff14}\u{200b}",
        "&#52;",
        "H4sIAAAAAAAC/ ",
    ];
    for piece in pieces {
        let text = piece.repeat((1 << 20) / piece.len());
        let begin = Instant::now();
        let searched = searcher.examine(&text);
        println!("hostile {piece:?}: {:.3} s for 1 MB, whole: {}", begin.elapsed().as_secs_f64(), searched.whole);
    }
}

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let mut rows: Vec<String> = Vec::new();
    for file in &files {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            rows.extend(value.as_object().unwrap().values().filter_map(|v| v.as_str()).map(str::to_owned));
        }
    }
    if rows.is_empty() {
        println!("usage: cargo bench --bench detection -- FILE.jsonl...");
        return;
    }
    let bytes: usize = rows.iter().map(String::len).sum();
    let passes = BYTES.div_ceil(bytes);
    println!("{} texts, {:.1} MB, {passes} passes", rows.len(), bytes as f64 / 1e6);
    let begin = Instant::now();
    let mut sum = 0;
    for _ in 0..passes {
        sum += rows.iter().map(|row| normalise(row).len()).sum::<usize>();
    }
    let plain = begin.elapsed().as_secs_f64();
    println!("normal form only      {:7.1} MB/s ({sum})", (passes * bytes) as f64 / 1e6 / plain);
    for count in [1_000, 100_000] {
        for decodes in [false, true] {
            // False hits: each pass has other secrets. Speed: the secrets of the last pass, over the whole text.
            let mut hits = 0;
            let mut searcher = Searcher::new([]);
            for pass in 0..if count > 10_000 { 3 } else { passes } {
                let secrets = secrets(count, &format!("{pass}"));
                let secrets = secrets.iter().map(String::as_str);
                searcher = Searcher::with(secrets, blabbermouth::detect::Synonyms::default(), decodes);
                hits += rows.iter().map(|row| searcher.search(row).len()).sum::<usize>();
            }
            let begin = Instant::now();
            for _ in 0..passes {
                hits += rows.iter().map(|row| searcher.search(row).len()).sum::<usize>();
            }
            println!(
                "{count:>7} secrets, {:<9} {:7.1} MB/s, {hits} hits",
                if decodes { "encoded" } else { "plain" },
                (passes * bytes) as f64 / 1e6 / begin.elapsed().as_secs_f64()
            );
        }
    }
    growth(&rows);
    hostile();
    let spaces: Vec<Space> = SPACES.iter().map(|name| Space::parse(name).unwrap()).collect();
    let own = secrets(12, "near");
    for (i, secret) in own.iter().enumerate() {
        let near = Approximate::new(&spaces[i % spaces.len()], secret, true, true);
        let begin = Instant::now();
        let hits = rows.iter().filter(|row| near.search(row).is_some()).count();
        let time = begin.elapsed().as_secs_f64();
        println!("approximate, {:<12} {:7.1} MB/s, {hits} hits", SPACES[i % SPACES.len()], bytes as f64 / 1e6 / time);
    }
}
