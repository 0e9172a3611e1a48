//! What decides the course of a run: its settings, and its files by what they hold rather than by how they are called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::digest::{digest, files_in, hex};
use crate::settings::RunConfig;
use crate::{Error, Result};

/// Settings that change nothing of what is learnt, and those that name files, which are compared by content.
const LEFT_OUT: &[&str] = &[
    "out",
    // Where a run is computed changes its sums in the last bits: it may go on with other devices.
    "device",
    "model",
    "data.train",
    "data.valid",
    "data.tokenizer",
    "adapter.start",
    "adapter.experts_from",
    "train.log_every",
    "train.keep_checkpoints",
    "train.save_every",
];
/// How long a run is: a run that goes on may be longer than it was begun.
const LENGTH: &[&str] = &["train.epochs", "train.max_steps"];

/// A file or folder by what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    path: PathBuf,
    digest: String,
}

/// What decides the course of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    settings: BTreeMap<String, Value>,
    files: BTreeMap<String, Content>,
}

impl Identity {
    /// Reads the files that the settings name. One that is absent is left to whoever needs it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn of(config: &RunConfig) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut note = |role: &str, path: &Path| -> Result<()> {
            if let Some(digest) = digest(path)? {
                let path = path.to_owned();
                files.insert(role.to_owned(), Content { path, digest });
            }
            Ok(())
        };
        note("data.train", &config.data.train)?;
        if let Some(valid) = &config.data.valid {
            note("data.valid", valid)?;
        }
        let mut note_all = |role: &str, folder: &Path, is_meant: &dyn Fn(&str) -> bool| {
            for file in files_in(folder, is_meant)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                note(&format!("{role}: {name}"), &file)?;
            }
            Ok::<_, Error>(())
        };
        note_all("model", config.model_dir(), &is_of_model)?;
        if let Some(folder) = &config.data.tokenizer {
            let weights = |name: &str| name.ends_with(".safetensors") || name.ends_with(".bin");
            note_all("data.tokenizer", folder, &|name| {
                is_of_model(name) && !weights(name)
            })?;
        }
        let adapters = config.adapter.experts_from.iter().enumerate();
        let adapters = adapters.map(|(at, path)| (format!("adapter.experts_from {at}"), path));
        let start = config.adapter.start.iter();
        let start = start.map(|path| ("adapter.start".to_owned(), path));
        for (role, folder) in start.chain(adapters) {
            note_all(&role, folder, &|name| name.starts_with("adapter"))?;
        }
        Ok(Self {
            settings: settings(config)?,
            files,
        })
    }

    /// That of a run that is a part of this one and reads no other files.
    ///
    /// # Errors
    /// When an option names a file that cannot be read.
    pub(super) fn of_part(&self, config: &RunConfig) -> Result<Self> {
        let mut files = self.files.clone();
        if config.data.valid.is_none() {
            files.remove("data.valid");
        }
        Ok(Self {
            settings: settings(config)?,
            files,
        })
    }

    /// One line for each setting and file in which a run `now` differs from this one, its length apart.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let shown = |value: Option<&Value>| match value {
            None | Some(Value::Null) => "absent".to_owned(),
            Some(value) => value.to_string(),
        };
        let keys = self.settings.keys().chain(now.settings.keys());
        let mut keys: Vec<&String> = keys.filter(|key| !LENGTH.contains(&key.as_str())).collect();
        keys.sort();
        keys.dedup();
        let settings = keys.into_iter().filter_map(|key| {
            let (then, now) = (shown(self.settings.get(key)), shown(now.settings.get(key)));
            (then != now).then(|| format!("  {key}: {then} then, {now} now"))
        });
        let mut lines: Vec<String> = settings.collect();
        let roles = self.files.keys().chain(now.files.keys());
        let mut roles: Vec<&String> = roles.collect();
        roles.sort();
        roles.dedup();
        for role in roles {
            lines.extend(match (self.files.get(role), now.files.get(role)) {
                (Some(then), Some(now)) if then.digest == now.digest => None,
                (Some(then), Some(now)) => Some(format!(
                    "  {role}: {} holds something else than {} did",
                    now.path.display(),
                    then.path.display()
                )),
                (Some(then), None) => Some(format!(
                    "  {role}: {} then, absent now",
                    then.path.display()
                )),
                (None, Some(now)) => {
                    Some(format!("  {role}: absent then, {} now", now.path.display()))
                }
                (None, None) => None,
            });
        }
        lines
    }

    /// Whether a run `now` is as long by its settings.
    pub(super) fn is_as_long(&self, now: &Self) -> bool {
        LENGTH
            .iter()
            .all(|key| self.settings.get(*key) == now.settings.get(*key))
    }

    /// A digest of all but the length and the paths, for checkpoints.
    pub(super) fn fingerprint(&self) -> String {
        let mut all = Sha256::new();
        for (key, value) in &self.settings {
            if !LENGTH.contains(&key.as_str()) {
                all.update(format!("{key}={value}\n"));
            }
        }
        for (role, content) in &self.files {
            all.update(format!("{role}={}\n", content.digest));
        }
        hex(&all.finalize())
    }

    /// Whether the run ends with a whole model rather than an adapter.
    pub(super) fn trains_the_model(&self) -> bool {
        let method = self.settings.get("adapter.method").and_then(Value::as_str);
        matches!(method, Some("full" | "head"))
    }
}

/// A digest of texts, one after the other.
pub(super) fn digest_of(texts: &[String]) -> String {
    let mut all = Sha256::new();
    texts.iter().for_each(|text| all.update(text));
    hex(&all.finalize())
}

/// The settings that decide the course of a run.
fn settings(config: &RunConfig) -> Result<BTreeMap<String, Value>> {
    let mut settings = BTreeMap::new();
    flatten("", &serde_json::to_value(config)?, &mut settings)?;
    settings.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
    Ok(settings)
}

/// Settings by their dotted keys. An option that names a file stands for what the file holds.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) -> Result<()> {
    if let Value::Object(fields) = value {
        for (key, value) in fields {
            let below = format!("{path}.{key}");
            flatten(below.trim_start_matches('.'), value, into)?;
        }
        return Ok(());
    }
    let named = value
        .as_str()
        .filter(|_| path.starts_with("adapter.options."));
    let content = match named {
        Some(name) if name.contains(['/', '\\']) || Path::new(name).exists() => {
            digest(Path::new(name))?
        }
        _ => None,
    };
    let value = content.map_or_else(|| value.clone(), Value::String);
    into.insert(path.to_owned(), value);
    Ok(())
}

/// Files of a model folder that a run reads.
fn is_of_model(name: &str) -> bool {
    let end = Path::new(name).extension().and_then(|end| end.to_str());
    let read = [
        "json",
        "safetensors",
        "bin",
        "jinja",
        "txt",
        "model",
        "gguf",
    ];
    end.is_some_and(|end| read.contains(&end)) && name != "generation_config.json"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::settings::parse_setting;

    fn of(dir: &Path, settings: &[&str]) -> Identity {
        let train = format!("data.train={}", dir.join("train.jsonl").display());
        let model = format!("model={}", dir.join("model").display());
        let given = [train.as_str(), &model]
            .into_iter()
            .chain(settings.iter().copied());
        let settings: Vec<_> = given.map(|text| parse_setting(text).unwrap()).collect();
        Identity::of(&RunConfig::load(None, &settings).unwrap()).unwrap()
    }

    fn place() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.jsonl"), "{}\n").unwrap();
        fs::create_dir(dir.path().join("model")).unwrap();
        fs::write(dir.path().join("model/config.json"), "{}").unwrap();
        fs::write(dir.path().join("model/README.md"), "a model").unwrap();
        dir
    }

    #[test]
    fn settings_are_named_with_both_values_and_the_length_is_apart() {
        let dir = place();
        let then = of(dir.path(), &["train.epochs=2"]);
        let longer = of(dir.path(), &["train.epochs=3", "out=elsewhere"]);
        assert_eq!(then.differences(&longer), Vec::<String>::new());
        assert!(!then.is_as_long(&longer) && then.is_as_long(&then.clone()));
        assert_eq!(then.fingerprint(), longer.fingerprint());
        let other = of(
            dir.path(),
            &[
                "adapter.rank=4",
                "train.patience=3",
                "data.valid=absent.jsonl",
            ],
        );
        assert_eq!(
            then.differences(&other),
            [
                "  adapter.rank: 8 then, 4 now",
                "  train.patience: absent then, 3 now"
            ]
        );
        assert_ne!(then.fingerprint(), other.fingerprint());
    }

    #[test]
    fn files_are_compared_by_what_they_hold() {
        let dir = place();
        let then = of(dir.path(), &[]);
        let copy = dir.path().join("copy.jsonl");
        fs::copy(dir.path().join("train.jsonl"), &copy).unwrap();
        let train = format!("data.train={}", copy.display());
        assert_eq!(then.differences(&of(dir.path(), &[&train])).len(), 0);
        fs::write(dir.path().join("model/README.md"), "the model").unwrap();
        assert_eq!(then.differences(&of(dir.path(), &[])).len(), 0);
        fs::write(&copy, "{ }\n").unwrap();
        fs::write(dir.path().join("model/config.json"), "{ }").unwrap();
        let lines = then.differences(&of(dir.path(), &[&train]));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("data.train") && lines[0].contains("copy.jsonl"));
        assert!(lines[1].contains("model: config.json"));
        let valid = format!("data.valid={}", copy.display());
        let lines = then.differences(&of(dir.path(), &[&valid]));
        assert!(lines[0].contains("data.valid: absent then"), "{lines:?}");
    }
}
