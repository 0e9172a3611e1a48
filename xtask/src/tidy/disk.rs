//! Libraries and the program change the disk in one place, where tests can break them off, and read files whole in one, where what a file
//! may cost is bounded.

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

/// What reads a file whole, whatever it is and however large.
const READS: [(&str, &str); 2] = [("fs", "read"), ("fs", "read_to_string")];

/// Files that may: the place itself, what opens a file to lock it, an input that is unpacked into a file without a name, and what a library of others writes into its cache.
const ALLOWED: [&str; 4] = [
    "crates/peft-format/src/file/disk.rs",
    "crates/peft-format/src/file/leftover.rs",
    "crates/peft-models/src/hf/hub.rs",
    "crates/peft-run/src/merge/agreement.rs",
];

/// Files that may read: one whose header was checked before, and what the system says of itself.
const MAY_READ: [&str; 3] = [
    "crates/peft-cli/src/commands/env.rs",
    "crates/peft-format/src/file/whole.rs",
    "crates/peft-run/src/memory.rs",
];

/// Finds changes of the disk and reading elsewhere.
pub(crate) fn check(file: &RustFile) -> Vec<Finding> {
    if !file.is_source_of_crate() {
        return Vec::new();
    }
    let is_testing = file.path.contains("/testing/");
    let may = |files: &[&str]| is_testing || files.contains(&file.path.as_str());
    let (may_change, may_read) = (may(&ALLOWED), may(&MAY_READ));
    let outside_of_tests = |token: &&[Token]| !file.is_test(token[0].line);
    let paths = file.tokens.windows(4).filter(outside_of_tests);
    let changes = paths.filter_map(|path| {
        let [module, first, second, name] = path else {
            return None;
        };
        let is_path = first.text == ":" && second.text == ":";
        let change = (module.text.as_str(), name.text.as_str());
        let message = match change {
            _ if !is_path => None,
            _ if CHANGES.contains(&change) && !may_change => Some(
                "changes the disk: use `peft_format::file::disk` or `write_atomic`, which tests can break off",
            ),
            _ if READS.contains(&change) && !may_read => Some(
                "reads whatever is there: use `peft_format::file::input`, which takes plain files of a bounded size",
            ),
            _ => None,
        };
        message.map(|message| (name.line, change, message))
    });
    let finding = |(line, (module, name), message): (usize, (&str, &str), &str)| {
        Finding::new(&file.path, line, format!("`{module}::{name}` {message}"))
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
    fn changes_of_the_disk_and_unbounded_reads_are_found() {
        let source = "crates/a/src/b.rs";
        assert_eq!(count(source, "std::fs::write(a, b);"), 1);
        assert_eq!(count(source, "fs::rename(a, b); File::create(c);"), 2);
        assert_eq!(
            count(
                source,
                "File::open(c); disk::rename(a, b); fs::read_dir(d);"
            ),
            0
        );
        assert_eq!(count(source, "fs::read(a); std::fs::read_to_string(b);"), 2);
        assert_eq!(count(MAY_READ[0], "fs::read(a); fs::write(b, c);"), 1);
    }

    #[test]
    fn tests_tools_and_the_place_itself_may() {
        for path in ["crates/a/tests/b.rs", "xtask/src/a.rs", ALLOWED[0]] {
            assert_eq!(count(path, "std::fs::write(a, b);"), 0, "{path}");
        }
    }
}
