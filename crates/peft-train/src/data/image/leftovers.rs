//! Files that lie in folders of images without being data: what systems and archives leave behind, notes, licences.

use std::path::Path;

/// Names of files and folders that systems and archives leave behind, in small letters.
const SYSTEMS: [&str; 9] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "icon\r",
];
/// How the names of notes begin, in small letters.
const NOTES: [&str; 7] = [
    "readme",
    "license",
    "licence",
    "copying",
    "notice",
    "citation",
    "changelog",
];
/// Extensions of notes.
const NOTE_EXTENSIONS: [&str; 6] = ["", "txt", "md", "rst", "html", "pdf"];

/// Whether a file or folder is known to be no data. Names that begin with a dot are, `._cat.png` of a Mac among them.
pub(super) fn is_leftover(path: &Path) -> bool {
    let lower = |part: Option<&std::ffi::OsStr>| {
        part.unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase()
    };
    let name = lower(path.file_name());
    let note = NOTES.iter().any(|note| name.starts_with(note))
        && NOTE_EXTENSIONS.contains(&lower(path.extension()).as_str())
        && !path.is_dir();
    name.starts_with('.') || SYSTEMS.contains(&name.as_str()) || note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_known_in_any_case_and_data_is_none() {
        for name in [
            "Thumbs.db",
            "DESKTOP.INI",
            ".DS_Store",
            "._0.png",
            "__MACOSX",
            "README",
            "readme.md",
            "LICENSE.txt",
        ] {
            assert!(is_leftover(Path::new(name)), "{name}");
        }
        for name in [
            "cat",
            "0.png",
            "readme.png",
            "labels.csv",
            "notes.txt",
            "thumbs",
        ] {
            assert!(!is_leftover(Path::new(name)), "{name}");
        }
    }
}
