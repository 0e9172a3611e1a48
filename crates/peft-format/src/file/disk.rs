//! Every change of the disk, in one place: what a kill can leave is what is left when a process ends before any of these operations.
//!
//! Tests do that: in a build with debug assertions the variable `PEFT_FAULT` ends the process before operation number N, counted from 0
//! (`kill:N`), lets it find the disk full from there on (`full:N`), or stops it there until somebody lets it go on (`stop:N`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How the names of temporary files begin and end.
pub(super) const PREFIX: &str = ".peft-";
pub(super) const SUFFIX: &str = ".tmp";

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Room on the disk.
    Room,
    /// No more than there is.
    Nothing,
}

/// What a test wants to happen, and before which operation.
#[derive(Clone, Copy)]
enum Fault {
    Kill(u64),
    Full(u64),
    Stop(u64),
}

impl Fault {
    /// The one that the environment asks for.
    fn asked() -> Option<Self> {
        if !cfg!(debug_assertions) {
            return None;
        }
        static ASKED: OnceLock<Option<Fault>> = OnceLock::new();
        *ASKED.get_or_init(|| {
            let text = std::env::var("PEFT_FAULT").ok()?;
            let (kind, at) = text.split_once(':')?;
            let at = at.parse().ok()?;
            match kind {
                "kill" => Some(Self::Kill(at)),
                "full" => Some(Self::Full(at)),
                "stop" => Some(Self::Stop(at)),
                _ => None,
            }
        })
    }
}

/// Counts an operation.
///
/// # Errors
/// The disk is full, where a test wants that.
fn operation(need: Need) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let Some(fault) = Fault::asked() else {
        return Ok(());
    };
    let index = COUNT.fetch_add(1, Ordering::Relaxed);
    match fault {
        Fault::Kill(at) if index == at => std::process::abort(),
        Fault::Stop(at) if index == at => stop(),
        Fault::Full(at) if index >= at && need == Need::Room => Err(io::Error::new(
            io::ErrorKind::StorageFull,
            "no space left on device",
        )),
        _ => Ok(()),
    }
}

/// Stops this process as a terminal does, by the program `kill`.
///
/// # Errors
/// When there is no such program.
fn stop() -> io::Result<()> {
    let own = std::process::id().to_string();
    let mut kill = std::process::Command::new("kill");
    kill.args(["-STOP", &own]).status().map(drop)
}

/// [`fs::create_dir_all`], where the folder is not there.
///
/// # Errors
/// As that.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    operation(Need::Room)?;
    fs::create_dir_all(path)
}

/// Has `write` make a file, where something else knows how.
///
/// # Errors
/// What `write` says.
pub fn made_by(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    operation(Need::Room)?;
    write()
}

/// [`fs::rename`].
///
/// # Errors
/// As that.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    operation(Need::Nothing)?;
    fs::rename(from, to)
}

/// Gives a file a second name: a symbolic link, or where there are none a hard one.
///
/// # Errors
/// What the system reports; a name that is there already is none where it is that file's.
pub fn link(file: &Path, name: &Path) -> io::Result<()> {
    operation(Need::Room)?;
    #[cfg(unix)]
    let made = std::os::unix::fs::symlink(file, name);
    #[cfg(not(unix))]
    let made = fs::hard_link(file, name);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_same = fs::canonicalize(name)? == fs::canonicalize(file)?;
            if is_same || cfg!(not(unix)) {
                Ok(())
            } else {
                Err(error)
            }
        }
        made => made,
    }
}

/// [`fs::remove_file`].
///
/// # Errors
/// As that.
pub fn remove_file(path: &Path) -> io::Result<()> {
    operation(Need::Nothing)?;
    fs::remove_file(path)
}

/// [`fs::remove_dir`], for an empty folder.
///
/// # Errors
/// As that.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    operation(Need::Nothing)?;
    fs::remove_dir(path)
}

/// [`fs::remove_dir_all`], one entry after the other.
///
/// # Errors
/// As that.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => remove_dir_all(&entry.path())?,
            false => remove_file(&entry.path())?,
        }
    }
    remove_dir(path)
}

/// Opens a file to write to, without changing one that is there.
///
/// # Errors
/// As [`OpenOptions::open`].
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    if !path.exists() {
        operation(Need::Room)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).open(path)
}

/// An empty file.
///
/// # Errors
/// As [`File::create`].
pub(super) fn mark(path: &Path) -> io::Result<()> {
    operation(Need::Room)?;
    File::create(path)?.sync_all()
}

/// A file that grows at its end, each time by a whole piece.
#[derive(Debug)]
pub struct Appended(File);

impl Appended {
    /// An empty file, whatever was in it before.
    ///
    /// # Errors
    /// As [`File::create`].
    pub fn create(path: &Path) -> io::Result<Self> {
        operation(Need::Room)?;
        Ok(Self(File::create(path)?))
    }

    /// A file that is there.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().append(true).open(path)?))
    }

    /// Appends a piece and hands it to the system.
    ///
    /// # Errors
    /// As [`Write::write_all`].
    pub fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        operation(Need::Room)?;
        self.0.write_all(piece)?;
        self.0.flush()
    }
}

/// An operation on a temporary file that needs room: making it, or filling it.
pub(super) fn fill_temporary() -> io::Result<()> {
    operation(Need::Room)
}

/// A temporary file that gets its name.
pub(super) fn name_temporary() -> io::Result<()> {
    operation(Need::Nothing)
}

/// A folder beside its place, under a name by which it is known as temporary. Dropping it removes it.
///
/// # Errors
/// The disk refuses.
pub fn folder_aside(parent: &Path) -> io::Result<tempfile::TempDir> {
    operation(Need::Room)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    builder.tempdir_in(parent)
}
