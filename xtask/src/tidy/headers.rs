//! Every source file opens with `//!` and says what it is.

use super::{Finding, rust::RustFile};

/// Finds a file whose first line is no module documentation.
pub(crate) fn check(file: &RustFile) -> Option<Finding> {
    let first = file.text.lines().next().unwrap_or_default();
    let says_something = first
        .strip_prefix("//!")
        .is_some_and(|rest| !rest.trim().is_empty());
    (!says_something).then(|| {
        Finding::new(
            &file.path,
            1,
            "the first line must be `//!` and say what the file is for",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        check(&RustFile::parse("a.rs", text).unwrap()).is_some()
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        assert!(found("fn f() {}\n"));
        assert!(found("\n//! Late.\n"));
        assert!(found("//!\n//! Late.\n"));
        assert!(found(""));
    }

    #[test]
    fn a_file_with_a_header_passes() {
        assert!(!found("//! Norms of columns.\n"));
    }
}
