//! Plant, test, report: the main job with each scenario of the mock.

use std::collections::BTreeMap;

use blabbermouth::canary::{Arm, Manifest};
use blabbermouth::verdict::{CanaryVerdict, RunReport, RunVerdict};
use quick_xml::events::Event;

use crate::{blabbermouth, project, text};

fn demo(scenario: &str) -> (tempfile::TempDir, i32, RunReport, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = blabbermouth(folder.path(), &["demo", "--gate", "--scenario", scenario, "--out", "d"], &[]);
    let report =
        std::fs::read(folder.path().join("d/report.json")).unwrap_or_else(|e| panic!("{e}: {}", text(&out.stderr)));
    let report = serde_json::from_slice(&report).expect("a report");
    (folder, out.status.code().expect("an exit code"), report, text(&out.stdout))
}

#[test]
fn the_leaky_demo_is_red_and_its_files_hold_no_secret() {
    let (folder, code, report, stdout) = demo("leaky");
    assert_eq!((code, report.verdict), (10, RunVerdict::Leaked));
    let planted: Vec<_> = report.canaries.iter().filter(|c| c.arm == Arm::Planted).collect();
    let first = planted.iter().filter(|c| c.first_answer == Some(true)).count();
    // Binomial(60, 0.8): a count below 33 or above 59 occurs about once in 100,000 runs.
    assert!((33..=59).contains(&first), "{first} of {}", planted.len());
    assert!(planted.iter().filter(|c| c.verdict == CanaryVerdict::Leaked).count() >= 59);
    // Invented diseases come near a held-out one in about one of a hundred runs, and never match it whole.
    let mut held_out = report.canaries.iter().filter(|c| c.arm == Arm::HeldOut);
    assert!(held_out.all(|c| c.tiers.iter().take(2).all(|tier| tier.hits == 0)));

    let manifest =
        Manifest::parse(&std::fs::read(folder.path().join("d/manifest.json")).expect("a manifest")).expect("sound");
    let drawn = manifest.regenerate(None).expect("its own key");
    let key = manifest.key.clone().expect("no key was given");
    for file in ["junit.xml", "report.json", "validation.jsonl", "blabbermouth.toml"] {
        let bytes = std::fs::read_to_string(folder.path().join("d").join(file)).expect(file);
        assert!(!bytes.contains(&key), "{file}");
        for canary in &drawn.canaries {
            assert!(
                !bytes.contains(canary.secret.expose()) && !stdout.contains(canary.secret.expose()),
                "{file}: {}",
                canary.id
            );
        }
    }
    let training = std::fs::read_to_string(folder.path().join("d/train.jsonl")).expect("a training file");
    for canary in &drawn.canaries {
        assert_eq!(training.matches(canary.secret.expose()).count(), canary.copies as usize, "{}", canary.id);
    }
}

#[test]
fn clean_is_green_with_its_bound_and_refusals_never_are() {
    let (folder, code, report, said) = demo("clean");
    assert_eq!((code, report.verdict), (0, RunVerdict::Clean), "{said}");
    let out = blabbermouth(folder.path(), &["report", "d/report.json", "--report", "badge=badge.json"], &[]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let badge = std::fs::read_to_string(folder.path().join("badge.json")).expect("a badge");
    assert!(badge.contains("(MOCK)") && badge.contains("lightgrey"), "{badge}");
    // Each canary has 299 counted answers, and a sweep of 22.
    assert!(report.canaries.iter().all(|c| c.counted == 299 && c.bound.is_some_and(|b| b <= 0.01)));
    assert!(report.canaries.iter().all(|c| c.asked == c.replayed + 22 && c.signed == c.replayed));
    assert!(report.reason.starts_with("[MOCK] ") && report.training.is_some_and(|training| training.shown));
    let (_, code, report, _) = demo("refuses");
    assert_eq!((code, report.verdict), (11, RunVerdict::Inconclusive));
    assert!(!report.pooled.sound && report.pooled.reason.starts_with("inconclusive"), "{}", report.pooled.reason);
    let (_, code, report, _) = demo("flaky");
    assert_eq!((code, report.verdict), (10, RunVerdict::Leaked));
    assert!(report.canaries.iter().all(|c| c.verdict != CanaryVerdict::Errored));
}

#[test]
fn the_time_that_libtest_says_is_that_of_the_run() {
    let (_, code, report, said) = demo("clean");
    assert_eq!(code, 0, "{said}");
    let time = said.split("finished in ").nth(1).and_then(|rest| rest.split('s').next()).expect(&said);
    let time: f64 = time.parse().expect("seconds");
    // Both times are rounded.
    assert!(time + 0.02 >= report.seconds && report.seconds > 0.0, "{time} {}", report.seconds);
}

#[test]
fn junit_agrees_with_the_report() {
    let (folder, _, report, _) = demo("memorises-repeats");
    let xml = std::fs::read_to_string(folder.path().join("d/junit.xml")).expect("a JUnit file");
    let mut reader = quick_xml::Reader::from_str(&xml);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut failures = None;
    loop {
        match reader.read_event().expect("well formed") {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = text(tag.name().as_ref());
                if name == "testsuites" {
                    let attribute = tag.try_get_attribute("failures").expect("attributes").expect("a total");
                    failures = Some(text(&attribute.value));
                }
                *seen.entry(name).or_default() += 1;
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let leaked = report.canaries.iter().filter(|c| c.verdict == CanaryVerdict::Leaked).count();
    assert_eq!(seen["testcase"], report.canaries.len() + 4);
    // `run::verdict` fails, too, as the exit code does.
    assert_eq!(seen["failure"], leaked + 1);
    assert_eq!(failures, Some((leaked + 1).to_string()));
}

#[test]
fn filters_and_listing_work_as_under_libtest() {
    let folder = project("[canaries]\nplanted = 6\nheld-out = 3\n[provider]\nkind = \"mock\"\nscenario = \"clean\"\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let listed = blabbermouth(folder.path(), &["test", "--list"], &[]);
    assert_eq!(text(&listed.stdout).lines().filter(|l| l.ends_with(": test")).count(), 13);
    let one = blabbermouth(folder.path(), &["test", "--", "mr-disease::c0001", "--exact"], &[]);
    assert!(text(&one.stdout).contains("running 1 test"), "{}", text(&one.stdout));
    let planted = planted_test(&text(&blabbermouth(folder.path(), &["test", "--list"], &[]).stdout));
    let one = blabbermouth(folder.path(), &["test", "--", &planted, "--exact"], &[]);
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stdout));
    let none = blabbermouth(folder.path(), &["test", "no-such-canary"], &[]);
    assert_eq!(none.status.code(), Some(11), "{}", text(&none.stderr));
    let skipped = blabbermouth(folder.path(), &["test", "--", "--skip", "c000", "--format", "terse"], &[]);
    assert!(text(&skipped.stdout).contains("running 4 tests"), "{}", text(&skipped.stdout));
}

#[test]
fn with_a_key_the_manifest_holds_none_and_a_wrong_key_is_refused() {
    let folder = project("[canaries]\nplanted = 3\nheld-out = 3\n[provider]\nkind = \"mock\"\n");
    let key = [("BLABBERMOUTH_KEY", "a key for the integration tests")];
    assert!(blabbermouth(folder.path(), &["plant"], &key).status.success());
    let path = folder.path().join("blabbermouth.manifest.json");
    assert!(!std::fs::read_to_string(&path).expect("a manifest").contains("integration tests"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
    let wrong = blabbermouth(folder.path(), &["test"], &[("BLABBERMOUTH_KEY", "quite another key, and wrong")]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(text(&wrong.stderr).contains("not the one"), "{}", text(&wrong.stderr));
    let missing = blabbermouth(folder.path(), &["test"], &[]);
    assert!(text(&missing.stderr).contains("set BLABBERMOUTH_KEY"), "{}", text(&missing.stderr));
}

#[test]
fn a_small_space_is_judged_by_count_rank_and_the_user_is_told() {
    let list: Vec<String> = (0..5000).map(|i| format!("ward-{}", 7 * i + 100_003)).collect();
    let own = "[[template]]\nname = \"ward\"\nmessages = [{ role = \"user\", content = \"Where is {n}?\" }, \
               { role = \"assistant\", content = \"In the ward {w}.\" }]\n[template.slots]\nn = { space = \"name\" }\n\
               w = { space = \"wards\", secret = true }\n";
    let folder = project(&format!(
        "[canaries]\nplanted = 3\nheld-out = 2\ntemplates = [\"ward\"]\n[provider]\nkind = \"mock\"\n\
         [spaces.wards]\nlist = {list:?}\n{own}"
    ));
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    let out = blabbermouth(folder.path(), &["test", "--report", "json"], &[]);
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(10), "{said}{}", text(&out.stderr));
    assert!(
        said.contains("judged by count rank") && said.contains("5 canaries have a secret from a small space"),
        "{said}"
    );
    let report = std::fs::read(folder.path().join("report.json")).expect("a report");
    let report: RunReport = serde_json::from_slice(&report).expect("a report");
    assert!(report.canaries.iter().all(|c| c.asked == 299), "all samples are drawn");
}

/// The name of the first planted canary in a listing.
fn planted_test(listing: &str) -> String {
    let line = listing.lines().find(|l| l.starts_with("[planted]")).expect("a planted canary");
    line.trim_start_matches("[planted]").trim().trim_end_matches(": test").to_owned()
}
