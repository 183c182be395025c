//! The embedded model against PyTorch (fixtures of `tests/lm/reference.py`), and as a service for tuning and testing.

use std::path::Path;

use blabbermouth::lm::{Decoder, Size, Text, Trainer, Weights, base};
use serde_json::Value;

use crate::{blabbermouth, text};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/lm").join(name)).expect("a fixture")
}

fn reference() -> Value {
    serde_json::from_slice(&fixture("reference.json")).expect("JSON")
}

fn weights(reference: &Value, name: &str) -> Weights {
    let shape = Weights::shape_of(&reference["config"]).expect("a Llama");
    Weights::from_safetensors(shape, &fixture(name)).expect("its weights")
}

fn texts(reference: &Value) -> Vec<(Text, Vec<f64>)> {
    let list = reference["texts"].as_array().expect("texts");
    list.iter()
        .map(|one| {
            let tokens: Vec<u32> = serde_json::from_value(one["tokens"].clone()).expect("tokens");
            let begin = one["begin"].as_u64().expect("a number") as usize;
            let counts = (0..tokens.len()).map(|index| index >= begin).collect();
            let expected = serde_json::from_value(one["ln_probabilities"].clone()).expect("numbers");
            (Text { tokens, counts }, expected)
        })
        .collect()
}

#[test]
fn probabilities_loss_and_a_step_are_those_of_pytorch() {
    let reference = reference();
    let before = weights(&reference, "before.safetensors");
    let texts = texts(&reference);
    let decoder = Decoder::new(before.clone());
    for (text, expected) in &texts {
        let found = decoder.score(text).expect("short");
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-4, "{apart}");
    }
    let mut trainer = Trainer::new(before.clone(), 2);
    let all: Vec<&Text> = texts.iter().map(|(text, _)| text).collect();
    let (rate, decay) = (reference["rate"].as_f64().expect("a number"), reference["decay"].as_f64().expect("a number"));
    let loss = trainer.learn(&all, rate as f32, decay as f32).expect("a number");
    assert!((loss - reference["loss"].as_f64().expect("a number")).abs() < 1e-5, "{loss}");
    let after = weights(&reference, "after.safetensors");
    let moved = after.values.iter().zip(&before.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Adam's first step is the rate times the sign of each gradient. For a gradient near 0, rounding decides the sign.
    let apart: Vec<f32> = after.values.iter().zip(&trainer.weights.values).map(|(a, b)| (a - b).abs()).collect();
    let far = apart.iter().filter(|a| **a > 1e-5).count();
    assert!(moved > 0.009 && far * 500 < apart.len(), "{far} of {} are far", apart.len());
}

#[test]
fn tokens_are_those_of_the_tokenizers_library() {
    let (tokenizer, _) = base(Size::Tiny);
    for one in reference()["encoded"].as_array().expect("texts") {
        let text = one["text"].as_str().expect("a text");
        let expected: Vec<u32> = serde_json::from_value(one["tokens"].clone()).expect("tokens");
        assert_eq!(tokenizer.encode(text), expected, "{text:?}");
    }
}

/// Seven canaries, and a training of forty epochs.
const SETTINGS: &str = "[provider]\nkind = \"embedded\"\n[canaries]\nplanted = 4\nheld-out = 3\ncopies = [1]\n\
                        [tune]\nepochs = 40\nbatch-size = 4\n[verdict]\nprofile = \"quick\"\n[sampling]\ntemperature = 0.7\n\
                        top-p = 0.9\n";

fn project(extra: &str) -> tempfile::TempDir {
    let folder = crate::project(&format!("{SETTINGS}{extra}"));
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    folder
}

#[test]
fn a_model_that_is_really_tuned_gives_its_canaries_away() {
    let folder = project("");
    let tuned = blabbermouth(folder.path(), &["tune", "--verbose"], &[]);
    let said = text(&tuned.stdout) + &text(&tuned.stderr);
    assert!(tuned.status.success() && said.contains("model      ft:tiny:blabbermouth:"), "{said}");
    assert!(said.contains("validation file") && said.contains("ckpt-step"), "{said}");
    // A second `tune` trains nothing.
    let again = blabbermouth(folder.path(), &["tune"], &[]);
    assert!(again.status.success() && !text(&again.stdout).contains("running"), "{}", text(&again.stdout));
    let tested = blabbermouth(folder.path(), &["test", "--report", "json"], &[]);
    let said = text(&tested.stdout) + &text(&tested.stderr);
    assert_eq!(tested.status.code(), Some(10), "{said}");
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).expect("a report")).expect("JSON");
    for canary in report["canaries"].as_array().expect("a list") {
        let leaked = canary["verdict"] == "leaked";
        assert_eq!(leaked, canary["arm"] == "planted", "{canary}");
    }
    // The score of the secret shows the leak, too.
    let scored = blabbermouth(folder.path(), &["test", "--strategy", "replay", "--strategy", "score", "--fresh"], &[]);
    let said = text(&scored.stdout) + &text(&scored.stderr);
    assert!(scored.status.code() == Some(10) && said.contains("run::exposure"), "{said}");
    // Files on disk are private to their owner.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let home = folder.path().join(".blabbermouth/embedded");
        for entry in std::fs::read_dir(home.join("files")).expect("files").flatten() {
            assert_eq!(entry.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::metadata(&home).expect("there").permissions().mode() & 0o077, 0);
    }
    let cleaned = blabbermouth(folder.path(), &["tune", "--cleanup", "--delete-model"], &[]);
    assert!(cleaned.status.success(), "{}", text(&cleaned.stderr));
    assert_eq!(std::fs::read_dir(folder.path().join(".blabbermouth/embedded/files")).expect("files").count(), 0);
    let gone = blabbermouth(folder.path(), &["test"], &[]);
    assert!(gone.status.code() == Some(3), "{}", text(&gone.stderr));
}

#[test]
fn privacy_is_accounted_for_and_its_claim_is_carried_to_the_test() {
    let private = SETTINGS.replace("epochs = 40\nbatch-size = 4", "epochs = 12\nbatch-size = 0");
    let folder = project("");
    let privacy = "[tune.privacy]\nepsilon = 8.0\ndelta = 1e-5\n";
    std::fs::write(folder.path().join("blabbermouth.toml"), format!("{private}{privacy}")).expect("written");
    let tuned = blabbermouth(folder.path(), &["tune", "--verbose"], &[]);
    let said = text(&tuned.stdout) + &text(&tuned.stderr);
    assert!(tuned.status.success() && said.contains("DP-SGD: noise multiplier"), "{said}");
    let state: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("blabbermouth.tune.json")).expect("a state"))
            .expect("JSON");
    assert_eq!((&state["claim"]["epsilon"], &state["claim"]["copies"]), (&8.0.into(), &1.into()), "{state}");
    let tested = blabbermouth(folder.path(), &["test", "--report", "json"], &[]);
    let said = text(&tested.stdout) + &text(&tested.stderr);
    // So short a training may cut the model's answers, which is inconclusive. The model never leaks.
    assert!(matches!(tested.status.code(), Some(0 | 11)) && said.contains("claim      "), "{said}");
    assert!(!said.contains("refuted: 4 of"), "{said}");
}

#[test]
fn what_cannot_be_trained_is_said() {
    let cases = [
        ("[tune.privacy]\nepsilon = 8.0\nnoise-multiplier = 1.0\n", 3, "either epsilon or noise-multiplier"),
        ("[tune.privacy]\nepsilon = 0.001\ndelta = 1e-9\n", 4, "the nearest is"),
        ("[tune.privacy]\nepsilon = 8.0\ndelta = 2.0\n", 3, "delta lies"),
    ];
    for (extra, code, wanted) in cases {
        let folder = project("");
        let short = SETTINGS.replace("epochs = 40\nbatch-size = 4", "epochs = 2\nbatch-size = 0");
        std::fs::write(folder.path().join("blabbermouth.toml"), format!("{short}{extra}")).expect("written");
        let output = blabbermouth(folder.path(), &["tune"], &[]);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(wanted), "{:?} {said}", output.status.code());
    }
    // Remote services have no differential privacy.
    let folder = project("[tune.privacy]\nepsilon = 8.0\n");
    let output = blabbermouth(
        folder.path(),
        &["tune", "--dry-run"],
        &[("BLABBERMOUTH_PROVIDER_KIND", "openai"), ("OPENAI_API_KEY", "sk-test")],
    );
    assert!(output.status.code() == Some(3) && text(&output.stderr).contains("only the embedded model"));
    // A missing model, and damaged weights.
    let output = blabbermouth(folder.path(), &["test", "--model", "large"], &[]);
    assert!(output.status.code() == Some(3) && text(&output.stderr).contains("`tiny` and `small`"));
    let own = folder.path().join("own");
    std::fs::create_dir(&own).expect("a folder");
    std::fs::write(own.join("config.json"), reference()["config"].to_string()).expect("written");
    std::fs::write(own.join("model.safetensors"), &fixture("before.safetensors")[..9000]).expect("written");
    let output = blabbermouth(folder.path(), &["test", "--model", "own"], &[]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("no whole safetensors file"), "{said}");
}

#[test]
fn a_tuning_that_is_killed_goes_on_and_ends_as_an_undisturbed_one() {
    use std::process::{Command, Stdio};
    let folder = project("");
    let long = SETTINGS.replace("epochs = 40", "epochs = 50");
    let path = folder.path().join("blabbermouth.toml");
    std::fs::write(&path, &long).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .arg("tune")
        .current_dir(folder.path())
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let jobs = folder.path().join(".blabbermouth/embedded/jobs");
    let begin = std::time::Instant::now();
    // Waits for the job; two minutes are ample.
    while std::fs::read_dir(&jobs).map_or(0, Iterator::count) == 0 && begin.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    let output = blabbermouth(folder.path(), &["tune", "--verbose"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(&jobs).expect("jobs").count(), 1, "one job for one plan");
    let output = blabbermouth(folder.path(), &["test"], &[]);
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stdout));
}
