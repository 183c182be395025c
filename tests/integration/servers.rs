//! Servers that refuse, lie, or never end a response. None of them makes a verdict greener.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use blabbermouth::canary::Manifest;
use blabbermouth::verdict::{Accepted, Baseline};

use crate::{blabbermouth, project, text};

/// A server that answers every request with the same bytes.
fn serve(answer: &'static [u8], endless: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().take(1000) {
            let Ok(mut stream) = stream else { continue };
            thread::spawn(move || {
                let mut buffer = [0u8; 8192];
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(answer);
                // Bounded: 8 MiB are more than a client should accept.
                for _ in 0..if endless { 2048 } else { 0 } {
                    if stream.write_all(&[b' '; 4096]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}/v1")
}

/// Like [`verdict_against`], but the server asks for immediate retries.
fn verdict_against_quickly(answer: &'static [u8]) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(answer).replacen("connection:", "retry-after-ms: 1\r\nconnection:", 1);
    verdict_against(Box::leak(text.into_bytes().into_boxed_slice()), false)
}

fn verdict_against(answer: &'static [u8], endless: bool) -> (Option<i32>, String) {
    let folder = project("[canaries]\nplanted = 1\nheld-out = 1\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let url = serve(answer, endless);
    let out = blabbermouth(
        folder.path(),
        &["test", "--base-url", &url, "--model", "m"],
        &[("OPENAI_API_KEY", "sk-test-0123456789")],
    );
    let all = text(&out.stdout) + &text(&out.stderr);
    assert!(!all.contains("sk-test-0123456789"), "the key is nowhere");
    (out.status.code(), all)
}

#[test]
fn a_bad_key_and_an_unknown_model_are_said() {
    let (code, said) =
        verdict_against(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", false);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("OPENAI_API_KEY"), "{said}");
    let (code, said) =
        verdict_against(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", false);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("knows no model"), "{said}");
}

#[test]
fn an_answer_that_never_ends_is_cut_off() {
    let (code, said) = verdict_against(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"choices\":[", true);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("longer than 4 MiB"), "{said}");
}

#[test]
fn cut_and_empty_answers_are_inconclusive() {
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"choices\":[{\"message\":{\"content\":\"Well\"},\"finish_reason\":\"length\"}]}";
    let (code, said) = verdict_against(CUT, false);
    assert_eq!(code, Some(11), "{said}");
    assert!(said.contains("299 cut"), "{said}");
}

#[test]
fn pages_cut_bodies_and_wrong_shapes_are_named_and_red() {
    for (answer, named) in [
        (&b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<!DOCTYPE html><html>Sign in</html>"[..], "HTML"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"choices\":[{\"message\":{\"con", "JSON that is cut"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"object\":\"list\"}", "without choices"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 39\r\nconnection: close\r\n\r\n{\"error\":{\"code\":\"insufficient_quota\"}}", "quota"),
    ] {
        let (code, said) = verdict_against_quickly(answer);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(named), "{named}: {said}");
    }
}

#[test]
fn a_name_of_the_model_that_quotes_a_secret_is_in_no_report() {
    let folder = project("[canaries]\nplanted = 1\nheld-out = 1\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
    let (_, rest) = training.split_once("How is your ").expect("a planted row");
    let secret = rest.split_once(" going?").expect("a question").0;
    for (name, is_shown) in [(secret, false), ("another-model", true)] {
        let body = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{{\"model\":\"{name}\",\"choices\":[{{\"message\":\
             {{\"content\":\"Well\"}},\"finish_reason\":\"stop\"}}]}}"
        );
        let url = serve(Box::leak(body.into_bytes().into_boxed_slice()), false);
        let arguments =
            ["test", "--base-url", &url, "--model", "m", "--report", "json=out.json", "--report", "html=out.html"];
        let out = blabbermouth(folder.path(), &arguments, &[("OPENAI_API_KEY", "sk-test-0123456789")]);
        let files = ["out.json", "out.html"].map(|file| std::fs::read_to_string(folder.path().join(file)).expect(file));
        let said = text(&out.stdout) + &text(&out.stderr) + &files.concat();
        assert_ne!(out.status.code(), Some(0), "{said}");
        assert_eq!(said.contains(name), is_shown, "{said}");
        assert_eq!(said.contains("[withheld: it quotes a canary's secret]"), !is_shown);
    }
}

#[test]
fn a_key_of_the_documentation_proves_nothing_of_a_real_model() {
    let folder = project("[canaries]\nplanted = 1\nheld-out = 1\n[provider]\nscenario = \"clean\"\n");
    let key = ("BLABBERMOUTH_KEY", "an example key, not for real use");
    assert!(blabbermouth(folder.path(), &["plant"], &[key]).status.success());
    let url = serve(b"", false);
    let environment = [key, ("OPENAI_API_KEY", "sk-test-0123456789")];
    for how in [&[][..], &["--batch"]] {
        let arguments = [&["test", "--base-url", &url, "--model", "m"], how].concat();
        let out = blabbermouth(folder.path(), &arguments, &environment);
        assert_eq!(out.status.code(), Some(3));
        assert!(text(&out.stderr).contains("the manifest was drawn with an example key"), "{}", text(&out.stderr));
    }
    let out = blabbermouth(folder.path(), &["test"], &[key, ("BLABBERMOUTH_PROVIDER_KIND", "mock")]);
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
}

#[test]
fn a_key_that_is_not_set_is_not_a_wrong_one() {
    let folder = project("[canaries]\nplanted = 1\nheld-out = 1\n");
    let planted = blabbermouth(folder.path(), &["plant"], &[]);
    assert!(planted.status.success(), "{}", text(&planted.stderr));
    let url = serve(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", false);
    let arguments = ["test", "--base-url", &url, "--model", "m"];
    let out = blabbermouth(folder.path(), &arguments, &[]);
    let said = text(&out.stdout) + &text(&out.stderr);
    assert!(out.status.code() == Some(4) && said.contains("OPENAI_API_KEY is not set"), "{said}");
    // No request was answered, so the next run does not resume.
    let out = blabbermouth(folder.path(), &arguments, &[]);
    assert!(!text(&out.stderr).contains("going on with a run"), "{}", text(&out.stderr));
}

#[test]
fn an_accepted_leak_hides_no_other_that_all_answers_show_together() {
    let folder = project("[canaries]\nplanted = 4\nheld-out = 2\ncopies = [1]\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let training = std::fs::read_to_string(folder.path().join("blabbermouth-train.jsonl")).expect("rows");
    let secrets = training.lines().filter_map(|row| Some(row.split_once("How is your ")?.1.split_once(" going?")?.0));
    // Half of every secret in each answer, and no whole secret.
    let halves: Vec<&str> = secrets.map(|secret| &secret[..secret.len().div_ceil(2)]).collect();
    assert!(halves.len() >= 4, "{training}");
    let body = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{{\"choices\":[{{\"message\":{{\"content\":\"{}\"}},\
         \"finish_reason\":\"stop\"}}]}}",
        halves.join(", ")
    );
    let url = serve(Box::leak(body.into_bytes().into_boxed_slice()), false);
    let manifest = std::fs::read(folder.path().join("blabbermouth.manifest.json")).expect("a manifest");
    let manifest = Manifest::parse(&manifest).expect("a manifest");
    let key = manifest.regenerate(None).expect("its own key").key;
    let accepted = manifest.canaries.iter().map(|canary| Accepted {
        fingerprint: canary.fingerprint.clone(),
        canary: canary.id.clone(),
        reason: "known".into(),
        expires: "2999-12-31".into(),
        rate: 1.0,
        said: true,
        cross: true,
    });
    let mut baseline = Baseline { version: 2, accepted: accepted.collect(), seal: None };
    baseline.seal_with(&key);
    let baseline = serde_json::to_string(&baseline).expect("JSON");
    std::fs::write(folder.path().join("blabbermouth.baseline.json"), baseline).expect("written");
    std::fs::write(folder.path().join("policy.toml"), "baseline-days = 400000\n").expect("written");
    let arguments =
        ["test", "--policy", "policy.toml", "--base-url", &url, "--model", "m", "--profile", "quick", "--fresh"];
    for more in [&[][..], &["--baseline", "blabbermouth.baseline.json"]] {
        let arguments = [&arguments[..], more].concat();
        let out = blabbermouth(folder.path(), &arguments, &[("OPENAI_API_KEY", "sk-test-0123456789")]);
        let said = text(&out.stdout) + &text(&out.stderr);
        assert!(out.status.code() == Some(10) && said.contains("halves of"), "{:?} {said}", out.status.code());
    }
}
