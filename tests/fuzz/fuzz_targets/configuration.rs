//! Configurations: a text that is read or refused, and everything that is made of it. After a NUL may stand the name of a
//! variable, an equals sign, and its value.
#![no_main]

use std::collections::BTreeMap;

use blabbermouth::canary::Key;
use blabbermouth::config::Config;
use blabbermouth::detect::Searcher;
use blabbermouth::report::SourceMap;
use blabbermouth_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, rest) = data.split_at(end);
    let variable = String::from_utf8_lossy(rest.get(1..).unwrap_or_default()).into_owned();
    let (name, value) = variable.split_once('=').unwrap_or_default();
    let folder = folder();
    let path = folder.path().join("blabbermouth.toml");
    std::fs::write(&path, text).expect("written");
    let text = String::from_utf8_lossy(text);
    let places = SourceMap::of("blabbermouth.toml", &text);
    assert!((1..=text.lines().count().max(1)).contains(&places.line("mr-disease")));
    let config = Config::load(Some(&path), |asked| (asked == name).then(|| value.to_owned()));
    let Ok(config) = config.map_err(|error| error.to_string()) else { return };
    let policy = config.verdict.policy();
    assert!(policy.alpha > 0.0 && policy.alpha < 1.0 && policy.bound > 0.0 && policy.confidence < 1.0);
    assert!(config.strategies().is_ok() && config.target().is_ok() && config.fields().is_ok(), "they were checked");
    // Lists in files of any name are not read here.
    if config.spaces.values().any(|space| space.file.is_some()) {
        return;
    }
    let Ok(spaces) = config.spaces(folder.path()).map_err(|error| error.to_string()) else { return };
    let searcher = Searcher::with(["48291377"], config.synonyms(), true);
    assert!(!searcher.search("Your number is 4829-1377.").is_empty(), "other words hide nothing");
    let Ok(templates) = config.templates(&spaces, true).map_err(|error| error.to_string()) else { return };
    let mut stream = Key::from_text("a key for the fuzzing of templates").expect("long enough").stream("fuzz", "");
    for template in templates {
        let subject: BTreeMap<String, String> =
            template.public_slots().map(|(slot, space)| (slot.to_owned(), space.draw(&mut stream))).collect();
        let space = template.secret_space();
        let secret = space.draw(&mut stream);
        assert!(space.contains(&secret) && space.size_f64() >= 2.0, "{}", space.name());
        let chat = template.render(&subject, &secret);
        let prompt = template.prompt(&subject);
        assert!(chat.starts_with(&prompt) && chat[prompt.len()].content.contains(&secret));
        let _ = template.recognise(&prompt);
        if let Some(half) = space.half() {
            let (first, second) = half.split(&secret).expect("a member has two halves");
            assert_eq!(format!("{first}{second}"), secret);
        }
    }
}
