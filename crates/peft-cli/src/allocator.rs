//! How the program comes to keep its memory.
//!
//! Tensors come and go by the megabyte. An allocator that returns each to the kernel and asks for it again has the kernel clear pages for a
//! quarter of a step's time. Allocators read whether to do so when the process starts, from the environment alone, so the program starts
//! itself once more with the settings in it. The GNU system's allocator leaves the smallest holes between tensors of many sizes; elsewhere
//! it is mimalloc.

/// What every allocation goes through where the system's allocator cannot be told to keep memory.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The variable, and the settings that are to be in it. Sizes are in bytes and beyond what a machine has: no tensor is mapped on its own, and
/// nothing goes back.
#[cfg(all(unix, target_os = "linux", target_env = "gnu"))]
const SETTINGS: (&str, &[(&str, &str)]) = (
    "GLIBC_TUNABLES",
    &[
        ("glibc.malloc.mmap_threshold=", "1099511627776"),
        ("glibc.malloc.trim_threshold=", "1099511627776"),
    ],
);
/// The variable that holds milliseconds until free memory goes back, or -1 for never.
#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
const SETTINGS: (&str, &[(&str, &str)]) = ("MIMALLOC_PURGE_DELAY", &[("", "-1")]);

/// Replaces this process by itself with the settings, but for those that somebody made; goes on as it is where that cannot be done.
#[cfg(unix)]
pub fn keep_memory() {
    use std::os::unix::process::CommandExt;
    let (variable, settings) = SETTINGS;
    let Some(value) = with(std::env::var_os(variable), settings) else {
        return;
    };
    let mut arguments = std::env::args_os();
    if let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) {
        let mut again = std::process::Command::new(program);
        // Returns only when it failed, and then nothing has changed.
        let _ = again.arg0(name).args(arguments).env(variable, value).exec();
    }
}

/// The value of the variable with the settings that it lacks; nothing where it has them all.
#[cfg(unix)]
fn with(
    value: Option<std::ffi::OsString>,
    settings: &[(&str, &str)],
) -> Option<std::ffi::OsString> {
    let value = value.unwrap_or_default();
    let has = |name: &str| !value.is_empty() && value.to_string_lossy().contains(name);
    let lacking = settings.iter().filter(|(name, _)| !has(name));
    let lacking: Vec<_> = lacking
        .map(|(name, size)| format!("{name}{size}"))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let mut all = value;
    if !all.is_empty() {
        all.push(":");
    }
    all.push(lacking.join(":"));
    Some(all)
}

/// Elsewhere a process cannot be replaced, and mimalloc keeps its default.
#[cfg(not(unix))]
pub fn keep_memory() {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const TWO: &[(&str, &str)] = &[("a=", "1"), ("b=", "2")];

    #[test]
    fn what_somebody_set_stays_and_a_second_start_finds_everything() {
        for (before, after) in [("", "a=1:b=2"), ("c=7", "c=7:a=1:b=2"), ("b=0", "b=0:a=1")] {
            let value = with(Some(before.into()), TWO).unwrap();
            assert_eq!(value, after);
            assert_eq!(with(Some(value), TWO), None);
        }
        assert_eq!(with(None, &[("", "-1")]).unwrap(), "-1");
        assert_eq!(with(Some("100".into()), &[("", "-1")]), None);
    }
}
