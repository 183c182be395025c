//! Evidence folders: whatever is changed in one is an error, and no change makes another folder valid.
//!
//! The first byte chooses a file. After it stand changes, five bytes each: a place (four bytes), and the bits that are flipped
//! there, or 0 to cut the file.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use blabbermouth::canary::Key;
use blabbermouth::evidence::{EvidencePack, Signer, Subject, Verifier};
use blabbermouth_fuzz::report;
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<Key> = LazyLock::new(|| Key::from_text(&"00ff".repeat(16)).expect("32 bytes"));
static FILES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let report = report(&[]);
    let pack = EvidencePack::new(&report, &[Subject::of_model(&report)], &Signer::Manifest(KEY.clone()));
    pack.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect()
});

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    // Reports of any texts give a valid folder.
    let report = report(data);
    let pack = EvidencePack::new(&report, &[Subject::of_model(&report)], &Signer::Manifest(KEY.clone()));
    let own = pack.files().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    let verified = EvidencePack::verify(&own, &Verifier::Manifest(KEY.clone())).expect("as it was written");
    assert!(report.verdict == blabbermouth::verdict::RunVerdict::Clean || verified.result == "FAILED");

    let Some((chosen, changes)) = data.split_first() else { return };
    let mut files = FILES.clone();
    let name = EvidencePack::FILES[*chosen as usize % EvidencePack::FILES.len()];
    let file = files.get_mut(name).expect("there");
    for [a, b, c, d, flip] in changes.as_chunks::<5>().0 {
        if file.is_empty() {
            break;
        }
        let place = u32::from_le_bytes([*a, *b, *c, *d]) as usize % file.len();
        match flip {
            0 => file.truncate(place),
            flip => file[place] ^= flip,
        }
    }
    let is_same = files == *FILES;
    assert_eq!(EvidencePack::verify(&files, &Verifier::Manifest(KEY.clone())).is_ok(), is_same, "{name}");
}
