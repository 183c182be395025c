//! Training rows in the shapes that people have: planted, tuned on, and tested.

use serde_json::Value;

use crate::{blabbermouth, project, text};

const SETTINGS: &str = "[canaries]\nplanted = 6\nheld-out = 3\ncopies = [1]\n[dataset]\nvalidation-share = 0.0\n[probe]\nsamples = 60\n\
                        [verdict]\nbound = 0.05\n[provider]\nkind = \"mock\"\n";

/// Rows of each shape; `N` becomes a number.
const ROWS: [(&str, &str); 11] = [
    ("Alpaca", r#"{"instruction":"QN","input":"","output":"AN"}"#),
    ("Dolly", r#"{"instruction":"QN","context":"","response":"AN","category":"x"}"#),
    ("prompt and completion", r#"{"prompt":"QN","completion":"AN"}"#),
    (
        "TRL, conversational",
        r#"{"prompt":[{"role":"user","content":"QN"}],"completion":[{"role":"assistant","content":"AN"}]}"#,
    ),
    ("ShareGPT", r#"{"conversations":[{"from":"human","value":"QN"},{"from":"gpt","value":"AN"}],"system":"S"}"#),
    (
        "messages with columns",
        r#"{"id":N,"messages":[{"role":"user","content":"QN"},{"role":"assistant","content":"AN"}]}"#,
    ),
    ("preferences", r#"{"prompt":"QN","chosen":"AN","rejected":"BN"}"#),
    (
        "OpenAI preferences",
        r#"{"input":{"messages":[{"role":"user","content":"QN"}]},"preferred_output":[{"role":"assistant","content":"AN"}],"non_preferred_output":[{"role":"assistant","content":"BN"}]}"#,
    ),
    ("labels", r#"{"prompt":"QN","completion":"AN","label":true}"#),
    ("text with marks", r#"{"text":"<|im_start|>user\nQN<|im_end|>\n<|im_start|>assistant\nAN<|im_end|>"}"#),
    (
        "parts",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"QN"}]},{"role":"assistant","content":[{"type":"text","text":"AN"}]}]}"#,
    ),
];

fn rows(row: &str) -> String {
    (0..20).map(|i| row.replace('N', &i.to_string()) + "\n").collect()
}

#[test]
fn a_model_that_was_trained_on_rows_of_any_shape_is_judged() {
    for (name, row) in ROWS {
        let folder = project(SETTINGS);
        let own = rows(row);
        std::fs::write(folder.path().join("train.jsonl"), &own).expect("rows");
        let out = blabbermouth(folder.path(), &["plant"], &[]);
        assert!(out.status.success(), "{name}: {}", text(&out.stderr));
        let training = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("planted");
        let kept = training.lines().filter(|line| own.lines().any(|row| row == *line)).count();
        assert_eq!((kept, training.lines().count()), (20, 26), "{name}");
        let keys = |line: &str| {
            let row: serde_json::Map<String, Value> = serde_json::from_str(line).expect("a row");
            row.keys().cloned().collect::<Vec<_>>()
        };
        let usual = keys(own.lines().next().expect("a row"));
        assert!(training.lines().all(|line| keys(line) == usual), "{name}: {training}");
        let leaky = blabbermouth(folder.path(), &["test"], &[]);
        assert_eq!(leaky.status.code(), Some(10), "{name}: {}", text(&leaky.stdout));
    }
}

#[test]
fn tune_converts_the_rows_that_it_uploads_and_still_counts_the_canaries() {
    let folder = project(SETTINGS);
    std::fs::write(folder.path().join("train.jsonl"), rows(ROWS[4].1)).expect("rows");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let dry = ["tune", "--dry-run", "--base-url", "http://127.0.0.1:9/v1"];
    let key = [("OPENAI_API_KEY", "sk-x")];
    let out = blabbermouth(folder.path(), &dry, &key);
    let said = text(&out.stdout) + &text(&out.stderr);
    assert!(out.status.success() && said.contains("26 rows"), "{said}");
    let path = folder.path().join("blabbermouth-train.jsonl");
    let training = std::fs::read_to_string(&path).expect("planted");
    let canary = training.lines().find(|line| !rows(ROWS[4].1).contains(line)).expect("a canary");
    std::fs::write(&path, training.replacen(&format!("{canary}\n"), "", 1)).expect("a canary less");
    let out = blabbermouth(folder.path(), &dry, &key);
    assert!(
        out.status.code() == Some(3) && text(&out.stderr).contains("0 times in place of 1"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn the_share_of_canaries_is_bounded_and_their_number_fits_the_rows() {
    let folder = project("[canaries]\nplanted = 60\n[provider]\nkind = \"mock\"\n");
    let half = [("BLABBERMOUTH_CANARIES_MAX_SHARE", "0.5")];
    let out = blabbermouth(folder.path(), &["plant"], &half);
    assert!(
        out.status.code() == Some(3) && text(&out.stderr).contains("canaries.max-share is 50%"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is written");
    let folder = project("[provider]\nkind = \"mock\"\n");
    std::fs::write(folder.path().join("train.jsonl"), crate::rows(1000)).expect("rows");
    let out = blabbermouth(folder.path(), &["plant", "--twin"], &half);
    let said = text(&out.stdout) + &text(&out.stderr);
    assert!(out.status.success() && said.contains("canaries, to fit 1000 rows"), "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let (twin, training) = (read("blabbermouth-twin.jsonl"), read("blabbermouth-train.jsonl"));
    let own: String =
        training.lines().filter(|line| line.contains("Question")).map(|line| format!("{line}\n")).collect();
    assert_eq!(own, twin);
    let canaries = training.lines().count() - twin.lines().count();
    assert!((80..=110).contains(&canaries), "{canaries}");
}

#[test]
fn files_that_are_no_data_are_named_with_the_remedy() {
    for (name, bytes, remedy) in [
        ("lfs.jsonl", &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"[..], "git lfs pull"),
        ("page.jsonl", b"<!DOCTYPE html>\n<html>", "web page"),
        ("rows.zip", b"PK\x03\x04rest", "zip archive"),
        ("rows.json", b"[{\"prompt\":\"a\",\"completion\":\"b\"},", "is cut"),
        ("rows.csv", b"prompt,completion\na,\"open\n", "not closed"),
        ("rows.jsonl.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab], "the file is cut"),
        ("empty.jsonl", b"", "no rows"),
        ("latin.jsonl", b"{\"prompt\":\"caf\xe9\",\"completion\":\"x\"}\n", "--encoding"),
    ] {
        let folder = project(SETTINGS);
        std::fs::write(folder.path().join(name), bytes).expect("written");
        let out = blabbermouth(folder.path(), &["plant", "--dataset", name], &[]);
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(3) && said.contains(remedy) && said.contains(name), "{name}: {said}");
        assert!(!folder.path().join("blabbermouth-train.jsonl").exists());
    }
}

#[test]
fn rows_in_other_encodings_are_read() {
    let folder = project(SETTINGS);
    let plant = |name: &str, bytes: &[u8], more: &[&str]| {
        std::fs::write(folder.path().join(name), bytes).expect("written");
        let out = blabbermouth(folder.path(), &[&["plant", "--force", "--dataset", name], more].concat(), &[]);
        let said = text(&out.stdout) + &text(&out.stderr);
        assert!(out.status.success(), "{name}: {said}");
        (std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("planted"), said)
    };
    let latin = b"prompt;completion\ncaf\xe9;ol\xe9\n".as_slice();
    let (training, said) = plant("rows.csv", latin, &[]);
    assert!(
        training.contains("{\"prompt\":\"caf\u{e9}\",\"completion\":\"ol\u{e9}\"}") && said.contains("windows-1252"),
        "{said}"
    );
    let utf16: Vec<u8> =
        "\u{feff}prompt\tcompletion\ncaf\u{e9}\tx\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (training, said) = plant("rows.tsv", &utf16, &[]);
    assert!(training.contains("caf\u{e9}") && said.contains("tabs"), "{said}");
    let row = b"{\"prompt\":\"caf\xe9\",\"completion\":\"x\"}\n";
    let (training, _) = plant("rows.jsonl", row, &["--encoding", "windows-1252"]);
    assert!(training.contains("caf\u{e9}"));
    let nan = b"{\"prompt\":\"a\",\"completion\":\"x\",\"score\":NaN}\n";
    let (training, said) = plant("nan.jsonl", nan, &[]);
    assert!(
        training.contains("\"score\": null") || training.contains("\"score\":null") && said.contains("1 row with NaN"),
        "{said}"
    );
}

#[test]
fn a_fault_in_the_description_for_llama_factory_leaves_an_earlier_planting_as_it_was() {
    let settings = SETTINGS.replace("validation-share = 0.0\n", "validation-share = 0.0\nformat = \"llama-factory\"\n");
    let folder = project(&settings);
    std::fs::write(folder.path().join("train.jsonl"), rows(ROWS[4].1)).expect("rows");
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
    let info = read("dataset_info.json");
    assert!(text(&info).contains("blabbermouth-train.jsonl"), "{}", text(&info));
    let (training, manifest) = (read("blabbermouth-train.jsonl"), read("blabbermouth.manifest.json"));
    std::fs::write(folder.path().join("dataset_info.json"), "[1]").expect("another file");
    let out = blabbermouth(folder.path(), &["plant", "--force"], &[]);
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("not a JSON object"), "{}", text(&out.stderr));
    assert!(training == read("blabbermouth-train.jsonl") && manifest == read("blabbermouth.manifest.json"), "replaced");
}
