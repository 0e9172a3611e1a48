//! `cargo xtask device-check`: what `tools/device/check.sh` runs on a machine with a graphics processor, built where there need not be one.
//!
//! Such machines are often borrowed for minutes and have no registry within reach, so that everything is built before: the tests of the
//! kernels, the contracts of all methods and the program, in one archive.

mod cuda_tree;
mod pack;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::device_test::{self, Device};
use crate::shell::Step;

/// Arguments of `cargo xtask device-check`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to build for.
    #[arg(long, value_enum, default_value = "cuda")]
    device: Device,
    /// Only see whether everything compiles, for CUDA and for wgpu.
    #[arg(long)]
    check: bool,
    /// Where the archive goes.
    #[arg(long, default_value = "target/device-check")]
    out: PathBuf,
}

/// The version of CUDA whose names are linked, at run time and if they are there.
const CUDA: (&str, &str) = ("CUDARC_CUDA_VERSION", "13000");

/// A command for the tree in which CUDA builds; what it builds of others' crates lies beside the rest.
fn for_cuda(step: Step, root: &Path) -> Step {
    let target = root.join("target").display().to_string();
    step.with_variable(CUDA.0, CUDA.1)
        .with_variable("CARGO_TARGET_DIR", &target)
}

/// Whether the kernels, their tests and the program compile for the graphics processors that a build can name.
///
/// # Errors
/// Something does not compile.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let tree = cuda_tree::write(root)?;
    let features = "--features peft-cli/cuda,peft-cli/wgpu";
    let line =
        format!("cargo check -p peft-kernels -p peft-cli {features} --lib --bins --profile test");
    for_cuda(Step::new(&line), root).run(&tree)
}

/// Builds and packs, or only checks.
///
/// # Errors
/// Something does not compile, or there is no room.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.check {
        return check(root);
    }
    let (tree, ready): (PathBuf, Box<dyn Fn(Step) -> Step>) = match arguments.device {
        Device::Cuda => (
            cuda_tree::write(root)?,
            Box::new(|step| for_cuda(step, root)),
        ),
        _ => (root.to_path_buf(), Box::new(|step| step)),
    };
    let steps = device_test::builds(arguments.device);
    let steps: Vec<Step> = steps.into_iter().map(ready).collect();
    let archive = pack::pack(
        &tree,
        &steps,
        &root.join(&arguments.out),
        arguments.device.name(),
    )?;
    println!("{}", archive.display());
    Ok(())
}
