//! What is in the folder that a command wrote, to be compared with that of another try.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Contents of files by path.
pub(crate) type Contents = BTreeMap<String, String>;

/// Copies a file or a folder; nothing where there is nothing.
pub(crate) fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            copy(&path, &to.join(path.file_name().unwrap()));
        }
    } else if from.is_file() {
        fs::copy(from, to).unwrap();
    }
}

/// Every file but checkpoints, without times. Nothing temporary is left.
pub(crate) fn contents(out: &Path) -> Contents {
    let mut end = BTreeMap::new();
    if out.is_file() {
        end.insert(String::new(), text_of(out));
        return end;
    }
    for entry in fs::read_dir(out).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.starts_with('.'), "{name} is left");
        if !path.is_dir() {
            end.insert(name, text_of(&path));
        } else if !name.starts_with("checkpoint-") {
            let below = contents(&path).into_iter();
            end.extend(below.map(|(file, text)| (format!("{name}/{file}"), text)));
        }
    }
    end
}

fn text_of(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let name = path.to_string_lossy();
    match std::str::from_utf8(&bytes) {
        Ok(text) if name.ends_with(".json") || name.ends_with(".jsonl") => {
            let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
            let values = values.map(|value| without_times(value.unwrap()).to_string());
            values.collect::<Vec<_>>().join("\n")
        }
        _ => format!("{bytes:?}"),
    }
}

fn without_times(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        for key in ["seconds", "peak_memory_mib"] {
            fields.remove(key);
        }
    }
    value
}
