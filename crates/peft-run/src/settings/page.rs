//! The pages of the documentation that list every setting and every bound are what the program says.

use std::path::Path;

use peft_core::file::input::LIMITS;
use serde_json::Value;

use super::RunConfig;
use super::described::{self, Absent};
use crate::Result;

/// `docs/settings.md`: every setting of a run file with its default and what is said of it.
fn page() -> Result<String> {
    let defaults = serde_json::to_value(RunConfig::default())?;
    let mut page = String::from(
        "# Settings of a run\n\nEvery setting of a run file (`peft init` prints one), with its default. Each can be given as \
         `--set NAME=VALUE`, and the most used ones as flags of their own (`peft train --help`).\n\n\
         | setting | default | |\n|---|---|---|\n",
    );
    for setting in described::all() {
        let pointer = format!("/{}", setting.key.replace('.', "/"));
        let default = match setting.absent {
            Absent::Table | Absent::Options => String::new(),
            Absent::Required(_) => "required".into(),
            Absent::Never | Absent::Example(_) => match defaults.pointer(&pointer) {
                None | Some(Value::Null) => String::new(),
                Some(value) => format!("`{}`", toml::Value::try_from(value)?),
            },
        };
        let comment = setting.comment.replace('|', "\\|");
        page.push_str(&format!("| `{}` | {default} | {comment} |\n", setting.key));
    }
    Ok(page)
}

/// `docs/limits.md`: every bound of what a foreign file may ask for.
fn limits() -> String {
    let mut page = String::from(
        "# What a file may cost\n\nModels, adapters, templates and data come from strangers. Each bound below ends what asks for more with an error that \
         names the file, the bound and the variable that raises it: `PEFT_LIMIT_PIXELS=1G peft train ..`. Sizes are bytes, or with `K`, `M`, `G`.\n\n\
         | variable | usual | bounds |\n|---|---|---|\n",
    );
    for limit in LIMITS {
        page.push_str(&format!(
            "| `{}` | {limit} | {} |\n",
            limit.variable, limit.reason
        ));
    }
    page.push_str(
        "\nDevices, pipes and folders under the name of a file are refused everywhere. Tensor files are read in the size that they have on the disk: headers that \
         claim more are refused, pickles are walked without running anything, and archives may not unpack to more than the tensors need. A chat template may \
         also write at most 64 MiB, nest values 200 deep, and take four million steps for each second of its time.\n",
    );
    page
}

/// With `UPDATE_PAGES=1` it writes the pages anew.
#[test]
fn the_committed_pages_are_what_the_settings_and_limits_say() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, expected) in [("settings.md", page().unwrap()), ("limits.md", limits())] {
        let path = docs.join(name);
        if std::env::var_os("UPDATE_PAGES").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/{name} is out of date: UPDATE_PAGES=1 cargo test --workspace -- the_committed_pages"
        );
    }
}
