//! The page of the documentation that lists every setting is what the settings say.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::RunConfig;
use super::described::{self, Absent};

/// `docs/settings.md`: every setting of a run file with its default and what is said of it.
fn page() -> Result<String> {
    let defaults = serde_json::to_value(RunConfig::default()).context("listing the settings")?;
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

/// With `UPDATE_PAGES=1` it writes the page anew.
#[test]
fn the_committed_page_is_what_the_settings_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let expected = page().unwrap();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/settings.md is out of date: UPDATE_PAGES=1 cargo test --workspace -- the_committed_page"
    );
}
