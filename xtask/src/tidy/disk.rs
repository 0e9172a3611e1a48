//! Libraries and the program change the disk in one place, where tests can break them off.

use super::{
    Finding,
    rust::{RustFile, Token},
};

/// What changes the disk, by the last two segments of its path.
const CHANGES: [(&str, &str); 11] = [
    ("fs", "copy"),
    ("fs", "create_dir"),
    ("fs", "create_dir_all"),
    ("fs", "hard_link"),
    ("fs", "remove_dir"),
    ("fs", "remove_dir_all"),
    ("fs", "remove_file"),
    ("fs", "rename"),
    ("fs", "write"),
    ("File", "create"),
    ("OpenOptions", "new"),
];

/// Files that may: the place itself, what opens a file to lock it, an input that is unpacked into a file without a name, what tests
/// write, and what a library of others writes into its cache.
const ALLOWED: [&str; 5] = [
    "crates/peft-format/src/file/disk.rs",
    "crates/peft-format/src/file/leftover.rs",
    "crates/peft-core/src/testing/outside.rs",
    "crates/peft-models/src/hf/hub.rs",
    "crates/peft-run/src/merge/agreement.rs",
];

/// Finds changes of the disk elsewhere.
pub(crate) fn check(file: &RustFile) -> Vec<Finding> {
    let is_source = file.path.starts_with("crates/") && file.path.contains("/src/");
    if !is_source || ALLOWED.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let outside_of_tests = |token: &&[Token]| !file.is_test(token[0].line);
    let paths = file.tokens.windows(4).filter(outside_of_tests);
    let changes = paths.filter_map(|path| {
        let [module, first, second, name] = path else {
            return None;
        };
        let is_path = first.text == ":" && second.text == ":";
        let change = (module.text.as_str(), name.text.as_str());
        (is_path && CHANGES.contains(&change)).then_some((name.line, change))
    });
    let finding = |(line, (module, name)): (usize, (&str, &str))| {
        let message = format!(
            "`{module}::{name}` changes the disk: use `peft_format::file::disk` or `write_atomic`, which tests can break off"
        );
        Finding::new(&file.path, line, message)
    };
    changes.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, body: &str) -> usize {
        let text = format!("//! A.\nfn f() {{ {body} }}\n");
        check(&RustFile::parse(path, &text).unwrap()).len()
    }

    #[test]
    fn changes_of_the_disk_are_found_and_reading_is_not() {
        let source = "crates/a/src/b.rs";
        assert_eq!(count(source, "std::fs::write(a, b);"), 1);
        assert_eq!(count(source, "fs::rename(a, b); File::create(c);"), 2);
        assert_eq!(
            count(source, "fs::read(a); File::open(c); disk::rename(a, b);"),
            0
        );
    }

    #[test]
    fn tests_tools_and_the_place_itself_may() {
        for path in ["crates/a/tests/b.rs", "xtask/src/a.rs", ALLOWED[0]] {
            assert_eq!(count(path, "std::fs::write(a, b);"), 0, "{path}");
        }
    }
}
