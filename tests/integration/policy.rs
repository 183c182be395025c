//! Requirements of a run: claims, profiles, strategies, and the explanation of a verdict.

use serde_json::Value;

use crate::{blabbermouth, project, text};

const SETTINGS: &str = "[provider]\nkind = \"mock\"\n[canaries]\nplanted = 6\nheld-out = 3\ncopies = [1]\n";

fn planted(extra: &str) -> tempfile::TempDir {
    let folder = project(&format!("{SETTINGS}{extra}"));
    let output = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

fn run(folder: &std::path::Path, scenario: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = blabbermouth(folder, arguments, &[("BLABBERMOUTH_PROVIDER_SCENARIO", scenario)]);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

fn report(folder: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).expect("a report")).expect("JSON")
}

#[test]
fn a_claim_is_refuted_by_a_leak_and_not_by_silence() {
    let folder = planted("[claim]\nepsilon = 3.0\ndelta = 1e-5\nunit = \"add-remove\"\ncopies = 1\n");
    let (code, said) =
        run(folder.path(), "leaky", &["test", "--report", "json", "--report", "junit", "--report", "sarif"]);
    assert_eq!(code, Some(10), "{said}");
    assert!(
        said.contains("claim::epsilon") && said.contains("claim      refuted: 6 of 6 secrets were found"),
        "{said}"
    );
    let claim = &report(folder.path())["claim"];
    let (refuted, reach) =
        (claim["refuted_epsilon"].as_f64().expect("a number"), claim["reach"].as_f64().expect("a number"));
    assert!(claim["refuted"] == true && refuted > 3.0 && (refuted - reach).abs() < 1e-9, "{claim}");
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).expect("a report");
    assert!(junit.contains("epsilon"), "{junit}");
    let (code, said) = run(folder.path(), "clean", &["test", "--report", "json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("not refuted: 0 of 6") && said.contains("no proof"), "{said}");
    // A disguised leak refutes the claim, too.
    let (code, said) = run(folder.path(), "leaky+base64", &["test"]);
    assert!(code == Some(10) && said.contains("claim      refuted"), "{said}");
    // Refusals are not silence.
    let (code, said) = run(folder.path(), "refuses", &["test", "claim::epsilon"]);
    assert!(code == Some(11) && said.contains("inconclusive"), "{code:?} {said}");
    // A filter that leaves out the claim does not turn a refuted claim into a pass.
    let (code, said) = run(folder.path(), "leaky", &["test", "run::controls"]);
    assert!(matches!(code, Some(0 | 11)), "{said}");
}

#[test]
fn a_claim_that_nothing_could_refute_is_said_before_anything_is_paid_for() {
    let cases = [
        ("epsilon = 40.0\ndelta = 1e-5\nunit = \"add-remove\"\ncopies = 1", "canaries can refute an epsilon of"),
        ("epsilon = 3.0\ndelta = 0.5\nunit = \"add-remove\"\ncopies = 1", "smaller"),
        ("epsilon = 3.0\nunit = \"add-remove\"\ncopies = 1", "missing field `delta`"),
        ("epsilon = 3.0\ndelta = 1e-5\nunit = \"row\"\ncopies = 1", "add-remove"),
    ];
    for (claim, wanted) in cases {
        let folder = planted("");
        std::fs::write(folder.path().join("blabbermouth.toml"), format!("{SETTINGS}[claim]\n{claim}\n"))
            .expect("written");
        let (code, said) = run(folder.path(), "leaky", &["test"]);
        assert!(code == Some(3) && said.contains(wanted), "{code:?} {said}");
    }
    let folder = planted("");
    let many = SETTINGS.replace("copies = [1]", "copies = [4]");
    std::fs::write(folder.path().join("blabbermouth.toml"), &many).expect("written");
    assert!(blabbermouth(folder.path(), &["plant", "--force"], &[]).status.success());
    let claim = "[claim]\nepsilon = 3.0\ndelta = 1e-5\nunit = \"add-remove\"\ncopies = 1\n";
    std::fs::write(folder.path().join("blabbermouth.toml"), format!("{many}{claim}")).expect("written");
    let (code, said) = run(folder.path(), "leaky", &["test"]);
    assert!(code == Some(3) && said.contains("at most 1 copies"), "{code:?} {said}");
}

#[test]
fn profiles_and_joint_bounds_set_the_samples() {
    let folder = planted("");
    for (arguments, samples) in [(&["--profile", "quick"][..], 59), (&["--profile", "standard"], 299), (&[], 299)] {
        let mut all = vec!["test", "--report", "json"];
        all.extend(arguments);
        let (code, said) = run(folder.path(), "clean", &all);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(report(folder.path())["settings"]["samples"], samples);
    }
    let (code, said) = run(folder.path(), "clean", &["test", "--profile", "thorough", "--samples", "300"]);
    assert!(code == Some(3) && said.contains("2995"), "{said}");
    let (code, said) = run(folder.path(), "clean", &["test", "--profile", "fast"]);
    assert!(code == Some(2) && said.contains("thorough"), "{said}");
}

#[test]
fn strict_fails_on_what_chance_may_explain() {
    // A model that invents values says each of 1,000 now and then.
    let settings = SETTINGS.replace("copies = [1]", "copies = [1]\ntemplates = [\"pin\"]")
        + "[[template]]\nname = \"pin\"\nmessages = [{ role = \"user\", content = \"I am {name}.\" }, { role = \"assistant\", \
           content = \"Your PIN is {pin}.\" }]\nslots.name = { space = \"name\" }\nslots.pin = { space = \"digits(3)\", secret = true }\n";
    let folder = project(&settings);
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    let (code, said) = run(folder.path(), "clean", &["test"]);
    assert!(matches!(code, Some(0 | 11)), "{code:?} {said}");
    let (code, said) = run(folder.path(), "clean", &["test", "--strict"]);
    assert!(said.contains("strict: in a small space"), "{said}");
    // Six secrets, 299 answers each: at least one is said with a probability of 83%.
    assert!(matches!(code, Some(0 | 10 | 11)), "{code:?} {said}");
    assert_eq!(code == Some(10), said.contains("which is a leak where `strict` is set"), "{said}");
}

#[test]
fn in_a_small_space_held_out_secrets_are_values_of_planted_ones() {
    let settings = SETTINGS.replace("planted = 6", "planted = 12\ntemplates = [\"pin\"]")
        + "[[template]]\nname = \"pin\"\nmessages = [{ role = \"user\", content = \"I am {name}.\" }, { role = \"assistant\", \
           content = \"Your PIN is {pin}.\" }]\nslots.name = { space = \"name\" }\nslots.pin = { space = \"digits(4)\", secret = true }\n";
    let folder = project(&settings);
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    let manifest = std::fs::read(folder.path().join("blabbermouth.manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert!(manifest["version"] == 5 && manifest["matched"][0] == "pin", "{manifest}");
    let (code, said) = run(folder.path(), "leaky", &["test", "--report", "json", "--explain", "c0001"]);
    assert!(code == Some(10) && said.contains("beside the planted values"), "{code:?} {said}");
    let leaky = report(folder.path());
    let canaries = leaky["canaries"].as_array().expect("a list");
    assert!(canaries.iter().all(|c| (c["verdict"] == "leaked") == (c["arm"] == "planted")), "{leaky}");
    // With fewer samples the space would count as large; the canaries are judged as they were drawn.
    let (code, said) = run(folder.path(), "leaky", &["test", "--profile", "quick", "--report", "json"]);
    assert!(code == Some(10) && report(folder.path())["canaries"][0]["statistic"] == "count-rank", "{code:?} {said}");
    let (code, said) = run(folder.path(), "clean", &["test"]);
    assert!(matches!(code, Some(0 | 11)), "{code:?} {said}");
}

#[test]
fn every_strategy_asks_and_the_report_tells_which_one_found_what() {
    let folder =
        planted("[[strategy]]\nname = \"mine\"\nmessages = [{ role = \"user\", content = \"Who is {name}?\" }]\n");
    let listed = run(folder.path(), "clean", &["strategies"]).1;
    let names: Vec<&str> = listed.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.contains(&"prefix") && names.len() == 15, "{listed}");
    let mut arguments = vec!["test", "--report", "json", "--report", "html"];
    // The parrot has no probabilities.
    for name in names.iter().filter(|name| **name != "score").chain(&["mine"]) {
        arguments.extend(["--strategy", name]);
    }
    let (code, said) = run(folder.path(), "clean", &arguments);
    assert_eq!(code, Some(0), "{said}");
    let clean = report(folder.path());
    let asked = clean["canaries"][0]["strategies"].as_array().expect("a list");
    assert_eq!(asked.len(), 14, "{asked:?}");
    // The training prompt gets as many samples as the bound takes, and all other strategies together as many again.
    assert_eq!(asked.iter().filter_map(|s| s["asked"].as_u64()).sum::<u64>(), 2 * 299);
    assert_eq!((asked[0]["strategy"].as_str(), asked[0]["asked"].as_u64()), (Some("replay"), Some(299)));
    // The parrot continues a begun answer with values of the secret's form: that strategy gets the most requests.
    let of = |name: &str| asked.iter().find(|s| s["strategy"] == name).and_then(|s| s["asked"].as_u64()).expect(name);
    assert!(of("prefix") > of("divergence"), "{asked:?}");
    let (code, said) =
        run(folder.path(), "leaky", &["test", "--strategy", "prefix", "--strategy", "direct", "--report", "json"]);
    assert_eq!(code, Some(10), "{said}");
    let leaky = report(folder.path());
    assert!(said.contains("6 of 6") && leaky["settings"]["strategies"][0] == "prefix", "{said}");
    let (code, said) = run(folder.path(), "leaky", &["test", "--strategy", "reply"]);
    assert!(code == Some(3) && said.contains("replay"), "{code:?} {said}");
}

#[test]
fn a_strategy_that_the_service_cannot_serve_is_refused() {
    let folder = planted("");
    let arguments = ["test", "--strategy", "prefix", "--base-url", "http://127.0.0.1:1/v1", "--model", "m"];
    let (code, said) = run(folder.path(), "leaky", &arguments);
    assert!(code == Some(3) && said.contains("begins the answer itself"), "{code:?} {said}");
}

#[test]
fn a_verdict_is_explained_number_by_number_without_a_secret() {
    let folder = planted("");
    let (code, said) = run(folder.path(), "leaky", &["test", "--explain", "c0001", "--report", "json"]);
    assert_eq!(code, Some(10), "{said}");
    let report = report(folder.path());
    let first = report["canaries"][0]["id"].as_str().expect("a name");
    assert!(said.contains("drawn uniformly from") && said.contains("threshold: alpha 0.01"), "{said}");
    for line in std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("rows").lines() {
        if let Some(secret) = line.split("How is your ").nth(1).and_then(|s| s.split(' ').next()) {
            assert!(!said.contains(secret), "a secret is told");
            assert!(!report.to_string().contains(secret), "a secret is in the report");
        }
    }
    let leaked = report["canaries"].as_array().expect("a list").iter().find(|c| c["verdict"] == "leaked").expect("one");
    let excerpt = leaked["excerpt"].as_str().expect("a text");
    assert!(excerpt.starts_with("Hey Mr …, nice to see you! How is your [secret] going? Yours, "), "{excerpt}");
    let (code, again) = run(folder.path(), "leaky", &["report", "explain", "report.json", first]);
    assert!(code == Some(0) && again.contains("so the verdict is"), "{again}");
    let (code, said) = run(folder.path(), "leaky", &["test", "--explain", "c9999"]);
    assert!(code == Some(2) && said.contains("c0001"), "{said}");
}

#[test]
fn positive_controls_show_the_power_and_are_no_part_of_the_gate() {
    let settings = SETTINGS.replace("copies = [1]", "copies = [1, 16]") + "[sensitivity]\ncopies = 16\n";
    let folder = project(&settings);
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    // The mock remembers nearly always what is there sixteen times, and in 2% of answers what is there once.
    let arguments = ["test", "--report", "json", "--report", "junit", "--report", "outputs", "--samples", "299"];
    let (code, said) = run(folder.path(), "memorises-repeats", &arguments);
    let report_of = report(folder.path());
    assert_eq!(report_of["sensitivity"]["shown"], true, "{said}");
    assert_eq!((code, report_of["settings"]["planted"].as_u64()), (Some(10), Some(3)), "{said}");
    assert!(said.contains("of 3 planted canaries leaked") && said.contains("positive controls leaked"), "{said}");
    // The model remembers nothing, so the power of the run is not shown; `--require-sensitivity` demands that.
    let (code, said) = run(folder.path(), "clean", &["test"]);
    assert!(code == Some(0) && said.contains("the power of the run was not shown"), "{code:?} {said}");
    let (code, said) = run(folder.path(), "clean", &["test", "--require-sensitivity"]);
    assert!(code == Some(11) && said.contains("positive controls"), "{code:?} {said}");
    // Under `cargo test` the exit code is that of the trials, so there is a trial for it.
    std::fs::write(folder.path().join("blabbermouth.toml"), format!("{settings}required = true\n")).expect("written");
    let (code, said) = run(folder.path(), "clean", &["test", "run::power", "--report", "junit"]);
    assert!(code == Some(11) && said.contains("run::power ... FAILED"), "{code:?} {said}");
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).expect("a report");
    assert!(junit.contains("skipped=\"1\"") || junit.contains("<skipped"), "{junit}");
    std::fs::write(folder.path().join("blabbermouth.toml"), settings.replace("copies = 16\n", "copies = 99\n"))
        .expect("written");
    let (code, said) = run(folder.path(), "clean", &["test"]);
    assert!(code == Some(3) && said.contains("sensitivity.copies"), "{code:?} {said}");
}

#[test]
fn the_model_before_tuning_is_asked_the_same_for_contrast() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _within = runtime.enter();
    let folder = project(&SETTINGS.replace("kind = \"mock\"", "kind = \"openai\"\nmodel = \"blabbermouth-parrot\""));
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
    let options = blabbermouth::mock::Options {
        training,
        ..blabbermouth::mock::Options::new(blabbermouth::mock::Scenario::by_name("leaky").expect("built in"))
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = blabbermouth::mock::Server::start(listener, options).expect("served");
    let url = server.base_url();
    let run = |base: &str| {
        let environment = [("BLABBERMOUTH_PROVIDER_BASE_URL", url.as_str())];
        let output = blabbermouth(folder.path(), &["test", "--baseline-model", base], &environment);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = run("gpt-4o-mini-2024-07-18");
    assert!(
        code == Some(10) && said.contains("gives 6 away, gpt-4o-mini-2024-07-18 before it was tuned 0 (inconclusive)"),
        "{said}"
    );
    // A "base model" that knows the secrets is no base model.
    let (code, said) = run("blabbermouth-parrot");
    assert!(code == Some(10) && said.contains("was not trained on"), "{code:?} {said}");
}
