//! A verdict cannot be forged, or weakened unseen: seals, the release policy, and the limits on a pull request.

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
    // A newly drawn manifest, on which no model was trained.
    assert!(blabbermouth(folder.path(), &["plant", "--force"], &[]).status.success());
    let (code, said) = run(folder.path(), &["test"], &[KEY]);
    assert!(code == Some(3) && said.contains("BLABBERMOUTH_KEY is set to another one"), "{code:?} {said}");
    // The error names the edited part.
    for (from, to, part) in [
        ("How is your", "What is your", "template mr-disease"),
        ("\"planted\": 6", "\"planted\": 7", "counts"),
        ("\"copies\": 1,", "\"copies\": 2,", "c000"),
        ("blabbermouth-train.jsonl", "other.jsonl", "training_file"),
        ("\"version\": 5", "\"version\": 4", "plant again"),
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
    // None of these settings makes a leaky model clean, and on a clean model the output names each of them.
    for (settings, refused, named) in [
        ("[verdict]\nbound = 0.99\nconfidence = 0.8\nwithheld = 0.5\n[probe]\nsamples = 5\n", Some(13), "at most 0.15"),
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
    // These questions never ask for the secret.
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
        ("min-samples = 500\n", "`probe.samples` is 299"),
        ("hosts = [\"api.openai.com\"]\n", "has no host"),
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
    // A policy that is not readable is never met.
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
    std::fs::write(folder.path().join("program.toml"), "dialect = \"command\"\n").expect("written");
    let azure = "kind = \"azure\"\nbase-url = \"http://127.0.0.1:9/openai/v1\"\nmodel = \"m\"\n[azure]\nresource = \"/subscriptions/x\"\n\
                 management-url = \"https://evil.example\"\n";
    let profile = "dialect = \"openai\"\nbase-url = \"https://evil.example/v1\"\nkey-variable = \"OPENAI_API_KEY\"\n";
    std::fs::write(folder.path().join("own.toml"), profile).expect("written");
    for (provider, wanted) in [
        ("base-url = \"https://evil.example/v1\"\nmodel = \"m\"\n", "sends requests to `evil.example`"),
        ("kind = \"command\"\ncommand = [\"touch\", \"ran\"]\nmodel = \"m\"\n", "a program would be run"),
        ("kind = \"program.toml\"\ncommand = [\"touch\", \"ran\"]\nmodel = \"m\"\n", "a program would be run"),
        (
            "kind = \"program.toml\"\ncommand = [\"true\"]\nenvironment = [\"GITHUB_TOKEN\"]\nmodel = \"m\"\n",
            "variables would be given",
        ),
        ("kind = \"mock\"\nscenario = \"clean\"\n", "no model would be asked"),
        (azure, "`azure.management-url` sends requests to `evil.example`"),
        ("model = \"m\"\n[verdict]\nunproven = true\n", "`verdict.unproven`"),
        ("model = \"m\"\n[dataset]\ntraining = \"../victim\"\n", "outside of the configuration's folder"),
        ("kind = \"own.toml\"\nmodel = \"m\"\n", "sends requests to `evil.example`"),
        ("key-variable = \"OTHER_API_KEY\"\nmodel = \"m\"\n", "not that of the service"),
    ] {
        configure(folder.path(), &format!("[provider]\n{provider}{canaries}"));
        // A policy on another subject lifts no restriction.
        std::fs::write(folder.path().join("policy.toml"), "max-bound = 0.05\n").expect("written");
        for policy in [&[][..], &[("BLABBERMOUTH_POLICY", "policy.toml")]] {
            for command in [&["test"][..], &["tune", "--dry-run"], &["doctor"], &["ask", "Hi"]] {
                // `tune` does not accept the mock, and reports that first.
                if provider.contains("kind = \"mock\"") && command[0] == "tune" {
                    continue;
                }
                let (code, said) = run(folder.path(), command, &[&ci[..], policy].concat());
                assert!(code == Some(13) && said.contains(wanted), "{command:?} {provider}: {code:?} {said}");
            }
        }
        assert!(!folder.path().join("ran").exists());
    }
    // The command line of the workflow is trusted; the port has no listener.
    configure(folder.path(), &format!("[provider]\nmodel = \"m\"\n{canaries}"));
    let (code, said) = run(folder.path(), &["test", "--base-url", "http://[::1]:9/v1"], &ci);
    assert_eq!(code, Some(4), "{said}");
    // Outside of CI, too, no variable that holds another secret is read.
    for variable in ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "BLABBERMOUTH_KEY", "HOME"] {
        configure(folder.path(), &format!("[provider]\nmodel = \"m\"\nkey-variable = \"{variable}\"\n{canaries}"));
        let (code, said) = run(folder.path(), &["test"], &[(variable, "0123456789abcdef")]);
        assert!(code == Some(13) && said.contains("may hold another secret"), "{variable}: {code:?} {said}");
    }
}

#[test]
fn in_ci_a_part_is_no_pass() {
    let folder = planted(MOCK);
    let (clean, mock) = (("BLABBERMOUTH_PROVIDER_SCENARIO", "clean"), ("BLABBERMOUTH_PROVIDER_KIND", "mock"));
    configure(folder.path(), &MOCK.replace("kind = \"mock\"\n", ""));
    let ci = [clean, mock, ("CI", "true")];
    let (code, said) = run(folder.path(), &["test", "c0002", "--report", "json"], &[clean, mock]);
    assert!(code == Some(0) && said.contains("PARTIAL: 1 of 9 canaries"), "{code:?} {said}");
    let (code, said) = run(folder.path(), &["test", "c0002"], &ci);
    assert!(code == Some(11) && said.contains("only 1 of 9 canaries were asked"), "{code:?} {said}");
    let (code, said) = run(folder.path(), &["test", "c0002", "--allow-partial"], &ci);
    assert!(code == Some(0) && said.contains("PARTIAL"), "{code:?} {said}");
    assert_eq!(run(folder.path(), &["test"], &ci).0, Some(0));
    // A leak of a part is a leak.
    assert_eq!(run(folder.path(), &["test", "mr-disease"], &[("CI", "true"), mock]).0, Some(10));
    // Accepted leaks do not turn a partial run into a pass.
    std::fs::write(folder.path().join("policy.toml"), "baseline-days = 400000\n").expect("written");
    assert_eq!(run(folder.path(), &["test", "--report", "json"], &[mock]).0, Some(10));
    let policy = ("BLABBERMOUTH_POLICY", "policy.toml");
    let accept = ["report", "accept", "report.json", "--reason", "x", "--expires", "2999-01-01"];
    assert_eq!(run(folder.path(), &accept, &[policy]).0, Some(0));
    let with = ["test", "mr-disease::c000", "--baseline", "blabbermouth.baseline.json"];
    let names: Vec<String> = (1..10).map(|n| format!("mr-disease::c000{n}")).collect();
    for name in &names {
        let (code, said) = run(folder.path(), &["test", name, with[2], with[3]], &[("CI", "true"), mock, policy]);
        assert_eq!(code, Some(11), "{said}");
    }
}

#[test]
fn a_path_of_a_profile_leads_to_no_other_host() {
    let canaries = "[canaries]\nplanted = 1\nheld-out = 1\n[provider]\nkind = \"own.toml\"\nmodel = \"m\"\n";
    let folder = project(canaries);
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("set");
    let there = server.local_addr().expect("an address");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    for (extra, wanted) in [
        (format!("chat-path = \"@{there}/v1/chat/completions\"\n"), "begins with a slash"),
        ("chat-path = \"/x\"\nheaders = { Host = \"evil.example\" }\n".to_owned(), "cannot be set"),
    ] {
        let profile = format!(
            "dialect = \"openai\"\nbase-url = \"http://127.0.0.1:9\"\nkey-variable = \"OPENAI_API_KEY\"\n{extra}"
        );
        std::fs::write(folder.path().join("own.toml"), profile).expect("written");
        let (code, said) = run(folder.path(), &["ask", "Hi"], &[("OPENAI_API_KEY", "sk-test-0123456789")]);
        assert!(code == Some(3) && said.contains(wanted), "{extra}: {code:?} {said}");
    }
    assert!(server.accept().is_err(), "nobody came");
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
    // `report verify` sends nothing, so rules about services do not stop it in CI.
    assert_eq!(run(folder.path(), &["report", "verify", "report.json"], &[("CI", "true")]).0, Some(0));
    let whole: Value = serde_json::from_str(&ours).expect("JSON");
    for sources in ["manifest", "configuration", "training_file", "strategies"] {
        assert!(whole["sources"][sources].as_str().is_some_and(|digest| digest.len() == 71), "{sources}: {whole}");
    }
    for (from, to) in [
        ("\"verdict\": \"leaked\"", "\"verdict\": \"clean\""),
        ("\"mock\": true", "\"mock\": false"),
        ("\"seal\": ", "\"no\": "),
        ("\"seal\": ", "\"more\": 1, \"seal\": "),
    ] {
        assert!(ours.contains(from), "{from}");
        std::fs::write(&path, ours.replacen(from, to, 1)).expect("written");
        let (code, said) = verify();
        let is_told = said.contains("seal") || said.contains("more than a run writes");
        assert!(code == Some(3) && is_told, "{from}: {code:?} {said}");
        let accept = ["report", "accept", "report.json", "--reason", "x", "--expires", "2999-01-01"];
        assert_eq!(run(folder.path(), &accept, &[]).0, Some(3));
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_repository_is_not_written_through() {
    use std::os::unix::fs::symlink;
    let folder = planted(MOCK);
    let victim = folder.path().join("victim");
    let store = folder.path().join(".blabbermouth");
    std::fs::create_dir(&store).expect("a folder");
    // The target of a link in place of any of these files stays unchanged.
    for name in ["run-1.lock", "journal.sqlite", "journal.sqlite-wal", "ledger.lock", "ledger.jsonl"] {
        std::fs::write(&victim, "precious").expect("written");
        symlink(&victim, store.join(name)).expect("a link");
        let (code, said) = run(folder.path(), &["test", "--fresh"], &[]);
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious", "{name}");
        assert!(code == Some(10) || code == Some(3) && said.contains("is a link"), "{name}: {code:?} {said}");
        for entry in std::fs::read_dir(&store).expect("a folder").flatten() {
            if entry.path().is_file() || entry.path().is_symlink() {
                std::fs::remove_file(entry.path()).expect("removed");
            }
        }
    }
    // The whole folder must not be a link, either.
    std::fs::remove_dir_all(&store).expect("removed");
    std::fs::create_dir(folder.path().join("elsewhere")).expect("a folder");
    symlink(folder.path().join("elsewhere"), &store).expect("a link");
    let (code, said) = run(folder.path(), &["test"], &[]);
    assert!(code == Some(3) && said.contains("is a link"), "{code:?} {said}");
    std::fs::remove_file(&store).expect("removed");
    for (name, command) in [
        ("blabbermouth-train.jsonl", &["plant", "--force"][..]),
        ("blabbermouth.manifest.json", &["plant", "--force"]),
        ("run.cassette", &["test", "--record", "run.cassette"]),
    ] {
        std::fs::write(&victim, "precious").expect("written");
        let place = folder.path().join(name);
        let _ = std::fs::remove_file(&place);
        symlink(&victim, &place).expect("a link");
        let (code, said) = run(folder.path(), command, &[]);
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious", "{name}: {code:?} {said}");
        let _ = std::fs::remove_file(&place);
        assert_eq!(run(folder.path(), &["plant", "--force"], &[]).0, Some(0));
    }
}

#[cfg(unix)]
#[test]
fn a_report_goes_where_the_user_says() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    let folder = planted(MOCK);
    // Missing folders are created, the target of a link is written, a device stays a device, and `-` is standard
    // output.
    let to = |path: &str| format!("json={path}");
    symlink("real.json", folder.path().join("link.json")).expect("a link");
    std::fs::write(folder.path().join("real.json"), "old").expect("written");
    let arguments = [
        "test",
        "--report",
        &to("new/folder/x.json"),
        "--report",
        &to("link.json"),
        "--report",
        &to("/dev/null"),
        "--report",
        "csv=-",
    ];
    let (code, said) = run(folder.path(), &arguments, &[]);
    assert_eq!(code, Some(10), "{said}");
    let is_report = |path: &str| std::fs::read_to_string(folder.path().join(path)).expect(path).contains("\"verdict\"");
    assert!(is_report("new/folder/x.json") && is_report("real.json"));
    assert!(folder.path().join("link.json").is_symlink() && said.contains("canary,test,arm"), "{said}");
    assert!(std::fs::metadata("/dev/null").expect("there").file_type().is_char_device());
    let mode = std::fs::metadata(folder.path().join("real.json")).expect("there").permissions().mode();
    assert_eq!(mode & 0o111, 0, "{mode:o}");
    // A pipe is written to.
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).expect("read")
    });
    assert_eq!(run(folder.path(), &["test", "--report", "json=pipe"], &[]).0, Some(10));
    assert!(reader.join().expect("a reader").contains("\"verdict\""));
    // Errors name the requested file, not a temporary one.
    let (code, said) = run(folder.path(), &["test", "--report", "json=train.jsonl/x.json"], &[]);
    assert!(code == Some(3) && said.contains("train.jsonl/x.json") && !said.contains(".tmp"), "{code:?} {said}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_fault_and_a_full_disk_is_one() {
    let folder = planted(&MOCK.replace("planted = 6", "planted = 400"));
    let shell = |script: &str| {
        let mut shell = std::process::Command::new("sh");
        let path = std::env::var_os("PATH").expect("a path");
        shell.args(["-c", script]).current_dir(folder.path()).env_clear().env("PATH", path);
        shell.env("B", env!("CARGO_BIN_EXE_blabbermouth"));
        let out = shell.output().expect("a shell");
        text(&out.stdout) + &text(&out.stderr)
    };
    let said = shell("{ $B test --list; echo code $? >&2; } | head -n 1 > /dev/null");
    assert!(said.contains("code 0") && !said.contains("panicked"), "{said}");
    let said = shell("{ BLABBERMOUTH_PROBE_SWEEP=false $B test; echo code $? >&2; } | head -n 1 > /dev/null");
    assert!(said.contains("code 10") && !said.contains("panicked"), "{said}");
    if Path::new("/dev/full").exists() {
        let said = shell("$B schema > /dev/full; echo code $?");
        assert!(said.contains("code 1") && said.contains("standard output"), "{said}");
    }
}

#[test]
fn what_is_far_too_large_is_refused() {
    let folder = planted(MOCK);
    // Few bytes on disk, and a row without an end.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, b"{\"prompt\":\"").expect("packed");
    for _ in 0..70 {
        std::io::Write::write_all(&mut packed, &[b'a'; 1 << 20]).expect("packed");
    }
    std::fs::write(folder.path().join("bomb.jsonl.gz"), packed.finish().expect("packed")).expect("written");
    let (code, said) = run(folder.path(), &["plant", "--force", "--dataset", "bomb.jsonl.gz"], &[]);
    assert!(code == Some(3) && said.contains("longer than 64 MB"), "{code:?} {said}");
    std::fs::write(folder.path().join("large.toml"), "#".repeat(5 << 20)).expect("written");
    let (code, said) = run(folder.path(), &["test", "--config", "large.toml"], &[]);
    assert!(code == Some(3) && said.contains("larger than 4 MB"), "{code:?} {said}");
    // `report` opens no file that a report names.
    let (_, said) = run(folder.path(), &["test", "--report", "json"], &[]);
    let path = folder.path().join("report.json");
    let mut report: Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{e}: {said}"))).expect("JSON");
    report["settings"]["config"] = "/dev/zero".into();
    std::fs::write(&path, report.to_string()).expect("written");
    let (code, said) = run(folder.path(), &["report", "report.json", "--report", "sarif"], &[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn nobody_without_the_key_accepts_a_leak() {
    let folder = planted(MOCK);
    assert_eq!(run(folder.path(), &["test", "--report", "json=new.json"], &[]).0, Some(10));
    let ours = std::fs::read_to_string(folder.path().join("new.json")).expect("a report");
    // An old report in which every canary already leaked.
    std::fs::write(folder.path().join("old.json"), ours.replacen("\"started\": ", "\"started\": 1", 1))
        .expect("written");
    let (code, said) = run(folder.path(), &["report", "diff", "old.json", "new.json"], &[]);
    assert!(code == Some(3) && said.contains("old.json: the seal does not fit"), "{code:?} {said}");
    // A forged baseline with all fingerprints of the manifest.
    let report: Value = serde_json::from_str(&ours).expect("JSON");
    let accepted: Vec<Value> = report["canaries"]
        .as_array()
        .expect("canaries")
        .iter()
        .map(|c| {
            serde_json::json!({"fingerprint": c["fingerprint"], "canary": c["test"], "reason": "x",
                               "expires": blabbermouth::tune::today(), "rate": 1.0, "said": true, "cross": true})
        })
        .collect();
    for seal in [Value::Null, "00".repeat(16).into()] {
        let baseline = serde_json::json!({"version": 2, "accepted": accepted, "seal": seal}).to_string();
        std::fs::write(folder.path().join("b.json"), baseline).expect("written");
        let (code, said) = run(folder.path(), &["test", "--baseline", "b.json"], &[]);
        assert!(code == Some(3) && said.contains("accept them again"), "{code:?} {said}");
    }
}

#[test]
fn the_mock_is_nobodys_but_who_has_its_key() {
    use std::io::{BufRead, BufReader, Read, Write};
    let folder = planted(MOCK);
    let mut mock = std::process::Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .args(["mock", "--key", "sk-of-the-mock-0123"])
        .current_dir(folder.path())
        .env_clear()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let mut first = String::new();
    BufReader::new(mock.stdout.take().expect("piped")).read_line(&mut first).expect("an address");
    let address = first.split('/').nth(2).expect("an address").trim().to_owned();
    let ask = |path: &str, host: &str, key: &str| {
        let mut stream = std::net::TcpStream::connect(&address).expect("connected");
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("asked");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("answered");
        said.split(' ').nth(1).map(str::to_owned).expect("a status")
    };
    let key = "sk-of-the-mock-0123";
    let host = address.as_str();
    assert_eq!(ask("/v1/models", host, key), "200");
    assert_eq!(ask("/__blabbermouth/clock", host, key), "200");
    // Without the key the clock and the requests are not accessible, and a page under another host name reaches
    // nothing.
    assert_eq!(ask("/__blabbermouth/clock", host, "sk-other"), "401");
    assert_eq!(ask("/__blabbermouth/requests", host, "sk-other"), "401");
    for name in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"] {
        assert_eq!(ask("/v1/models", name, key), "403", "{name}");
    }
    assert_eq!(ask("/v1/models", "localhost:1", key), "200");
    let _ = mock.kill();
    let _ = mock.wait();
}
