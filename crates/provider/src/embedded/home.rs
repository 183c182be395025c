//! The folder of the embedded service, with models, uploaded files and jobs. The folder is private: it contains
//! canaries.

use std::path::{Path, PathBuf};

use super::model::Model;
use crate::ProviderError;
use blabbermouth_lm::{Size, base};

/// The folder of the embedded service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Home {
    folder: PathBuf,
    /// Folder that relative paths of models start from.
    beside: PathBuf,
}

impl Home {
    /// A home in `folder`, which is created when needed. Relative paths of models start from `beside`.
    #[must_use]
    pub fn new(folder: PathBuf, beside: PathBuf) -> Self {
        Self { folder, beside }
    }

    pub(super) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    pub(super) fn job(&self, id: &str) -> PathBuf {
        self.folder.join("jobs").join(id)
    }

    /// Folder of a new job until it is complete and moved to the other jobs.
    pub(super) fn unfinished_job(&self, id: &str) -> PathBuf {
        self.folder.join("new").join(id)
    }

    pub(super) fn jobs(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    /// Folder of a tuned model; `None` if `name` is not a valid name of one.
    pub(super) fn tuned(&self, name: &str) -> Option<PathBuf> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_:.".contains(c);
        let is_name = name.starts_with("ft:") && name.chars().all(fine) && !name.contains("..");
        is_name.then(|| self.folder.join("models").join(name.replace(':', "~")))
    }

    /// Loads a model by its name: `tiny`, `small`, a tuned one, or the path of a folder.
    ///
    /// # Errors
    /// When there is none, or its files cannot be used.
    pub fn model(&self, name: &str) -> Result<Model, ProviderError> {
        if let Some(size) = size(name) {
            return Ok(Model::new(name.to_owned(), base(size)));
        }
        if let Some(folder) = self.tuned(name) {
            return match folder.is_dir() {
                true => Model::open(name, &folder),
                false => Err(ProviderError::NoModel { model: name.to_owned(), is_said: true }),
            };
        }
        let folder = self.beside.join(name);
        if name.is_empty() || !folder.is_dir() {
            return Err(ProviderError::Setup(format!(
                "there is no embedded model `{name}`: there are `tiny` and `small`, models that `blabbermouth tune` made \
                 here, and folders with config.json, model.safetensors and tokenizer.json"
            )));
        }
        Model::open(name, &folder)
    }
}

/// The size with this name.
pub(super) fn size(name: &str) -> Option<Size> {
    [Size::Tiny, Size::Small].into_iter().find(|size| size.as_str() == name)
}

/// Creates a folder and its parents, which only the owner may enter.
pub(super) fn private_folder(path: &Path) -> Result<(), ProviderError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| ProviderError::Setup(format!("{}: {e}", path.display())))
}
