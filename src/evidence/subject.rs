//! Subject of a statement: the model that was tested.

use std::io::Read;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::error::EvidenceError;
use super::statement::sha256;
use blabbermouth_core::verdict::RunReport;

/// Algorithm name in the statement for the digest of a name.
const MODEL_NAME: &str = "blabbermouthModelName";
/// Maximum number of files in a folder; an adapter or a checkpoint has fewer.
const MOST_FILES: usize = 100_000;

/// A tested model, or a part of it, with its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    name: String,
    /// `sha256` for a file, `dirHash` for a folder, [`MODEL_NAME`] for a name.
    algorithm: &'static str,
    digest: String,
    /// Kind of the digest; `None` for a file.
    note: Option<&'static str>,
}

impl Subject {
    /// Model at a service that gives no digest of its weights: the digest is that of the model's name.
    #[must_use]
    pub fn of_model(report: &RunReport) -> Self {
        let name = report.settings.model.clone();
        let digest = sha256(name.as_bytes());
        let note = Some("SHA-256 of the model's name at the service: the service gives no digest of the weights");
        // The algorithm keeps this digest apart from those of files.
        Self { name, algorithm: MODEL_NAME, digest, note }
    }

    /// File, or folder with each of its files. The digest of a folder is the in-toto `dirHash`: Hash1 of Go modules, in
    /// hexadecimal digits.
    ///
    /// # Errors
    /// When something in it cannot be read, is neither file nor folder, or has a name that is not UTF-8; or the folder is
    /// empty.
    pub fn of_path(path: &Path) -> Result<Vec<Self>, EvidenceError> {
        let fault = |message: String| EvidenceError::Subject { path: path.display().to_string(), message };
        let whole = path.canonicalize().map_err(|e| fault(e.to_string()))?;
        let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or("model").to_owned();
        let file = |name: String, digest| Self { name, algorithm: "sha256", digest, note: None };
        if whole.is_file() {
            return Ok(vec![file(name, digest_of(&whole).map_err(|e| fault(e.to_string()))?)]);
        }
        let mut names = Vec::new();
        walk(&whole, "", &mut names).map_err(&fault)?;
        if names.is_empty() {
            return Err(fault("the folder has no file".to_owned()));
        }
        names.sort_unstable();
        let mut hash = Sha256::new();
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            let digest = digest_of(&whole.join(&name)).map_err(|e| fault(format!("{name}: {e}")))?;
            hash.update(format!("{digest}  {name}\n"));
            files.push(file(name, digest));
        }
        let note = Some("digest of the folder: the SHA-256 of the lines of `sha256sum` of its sorted files");
        let folder = Self { name, algorithm: "dirHash", digest: HEXLOWER.encode(&hash.finalize()), note };
        Ok(std::iter::once(folder).chain(files).collect())
    }

    /// Name of the file, folder or model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Digest with its algorithm, as in `sha256:9f86…`.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{}:{}", self.algorithm, self.digest)
    }

    /// SHA-256 of a file; `None` if the digest is of something else.
    pub(super) fn of_file(&self) -> Option<&str> {
        self.note.is_none().then_some(self.digest.as_str())
    }

    /// Whether the digest is of weights, not of a name.
    pub(super) fn is_weights(&self) -> bool {
        self.note.is_none() || self.algorithm == "dirHash"
    }

    pub(super) fn descriptor(&self) -> Value {
        let mut descriptor = json!({"name": self.name, "digest": {self.algorithm: self.digest}});
        if let Some(note) = self.note {
            descriptor["annotations"] = json!({"note": note});
        }
        descriptor
    }
}

/// Collects all files below a folder, with `/` between the parts of a name. Links to files are followed, because a
/// model cache has such links. Links to folders are refused, because they could form a cycle.
fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).map_err(|e| format!("{prefix}: {e}"))? {
        let entry = entry.map_err(|e| e.to_string())?;
        let name = entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        let name = format!("{prefix}{name}");
        let path = entry.path();
        let kind = entry.file_type().map_err(|e| format!("{name}: {e}"))?;
        if name.contains('\n') {
            return Err(format!("{name:?} has a line end in its name"));
        } else if kind.is_dir() {
            walk(&path, &format!("{name}/"), names)?;
        } else if path.metadata().is_ok_and(|about| about.is_file()) {
            names.push(name);
        } else {
            return Err(format!("{name} is no file: give a folder that holds nothing but the model"));
        }
        if names.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} files: give the folder of the weights or the adapter"));
        }
    }
    Ok(())
}

/// SHA-256 of a file of any size.
fn digest_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_the_digest_of_sha256sum() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("b")).expect("made");
        std::fs::write(folder.path().join("b/two"), "2").expect("written");
        std::fs::write(folder.path().join("a"), "1").expect("written");
        let subjects = Subject::of_path(folder.path()).expect("read");
        let names: Vec<&str> = subjects[1..].iter().map(Subject::name).collect();
        assert_eq!(names, ["a", "b/two"]);
        // printf 1 >a; printf 2 >b/two; find . -type f | cut -c3- | LC_ALL=C sort | xargs sha256sum | sha256sum
        assert_eq!(subjects[0].digest(), "dirHash:502232e28733f9d8dd3c03ca42993dd6f1ce99f72ee1409ebbff945880690130");
        assert_eq!(subjects[1].digest(), "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
        assert!(Subject::of_path(&folder.path().join("none")).is_err());
        let one = Subject::of_path(&folder.path().join("a")).expect("read");
        assert_eq!((one.len(), one[0].is_weights()), (1, true));
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_with_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Subject::of_path(folder.path()).is_err(), "empty");
        std::fs::write(folder.path().join("a"), "1").expect("written");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("round")).expect("linked");
        let fault = Subject::of_path(folder.path()).expect_err("a circle").to_string();
        assert!(fault.contains("round is no file"), "{fault}");
    }
}
