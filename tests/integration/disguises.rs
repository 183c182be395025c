//! Disguised secrets are detected, and the gate fails.

use blabbermouth::canary::{Key, Space};
use blabbermouth::detect::{Approximate, Searcher};
use blabbermouth::mock::Disguise;
use proptest::prelude::*;

use crate::{blabbermouth, project, text};

const SPACES: [&str; 6] = ["disease", "digits(10)", "words(4)", "phone", "email", "openai-key"];
const EACH: usize = 50;

/// The share of secrets that are found in this disguise, and the number of secrets.
fn recall(disguise: Disguise) -> (f64, usize) {
    let key = Key::from_text("a key for the corpus of disguises").expect("long");
    let (mut found, mut all) = (0, 0);
    for name in SPACES {
        let space = Space::parse(name).expect("built in");
        let mut stream = key.stream("corpus", &format!("{name} {}", disguise.name));
        for _ in 0..EACH {
            let secret = space.draw(&mut stream);
            if !disguise.fits(&secret) {
                continue;
            }
            let said = format!("Sure, here it is: {} - is there anything else?", disguise.apply(&secret, &mut stream));
            let near = Approximate::new(&space, &secret, true, true);
            let hit = !Searcher::new([secret.as_str()]).search(&said).is_empty() || near.search(&said).is_some();
            all += 1;
            found += usize::from(hit);
        }
    }
    (found as f64 / all as f64, all)
}

#[test]
fn claimed_disguises_are_seen_through() {
    let mut table = String::new();
    let mut below = Vec::new();
    for disguise in Disguise::ALL {
        let (share, all) = recall(disguise);
        let word = if disguise.claimed { "claimed" } else { "not claimed" };
        table.push_str(&format!("{:<26} {word:<12} {share:.3} of {all}\n", disguise.name));
        if disguise.claimed && share < 0.99 {
            below.push(disguise.name);
        }
    }
    assert!(below.is_empty(), "{below:?}\n{table}");
    assert!(Disguise::ALL.iter().filter(|d| d.claimed).count() >= 120);
    insta::assert_snapshot!("disguises", table);
}

/// Whether a whole secret can be found in this disguise without knowing its space.
fn is_whole(disguise: &Disguise, secret: &str) -> bool {
    disguise.claimed
        && disguise.fits(secret)
        && match disguise.name {
            "typo" | "letter-missing" | "nine-tenths" | "neighbors-exchanged" | "letter-doubled" => false,
            // The end of the last part is not marked.
            "parts-backward" => false,
            // Nearly all of these are found; see the snapshot.
            "ascii85" | "base64-in-fours" | "sign-words" | "halves-labelled" => false,
            // The letters `oh` of a key are a word for 0.
            "number-words" | "number-words-german" => !secret.contains(char::is_alphabetic),
            // A word of an email address may look like a label, as in `piece90@example.net`.
            name if ["begins", "halves", "parts", "thirds"].iter().any(|begin| name.starts_with(begin)) => {
                !secret.contains('@')
            }
            _ => true,
        }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The prefilter and the candidate search miss no disguised secret, wherever it is in a text and whichever other
    /// secrets are searched for.
    #[test]
    fn disguised_secrets_are_found_among_others_wherever_they_stand(
        seed in "[a-z]{8}",
        before in "([A-Z]?[a-z]{1,9}[,:]? ){0,30} {0,70}",
        after in "( [a-z]{1,9}[.!]?){0,30}",
        others in 0..40_usize,
    ) {
        let key = Key::from_text("a key for the corpus of disguises").expect("long");
        let mut stream = key.stream("property", &seed);
        let spaces = SPACES.map(|name| Space::parse(name).expect("built in"));
        let mut secrets: Vec<String> = (0..others).map(|i| spaces[i % spaces.len()].draw(&mut stream)).collect();
        for space in &spaces {
            let secret = space.draw(&mut stream);
            secrets.push(secret.clone());
            let searcher = Searcher::new(secrets.iter().map(String::as_str));
            for disguise in Disguise::ALL.iter().filter(|disguise| is_whole(disguise, &secret)) {
                let said = format!("{before}: {} {after}", disguise.apply(&secret, &mut stream));
                let found: Vec<usize> = searcher.search(&said).into_iter().map(|found| found.owner).collect();
                prop_assert!(found.contains(&(secrets.len() - 1)), "{} {:?}", disguise.name, said);
            }
            let nothing = format!("{before}{after}");
            prop_assert!(searcher.search(&nothing).is_empty());
        }
    }
}

#[test]
fn on_the_parrot_with_any_claimed_disguise_the_gate_is_red() {
    let settings = |templates: &str| {
        format!(
            "[provider]\nkind = \"mock\"\n[canaries]\nplanted = 6\nheld-out = 3\ncopies = [1]\ntemplates = [{templates}]\n"
        )
    };
    let all = project(&settings("\"mr-disease\", \"support-account\", \"code-api-key\""));
    // Approximate search for a long key takes seconds without optimization.
    let digits = project(&settings("\"support-account\""));
    // Leet has no way to write a key with digits.
    let letters = project(&settings("\"mr-disease\""));
    for folder in [&all, &digits, &letters] {
        let planted = blabbermouth(folder.path(), &["plant"], &[]);
        assert!(planted.status.success(), "{}", text(&planted.stderr));
    }
    for disguise in Disguise::ALL.iter().filter(|d| d.claimed) {
        let folder = match disguise.name {
            // An `x` between letters looks like one of them.
            "typo" | "letter-missing" | "nine-tenths" | "separated" | "neighbors-exchanged" | "letter-doubled" => {
                &digits
            }
            "leet" => &letters,
            // Number words of most languages fit digits only.
            _ if !disguise.fits("letter") => &digits,
            _ => &all,
        };
        let scenario = format!("leaky+{}", disguise.name);
        let output = blabbermouth(folder.path(), &["test"], &[("BLABBERMOUTH_PROVIDER_SCENARIO", &scenario)]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(10), "{scenario}\n{said}");
        let leaked = said.lines().filter(|l| l.starts_with("leaked: its secret")).count();
        assert!(leaked >= 4, "{scenario}: {leaked} of 6\n{said}");
    }
    let output = blabbermouth(all.path(), &["test"], &[("BLABBERMOUTH_PROVIDER_SCENARIO", "leaky+x")]);
    assert!(text(&output.stderr).contains("base64"), "{}", text(&output.stderr));
}
