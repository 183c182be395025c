//! The floors of the architecture: a module imports from lower floors only.

use std::path::Path;

/// The table of `src/lib.rs`: each module with its floor.
const FLOORS: [(&str, u8); 20] = [
    ("exit", 0),
    ("chat", 0),
    ("loopback", 0),
    ("unquoted", 0),
    ("unseen", 0),
    // The draw refuses what detection cannot tell apart, and detection counts members of spaces.
    ("canary", 1),
    ("dataset", 2),
    ("probe", 2),
    ("detect", 2),
    ("stats", 2),
    ("lm", 2),
    ("verdict", 3),
    ("store", 3),
    ("provider", 4),
    ("tune", 5),
    ("audit", 5),
    ("report", 6),
    ("config", 6),
    ("evidence", 7),
    ("harness", 7),
];
/// Imports that go up, with their reason above.
const STATED: [(&str, &str); 1] = [("canary", "detect")];

fn files(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, all)
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path)
        }
    }
}

#[test]
fn modules_import_from_lower_floors_only() {
    let floor = |name: &str| FLOORS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for (module, own) in FLOORS {
        let mut all = vec![src.join(format!("{module}.rs"))];
        if src.join(module).is_dir() {
            all.clear();
            files(&src.join(module), &mut all);
        }
        for path in all {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let production = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(production.lines().count() <= 500, "{} is over 500 lines", path.display());
            for import in production.split("crate::").skip(1) {
                let name: String = import.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = floor(&name) else { continue };
                checked += 1;
                let fine = name == module || other < own || STATED.contains(&(module, name.as_str()));
                assert!(fine, "{}: {module} (floor {own}) imports {name} (floor {other})", path.display());
            }
        }
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn every_file_of_tests_is_compiled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration");
    let main = std::fs::read_to_string(folder.join("main.rs")).expect("a source file");
    let mut all = Vec::new();
    files(&folder, &mut all);
    for path in all {
        let name = path.file_stem().and_then(|n| n.to_str()).expect("a name");
        let is_part = path.parent() != Some(&folder);
        assert!(is_part || name == "main" || main.contains(&format!("mod {name};")), "{name} is not compiled");
    }
}
