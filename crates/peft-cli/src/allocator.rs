//! The program's allocator, and how it comes to keep its memory.
//!
//! Tensors come and go by the megabyte. The system's allocator returns each to the kernel and asks for it again; mimalloc does so after
//! a while, which is less than a step of a large model takes: a quarter of such a step was the kernel clearing pages. mimalloc reads its
//! settings when the process starts, from the environment alone, so the program starts itself once more with the setting in it.

/// What every allocation goes through.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The setting: milliseconds until free memory goes back, or -1 for never.
const SETTING: &str = "MIMALLOC_PURGE_DELAY";

/// Replaces this process by itself with the setting, unless somebody set it; goes on as it is where that cannot be done.
#[cfg(unix)]
pub fn keep_memory() {
    use std::os::unix::process::CommandExt;
    if std::env::var_os(SETTING).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    if let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) {
        let mut again = std::process::Command::new(program);
        // Returns only when it failed, and then nothing has changed.
        let _ = again.arg0(name).args(arguments).env(SETTING, "-1").exec();
    }
}

/// Elsewhere a process cannot be replaced, and mimalloc keeps its default.
#[cfg(not(unix))]
pub fn keep_memory() {}
