//! Evidence folders, from the command line.

use std::path::Path;

use serde_json::Value;

use crate::{blabbermouth, project, text};

const SETTINGS: &str = "[provider]\nkind = \"mock\"\n[canaries]\nplanted = 6\nheld-out = 3\ncopies = [1]\n\
                        [context]\naudience = \"customers <b>only</b>\"\nsafeguards = \"none | yet\"\n";
const CLEAN: (&str, &str) = ("BLABBERMOUTH_PROVIDER_SCENARIO", "clean");
/// The keys of RFC 8410.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn planted() -> tempfile::TempDir {
    let folder = project(SETTINGS);
    let output = blabbermouth(folder.path(), &["plant"], &[KEY]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("private.pem"), PRIVATE).expect("written");
    std::fs::write(at("public.pem"), PUBLIC).expect("written");
    std::fs::create_dir(at("adapter")).expect("made");
    std::fs::write(at("adapter/adapter_model.safetensors"), "weights").expect("written");
    std::fs::write(at("adapter/adapter_config.json"), "{}").expect("written");
    folder
}

/// A key of the user's own, so that the tests also pass in CI, where a key in the manifest is not trusted.
const KEY: (&str, &str) = ("BLABBERMOUTH_KEY", "the passphrase of the team that releases");

fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = blabbermouth(folder, arguments, &[&[KEY], environment].concat());
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn statement(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("evidence/statement.json")).expect("written")).expect("JSON")
}

#[test]
fn evidence_is_written_signed_and_verified() {
    let folder = planted();
    let test =
        ["test", "--report", "evidence", "--report", "json", "--subject", "adapter", "--sign-with", "private.pem"];
    let (code, said) = run(folder.path(), &test, &[CLEAN]);
    assert_eq!(code, Some(0), "{said}");
    let stated = statement(folder.path());
    assert_eq!(stated["subject"][0]["name"], "adapter");
    assert_eq!(stated["subject"].as_array().map(Vec::len), Some(3));
    assert!(stated["subject"][0]["digest"]["dirHash"].is_string(), "{stated}");
    // The mock is no model: a gate must not accept its run.
    assert_eq!(stated["predicate"]["result"], "FAILED");
    let annex = std::fs::read_to_string(folder.path().join("evidence/annex.html")).expect("written");
    assert!(annex.contains("customers &lt;b&gt;only&lt;/b&gt;") && annex.contains("says nothing of any model"));

    let verify = ["verify", "evidence", "--key", "public.pem", "--subject", "adapter"];
    let (code, said) = run(folder.path(), &verify, &[]);
    assert!(code == Some(11) && said.contains("no file was changed"), "{code:?} {said}");
    // Another model is refused.
    std::fs::write(folder.path().join("adapter/adapter_config.json"), "{ }").expect("written");
    let (code, said) = run(folder.path(), &verify, &[]);
    assert!(code == Some(3) && said.contains("of another model"), "{code:?} {said}");
    // Another signer than the trusted one is refused.
    assert_eq!(run(folder.path(), &["verify", "evidence"], &[]).0, Some(3));
    // A file that contains the name of the model is not the model.
    std::fs::write(folder.path().join("fake"), "blabbermouth-parrot").expect("written");
    // A stored report gives the same evidence, apart from the subject.
    let (code, said) = run(folder.path(), &["report", "report.json", "--report", "evidence=again"], &[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(folder.path(), &["verify", "again"], &[]);
    assert!(code == Some(11) && said.contains("blabbermouth-parrot"), "{code:?} {said}");
    let (code, said) = run(folder.path(), &["verify", "again", "--subject", "fake"], &[]);
    assert!(code == Some(3) && said.contains("of another model"), "{code:?} {said}");
    let (code, said) = run(folder.path(), &["verify", "again", "--passed"], &[]);
    assert!(code == Some(3) && said.contains("--passed wants PASSED"), "{code:?} {said}");
    assert_eq!(run(folder.path(), &["verify", "again", "--max-age", "1"], &[]).0, Some(11));
    for name in ["report.json", "model-card.md"] {
        let read = |part: &str| std::fs::read(folder.path().join(part).join(name)).expect("written");
        assert!(read("evidence") == read("again"), "{name}");
    }
}

#[test]
fn evidence_of_a_leak_is_no_pass_and_of_an_edited_report_there_is_none() {
    let folder = planted();
    let (code, said) = run(folder.path(), &["test", "--report", "evidence", "--report", "json"], &[]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!(run(folder.path(), &["verify", "evidence"], &[]).0, Some(10));
    assert_eq!(statement(folder.path())["predicate"]["result"], "FAILED");
    let path = folder.path().join("report.json");
    let edited =
        std::fs::read_to_string(&path).expect("a report").replace("\"verdict\": \"leaked\"", "\"verdict\": \"clean\"");
    std::fs::write(&path, edited).expect("written");
    let (code, said) = run(folder.path(), &["report", "report.json", "--report", "evidence=forged"], &[]);
    assert!(code == Some(3) && said.contains("the seal does not fit"), "{code:?} {said}");
    assert_eq!(run(folder.path(), &["verify", "forged"], &[]).0, Some(3));
    // Refused: one changed byte, one file more or less, a link in place of a file.
    let annex = folder.path().join("evidence/annex.md");
    let bytes = std::fs::read(&annex).expect("written");
    std::fs::write(&annex, [bytes.as_slice(), b"\n"].concat()).expect("written");
    let (code, said) = run(folder.path(), &["verify", "evidence"], &[]);
    assert!(code == Some(3) && said.contains("annex.md was changed"), "{code:?} {said}");
    std::fs::remove_file(&annex).expect("removed");
    assert!(run(folder.path(), &["verify", "evidence"], &[]).1.contains("annex.md is missing"));
    std::fs::write(folder.path().join("copy.md"), &bytes).expect("written");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../copy.md", &annex).expect("linked");
        assert!(run(folder.path(), &["verify", "evidence"], &[]).1.contains("annex.md is not a regular file"));
        std::fs::remove_file(&annex).expect("removed");
    }
    std::fs::write(&annex, bytes).expect("written");
    assert_eq!(run(folder.path(), &["verify", "evidence"], &[]).0, Some(10));
    std::fs::write(folder.path().join("evidence/more.txt"), "").expect("written");
    assert!(run(folder.path(), &["verify", "evidence"], &[]).1.contains("more.txt is not part of the evidence"));
    // Nothing is written into such a folder, either.
    assert_eq!(run(folder.path(), &["test", "--report", "evidence"], &[]).0, Some(3));
}

#[test]
fn old_evidence_is_none_of_a_run_that_wrote_none() {
    let folder = planted();
    assert_eq!(run(folder.path(), &["test", "--report", "evidence"], &[CLEAN]).0, Some(0));
    assert_eq!(run(folder.path(), &["verify", "evidence"], &[]).0, Some(11));
    for arguments in [&["--dry-run"][..], &["--list"], &["--checkpoints"]] {
        assert_eq!(run(folder.path(), &[&["test", "--report", "evidence"], arguments].concat(), &[CLEAN]).0, Some(2));
    }
    // The run ends before it asks anything.
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, "min-canaries = 500\n").expect("written");
    let (code, said) = run(folder.path(), &["test", "--report", "evidence", "--policy", "policy.toml"], &[CLEAN]);
    assert_eq!(code, Some(13), "{said}");
    let (code, said) = run(folder.path(), &["verify", "evidence"], &[]);
    assert!(code == Some(3) && said.contains("statement.dsse.json is missing"), "{code:?} {said}");
}

#[test]
fn in_ci_a_key_that_the_repository_brings_proves_nothing() {
    let folder = project(SETTINGS);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let mocked = [CLEAN, ("BLABBERMOUTH_PROVIDER_KIND", "mock")];
    let test = ["test", "--report", "evidence", "--report", "json"];
    assert_eq!(blabbermouth(folder.path(), &test, &mocked).status.code(), Some(0));
    for command in [&["verify", "evidence"][..], &["report", "report.json", "--report", "evidence=again"]] {
        let output = blabbermouth(folder.path(), command, &[("CI", "true")]);
        assert!(text(&output.stderr).contains("a key that is in the manifest proves nothing"), "{command:?}");
        assert_eq!(output.status.code(), Some(3));
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_the_evidence_is_not_followed() {
    let folder = planted();
    std::fs::create_dir(folder.path().join("elsewhere")).expect("made");
    std::os::unix::fs::symlink("elsewhere", folder.path().join("evidence")).expect("linked");
    let (code, said) = run(folder.path(), &["test", "--report", "evidence"], &[CLEAN]);
    assert!(code == Some(2) && said.contains("is a link"), "{code:?} {said}");
    assert_eq!(std::fs::read_dir(folder.path().join("elsewhere")).expect("a folder").count(), 0);
}

#[test]
fn evidence_that_cannot_be_made_is_refused_before_anything_is_asked() {
    let folder = planted();
    for (arguments, code, wanted) in [
        (&["--report", "evidence", "--sign-with", "public.pem"][..], 3, "not an Ed25519 private key"),
        (&["--report", "evidence", "--sign-with", "none.pem"], 3, "none.pem"),
        (&["--report", "evidence", "--subject", "none"], 3, "--subject none"),
        (&["--subject", "adapter"], 2, "add --report evidence"),
        (&["--report", "evidence=a", "--report", "evidence=b"], 2, "one folder"),
        (&["--report", "evidence=-"], 2, "a folder is needed"),
        (&["--report", "evidence=blabbermouth.toml"], 3, "blabbermouth.toml"),
    ] {
        let (found, said) = run(folder.path(), &[&["test"], arguments].concat(), &[CLEAN]);
        assert!(found == Some(code) && said.contains(wanted), "{arguments:?}: {found:?} {said}");
    }
    assert!(!folder.path().join(".blabbermouth").exists(), "nothing was asked");
}
