//! The archive: programs without their symbols, and what runs them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::Message;

use crate::shell::Step;

/// What the archive holds beside programs.
const SCRIPTS: [&str; 4] = [
    "tools/device/check.sh",
    "tools/device/random_model.py",
    "tools/device/table.py",
    "tools/compare/step_time.py",
];

/// Builds by these commands, in `tree`, and packs what runs into `out/NAME.tar.xz`. The programs have almost all of their code in common, so
/// that one dictionary over all of them makes the archive little larger than one of them.
///
/// # Errors
/// Something does not compile; `strip`, `tar` or `xz` is missing; there is no room.
pub(super) fn pack(
    tree: &Path,
    builds: &[Step],
    out: &Path,
    name: &str,
) -> anyhow::Result<PathBuf> {
    let folder = out.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for step in builds {
        for (name, built) in executables(&step.output(tree)?) {
            let to = folder.join(name).display().to_string();
            let strip = Step::new("strip -o").with_arguments(&[to, built]);
            strip.run(tree)?;
        }
    }
    for script in SCRIPTS {
        let name = Path::new(script).file_name().context("a script")?;
        fs::copy(tree.join(script), folder.join(name)).with_context(|| script.to_owned())?;
    }
    let archive = out.join(format!("{name}.tar.xz"));
    let arguments = [
        "-C",
        &folder.display().to_string(),
        "-cf",
        &archive.display().to_string(),
        ".",
    ];
    Step::new("tar -I")
        .with_arguments(&["xz -T1 --lzma2=preset=6,dict=512MiB".to_owned()])
        .with_arguments(&arguments.map(str::to_owned))
        .run(tree)?;
    Ok(archive)
}

/// `(name, path)` of each program in what cargo says as JSON. Tests are called by their package and target, so that each name is one.
fn executables(said: &str) -> Vec<(String, String)> {
    let messages = Message::parse_stream(said.as_bytes()).filter_map(Result::ok);
    let programs = messages.filter_map(|message| match message {
        Message::CompilerArtifact(artifact) => {
            let path = artifact.executable?.to_string();
            let target = artifact.target.name;
            let package = artifact.package_id.repr;
            let package = package.rsplit('/').next().unwrap_or(&target);
            let package = package.split('#').next().unwrap_or(&target);
            let name = match artifact.profile.test {
                true => format!("test-{package}-{target}"),
                false => target,
            };
            Some((name, path))
        }
        _ => None,
    });
    programs.collect()
}

#[cfg(test)]
mod tests {
    use super::executables;

    #[test]
    fn programs_are_found_in_what_cargo_says() {
        let artifact = |name: &str, test: bool, executable: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"package_id\":\"path+file:///w/crates/peft-x#0.1.0\",\
                 \"manifest_path\":\"/w/Cargo.toml\",\"target\":{{\"kind\":[\"test\"],\"crate_types\":[\"bin\"],\"name\":\"{name}\",\
                 \"src_path\":\"/w/x.rs\",\"edition\":\"2024\",\"doc\":false,\"doctest\":false,\"test\":true}},\
                 \"profile\":{{\"opt_level\":\"1\",\"debuginfo\":1,\"debug_assertions\":true,\"overflow_checks\":true,\"test\":{test}}},\
                 \"features\":[],\"filenames\":[],\"executable\":{executable},\"fresh\":false}}\n"
            )
        };
        let said = [
            artifact("contract", true, "\"/t/contract-1\""),
            artifact("peft", false, "\"/t/peft\""),
            artifact("lib", false, "null"),
        ];
        let found = executables(&said.concat());
        let expected = [
            ("test-peft-x-contract", "/t/contract-1"),
            ("peft", "/t/peft"),
        ];
        assert_eq!(
            found,
            expected.map(|(name, path)| (name.to_owned(), path.to_owned()))
        );
    }
}
