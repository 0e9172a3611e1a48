//! Random adapters of every kind of content, on every family: read again, merged and converted, the whole model answers alike.

mod families;

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use peft_core::target::{Target, TargetRules};
use peft_core::tie::TieGroups;
use peft_core::{
    Adaptable, AdapterSpec, BiasTraining, MethodEntry, Naming, SiteKind, attach, folder,
};
use peft_models::hf::{export, write_model};
use peft_models::{
    Loaded, ModelConfig, ModelKind, init_causal_lm, init_classifier, init_image_classifier,
};
use serde_json::{Value, json};

use super::{Format, Merging, merge_folder};
use crate::adapter_arg::AdapterArg;
use crate::any_model::{self, AnyModel};
use crate::convert::{ConvertResult, Converting, Names, to_peft};
use crate::open;
use crate::probe::Answers;
use crate::registry::METHODS;
use crate::run::ADAPTER;
use families::{TOKENS, families};

/// A base model in a folder of its own.
struct Base {
    root: tempfile::TempDir,
    device: Device,
}

impl Base {
    fn new(config: &Value) -> Self {
        let device = Device::default();
        let root = tempfile::tempdir().unwrap();
        let config = ModelConfig::parse(Path::new("config.json"), &config.to_string()).unwrap();
        let dir = root.path().join("model");
        match ModelKind::of(&config) {
            ModelKind::Texts => write(init_classifier(config, 1, &device).unwrap(), &dir),
            ModelKind::Images => write(init_image_classifier(config, 1, &device).unwrap(), &dir),
            ModelKind::Causal | ModelKind::DecoderTexts => {
                write(init_causal_lm(config, 1, &device).unwrap(), &dir);
            }
        }
        Self { root, device }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn open(&self, dir: &Path, device: &Device) -> Loaded<AnyModel> {
        any_model::open(dir, None, 0, device).unwrap().loaded
    }

    /// Attaches an adapter, moves everything that trains, saves it, and gives what the whole model answers then.
    fn train(&self, spec: &AdapterSpec, tokens: Option<usize>) -> Answers {
        let device = Device::default().autodiff();
        let mut loaded = self.open(&self.path("model"), &device);
        if let Some(tokens) = tokens {
            loaded.model.resize_vocabulary(tokens);
        }
        let (model, _) = attach(loaded.model, &loaded.names, ADAPTER, spec, 1).unwrap();
        let ties = TieGroups::of(&model, ADAPTER, spec.method.as_ref()).unwrap();
        let model = ties.broadcast(model.map(&mut Move(0)));
        let dir = self.path("adapter");
        std::fs::remove_dir_all(&dir).ok();
        std::fs::create_dir(&dir).unwrap();
        folder::save(&model, &loaded.names, ADAPTER, spec, &dir).unwrap();
        Answers::of(&model.valid(), &self.device).unwrap()
    }

    fn read(&self, adapter: &str) -> Answers {
        let loaded = self.open(&self.path("model"), &self.device);
        let adapter = AdapterArg::only(&self.path(adapter));
        let (loaded, _) = open::add(loaded, &adapter).unwrap();
        Answers::of(&loaded.model, &self.device).unwrap()
    }

    /// Reads the adapter, merges it, converts it where a LoRA can say the same: every way answers as the trained model did.
    fn check(&self, trained: &Answers, case: &str, mixes: bool) {
        let base = Answers::of(
            &self.open(&self.path("model"), &self.device).model,
            &self.device,
        );
        let effect = base.unwrap().difference(trained);
        assert!(
            effect > 5e-3 || effect.is_nan(),
            "{case}: the adapter changes {effect}"
        );
        let read = trained.difference(&self.read("adapter"));
        assert!(read < 1e-5, "{case}, read: {read}");
        let out = self.path("merged");
        std::fs::remove_dir_all(&out).ok();
        let (model, adapter) = (self.path("model"), self.path("adapter"));
        let merged = merge_folder(&Merging {
            model: &model,
            adapter: &adapter,
            tokenizer: None,
            out: &out,
            format: Format::Safetensors(None),
            tolerance: None,
            device: &self.device,
        });
        let converted = self.convert();
        if mixes {
            let error = merged.unwrap_err().to_string();
            assert!(error.contains("be merged"), "{case}: {error}");
            assert!(converted.is_err(), "{case}");
            return;
        }
        assert!(merged.is_ok(), "{case}: {merged:?}");
        let merged = Answers::of(&self.open(&out, &self.device).model, &self.device).unwrap();
        let difference = trained.difference(&merged);
        assert!(difference < 1e-4, "{case}, merged: {difference}");
        if let Err(error) = converted {
            // A LoRA leaves biases as they are.
            let error = peft_core::causes(&error);
            assert!(error.contains("changes the bias"), "{case}: {error}");
            return;
        }
        let difference = trained.difference(&self.read("converted"));
        assert!(difference < 1e-4, "{case}, converted: {difference}");
    }

    fn convert(&self) -> crate::Result<ConvertResult> {
        to_peft(&Converting {
            model: &self.path("model"),
            adapter: &self.path("adapter"),
            out: &self.path("converted"),
            names: Names::File,
            rank: Some(24),
            overwrite: true,
            device: "auto",
        })
    }
}

fn write<M: Module>(loaded: Loaded<M>, dir: &Path) {
    write_model(dir, &loaded.config, &export(&loaded.model, &loaded.names)).unwrap();
}

/// Whether the method's update depends on what goes through the layers, so that nothing can be merged or converted.
fn has_no_weight(spec: &AdapterSpec) -> bool {
    spec.method.routes() || spec.method.entry().id == "reslora"
}

/// Moves every value that trains.
struct Move(usize);

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        param.map(|tensor| {
            let shape = tensor.dims();
            let size: usize = shape.iter().product();
            let noise = (0..size).map(|at| 0.2 * ((self.0 + at) as f32 * 1.37).sin());
            let noise = TensorData::new(noise.collect::<Vec<f32>>(), shape);
            self.0 += size + 1;
            let device = tensor.device();
            let moved = tensor.inner() + Tensor::from_data(noise, &device.inner());
            Tensor::from_inner(moved).require_grad()
        })
    }
}

fn spec(method: &'static MethodEntry) -> AdapterSpec {
    let mut options = (method.default_options)();
    if method.id == "adapterbias" {
        // Most layers of decoders have no bias, into which an offset goes.
        options.insert("offset".into(), json!(false));
    }
    AdapterSpec {
        method: (method.from_options)(&options).unwrap(),
        rank: 3,
        alpha: 6.0,
        targets: TargetRules::new(Target::AllLinear),
        ..AdapterSpec::default()
    }
}

/// Modules of a model that can be saved whole: its output layer, its word table, a norm; and what else the first one names.
fn savable(model: &AnyModel) -> (Vec<String>, Vec<String>) {
    let mut modules = model.output_heads();
    let head = modules[0].clone();
    modules.extend(model.vocabulary_layers().into_iter().take(1));
    let norm = match model {
        AnyModel::Classifier(model) if model.encoder.config().token_types == 0 => {
            "output_layer_norm"
        }
        AnyModel::Classifier(_) => "attention.output.LayerNorm",
        AnyModel::Causal(_) | AnyModel::DecoderTexts(_) => match modules[1].ends_with("wte") {
            true => "ln_1",
            false => "input_layernorm",
        },
        AnyModel::Images(_) => "layernorm_before",
    };
    modules.push(norm.to_owned());
    // A name means every module that ends with it: `classifier` is also `pre_classifier`, which is not to be adapted beside.
    let longer = model.sites().into_iter().map(|site| site.path);
    let longer = longer.filter(|path| *path != head && path.ends_with(&head));
    (modules, longer.collect())
}

#[test]
fn saved_modules_and_trained_biases_survive_every_way() {
    for (at, (family, config)) in families().iter().enumerate() {
        let base = Base::new(config);
        let model = base.open(&base.path("model"), &base.device).model;
        let (savable, longer) = savable(&model);
        let mut kinds = model.sites().into_iter().map(|site| site.kind);
        let is_conv1d = kinds.any(|kind| kind == SiteKind::Conv1d);
        for (turn, method) in METHODS.iter().enumerate() {
            // Every combination comes up in one family or another.
            let kind = at * 5 + turn * 3;
            let chosen = savable.iter().enumerate();
            let chosen = chosen.filter(|(module, _)| kind >> module & 1 == 1);
            let mut spec = spec(method);
            if is_conv1d && !spec.method.adapts(SiteKind::Conv1d) {
                continue;
            }
            spec.modules_to_save = chosen.map(|(_, name)| name.clone()).collect();
            if kind & 1 == 1 {
                spec.modules_to_save.extend_from_slice(&longer);
            }
            let has_bias = spec.method.config_fields().get("bias") != Some(&Value::Null);
            spec.bias = match kind % 3 {
                1 if has_bias => BiasTraining::All,
                2 if has_bias => BiasTraining::LoraOnly,
                _ => BiasTraining::None,
            };
            let case = format!(
                "{family}, {}, {:?}, {:?}",
                method.id, spec.modules_to_save, spec.bias
            );
            let trained = base.train(&spec, None);
            base.check(&trained, &case, has_no_weight(&spec));
        }
    }
}

#[test]
fn adapted_tables_and_output_layers_survive_every_way() {
    for (family, config) in families() {
        let base = Base::new(&config);
        let model = base.open(&base.path("model"), &base.device).model;
        let table = model.vocabulary_layers().into_iter().next();
        let head = model.output_heads().remove(0);
        for (method, target) in METHODS
            .iter()
            .flat_map(|method| [(method, Some(&head)), (method, table.as_ref())])
        {
            let Some(target) = target else { continue };
            let mut spec = spec(method);
            let is_table = Some(target) == table.as_ref();
            if is_table && !spec.method.adapts(SiteKind::Embedding) {
                continue;
            }
            spec.targets = TargetRules::list([target.clone()]);
            let trained = base.train(&spec, None);
            let case = format!("{family}, {}, {target}", method.id);
            base.check(&trained, &case, has_no_weight(&spec));
        }
    }
}

#[test]
fn resized_vocabularies_and_bare_names_survive_every_way() {
    for (family, config) in families() {
        let base = Base::new(&config);
        let layers = base
            .open(&base.path("model"), &base.device)
            .model
            .vocabulary_layers();
        for tokens in [None, Some(TOKENS + 2), Some(TOKENS - 3)] {
            let mut spec = spec(&peft_core::lora::LORA);
            spec.naming = Naming {
                bare: true,
                other: false,
            };
            if tokens.is_some() {
                spec.copied_modules.clone_from(&layers);
            }
            if tokens.is_some() && layers.is_empty() {
                continue;
            }
            let trained = base.train(&spec, tokens);
            base.check(&trained, &format!("{family}, {tokens:?}"), false);
        }
    }
}
