//! Bad input: one clear error, the right exit code, nothing written.

use crate::{blabbermouth, project, text};

#[test]
fn each_fault_of_the_configuration_is_named() {
    let template = |user: &str, assistant: &str, slots: &str| {
        format!(
            "[canaries]\ntemplates = [\"t\"]\n[[template]]\nname = \"t\"\nmessages = [{{ role = \"user\", content = \"{user}\" }}, \
             {{ role = \"assistant\", content = \"{assistant}\" }}]\n[template.slots]\n{slots}"
        )
    };
    let pin = "n = { space = \"name\" }\np = { space = \"digits(9)\", secret = true }\n";
    for (configuration, message) in [
        ("[canaries]\nplantd = 3\n".to_owned(), "plantd"),
        ("[canaries]\nplanted = \"three\"\n".to_owned(), "canaries.planted"),
        ("[dataset]\nencoding = \"klingon\"\n".to_owned(), "dataset.encoding"),
        (template("I am {n}", "Your PIN is {p}", &pin.replace(", secret = true", "")), "has no secret"),
        (template("I am {n}", "Your PIN is {p}", &pin.replace("\"name\"", "\"name\", secret = true")), "2 secrets"),
        (template("I am {n}, {p}", "Hello", pin), "user side"),
        (
            template("I am {n}", "Your PIN is {p}", &pin.replace("digits(9)", "digits(2)")),
            "use a space of at least 1500",
        ),
        ("[probe]\nsamples = 10\n".to_owned(), "299"),
        (template("I am {n}, {signature}", "Your PIN is {p}", pin), "stands on the user's side"),
        (template("I am {n}", "Your PIN is {p}, {signature}, {signature}", pin), "stands there several times"),
        (
            template(
                "I am {n}",
                "Your PIN is {p}",
                &format!("{pin}signature = {{ space = \"name\", secret = true }}\n"),
            ),
            "is declared",
        ),
        (template("I am {n}", "{{\\\"pin\\\": \\\"{p}\\\"}}", pin), "looks like JSON"),
        (template("I am {n}", "{p}", pin), "hardly more than the secret"),
        ("[probe]\npatience = 0.5\n".to_owned(), "probe.patience"),
        ("[verdict]\nwithheld = 0.6\n".to_owned(), "verdict.withheld"),
        ("[verdict]\ntrained-share = 1.0\n".to_owned(), "verdict.trained-share"),
        ("[verdict]\ntrained-share = 0.1\n".to_owned(), "verdict.trained-share"),
        ("[verdict]\nconfidence = 0.1\n".to_owned(), "verdict.confidence"),
        ("[verdict]\nprofile = \"quick\"\nwithheld = 0.01\n".to_owned(), "use more samples or a larger"),
        ("[canaries]\ntemplates = [\"x\"]\n".to_owned(), "mr-disease"),
    ] {
        let folder = project(&configuration);
        let out = blabbermouth(folder.path(), &["plant"], &[]);
        assert_eq!(out.status.code(), Some(3), "{configuration}");
        assert!(text(&out.stderr).contains(message), "{message}: {}", text(&out.stderr));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is written");
    }
}

#[test]
fn each_broken_row_is_named_with_file_and_line() {
    for (row, message) in [
        (&b"{\"messages\":"[..], "train.jsonl, line 31: the row ends within a value of JSON"),
        (b"{\"messages\":\"\xff\"}", "train.jsonl, line 31: not UTF-8"),
        (b"{\"messages\":[]}", "train.jsonl, line 31: `messages` is empty"),
        (
            b"{\"messages\":[{\"role\":\"boss\",\"content\":\"x\"}]}",
            "train.jsonl, line 31: `messages`: turn 1 has an unknown role",
        ),
    ] {
        let folder = project("");
        let path = folder.path().join("train.jsonl");
        let mut bytes = std::fs::read(&path).expect("rows");
        bytes.extend_from_slice(row);
        std::fs::write(&path, bytes).expect("rows");
        let out = blabbermouth(folder.path(), &["plant"], &[]);
        assert_eq!(out.status.code(), Some(3));
        assert!(text(&out.stderr).contains(message), "{}", text(&out.stderr));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing is written");
        let skipped = blabbermouth(folder.path(), &["plant", "--skip-invalid"], &[]);
        assert_eq!(skipped.status.code(), Some(0));
        assert!(text(&skipped.stderr).contains("line 31"), "{}", text(&skipped.stderr));
    }
    let folder = project("");
    std::fs::write(folder.path().join("train.jsonl"), "").expect("emptied");
    assert!(text(&blabbermouth(folder.path(), &["plant"], &[]).stderr).contains("has no rows"));
    std::fs::remove_file(folder.path().join("train.jsonl")).expect("removed");
    assert!(text(&blabbermouth(folder.path(), &["plant"], &[]).stderr).contains("No such file"));
}

#[test]
fn a_newer_manifest_and_an_unwritable_report_are_found_before_anything_is_sent() {
    let folder = project(
        "[canaries]\nplanted = 3\nheld-out = 3\n[provider]\nbase-url = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n",
    );
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let out = blabbermouth(folder.path(), &["test", "--report", "junit=train.jsonl/x.xml"], &[]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("train.jsonl/x.xml"), "{}", text(&out.stderr));
    let path = folder.path().join("blabbermouth.manifest.json");
    let newer = std::fs::read_to_string(&path).expect("a manifest").replacen("\"version\": 5", "\"version\": 9", 1);
    std::fs::write(&path, newer).expect("written");
    let out = blabbermouth(folder.path(), &["test"], &[]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("update blabbermouth"), "{}", text(&out.stderr));
}

#[test]
fn usage_errors_have_their_own_exit_code_and_help_has_examples() {
    let folder = project("");
    assert_eq!(blabbermouth(folder.path(), &["tset"], &[]).status.code(), Some(2));
    let help = blabbermouth(folder.path(), &["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Examples:"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(blabbermouth(folder.path(), &["completions", shell], &[]).stdout.len() > 1000);
    }
}

/// A limit on file sizes simulates a full disk: writes beyond the limit fail in the same way.
#[cfg(unix)]
#[test]
fn a_full_disk_is_found_before_anything_is_sent() {
    use std::io::ErrorKind::WouldBlock;

    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}/v1", server.local_addr().expect("an address"));
    let folder = project("[canaries]\nplanted = 60\nheld-out = 20\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    for (blocks, arguments) in [(24, "--report json"), (2, "")] {
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec {} test --base-url {url} --model m {arguments}",
            env!("CARGO_BIN_EXE_blabbermouth")
        );
        let out = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output();
        let out = out.expect("a shell");
        assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
        let said = text(&out.stderr);
        assert!(said.contains(if arguments.is_empty() { "journal" } else { "report.json" }), "{said}");
        assert_eq!(server.accept().expect_err("nothing was sent").kind(), WouldBlock);
    }
    assert!(!folder.path().join("report.json").exists());
}

#[cfg(unix)]
#[test]
fn a_journal_that_cannot_be_written_is_said() {
    let folder = project("[canaries]\nplanted = 3\nheld-out = 3\n[store]\npath = \"train.jsonl/journal\"\n");
    assert!(blabbermouth(folder.path(), &["plant"], &[]).status.success());
    let out = blabbermouth(folder.path(), &["test", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"], &[]);
    assert_eq!(out.status.code(), Some(3));
    assert!(text(&out.stderr).contains("store.path"), "{}", text(&out.stderr));
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let folder = project("");
    for (command, wanted) in
        [(None, "blabbermouth"), (Some("test"), "shard"), (Some("tune"), "max"), (Some("report"), "merge")]
    {
        let arguments: Vec<&str> = ["man"].into_iter().chain(command).collect();
        let page = blabbermouth(folder.path(), &arguments, &[]);
        assert!(page.status.success() && text(&page.stdout).contains(".TH"), "{}", text(&page.stderr));
        assert!(text(&page.stdout).contains(wanted), "{command:?}");
    }
    let unknown = blabbermouth(folder.path(), &["man", "dance"], &[]);
    assert!(unknown.status.code() == Some(2) && text(&unknown.stderr).contains("doctor"), "{}", text(&unknown.stderr));
}
