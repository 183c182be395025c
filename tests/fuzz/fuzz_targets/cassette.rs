//! Cassettes, damaged: an error, a missing answer, or the answer that was recorded for that request.
//!
//! Changes of five bytes each: a place (four bytes), and the bits that are flipped there, or 0 to cut the file; 255 moves
//! what stands before the place to the end.
#![no_main]

use std::sync::{Arc, LazyLock};

use blabbermouth::cassette::{Player, Recorder};
use blabbermouth::chat::{Completion, Finish, Message, Role, Sampling, Usage};
use blabbermouth::provider::{Answer, DiscardSink, Completing, Provider, Request};
use blabbermouth_fuzz::folder;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

const KEY: [u8; 32] = [7; 32];
const REQUESTS: u32 = 6;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

struct Echo;

impl Provider for Echo {
    fn complete<'a>(&'a self, request: &'a Request) -> Completing<'a> {
        let text = format!("answer {}", request.seed);
        let completion = Completion { text, beside: String::new(), finish: Finish::Stop, refused: false };
        Box::pin(async move { Ok(Answer::new(vec![completion], Usage::default())) })
    }

    fn model(&self) -> &str {
        "echo"
    }

    fn address(&self) -> String {
        "here".into()
    }
}

fn request(number: u32) -> Request {
    let messages = Arc::from(vec![Message::new(Role::User, format!("question {number}"))]);
    let sampling: Sampling = serde_json::from_str(r#"{"temperature": 1.0, "top_p": 1.0, "max_tokens": 16}"#).expect("sampling");
    Request { messages, sampling, seed: number, choices: 1, broken: DiscardSink::default() }
}

static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = folder();
    let path = folder.path().join("sound.cassette");
    let recorder = Recorder::new(Arc::new(Echo), &path, KEY, 0).expect("a cassette");
    for number in 0..REQUESTS {
        RUNTIME.block_on(recorder.complete(&request(number))).expect("answered");
    }
    recorder.end().expect("closed");
    drop(recorder);
    std::fs::read(path).expect("written")
});

fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let mut bytes = SOUND.clone();
    for [a, b, c, d, flip] in data.as_chunks::<5>().0 {
        if bytes.is_empty() {
            break;
        }
        let place = u32::from_le_bytes([*a, *b, *c, *d]) as usize % bytes.len();
        match flip {
            0 => bytes.truncate(place),
            255 => bytes.rotate_left(place),
            flip => bytes[place] ^= flip,
        }
    }
    let folder = folder();
    let path = folder.path().join("damaged.cassette");
    std::fs::write(&path, &bytes).expect("written");
    if let Ok(player) = Player::new(std::slice::from_ref(&path), false, "echo", KEY) {
        for number in 0..REQUESTS {
            if let Ok(answer) = RUNTIME.block_on(player.complete(&request(number))) {
                assert_eq!(answer.completions[0].text, format!("answer {number}"));
            }
        }
    }
    // Recording goes on after whole lines, or says why it does not.
    if let Ok(recorder) = Recorder::new(Arc::new(Echo), &path, KEY, 0) {
        let _ = RUNTIME.block_on(recorder.complete(&request(REQUESTS)));
    }
}
