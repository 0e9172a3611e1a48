//! Adapter folders written by Hugging Face PEFT: what they adapt, and reading and writing them without a change.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use peft_core::file::{
    CONFIG_FILE, HostTensor, PeftConfig, StoredDtype, TENSOR_FILE, index_keys, key, read_config,
    read_folder,
};
use peft_core::lora::{LORA, LoraAdapter, RSLORA};
use peft_core::{
    Adaptable, AdaptedLinear, Layout, MethodEntry, ParamNames, Site, SiteKind, attach, folder,
};
use serde_json::{Value, json};

const ENTRIES: [&MethodEntry; 2] = [&LORA, &RSLORA];

/// The layers that the manifest lists, without what lies between them.
#[derive(Module, Debug)]
struct Layers {
    layers: Vec<AdaptedLinear>,
    norms: Vec<Param<Tensor<1>>>,
}

impl Adaptable for Layers {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.layers.iter().for_each(visit);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.layers.iter_mut().for_each(visit);
    }

    fn output_heads(&self) -> Vec<String> {
        vec!["classifier".into()]
    }
}

/// One folder of the manifest.
struct Case {
    name: String,
    dir: PathBuf,
    /// The manifest's entry.
    entry: Value,
    /// The layers of the model it was made for.
    layers: Value,
}

impl Case {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/folders");
        let text = fs::read_to_string(root.join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let folders = manifest["folders"].as_object().unwrap();
        assert_eq!(folders.len(), 16);
        folders
            .iter()
            .map(|(name, entry)| Self {
                name: name.clone(),
                // PEFT puts every adapter that is not called `default` into a folder of its name.
                dir: match name.as_str() {
                    "named" => root.join("named/second"),
                    name => root.join(name),
                },
                entry: entry.clone(),
                layers: manifest["layers"][entry["model"].as_str().unwrap()].clone(),
            })
            .collect()
    }

    /// The model with zeros for weights, and the names of its parameters.
    fn model(&self) -> (Layers, ParamNames) {
        let device = Device::flex();
        let mut names = ParamNames::new();
        let mut model = Layers {
            layers: vec![],
            norms: vec![],
        };
        for layer in self.layers.as_array().unwrap() {
            let (path, d_in, d_out) = shape(layer);
            let vector = |id| Param::initialized(id, Tensor::zeros([d_out], &device));
            let kind = match layer["kind"].as_str().unwrap() {
                "linear" => SiteKind::Linear,
                "conv1d" => SiteKind::Conv1d,
                "embedding" => SiteKind::Embedding,
                _ => {
                    for tensor in ["weight", "bias"] {
                        let id = names.insert(&format!("{path}.{tensor}"), Layout::AsIs);
                        model.norms.push(vector(id));
                    }
                    continue;
                }
            };
            let weight = names.insert(&format!("{path}.weight"), kind.layout());
            let bias = (kind != SiteKind::Embedding)
                .then(|| vector(names.insert(&format!("{path}.bias"), Layout::AsIs)));
            model.layers.push(AdaptedLinear::new(
                Site::new(path, d_in, d_out).with_kind(kind),
                Param::initialized(weight, Tensor::zeros([d_in, d_out], &device)),
                bias,
            ));
        }
        (model, names)
    }

    fn adapted(&self) -> &[Value] {
        self.entry["adapted"].as_array().unwrap()
    }

    /// Paths of the modules that PEFT saved whole.
    fn saved(&self) -> BTreeSet<&str> {
        let saved = self.entry["modules_to_save"].as_array().unwrap();
        saved.iter().map(|path| path.as_str().unwrap()).collect()
    }
}

fn shape(linear: &Value) -> (&str, usize, usize) {
    let size = |key: &str| usize::try_from(linear[key].as_u64().unwrap()).unwrap();
    (
        linear["path"].as_str().unwrap(),
        size("d_in"),
        size("d_out"),
    )
}

#[test]
fn every_folder_adapts_the_layers_ranks_alphas_and_scalings_that_peft_used() {
    for case in Case::all() {
        let name = &case.name;
        let spec = folder::spec_of(&ENTRIES, &read_config(&case.dir).unwrap()).unwrap();
        let (model, names) = case.model();
        let plan = spec.plan(&model.sites(), &model.output_heads()).unwrap();
        assert_eq!(plan.unmatched, [], "{name}");
        let (model, report) = attach(model, &names, "default", &spec, 1).unwrap();
        assert_eq!(report.sites, plan.sites, "{name}");
        assert_eq!(plan.sites.len(), case.adapted().len(), "{name}");
        for (site, expected) in plan.sites.iter().zip(case.adapted()) {
            let found = (site.path.as_str(), site.d_in, site.d_out);
            assert_eq!(found, shape(expected), "{name}");
            assert_eq!(Some(site.rank as u64), expected["rank"].as_u64(), "{name}");
            assert_eq!(Some(site.alpha), expected["alpha"].as_f64(), "{name}");
        }
        let mut scalings = Vec::new();
        model.visit_linears(&mut |linear| {
            let adapter = linear.adapter("default");
            if let Some(lora) = adapter.and_then(|any| any.downcast_ref::<LoraAdapter>()) {
                scalings.push(lora.scale);
            }
        });
        let expected: Vec<f64> = case
            .adapted()
            .iter()
            .map(|site| site["scaling"].as_f64().unwrap())
            .collect();
        assert_eq!(scalings, expected, "{name}");
        let saved: BTreeSet<&str> = report
            .saved
            .iter()
            .map(|parameter| parameter.rsplit_once('.').unwrap().0)
            .collect();
        assert_eq!(saved, case.saved(), "{name}");
    }
}

#[test]
fn every_key_belongs_to_an_adapted_layer_a_saved_module_or_a_trained_bias_and_is_spelled_again() {
    for case in Case::all() {
        let tensors = read_folder(&case.dir).unwrap().tensors;
        let shapes = case.entry["keys"].as_object().unwrap();
        assert_eq!(tensors.len(), shapes.len(), "{}", case.name);
        for (raw, tensor) in &tensors {
            assert_eq!(json!(tensor.shape), shapes[raw], "{raw}");
        }
        let linear = ["lora_A.weight", "lora_B.weight"];
        let embedding = ["lora_embedding_A", "lora_embedding_B"];
        let known = [linear, embedding].concat();
        let index = index_keys(tensors.keys().map(String::as_str), &known).unwrap();
        let mut expected = BTreeSet::new();
        for site in case.adapted() {
            let path = shape(site).0;
            let names = if path.ends_with("embeddings") {
                embedding
            } else {
                linear
            };
            expected.extend(names.map(|tensor| (path, tensor)));
        }
        for module in case.saved() {
            expected.extend(["weight", "bias"].map(|tensor| (module, tensor)));
        }
        let found: BTreeSet<(&str, &str)> = index
            .keys()
            .filter(|key| !case.name.starts_with("bias-") || key.tensor != "bias")
            .map(|key| (key.module.as_str(), key.tensor.as_str()))
            .collect();
        assert_eq!(found, expected, "{}", case.name);
        for (parsed, raw) in index {
            assert_eq!(raw, key(&parsed.module, &parsed.tensor));
        }
    }
}

#[test]
fn every_folder_is_written_again_with_the_same_bytes_and_an_equal_config() {
    // Left there for `tools/golden/folders.py --check`, which compares outputs in PEFT.
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("written");
    for case in Case::all() {
        let (model, names) = case.model();
        let loaded = folder::load(model, &names, "read", &ENTRIES, &case.dir).unwrap();
        assert_eq!(loaded.unknown_fields, [""; 0], "{}", case.name);
        let out = written.join(&case.name);
        fs::create_dir_all(&out).unwrap();
        folder::save(&loaded.model, &names, "read", &loaded.spec, &out).unwrap();
        assert_same_tensors(&case, &out);
        let typed = |dir: &Path| PeftConfig {
            raw: serde_json::Map::new(),
            ..read_config(dir).unwrap()
        };
        assert_eq!(typed(&out), typed(&case.dir), "{}", case.name);
        let fields = |dir: &Path| -> Value {
            serde_json::from_slice(&fs::read(dir.join(CONFIG_FILE)).unwrap()).unwrap()
        };
        let original = fields(&case.dir);
        for (field, value) in fields(&out).as_object().unwrap() {
            if field == "auto_mapping" {
                // Python's name for the class of a base without a task.
                continue;
            }
            let expected = &original[field];
            let listed = value.is_array() && !expected.is_array() && !expected.is_null();
            if listed {
                // PEFT keeps `layers_pattern = "layer"` as the user gave it and reads the list `["layer"]` alike.
                assert_eq!(*value, json!([expected]), "{}: {field}", case.name);
            } else {
                assert_eq!(value, expected, "{}: {field}", case.name);
            }
        }
    }
}

/// The same bytes; the same values where PEFT wrote a pickle or types narrower than F32.
fn assert_same_tensors(case: &Case, out: &Path) {
    let (original, again) = (read_folder(&case.dir).unwrap(), read_folder(out).unwrap());
    let values = |tensors: BTreeMap<String, HostTensor>| -> BTreeMap<String, HostTensor> {
        let widened = |tensor: HostTensor| tensor.with_stored(StoredDtype::F32);
        tensors
            .into_iter()
            .map(|(key, tensor)| (key, widened(tensor)))
            .collect()
    };
    assert!(
        values(original.tensors) == values(again.tensors),
        "{}",
        case.name
    );
    if !["mixed-dtypes", "pickle"].contains(&case.name.as_str()) {
        let bytes = |dir: &Path| fs::read(dir.join(TENSOR_FILE)).unwrap();
        assert!(bytes(out) == bytes(&case.dir), "{}", case.name);
    }
}

#[test]
fn no_tensor_of_the_folders_is_passed_over() {
    for case in Case::all() {
        let (model, names) = case.model();
        let mut folder = read_folder(&case.dir).unwrap();
        let key = folder.tensors.keys().next_back().unwrap().clone();
        let tensor = folder.tensors.remove(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::copy(case.dir.join(CONFIG_FILE), dir.path().join(CONFIG_FILE)).unwrap();
        let write = |tensors: &BTreeMap<String, HostTensor>| {
            peft_core::file::write_tensors(&dir.path().join(TENSOR_FILE), tensors).unwrap();
        };
        write(&folder.tensors);
        let error = folder::load(model, &names, "read", &ENTRIES, dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("missing"),
            "{}: {error}",
            case.name
        );
        folder.tensors.insert(format!("{key}.x"), tensor.clone());
        folder.tensors.insert(key, tensor);
        write(&folder.tensors);
        let (model, names) = case.model();
        let error = folder::load(model, &names, "read", &ENTRIES, dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("not expected") || error.to_string().contains("both mean"),
            "{}: {error}",
            case.name
        );
    }
}
