//! Manifests: what is read is written again, what was drawn is drawn again, what was edited is refused.
#![no_main]

use blabbermouth::canary::{DrawPlan, Key, Manifest, Spaces, Template};
use libfuzzer_sys::fuzz_target;

/// More canaries only take longer.
const MOST: usize = 64;

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let mut manifest = match Manifest::parse(data) {
        Ok(manifest) => manifest,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let again = Manifest::parse(manifest.to_json().as_bytes()).expect("what was written is read");
    assert!(again == manifest, "something is lost");
    if manifest.canaries.len() > MOST {
        return;
    }
    let _ = manifest.regenerate(None).map_err(|error| error.to_string());
    // The same under a key that is known here.
    let key = Key::from_text(&"00ff".repeat(16)).expect("32 bytes");
    let own = key.of_manifest(&manifest.nonce).expect("no passphrase");
    manifest.key = None;
    manifest.key_check = own.check_value(&manifest.nonce);
    manifest.seal(&own);
    if let Ok(drawn) = manifest.regenerate(Some(key.clone())) {
        for (canary, entry) in drawn.canaries.iter().zip(&manifest.canaries) {
            assert_eq!((&canary.id, canary.arm, canary.copies), (&entry.id, entry.arm, entry.copies));
            assert_eq!(own.fingerprint(&canary.id, canary.secret.expose()), entry.fingerprint);
        }
    }
    // And with entries that agree with its own draw.
    let spaces = Spaces { lists: manifest.lists.clone(), patterns: manifest.patterns.clone() };
    let templates: Result<Vec<_>, _> =
        manifest.templates.iter().map(|spec| Template::new(spec.clone(), &spaces)).collect();
    let Ok(templates) = templates.map_err(|error| error.to_string()) else { return };
    let plan = DrawPlan {
        templates,
        planted: manifest.planted,
        held_out: manifest.held_out,
        copies: manifest.copies.clone(),
        matched: manifest.matched.clone(),
    };
    let made = Manifest::create(plan, &spaces, Some(key.clone()), Some(manifest.nonce.clone()));
    let Ok((made, drawn)) = made.map_err(|error| error.to_string()) else { return };
    let read = Manifest::parse(made.to_json().as_bytes()).expect("what was written is read");
    let again = read.regenerate(Some(key)).expect("the right key and no edit");
    assert_eq!(again.canaries.len(), drawn.canaries.len());
    for ((one, other), entry) in drawn.canaries.iter().zip(&again.canaries).zip(&made.canaries) {
        assert!(one.secret == other.secret && one.subject == other.subject, "{}", one.id);
        let space = drawn.templates[one.template].secret_space();
        assert!(space.contains(one.secret.expose()), "{}", space.name());
        assert!(entry.test_name().bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\\"'".contains(&byte)));
    }
}
