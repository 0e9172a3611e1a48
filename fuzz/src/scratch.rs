//! The bytes of an input as a file, for readers that take a path.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// Calls `read` with the path of a file that holds `bytes`, in memory where the system has such a folder.
pub(crate) fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    with_file_called("input", bytes, read);
}

/// The same for readers that go by names.
pub(crate) fn with_file_called(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    with_files(&[(name, bytes)], |folder| read(&folder.join(name)));
}

/// Calls `read` with the folder of such files.
pub(crate) fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() {
                tempfile::tempdir_in(memory)
            } else {
                tempfile::tempdir()
            };
            made.expect("a temporary folder can be made")
        });
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("the temporary folder is writable");
        }
        read(folder.path());
    });
}
