//! Tests the harness on itself: plants canaries in a few rows, lets the mock "train", and runs every canary as a test.
//! The mock is clean unless `BLABBERMOUTH_PROVIDER_SCENARIO` is set.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// In CI only the environment may choose the mock, not a configuration.
const KIND: &str = "BLABBERMOUTH_PROVIDER_KIND";

fn main() -> ExitCode {
    if std::env::var_os(KIND).is_none() {
        let own = std::env::current_exe().expect("a program has a path");
        let done = Command::new(own).args(std::env::args_os().skip(1)).env(KIND, "mock").status();
        let code = done.expect("it starts").code().and_then(|code| u8::try_from(code).ok());
        return code.map_or(ExitCode::FAILURE, ExitCode::from);
    }
    // cargo-nextest runs each test in its own process: the first one plants, under a lock.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("canaries");
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    let lock = std::fs::File::create(folder.join("lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be had");
    // Canaries that an older build planted are not reused.
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
         [dataset]\npath = {rows:?}\nformat = \"openai\"\ntraining = \"train.jsonl\"\nvalidation = \"validation.jsonl\"\n\
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
