//! File access: atomic writes, and private files where they hold secrets.

use std::fs::TryLockError;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

mod data;

pub use data::{DataKind, Encoding, data_kind, open_data, open_text};

/// An error of reading or writing a file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct StoreError {
    path: String,
    #[source]
    source: std::io::Error,
}

impl StoreError {
    /// Returns a function that makes errors of the file at `path`.
    pub fn at(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        move |source| Self { path: path.display().to_string(), source }
    }
}

/// Maximum size of a file that is read as a whole, in bytes.
const LARGEST_READ: u64 = 2 << 30;

/// Prefix of the names of unfinished files.
const PREFIX: &str = ".blabbermouth-";
/// Suffix of the names of unfinished files.
const SUFFIX: &str = ".tmp";
/// Number of random letters and digits between prefix and suffix.
const RANDOM: usize = 6;
/// Attempts to begin a file before giving up.
const TRIES: usize = 16;

/// Begins an unfinished file in a folder. The file is locked until it is closed, so that no other process takes it for
/// a leftover.
fn begin(folder: &Path) -> std::io::Result<NamedTempFile> {
    for _ in 0..TRIES {
        let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM).tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // Another process removed the file before it was locked, or is removing it now.
            Ok(()) if !file.path().exists() => {}
            Err(TryLockError::WouldBlock) => {}
            // On a file system without locks, `sweep` removes nothing either.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    Err(std::io::Error::other("other processes remove what is begun here"))
}

/// Removes the unfinished files of killed processes from a folder, because they may hold secrets. A lock ends with its
/// process, so a file that can be locked belongs to no running process. Files that cannot be locked or removed stay.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(is_unfinished) || !entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            continue;
        }
        let path = entry.path();
        // Some file systems lock only files that are open for writing.
        let Ok(file) = std::fs::File::options().read(true).write(true).open(&path) else { continue };
        if file.try_lock().is_ok() {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Returns whether a file name is one of unfinished files, of running and of killed processes.
#[must_use]
pub fn is_unfinished(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A file that is moved to its path only when it is complete. Until then only its owner can read it. A public file then
/// gets the permissions that the umask allows. A pipe, a device or standard output is written as a stream.
#[derive(Debug)]
pub struct Pending {
    to: To,
    path: PathBuf,
    public: bool,
}

/// Destination of a [`Pending`].
#[derive(Debug)]
enum To {
    File(NamedTempFile),
    Stream(std::fs::File),
    Output(std::io::Stdout),
}

/// Ignores a broken pipe: the reader of the stream has gone away.
fn unless_gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

impl Write for To {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = match self {
            Self::File(file) => return file.as_file_mut().write(bytes),
            Self::Stream(file) => file.write(bytes),
            Self::Output(out) => out.write(bytes),
        };
        written.or_else(|error| unless_gone(error).map(|()| bytes.len()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.as_file_mut().flush(),
            Self::Stream(file) => file.flush(),
            Self::Output(out) => out.flush(),
        }
    }
}

impl Pending {
    /// Begins a file, so that a path that cannot be written fails before any work is done. Unfinished files that killed
    /// processes left in its folder are removed. A link at `path` is replaced, not followed.
    ///
    /// # Errors
    /// When its folder cannot be written to, or `path` is a folder.
    pub fn create(path: &Path, public: bool) -> Result<Self, StoreError> {
        let at = StoreError::at(path);
        if path.is_dir() {
            return Err(at(std::io::Error::other("is a folder, a file was expected")));
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sweep(parent);
        // The error names the unfinished file, which means nothing to the user, so only its kind is kept.
        let file = begin(parent).map_err(|e| at(e.kind().into()))?;
        Ok(Self { to: To::File(file), path: path.to_owned(), public })
    }

    /// Begins a report, and makes missing folders:
    /// - `-` is standard output.
    /// - A pipe or a device is written as a stream.
    /// - A link is followed to the file that it names.
    ///
    /// # Errors
    /// As [`Pending::create`].
    pub fn report(path: &Path) -> Result<Self, StoreError> {
        if path == Path::new("-") {
            return Ok(Self { to: To::Output(std::io::stdout()), path: path.to_owned(), public: true });
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(StoreError::at(path))?;
        }
        let at = StoreError::at(path);
        if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            let stream = std::fs::File::options().write(true).open(path).map_err(&at)?;
            return Ok(Self { to: To::Stream(stream), path: path.to_owned(), public: true });
        }
        let path = if is_link(path) { path.canonicalize().map_err(&at)? } else { path.to_owned() };
        Self::create(&path, true)
    }

    /// Reserves `bytes` on the disk, so that a full disk fails now. Later writes overwrite the reserved bytes.
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
        if let To::File(file) = &mut self.to {
            fill(file.as_file_mut()).map_err(StoreError::at(&self.path))?;
        }
        Ok(self)
    }

    /// Returns the writer.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.to
    }

    /// Moves the file to its path.
    ///
    /// # Errors
    /// When it cannot be written out or moved.
    pub fn persist(self) -> Result<(), StoreError> {
        let at = StoreError::at(&self.path);
        let mut unfinished = match self.to {
            To::File(file) => file,
            // A reader that has gone away is not an error.
            mut stream => return stream.flush().or_else(unless_gone).map_err(&at),
        };
        let file = unfinished.as_file_mut();
        let end = file.stream_position().map_err(&at)?;
        file.set_len(end).map_err(&at)?;
        file.sync_all().map_err(&at)?;
        // Permissions are widened last: the process may be killed while it writes to the disk.
        #[cfg(unix)]
        if self.public {
            use std::os::unix::fs::PermissionsExt;
            let mode = 0o666 & !umask();
            unfinished.as_file().set_permissions(std::fs::Permissions::from_mode(mode)).map_err(&at)?;
        }
        // The file stays open, and so locked, until it has its name.
        let (file, path): (std::fs::File, TempPath) = unfinished.into_parts();
        path.persist(&self.path).map_err(|e| at(e.error))?;
        drop(file);
        sync_folder(&self.path);
        Ok(())
    }
}

/// Returns the umask. Reading it means setting it, which other threads would see, so it is read only once and restored
/// at once.
#[cfg(unix)]
fn umask() -> u32 {
    static MASK: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *MASK.get_or_init(|| {
        let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        rustix::process::umask(mask);
        mask.bits()
    })
}

/// Writes the folder of a file to the disk, so that the file's name is there too before the next step. Errors are
/// ignored, because not every file system can do this.
fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let _ = std::fs::File::open(parent).and_then(|folder| folder.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Makes a folder for its owner only. An existing folder stays as it is, since it may be the user's own.
pub fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes the permissions of everybody but the owner from a file, which may be older than this run. Unix only.
pub fn make_private(path: &Path) -> std::io::Result<()> {
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

/// Opens one of this program's own files for reading and writing, without truncation, and creates it if it is missing.
/// A link at `path`, which a repository may hold, is not followed; anything but a regular file is refused.
pub fn open_own(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::File::options();
    options.read(true).write(true).create(true).truncate(false);
    no_follow(&mut options);
    let file = options.open(path).map_err(|e| if is_link(path) { linked() } else { e })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("is no file, where one was expected")) }
}

/// Makes an open fail if the path is a link, and not wait if it is a pipe. Unix only.
pub fn no_follow(options: &mut std::fs::OpenOptions) {
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = options;
}

/// Returns whether `path` is a link.
pub fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_symlink())
}

/// Returns the error for a link in place of one of this program's own files.
pub fn linked() -> std::io::Error {
    std::io::Error::other("is a link, which is not followed: remove it")
}

/// Removes a file, if it exists.
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

/// Writes a whole file atomically; see [`Pending`].
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
/// When the file cannot be read, is a device, or is larger than 2 GB.
pub fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    let at = StoreError::at(path);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(&at)?;
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_char_device(&file.metadata().map_err(&at)?.file_type()) {
        return Err(at(std::io::Error::other("is a device, and no file")));
    }
    file.take(LARGEST_READ + 1).read_to_end(&mut bytes).map_err(&at)?;
    if bytes.len() as u64 > LARGEST_READ {
        return Err(at(std::io::Error::other("is larger than 2 GB, or without an end")));
    }
    Ok(bytes)
}

/// Maximum size of a configuration, a policy, a profile or a list, in bytes.
const LARGEST_TEXT: u64 = 4 << 20;

/// Reads a configuration, a policy, a profile or a list.
///
/// # Errors
/// When it is not a regular file, is larger than 4 MB, or is not UTF-8.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let about = std::fs::metadata(path)?;
    let no = |what: &str| Err(std::io::Error::other(what.to_owned()));
    if !about.is_file() {
        return no("is not a regular file");
    }
    if about.len() > LARGEST_TEXT {
        return no("is larger than 4 MB, which is too much");
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let names = || {
            let all = std::fs::read_dir(folder.path()).expect("a folder");
            let mut all: Vec<String> =
                all.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
            all.sort();
            all
        };
        // With names of this program and of others, locked and not, files and folders.
        for name in [".blabbermouth-left01.tmp", ".blabbermouth-locked.tmp", ".blabbermouth-notes1.old", "left.tmp"] {
            std::fs::write(at(name), "a secret").expect("written");
        }
        std::fs::write(at(".blabbermouth-my-notes.tmp"), "mine").expect("written");
        std::fs::create_dir(at(".blabbermouth-folder.tmp")).expect("made");
        let held = std::fs::File::open(at(".blabbermouth-locked.tmp")).expect("opened");
        held.lock().expect("locked");
        let mut pending = Pending::create(&at("slow"), false).expect("begun").reserve(10_000).expect("room");
        pending.writer().write_all(b"slow").expect("written");

        write(&at("quick"), b"quick", true).expect("written");
        let all = names();
        assert!(!all.contains(&".blabbermouth-left01.tmp".to_owned()), "{all:?}");
        // Five that must not be removed, the one that is being written, and the new one.
        assert_eq!(all.len(), 7, "{all:?}");

        pending.persist().expect("in its place");
        assert_eq!(read(&at("slow")).expect("there"), b"slow");
        drop(held);
        write(&at("quick"), b"again", true).expect("written");
        let left = [".blabbermouth-folder.tmp", ".blabbermouth-my-notes.tmp", ".blabbermouth-notes1.old"];
        assert_eq!(names(), [left.as_slice(), &["left.tmp", "quick", "slow"]].concat());
    }

    #[test]
    fn files_that_are_written_side_by_side_do_not_remove_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for number in 0..4 {
                let path = folder.path().join(format!("{number}"));
                scope.spawn(move || {
                    for round in 0..25 {
                        write(&path, format!("{number} {round}").as_bytes(), false).expect("written");
                    }
                });
            }
        });
        assert_eq!(read(&folder.path().join("3")).expect("there"), b"3 24");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 4);
    }
}
