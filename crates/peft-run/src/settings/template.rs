//! A commented run file with every setting and its default.

use serde_json::Value;

use super::RunConfig;
use super::described::{self, Absent};
use crate::error::Context;
use crate::registry;
use crate::{Error, Result};

/// The run file of `config`: one commented line per setting, absent ones commented out with an example.
///
/// # Errors
/// A setting without a description, or that TOML cannot hold.
pub fn template(config: &RunConfig) -> Result<String> {
    let known = serde_json::to_value(config)?;
    let mut text = String::from(
        "# A training run: `peft train THIS_FILE`; `peft targets THIS_FILE` shows beforehand what it would adapt.\n\
         # Settings that are commented out show an example; their default is to be absent.\n\
         # Every setting can also be given as `--set section.name=value`.\n\n",
    );
    table(&mut text, "", &known)?;
    Ok(text)
}

/// The values of one table, then the tables below it.
fn table(text: &mut String, path: &str, known: &Value) -> Result<()> {
    let mut below = Vec::new();
    for (key, value) in known.as_object().into_iter().flatten() {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let setting = described::all().find(|setting| setting.key == full);
        let Some(setting) = setting else {
            return Err(Error::Undescribed { setting: full });
        };
        match setting.absent {
            Absent::Table | Absent::Options => below.push((full, setting, value)),
            Absent::Never => line(text, "", key, &inline(value)?, setting.comment),
            Absent::Required(example) => line(text, "", key, example, setting.comment),
            Absent::Example(example) if value.is_null() => {
                line(text, "# ", key, example, setting.comment);
            }
            Absent::Example(_) => line(text, "", key, &inline(value)?, setting.comment),
        }
    }
    for (full, setting, value) in below {
        text.push_str(&format!("\n# {}\n[{full}]\n", setting.comment));
        match setting.absent {
            Absent::Options => options(text)?,
            _ => table(text, &full, value)?,
        }
    }
    Ok(())
}

/// The options of the default method, commented out.
fn options(text: &mut String) -> Result<()> {
    let method = RunConfig::default().adapter.method;
    let entry = registry::find(&method).into_iter();
    for (key, value) in entry.flat_map(|entry| (entry.default_options)()) {
        line(
            text,
            "# ",
            &key,
            &inline(&value)?,
            &format!("Option of {method}."),
        );
    }
    Ok(())
}

fn line(text: &mut String, mark: &str, key: &str, value: &str, comment: &str) {
    let setting = format!("{mark}{key} = {value}");
    text.push_str(&format!("{setting:<34} # {comment}\n"));
}

/// A value as TOML writes it on one line.
fn inline(value: &Value) -> Result<String> {
    let value = toml::Value::try_from(value).context("writing a setting as TOML")?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests;
