//! `cargo xtask bench`: the Criterion benchmarks, with further arguments passed through.

use std::path::Path;

use clap::Args;

use crate::shell::Step;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Passed on to `cargo bench`, for example `--bench linear -- --save-baseline before`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// The command that runs the benchmarks `names`, unless the arguments choose among them.
///
/// It shares the build of the tests: the profile `dev` optimises everything that computes, and the whole workspace
/// has the features that the tests have.
fn step(names: &[String], arguments: &Arguments) -> Step {
    let step = Step::new("cargo bench --profile dev --workspace");
    if arguments.rest.iter().any(|argument| argument == "--bench") {
        return step.with_arguments(&arguments.rest);
    }
    let mut all: Vec<String> = names
        .iter()
        .flat_map(|name| ["--bench".to_owned(), name.clone()])
        .collect();
    all.extend(arguments.rest.iter().cloned());
    step.with_arguments(&all)
}

/// Names of the files in `benches/benches`, sorted.
fn names(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("benches/benches"))? {
        let path = entry?.path();
        if let (Some("rs"), Some(stem)) = (
            path.extension().and_then(|end| end.to_str()),
            path.file_stem().and_then(|stem| stem.to_str()),
        ) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Runs the benchmarks.
///
/// # Errors
/// A benchmark does not compile or does not finish.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    step(&names(root)?, arguments).run(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_runs_unless_one_is_chosen() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let names = names(&root).unwrap();
        assert!(names.iter().any(|name| name == "forward"), "{names:?}");
        let line = |rest: &[&str]| {
            let rest = rest.iter().map(|argument| (*argument).to_owned()).collect();
            let names = ["load".to_owned(), "step".to_owned()];
            step(&names, &Arguments { rest }).line()
        };
        let start = "cargo bench --profile dev --workspace";
        assert_eq!(
            line(&["--", "--quick"]),
            format!("{start} --bench load --bench step -- --quick")
        );
        assert_eq!(line(&["--bench", "step"]), format!("{start} --bench step"));
    }
}
