//! A run on several machines, whose parts are judged together.

use blabbermouth::mock::{Options, Scenario, Server};
use serde_json::Value;

use crate::{blabbermouth, findings, project, text};

/// A report without the fields that depend on the clock.
fn timeless(path: &std::path::Path) -> String {
    let report = findings(&std::fs::read(path).expect("a report"));
    serde_json::to_string_pretty(&report).expect("JSON")
}

#[test]
fn merged_parts_give_the_report_of_the_whole_and_a_missing_part_no_verdict() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    for (scenario, whole_code) in [("leaky", 10), ("clean", 0)] {
        let folder = project(
            "[canaries]\nplanted = 7\nheld-out = 5\n[provider]\nkind = \"openai\"\nmodel = \"blabbermouth-parrot\"\n",
        );
        // Sometimes a third of twelve canaries is of one arm only, which gives no verdict.
        let is_mixed = (0..20).any(|_| {
            assert!(blabbermouth(folder.path(), &["plant", "--force"], &[]).status.success());
            let manifest = std::fs::read(folder.path().join("blabbermouth.manifest.json")).expect("a manifest");
            let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
            let arms: Vec<&Value> =
                manifest["canaries"].as_array().expect("canaries").iter().map(|c| &c["arm"]).collect();
            (0..3).all(|part| {
                let of = || arms.iter().skip(part).step_by(3);
                of().any(|arm| *arm == "planted") && of().any(|arm| *arm == "held-out")
            })
        });
        assert!(is_mixed, "arms are drawn");
        let training = std::fs::read(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
        let options = Options { training, ..Options::new(Scenario::by_name(scenario).expect("built in")) };
        let server =
            Server::start(std::net::TcpListener::bind("127.0.0.1:0").expect("a port"), options).expect("served");
        let url = server.base_url();
        let run = |arguments: &[&str]| {
            let environment = [("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str())];
            let output = blabbermouth(folder.path(), arguments, &environment);
            (output.status.code(), text(&output.stdout) + &text(&output.stderr))
        };
        let (code, said) = run(&["test", "--report", "json=whole.json"]);
        assert_eq!(code, Some(whole_code), "{said}");
        let mut listed = 0;
        for part in ["1/3", "2/3", "3/3"] {
            let tape = format!("part-{}.cassette", &part[..1]);
            let (code, said) = run(&["test", "--shard", part, "--record", &tape]);
            // Each part has planted and held-out canaries, and its own verdict on them.
            assert!(code == Some(whole_code) && said.contains("running 8 tests"), "{code:?} {said}");
            listed += run(&["test", "--shard", part, "--list"])
                .1
                .lines()
                .filter(|l| l.contains("::c") && !l.contains("run::"))
                .count();
        }
        assert_eq!(listed, 12, "every canary is in one part");
        let parts = [
            "report",
            "merge",
            "part-1.cassette",
            "part-2.cassette",
            "part-3.cassette",
            "--report",
            "json=merged.json",
        ];
        let before = server.answered();
        let (code, said) = run(&parts);
        assert_eq!(code, Some(whole_code), "{said}");
        assert_eq!(server.answered(), before, "merging asks nobody");
        let file = |name: &str| timeless(&folder.path().join(name));
        assert_eq!(file("whole.json"), file("merged.json"));
        let (code, said) = run(&["report", "merge", "part-1.cassette", "part-3.cassette"]);
        let wanted = if scenario == "leaky" { 10 } else { 11 };
        assert!(code == Some(wanted), "{code:?} {said}");
        let tape = folder.path().join("part-2.cassette");
        let lines = std::fs::read_to_string(&tape).expect("a cassette");
        // A recording that lacks a line, or has it elsewhere, is refused: the removed answer may have been a leak.
        let (first, rest) = lines.split_once('\n').expect("lines");
        let without_second = format!("{first}\n{}", rest.split_once('\n').expect("lines").1);
        for edited in [rest, &without_second, &format!("{rest}{first}\n")] {
            std::fs::write(&tape, edited).expect("written");
            let (code, said) = run(&parts);
            assert!(code == Some(3) && said.contains("a line before it is missing"), "{code:?} {said}");
        }
        let cut = lines.trim_end().rsplit_once('\n').expect("lines").0;
        std::fs::write(&tape, format!("{cut}\n")).expect("written");
        // The end must not be missing, either: the last answer may have been the leak.
        let (code, said) = run(&parts);
        assert!(code == Some(3) && said.contains("it has no end"), "{code:?} {said}");
        let (code, said) = run(&["report", "merge", "part-1.cassette", "part-1.cassette"]);
        assert!(code == Some(3) && said.contains("in a file before it"), "{code:?} {said}");
    }
    let folder = project("");
    for wrong in ["0/3", "4/3", "x"] {
        let output = blabbermouth(folder.path(), &["test", "--shard", wrong], &[]);
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains("K/N"), "{}", text(&output.stderr));
    }
}

#[test]
fn a_recording_answers_no_question_that_nobody_asked_and_names_who_was_asked() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let folder = project(
        "[canaries]\nplanted = 6\nheld-out = 4\n[provider]\nkind = \"openai\"\nmodel = \"blabbermouth-parrot\"\n",
    );
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
    let options = Options { training, ..Options::new(Scenario::by_name("clean").expect("built in")) };
    let server = Server::start(std::net::TcpListener::bind("127.0.0.1:0").expect("a port"), options).expect("served");
    let url = server.base_url();
    let run = |arguments: &[&str], more: &[(&str, &str)]| {
        let environment = [&[("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str())], more].concat();
        let output = blabbermouth(folder.path(), arguments, &environment);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(run(&["test", "--record", "q.cassette"], &[]).0, Some(0));
    let merge = ["report", "merge", "q.cassette", "--report", "json=merged.json"];
    assert_eq!(run(&merge, &[]).0, Some(0));
    let more = [("BLABBERMOUTH_PROBE_STRATEGIES", "[\"replay\", \"direct\"]")];
    let (code, said) = run(&merge, &more);
    assert!(code == Some(11) && said.contains("are in no recording"), "{code:?} {said}");
    // The report names the recorded server, not the configured one, and the policy applies to the recorded one.
    let elsewhere = [("BLABBERMOUTH_PROVIDER_BASE_URL", "http://127.0.0.1:9/v1")];
    assert_eq!(run(&merge, &elsewhere).0, Some(0));
    let report: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("merged.json")).expect("a report")).expect("JSON");
    assert!(url.starts_with(report["settings"]["address"].as_str().expect("an address")), "{report}");
    std::fs::write(folder.path().join("policy.toml"), "hosts = [\"127.0.0.1:9\"]\nmin-canaries = 6\n")
        .expect("written");
    let (code, said) = run(&merge, &[elsewhere[0], ("BLABBERMOUTH_POLICY", "policy.toml")]);
    assert!(code == Some(13) && said.contains("is not among `hosts`"), "{code:?} {said}");
}

#[test]
fn an_answer_that_was_recorded_twice_hides_nothing() {
    let folder = project("[provider]\nkind = \"mock\"\nscenario = \"clean\"\n[canaries]\nplanted = 9\nheld-out = 3\n");
    let run = |arguments: &[&str], scenario: &str| {
        let out = blabbermouth(folder.path(), arguments, &[("BLABBERMOUTH_PROVIDER_SCENARIO", scenario)]);
        (out.status.code(), text(&out.stdout) + &text(&out.stderr))
    };
    assert_eq!(run(&["plant"], "clean").0, Some(0));
    // A leaky run, and then a clean one in the same cassette: the last answers are judged, and the others searched.
    for (scenario, code) in [("leaky", 10), ("clean", 0)] {
        let (found, said) = run(&["test", "--fresh", "--record", "run.cassette"], scenario);
        assert_eq!(found, Some(code), "{said}");
    }
    let (code, said) = run(&["test", "--replay", "run.cassette"], "clean");
    assert_ne!(code, Some(0), "{said}");
}
