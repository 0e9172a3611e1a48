//! What a model folder says, as a GGUF file: `{"config": .., "tokenizer": .., "about": .., "template": ..}`, and an adapter of such a base.

use std::collections::BTreeMap;
use std::path::Path;

use peft_format::file::{HostTensor, write_folder};
use peft_gguf::adapter::{AdapterBase, write_adapter};
use peft_gguf::export::{HfFiles, ModelFile};
use peft_gguf::{GgmlType, GgufError, GgufFile};
use serde_json::{Map, Value, json};

use crate::scratch;

/// Does with the bytes what the program does with such files.
///
/// # Panics
/// When what was written cannot be read: a finding.
pub fn run(bytes: &[u8]) {
    let Ok(Value::Object(given)) = serde_json::from_slice(bytes) else {
        return;
    };
    let object = |key: &str| given.get(key).and_then(Value::as_object);
    let (Some(config), Some(tokenizer)) = (object("config"), given.get("tokenizer")) else {
        return;
    };
    let nothing = Map::new();
    let files = HfFiles {
        config,
        tokenizer,
        about_tokenizer: object("about").unwrap_or(&nothing),
        template: given.get("template").and_then(Value::as_str),
    };
    if let Ok(file) = ModelFile::of_folder(files, GgmlType::Q4_0) {
        scratch::with_files(&[], |folder| {
            let path = folder.join("model.gguf");
            let none = |_: &str| -> Result<Vec<f32>, Failed> { Ok(Vec::new()) };
            file.write(&path, none).expect("it can be written");
            GgufFile::open(&path).expect("what was written is read");
        });
    }
    if let Ok(base) = AdapterBase::of_config(config) {
        scratch::with_files(&[], |folder| adapter(folder, base));
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Export(#[from] peft_gguf::export::ExportError),
}

/// A LoRA of queries and values at such a base.
fn adapter(folder: &Path, base: AdapterBase) {
    let tensor = |shape: [usize; 2]| HostTensor {
        shape: shape.to_vec(),
        data: vec![0.5; shape[0] * shape[1]],
        ..HostTensor::default()
    };
    let mut tensors = BTreeMap::new();
    for site in ["q_proj", "v_proj"] {
        let site = format!("base_model.model.model.layers.0.self_attn.{site}");
        tensors.insert(format!("{site}.lora_A.weight"), tensor([2, 8]));
        tensors.insert(format!("{site}.lora_B.weight"), tensor([16, 2]));
    }
    let config = json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]});
    let config = config.as_object().expect("it is an object");
    write_folder(folder, config, &tensors).expect("the temporary folder is writable");
    let path = folder.join("adapter.gguf");
    if write_adapter(folder, base, &path).is_ok() {
        GgufFile::open(&path).expect("what was written is read");
    }
}
