//! Files: atomic, and private where they hold secrets.

use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct StoreError {
    path: String,
    #[source]
    source: std::io::Error,
}

impl StoreError {
    pub(super) fn at(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self { path: path.display().to_string(), source }
    }
}

/// A file that takes its place only when it is whole. It is readable by its owner only until then,
/// and after that too unless it is public.
#[derive(Debug)]
pub struct Pending {
    file: NamedTempFile,
    path: PathBuf,
    public: bool,
}

impl Pending {
    /// Begins a file; fails here, before any work is done, when it could not be written.
    ///
    /// # Errors
    /// When its folder cannot be written to, or a folder stands in its place.
    pub fn create(path: &Path, public: bool) -> Result<Self, StoreError> {
        let at = StoreError::at(path);
        if path.is_dir() {
            return Err(at(std::io::Error::other("is a folder, a file was expected")));
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".blabbermouth-").suffix(".tmp").tempfile_in(parent).map_err(&at)?;
        Ok(Self { file, path: path.to_owned(), public })
    }

    /// Takes up `bytes` on the disk, so that a full one is found now; what is written later takes
    /// their place.
    ///
    /// # Errors
    /// When there is no room.
    pub fn reserve(mut self, bytes: usize) -> Result<Self, StoreError> {
        let fill = |file: &mut std::fs::File| {
            let page = [0u8; 4096];
            for _ in 0..bytes.div_ceil(page.len()) {
                file.write_all(&page)?;
            }
            file.sync_all()?;
            file.rewind()
        };
        fill(self.file.as_file_mut()).map_err(StoreError::at(&self.path))?;
        Ok(self)
    }

    /// The writer.
    pub fn writer(&mut self) -> &mut impl Write {
        self.file.as_file_mut()
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When it cannot be written out or moved.
    pub fn persist(mut self) -> Result<(), StoreError> {
        let at = StoreError::at(&self.path);
        let file = self.file.as_file_mut();
        let end = file.stream_position().map_err(&at)?;
        file.set_len(end).map_err(&at)?;
        #[cfg(unix)]
        if self.public {
            use std::os::unix::fs::PermissionsExt;
            self.file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(&at)?;
        }
        self.file.as_file().sync_all().map_err(&at)?;
        let moved: Result<(), std::io::Error> = {
            let path: TempPath = self.file.into_temp_path();
            path.persist(&self.path).map_err(|e| e.error)
        };
        moved.map_err(at)?;
        sync_folder(&self.path);
        Ok(())
    }
}

/// So that a name is on the disk, too, before the next step is taken. Not every file system can; then it takes its own
/// time.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let _ = std::fs::File::open(parent).and_then(|folder| folder.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Makes a folder for its owner only; one that is there stays as it is, since it may be a user's own.
pub(crate) fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Takes a file from everybody but its owner: it may be there from before.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o700))?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Removes a file, if there is one.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::at(path)(error)),
        _ => {
            sync_folder(path);
            Ok(())
        }
    }
}

/// Writes a whole file, or none.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8], public: bool) -> Result<(), StoreError> {
    let mut pending = Pending::create(path, public)?;
    pending.writer().write_all(bytes).map_err(StoreError::at(path))?;
    pending.persist()
}

/// Reads a whole file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(StoreError::at(path))
}

/// Opens a data file; gzip is undone on the fly, told by its first two bytes.
///
/// # Errors
/// When it cannot be opened.
pub fn open_data(path: &Path) -> Result<BufReader<Box<dyn Read>>, StoreError> {
    let at = StoreError::at(path);
    let mut file = std::fs::File::open(path).map_err(&at)?;
    let mut magic = [0u8; 2];
    let gzip = file.read(&mut magic).map_err(&at)? == 2 && magic == [0x1f, 0x8b];
    file.seek(SeekFrom::Start(0)).map_err(&at)?;
    let reader: Box<dyn Read> =
        if gzip { Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
    Ok(BufReader::with_capacity(1 << 16, reader))
}
