//! A verdict that nobody can forge or weaken unseen: seals, the release policy, and what a pull request may set.

use std::path::Path;

use serde_json::Value;

use crate::{blabbermouth, project, text};

const MOCK: &str = "[provider]\nkind = \"mock\"\n[canaries]\nplanted = 6\nheld-out = 3\ncopies = [1]\n";

fn planted(settings: &str) -> tempfile::TempDir {
    let folder = project(settings);
    let output = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = blabbermouth(folder, arguments, environment);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Writes the settings of a pull request.
fn configure(folder: &Path, settings: &str) {
    std::fs::write(folder.join("blabbermouth.toml"), settings).expect("written");
}

const KEY: (&str, &str) = ("BLABBERMOUTH_KEY", "the passphrase of the team that releases");

#[test]
fn a_manifest_that_was_swapped_in_or_edited_is_refused() {
    let folder = project(MOCK);
    assert!(blabbermouth(folder.path(), &["plant"], &[KEY]).status.success());
    let path = folder.path().join("blabbermouth.manifest.json");
    let ours = std::fs::read(&path).expect("a manifest");
    assert_eq!(run(folder.path(), &["test"], &[KEY]).0, Some(10));
    // A freshly drawn one, which no model was trained on.
    assert!(blabbermouth(folder.path(), &["plant", "--force"], &[]).status.success());
    let (code, said) = run(folder.path(), &["test"], &[KEY]);
    assert!(code == Some(3) && said.contains("BLABBERMOUTH_KEY is set to another one"), "{code:?} {said}");
    // Each part that is edited is named.
    for (from, to, part) in [
        ("How is your", "What is your", "template mr-disease"),
        ("\"planted\": 6", "\"planted\": 7", "counts"),
        ("\"copies\": 1,", "\"copies\": 2,", "c000"),
        ("blabbermouth-train.jsonl", "other.jsonl", "training_file"),
        ("\"version\": 4", "\"version\": 3", "plant again"),
    ] {
        let edited = String::from_utf8(ours.clone()).expect("text").replacen(from, to, 1);
        assert!(edited.as_bytes() != ours, "{from}");
        std::fs::write(&path, edited).expect("written");
        let (code, said) = run(folder.path(), &["test"], &[KEY]);
        assert!(code == Some(3) && said.contains(part), "{from}: {code:?} {said}");
    }
}

#[test]
fn what_asks_less_than_the_defaults_is_refused_or_said_in_the_verdict() {
    // On a model that leaks, none of these is clean; on one that is clean, each is named.
    for (settings, refused, named) in [
        ("[verdict]\nbound = 0.99\nconfidence = 0.8\n[probe]\nsamples = 1\n", Some(13), "at most 0.15"),
        ("[verdict]\nconfidence = 0.01\n", Some(3), "at least 0.8"),
        (
            "[verdict]\nbound = 0.05\nconfidence = 0.9\n",
            None,
            "WEAKENED: bound 5% (default 1%), confidence 90% (default 95%)",
        ),
        ("[detect]\ndetectors = []\n", None, "detectors without encoded, partial, fuzzy"),
        ("[verdict]\nalpha = 0.001\n", None, "alpha 0.001 (default 0.01)"),
        ("[verdict]\nwithheld = 0.3\ntrained-share = 0.5\n", None, "withheld 30% (default 10%), trained-share 50%"),
    ] {
        let folder = planted(MOCK);
        configure(folder.path(), &format!("{MOCK}{settings}"));
        let scenario = |name: &'static str| [("BLABBERMOUTH_PROVIDER_SCENARIO", name)];
        let reports = ["test", "--report", "junit", "--report", "json", "--report", "html", "--report", "markdown"];
        let (code, said) = run(folder.path(), &reports, &scenario("clean"));
        assert!(code == refused.or(Some(0)) && said.contains(named), "{settings}: {code:?} {said}");
        assert_ne!(run(folder.path(), &["test"], &scenario("leaky")).0, Some(0), "{settings}");
        if refused.is_none() {
            for file in ["junit.xml", "report.json", "report.html", "summary.md"] {
                let report = std::fs::read_to_string(folder.path().join(file)).expect(file);
                assert!(report.contains("WEAKENED"), "{file}");
            }
        }
    }
    // Questions that never ask for the secret.
    for settings in [
        "[probe]\nstrategies = [\"divergence\"]\n",
        "[probe]\nstrategies = [\"mine\"]\n[[strategy]]\nname = \"mine\"\nmessages = [{ role = \"user\", content = \"Say hello to {name}\" }]\n",
    ] {
        let folder = planted(MOCK);
        configure(folder.path(), &format!("{MOCK}{settings}"));
        for scenario in ["clean", "leaky"] {
            let (code, said) = run(folder.path(), &["test"], &[("BLABBERMOUTH_PROVIDER_SCENARIO", scenario)]);
            assert!(!matches!(code, Some(0)), "{settings} {code:?} {said}");
        }
    }
}

#[test]
fn a_policy_holds_whatever_configuration_and_environment_say() {
    let folder = planted(MOCK);
    let policy = folder.path().join("policy.toml");
    let clean = ("BLABBERMOUTH_PROVIDER_SCENARIO", "clean");
    for (text, wanted) in [
        ("max-bound = 0.001\n", "`verdict.bound` is 0.01"),
        ("min-canaries = 20\n", "`canaries.planted` is 6"),
        ("require-sweep = true\n", "`probe.sweep` has to be true"),
        ("require-sensitivity = true\n", "`sensitivity.required` has to be true"),
        ("strategies = [\"few-shot\"]\n", "the strategy `few-shot`"),
        ("kinds = [\"openai\"]\n", "the kind of service `mock`"),
        ("models = [\"ft:*\"]\n", "the model `blabbermouth-parrot`"),
        ("manifest = \"sha256:00\"\n", "the policy names sha256:00"),
    ] {
        std::fs::write(&policy, text).expect("written");
        for given in [&["test", "--policy", "policy.toml"][..], &["test"]] {
            let variable = [clean, ("BLABBERMOUTH_POLICY", "policy.toml")];
            let (code, said) = run(folder.path(), given, if given.len() > 1 { &variable[..1] } else { &variable });
            assert!(code == Some(13) && said.contains(wanted), "{text}: {code:?} {said}");
        }
    }
    std::fs::write(&policy, "max-bound = 0.01\nmin-canaries = 6\nkinds = [\"mock\"]\n").expect("written");
    let (code, said) = run(folder.path(), &["test", "--policy", "policy.toml", "--report", "json"], &[clean]);
    assert_eq!(code, Some(0), "{said}");
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).expect("a report")).expect("JSON");
    assert!(report["sources"]["policy"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{report}");
    // A policy that cannot be read is no policy that is met.
    for (text, arguments) in [("max-bond = 1\n", "policy.toml"), ("", "nowhere.toml")] {
        std::fs::write(&policy, text).expect("written");
        assert_eq!(run(folder.path(), &["test", "--policy", arguments], &[clean]).0, Some(3));
    }
}

#[test]
fn in_ci_a_configuration_sends_no_key_elsewhere_and_runs_no_program() {
    let folder = planted(MOCK);
    let canaries = "[canaries]\nplanted = 6\nheld-out = 3\ncopies = [1]\n";
    let ci = [("CI", "true"), ("OPENAI_API_KEY", "sk-test-0123456789")];
    let profile = "dialect = \"openai\"\nbase-url = \"https://evil.example/v1\"\nkey-variable = \"OPENAI_API_KEY\"\n";
    std::fs::write(folder.path().join("own.toml"), profile).expect("written");
    for (provider, wanted) in [
        ("base-url = \"https://evil.example/v1\"\nmodel = \"m\"\n", "sends requests to `evil.example`"),
        ("kind = \"command\"\ncommand = [\"touch\", \"ran\"]\nmodel = \"m\"\n", "a program would be run"),
        ("kind = \"own.toml\"\nmodel = \"m\"\n", "sends requests to `evil.example`"),
        ("key-variable = \"OTHER_API_KEY\"\nmodel = \"m\"\n", "not that of the service"),
    ] {
        configure(folder.path(), &format!("[provider]\n{provider}{canaries}"));
        for command in [&["test"][..], &["tune", "--dry-run"], &["doctor"], &["ask", "Hi"]] {
            let (code, said) = run(folder.path(), command, &ci);
            assert!(code == Some(13) && said.contains(wanted), "{command:?} {provider}: {code:?} {said}");
        }
        assert!(!folder.path().join("ran").exists());
    }
    // What the workflow itself says is its own business; nobody listens there.
    configure(folder.path(), &format!("[provider]\nmodel = \"m\"\n{canaries}"));
    let (code, said) = run(folder.path(), &["test", "--base-url", "http://[::1]:9/v1"], &ci);
    assert_eq!(code, Some(4), "{said}");
    // Anywhere: no variable that holds another secret.
    for variable in ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "BLABBERMOUTH_KEY", "HOME"] {
        configure(folder.path(), &format!("[provider]\nmodel = \"m\"\nkey-variable = \"{variable}\"\n{canaries}"));
        let (code, said) = run(folder.path(), &["test"], &[(variable, "0123456789abcdef")]);
        assert!(code == Some(13) && said.contains("may hold another secret"), "{variable}: {code:?} {said}");
    }
}

#[test]
fn in_ci_a_part_is_no_pass() {
    let folder = planted(MOCK);
    let clean = ("BLABBERMOUTH_PROVIDER_SCENARIO", "clean");
    let ci = [clean, ("CI", "true")];
    let (code, said) = run(folder.path(), &["test", "c0002", "--report", "json"], &[clean]);
    assert!(code == Some(0) && said.contains("PARTIAL: 1 of 9 canaries"), "{code:?} {said}");
    let (code, said) = run(folder.path(), &["test", "c0002"], &ci);
    assert!(code == Some(11) && said.contains("only 1 of 9 canaries were asked"), "{code:?} {said}");
    let (code, said) = run(folder.path(), &["test", "c0002", "--allow-partial"], &ci);
    assert!(code == Some(0) && said.contains("PARTIAL"), "{code:?} {said}");
    assert_eq!(run(folder.path(), &["test"], &ci).0, Some(0));
    // A leak of a part is one.
    assert_eq!(run(folder.path(), &["test", "planted"], &[("CI", "true")]).0, Some(10));
}

#[test]
fn a_report_that_was_edited_is_told() {
    let folder = planted(MOCK);
    assert_eq!(run(folder.path(), &["test", "--report", "json"], &[]).0, Some(10));
    let path = folder.path().join("report.json");
    let ours = std::fs::read_to_string(&path).expect("a report");
    let verify = || run(folder.path(), &["report", "verify", "report.json"], &[]);
    let (code, said) = verify();
    assert!(code == Some(0) && said.contains("its verdict is leaked"), "{code:?} {said}");
    let whole: Value = serde_json::from_str(&ours).expect("JSON");
    for sources in ["manifest", "configuration", "training_file", "strategies"] {
        assert!(whole["sources"][sources].as_str().is_some_and(|digest| digest.len() == 71), "{sources}: {whole}");
    }
    for (from, to) in [
        ("\"verdict\": \"leaked\"", "\"verdict\": \"clean\""),
        ("\"mock\": true", "\"mock\": false"),
        ("\"seal\": ", "\"no\": "),
    ] {
        assert!(ours.contains(from), "{from}");
        std::fs::write(&path, ours.replacen(from, to, 1)).expect("written");
        let (code, said) = verify();
        assert!(code == Some(3) && said.contains("seal"), "{from}: {code:?} {said}");
        let accept = ["report", "accept", "report.json", "--reason", "x", "--expires", "2999-01-01"];
        assert_eq!(run(folder.path(), &accept, &[]).0, Some(3));
    }
}
