//! Detectors beside a brute-force search. The first lines are secrets, the others are what was said.
#![no_main]

use blabbermouth::canary::Space;
use blabbermouth::detect::{Approximate, Detector, Searcher, Synonyms, Tier, normalise, segments};
use libfuzzer_sys::fuzz_target;

/// Lines that are secrets.
const SECRETS: usize = 4;
/// Fewer letters are not looked for with a shift: they would be there by chance.
const FEWEST_SHIFTED: usize = 5;

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines: Vec<&str> = text.splitn(SECRETS + 1, '\n').collect();
    let said = if lines.len() > SECRETS { lines.pop().unwrap_or_default() } else { "" };
    nearly(lines[0], said);
    lines.retain(|line| !normalise(line).is_empty());
    let normal: Vec<String> = lines.iter().map(|secret| normalise(secret)).collect();
    let said_normal = normalise(said);
    let turned = backward(&said_normal);

    let plain: Vec<usize> = (0..normal.len()).filter(|i| said_normal.contains(&normal[*i])).collect();
    let only_plain = Searcher::with(lines.iter().copied(), Synonyms::default(), false).search(said);
    assert_eq!(only_plain.iter().map(|m| m.owner).collect::<Vec<_>>(), plain, "{lines:?} {said:?}");

    let found = Searcher::with(lines.iter().copied(), Synonyms::default(), true).search(said);
    assert!(found.is_sorted_by_key(|m| m.owner), "{found:?}");
    for (owner, secret) in normal.iter().enumerate() {
        let matched = found.iter().find(|m| m.owner == owner);
        let said_plainly = plain.contains(&owner);
        if said_plainly || turned.contains(secret) || any_shift(secret, &[&said_normal, &turned]) {
            let matched = matched.unwrap_or_else(|| panic!("{:?} is not found in {said:?}", lines[owner]));
            assert_eq!(matched.how.is_empty(), said_plainly, "{matched:?} {said:?}");
        } else if matched.is_some() {
            // What is found all the same stands in a decoded part.
            let views: Vec<String> =
                segments(said, &Synonyms::default()).iter().map(|part| normalise(&part.text)).collect();
            let both: Vec<String> = views.iter().cloned().chain(views.iter().map(|view| backward(view))).collect();
            let both: Vec<&str> = both.iter().map(String::as_str).collect();
            let there = both.iter().any(|view| view.contains(secret)) || any_shift(secret, &both);
            assert!(there, "{matched:?} is not in {said:?}");
        }
        if let Some(matched) = matched {
            let place = said.get(matched.place.clone()).expect("a place in the text, between characters");
            assert!(!matched.how.is_empty() || normalise(place).contains(secret), "{matched:?} {said:?}");
            let exact = matched.detector == Detector::Exact;
            assert!(exact == (said_plainly && said.contains(lines[owner])), "{matched:?} {said:?}");
            assert!(said_plainly == (matched.detector.tier() == Tier::Plain), "{matched:?} {said:?}");
        }
    }
}

fn backward(text: &str) -> String {
    text.chars().rev().collect()
}

/// Whether a secret stands in one of the texts with its letters shifted.
fn any_shift(secret: &str, texts: &[&str]) -> bool {
    let letters = secret.bytes().filter(u8::is_ascii_lowercase).count();
    letters >= FEWEST_SHIFTED
        && (1..26).any(|by| {
            let shift = |c: char| match c {
                'a'..='z' => char::from((c as u8 - b'a' + by) % 26 + b'a'),
                c => c,
            };
            let shifted: String = secret.chars().map(shift).collect();
            texts.iter().any(|text| text.contains(&shifted))
        })
}

/// Nearly a secret of ten digits: eight of them in a row, or all with one wrong, missing or too many.
fn nearly(seed: &str, said: &str) {
    let space = Space::parse("digits(10)").expect("built in");
    let digits = seed.bytes().chain(std::iter::repeat(b'0')).take(10);
    let secret: String = digits.map(|byte| char::from(b'0' + byte % 10)).collect();
    let normal = normalise(said);
    let wanted = if secret.as_bytes().windows(8).any(|part| normal.as_bytes().windows(8).any(|here| here == part)) {
        Some(Detector::Partial)
    } else if distance(secret.as_bytes(), normal.as_bytes()) <= 1 {
        Some(Detector::Fuzzy)
    } else {
        None
    };
    assert_eq!(Approximate::new(&space, &secret, true, true).search(said), wanted, "{secret} {said:?}");
}

/// The smallest edit distance between a pattern and any stretch of a text (Sellers 1980).
fn distance(pattern: &[u8], text: &[u8]) -> usize {
    let mut column: Vec<usize> = (0..=pattern.len()).collect();
    let mut best = pattern.len();
    for byte in text {
        let mut diagonal = 0;
        for (at, wanted) in (1..).zip(pattern) {
            let here = (diagonal + usize::from(byte != wanted)).min(column[at] + 1).min(column[at - 1] + 1);
            diagonal = std::mem::replace(&mut column[at], here);
        }
        best = best.min(column[pattern.len()]);
    }
    best
}
