//! A file with the least that a model has, to be changed.

use peft_gguf::hf::{HfError, HfTensors};
use peft_gguf::{GgmlType, GgufError, GgufModel, GgufWriter, Value};
use serde_json::{Map, Value as Json};

use crate::common::whole;

/// The least metadata and tensors of a model, to be changed.
pub(crate) struct File {
    metadata: Vec<(String, Value)>,
    pub(crate) tensors: Vec<(String, Vec<u64>, Vec<f32>)>,
}

impl File {
    pub(crate) fn new(architecture: &str) -> Self {
        let mut file = Self {
            metadata: vec![("general.architecture".into(), architecture.into())],
            tensors: Vec::new(),
        };
        for (key, value) in [
            ("block_count", 2_u32),
            ("embedding_length", 16),
            ("feed_forward_length", 24),
            ("context_length", 64),
            ("attention.head_count", 4),
        ] {
            file = file.with(&format!("{architecture}.{key}"), value);
        }
        let norms = ["layer_norm_rms_epsilon", "layer_norm_epsilon"];
        for key in norms {
            file = file.with(&format!("{architecture}.attention.{key}"), 1e-5_f32);
        }
        file.tensor("token_embd.weight", &[40, 16])
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.retain(|(other, _)| other != key);
        self.metadata.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(other, _)| other != key);
        self
    }

    pub(crate) fn tensor(self, name: &str, shape: &[u64]) -> Self {
        let values = vec![0.5; shape.iter().product::<u64>() as usize];
        self.tensor_of(name, shape, values)
    }

    pub(crate) fn tensor_of(mut self, name: &str, shape: &[u64], values: Vec<f32>) -> Self {
        self.tensors
            .push((name.to_owned(), shape.to_owned(), values));
        self
    }

    fn written(self) -> GgufModel {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let mut writer = GgufWriter::new();
        for (key, value) in self.metadata {
            writer.insert(&key, value).unwrap();
        }
        for (name, shape, _) in &self.tensors {
            writer.declare(name, shape, GgmlType::F32).unwrap();
        }
        let mut tensors = self.tensors.iter();
        let written: Result<(), GgufError> = writer.write(&path, |_, out| {
            // As bytes, for a hostile file has values that are none.
            let values = tensors.next().unwrap().2.iter();
            out.write(&values.flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
        });
        written.unwrap();
        GgufModel::open(&path).unwrap()
    }

    pub(crate) fn opened(self) -> Result<HfTensors, HfError> {
        HfTensors::new(self.written())
    }

    pub(crate) fn config(self) -> Map<String, Json> {
        self.opened().unwrap().config().unwrap()
    }

    /// Why the tensors or the configuration are refused.
    pub(crate) fn refused(self) -> String {
        let error = match self.opened() {
            Ok(model) => model.config().unwrap_err(),
            Err(error) => error,
        };
        let text = whole(&error);
        assert!(text.contains("model.gguf"), "{text}");
        text
    }
}

/// Requires that the model is refused with these words.
#[track_caller]
pub(crate) fn refuses(file: File, parts: &[&str]) {
    let text = file.refused();
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}
