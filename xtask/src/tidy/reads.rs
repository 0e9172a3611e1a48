//! Libraries read values from devices in one place, where readings are counted.

use super::{
    Finding,
    rust::{RustFile, Token},
};

/// Methods of tensors that wait for a device.
const METHODS: [&str; 6] = [
    "into_data",
    "into_scalar",
    "to_data",
    "try_into_data",
    "try_into_scalar",
    "try_to_data",
];

/// The place itself.
const ALLOWED: &str = "crates/peft-kernels/src/reads.rs";

/// Finds readings elsewhere. On the processor there is nothing to wait for.
pub(crate) fn check(file: &RustFile) -> Vec<Finding> {
    let path = &file.path;
    let of_processor = path.contains("/flex/") || path.ends_with("/flex.rs");
    if !file.is_source_of_crate() || path == ALLOWED || path.contains("/testing") || of_processor {
        return Vec::new();
    }
    let calls = file.tokens.windows(3).filter_map(|call: &[Token]| {
        let [dot, name, open] = call else {
            return None;
        };
        let is_call = dot.text == "." && (open.text == "(" || open.text == ":");
        let reads = is_call && METHODS.contains(&name.text.as_str());
        (reads && !file.is_test(name.line)).then_some(name)
    });
    let finding = |name: &Token| {
        let message = format!(
            "`{}` waits for the device: use `peft_kernels::read`, which counts",
            name.text
        );
        Finding::new(&file.path, name.line, message)
    };
    calls.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, body: &str) -> usize {
        let text = format!("//! A.\nfn f() {{ {body} }}\n");
        check(&RustFile::parse(path, &text).unwrap()).len()
    }

    #[test]
    fn readings_are_found_but_in_tests_and_their_own_place() {
        let source = "crates/a/src/b.rs";
        assert_eq!(
            count(source, "x.into_data(); y.clone().into_scalar::<f32>();"),
            2
        );
        assert_eq!(count(source, "read(x); into_data(y); x.to_data;"), 0);
        for path in [
            "crates/a/tests/b.rs",
            "crates/a/src/testing/c.rs",
            "crates/a/src/b/flex.rs",
            ALLOWED,
        ] {
            assert_eq!(count(path, "x.to_data();"), 0, "{path}");
        }
    }
}
