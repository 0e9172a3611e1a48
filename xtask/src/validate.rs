//! `cargo xtask validate`: the one gate, the same on a desk and in continuous integration.
//!
//! The steps run from the cheapest to the dearest and the first failure ends the run. All of them use the dev
//! profile: benches are built by `cargo test --benches`, because `cargo bench` keeps a second set of
//! dependencies in `target/release`.

use std::{path::Path, time::Instant};

use anyhow::Context;

use crate::{device_check, device_test, shell::Step, skipped::Skipped, tidy};

/// The commands after formatting and tidy, in order.
fn steps(libraries: &[String]) -> Vec<Step> {
    let mut steps = vec![
        Step::new("cargo clippy --workspace --all-targets -- -D warnings"),
        Step::new("cargo doc --workspace --no-deps").with_variable("RUSTDOCFLAGS", "-D warnings"),
    ];
    steps.extend(libraries.iter().map(|library| alone(library)));
    steps.extend([
        Step::new("cargo test --workspace"),
        Step::new("cargo test --workspace --features peft-cli/parquet --test parquet"),
        Step::new("cargo test --workspace --features peft-cli/remote --test remote"),
        Step::new("cargo test --workspace --benches --no-run"),
    ]);
    steps.extend(device_test::on_ndarray());
    steps
}

/// One library by itself with the least features, as a program that depends on nothing else of this workspace builds it.
///
/// Cargo unites the features of everything that it builds together: with `--workspace` each library gets what any other member turns on,
/// and one that forgot to ask for a feature, of Burn or of a neighbour, compiles here and nowhere else. The price is Burn's metadata a
/// second time, once for all libraries, because they are checked without the features that programs add.
fn alone(library: &str) -> Step {
    Step::new(&format!("cargo check -p {library} --no-default-features"))
}

/// The members that others can depend on: published, and with a library.
fn libraries(root: &Path) -> anyhow::Result<Vec<String>> {
    let packages = tidy::packages(root)?.packages.into_iter();
    let published =
        packages.filter(|package| package.publish.as_ref().is_none_or(|to| !to.is_empty()));
    let with_library = published.filter(|package| {
        let mut targets = package.targets.iter();
        targets.any(|target| target.is_lib() || target.is_proc_macro())
    });
    Ok(with_library
        .map(|package| package.name.to_string())
        .collect())
}

/// Runs every check; stops at the first that fails.
///
/// # Errors
/// A check fails: the message names its command, so that it can be run alone.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    let skipped = Skipped::none_yet(root)?;
    Step::new("cargo fmt --all --check")
        .run(root)
        .context("run `cargo fmt --all` to repair")?;
    println!("$ cargo xtask tidy");
    tidy::run(root)?;
    for step in steps(&libraries(root)?) {
        step.run(root)
            .context("validation stopped at the first failure")?;
    }
    device_check::check(root).context("what a build for graphics processors takes")?;
    println!("{}", skipped.told()?);
    println!(
        "valid: all checks passed in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::workspace_root;

    #[test]
    fn every_step_covers_the_whole_workspace_or_one_library_alone_in_the_dev_profile() {
        let libraries = libraries(&workspace_root()).expect("the manifests are valid");
        let steps = steps(&libraries);
        let (whole, alone): (Vec<_>, Vec<_>) = steps
            .iter()
            .partition(|step| step.words.contains(&"--workspace".to_owned()));
        for step in &steps {
            assert!(!step.line().contains("release"), "{}", step.line());
            assert_ne!(
                step.words[1], "bench",
                "the bench profile builds all dependencies again"
            );
        }
        assert_eq!(whole.len(), 6);
        let lines: Vec<_> = alone.iter().map(|step| step.line()).collect();
        let checks = libraries
            .iter()
            .map(|library| format!("cargo check -p {library} --no-default-features"));
        let on_ndarray = device_test::on_ndarray();
        let on_ndarray = on_ndarray.iter().map(Step::line);
        assert_eq!(lines, checks.chain(on_ndarray).collect::<Vec<_>>());
    }

    #[test]
    fn libraries_are_what_others_can_depend_on() {
        let libraries = libraries(&workspace_root()).expect("the manifests are valid");
        let is_one = |name: &str| libraries.iter().any(|library| library == name);
        assert!(
            ["peft-core", "peft-derive", "peft-run"]
                .into_iter()
                .all(is_one)
        );
        assert!(
            !["peft-cli", "peft-examples", "xtask"]
                .into_iter()
                .any(is_one)
        );
    }

    #[test]
    fn warnings_fail_both_the_linter_and_the_documentation() {
        let lines: Vec<_> = steps(&[]).iter().map(Step::line).collect();
        assert!(lines[0].ends_with("-- -D warnings"));
        assert!(lines[1].starts_with("RUSTDOCFLAGS=\"-D warnings\""));
    }
}
