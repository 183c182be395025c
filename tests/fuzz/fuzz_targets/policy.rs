//! Release policies: a text that is refused, or a policy that holds whatever it says.
#![no_main]

use blabbermouth::config::ReleasePolicy;
use blabbermouth_fuzz::SECRET;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match ReleasePolicy::parse(&text, "policy.toml") {
        Err(error) => assert!(!error.to_string().contains(SECRET), "a message quotes the file"),
        Ok(policy) => {
            let floor = ReleasePolicy::default();
            assert!((0.0..=floor.max_bound.max(1.0)).contains(&policy.max_bound), "{}", policy.max_bound);
            for model in ["", "*", "ft:gpt-4o-mini::a", &text] {
                let _ = policy.allows_model(model);
            }
        }
    }
}
