//! The harness on itself: plants canaries into a few rows, lets the mock "train" (it is clean unless
//! `BLABBERMOUTH_PROVIDER_SCENARIO` says otherwise), and shows every canary as a test.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// In CI a configuration does not choose the mock: who runs the tests does.
const KIND: &str = "BLABBERMOUTH_PROVIDER_KIND";

fn main() -> ExitCode {
    if std::env::var_os(KIND).is_none() {
        let own = std::env::current_exe().expect("a program has a path");
        let done = Command::new(own).args(std::env::args_os().skip(1)).env(KIND, "mock").status();
        let code = done.expect("it starts").code().and_then(|code| u8::try_from(code).ok());
        return code.map_or(ExitCode::FAILURE, ExitCode::from);
    }
    // Under cargo-nextest every test is a process of its own: the first one plants, under a lock.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("canaries");
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    let lock = std::fs::File::create(folder.join("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be had");
    // What an older build planted is of no use.
    let build = std::fs::metadata(env!("CARGO_BIN_EXE_blabbermouth")).and_then(|m| m.modified());
    let build = format!("{:?}", build.expect("the binary is there"));
    let project = folder.join("project");
    if std::fs::read_to_string(folder.join("build")).is_ok_and(|planted| planted == build) {
        drop(lock);
    } else {
        let _ = std::fs::remove_dir_all(&project);
        std::fs::create_dir_all(&project).expect("the folder for temporary files can be written");
        plant(&project);
        std::fs::write(folder.join("build"), build).expect("the folder for temporary files can be written");
        drop(lock);
    }
    blabbermouth::harness::run(project.join("blabbermouth.toml"))
}

fn plant(folder: &Path) {
    let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/mocks/dolly-excerpt.jsonl");
    let settings = format!(
        "[canaries]\nplanted = 12\nheld-out = 6\ntemplates = [\"mr-disease\", \"order-phone\", \"code-api-key\"]\n\
         [dataset]\npath = {rows:?}\ntraining = \"train.jsonl\"\nvalidation = \"validation.jsonl\"\n\
         [manifest]\npath = \"manifest.json\"\n[provider]\nscenario = \"clean\"\n"
    );
    std::fs::write(folder.join("blabbermouth.toml"), settings).expect("the configuration can be written");
    let done = Command::new(env!("CARGO_BIN_EXE_blabbermouth"))
        .args(["plant", "--config"])
        .arg(folder.join("blabbermouth.toml"))
        .env_remove("BLABBERMOUTH_KEY")
        .output()
        .expect("blabbermouth starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
