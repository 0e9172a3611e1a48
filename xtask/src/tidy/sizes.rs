//! Files of at most 350 lines, functions of at most 60.

use super::{Finding, rust::RustFile};

/// Longest file, tests included.
const FILE_LINES: usize = 350;
/// Longest function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 60;

/// A file or function that may be longer.
#[derive(Debug)]
pub(crate) struct Exception {
    path: &'static str,
    /// `None` for the file itself.
    function: Option<&'static str>,
    reason: &'static str,
}

/// Every exception, each with a reason that a reader can check.
pub(crate) const EXCEPTIONS: &[Exception] = &[];

/// Finds what is too long, and exceptions that nothing needs.
pub(crate) fn check(files: &[RustFile], exceptions: &[Exception]) -> Vec<Finding> {
    let mut needed = vec![false; exceptions.len()];
    let mut excused = |path: &str, function: Option<&str>| {
        let place = exceptions
            .iter()
            .position(|e| e.path == path && e.function == function);
        if let Some(place) = place {
            needed[place] = true;
        }
        place.is_some()
    };
    let mut findings = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if lines > FILE_LINES && !excused(&file.path, None) {
            let message = format!("{lines} lines, at most {FILE_LINES}: one concept, one file");
            findings.push(Finding::new(&file.path, 1, message));
        }
        for function in &file.functions {
            let lines = function.lines.clone().count();
            if lines > FUNCTION_LINES && !excused(&file.path, Some(&function.name)) {
                let message = format!(
                    "`{}` has {lines} lines, at most {FUNCTION_LINES}",
                    function.name
                );
                findings.push(Finding::new(&file.path, *function.lines.start(), message));
            }
        }
    }
    let unused = exceptions
        .iter()
        .zip(&needed)
        .filter(|(_, needed)| !**needed);
    findings.extend(unused.map(|(exception, _)| {
        let message = format!(
            "this size exception is no longer needed ({})",
            exception.reason
        );
        Finding::new(exception.path, 1, message)
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(body: usize) -> Vec<RustFile> {
        let text = format!("//! A.\nfn f() {{\n{}}}\n", "    g();\n".repeat(body));
        vec![RustFile::parse("a.rs", &text).unwrap()]
    }

    const LONG: Exception = Exception {
        path: "a.rs",
        function: Some("f"),
        reason: "a table",
    };

    #[test]
    fn the_limits_themselves_are_allowed() {
        assert!(check(&file(FUNCTION_LINES - 2), &[]).is_empty());
    }

    #[test]
    fn a_function_over_the_limit_is_found_at_its_line() {
        let findings = check(&file(FUNCTION_LINES - 1), &[]);
        assert_eq!(
            findings,
            [Finding::new("a.rs", 2, "`f` has 61 lines, at most 60")]
        );
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        let text = format!("//! A.\n{}", "\n".repeat(FILE_LINES));
        let findings = check(&[RustFile::parse("a.rs", &text).unwrap()], &[]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.starts_with("351 lines"));
    }

    #[test]
    fn an_exception_excuses_what_it_names() {
        assert!(check(&file(100), &[LONG]).is_empty());
    }

    #[test]
    fn an_exception_that_nothing_needs_is_found() {
        let findings = check(&file(3), &[LONG]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("no longer needed (a table)"));
    }
}
