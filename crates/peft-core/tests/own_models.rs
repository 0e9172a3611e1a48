//! Models of one's own: what the derive macro visits, names and ids by paths, and what is refused.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm,
    LayerNormConfig, Linear, LinearConfig,
};
use burn::tensor::{Device, Tensor};
use peft_core::target::{Target, TargetRules};
use peft_core::{
    Adaptable, AdaptedEmbedding, AdaptedLinear, AdapterSpec, Layout, PeftError, attach, hosted,
    named, param_id,
};

#[derive(Module, Adaptable, Debug)]
struct Block {
    norm: LayerNorm,
    up: AdaptedLinear,
    down: AdaptedLinear,
}

#[derive(Module, Adaptable, Debug)]
enum Mixer {
    Dense(AdaptedLinear),
    Convolved(Conv1d),
}

#[derive(Module, Adaptable, Debug)]
struct Net<H: Module> {
    words: AdaptedEmbedding,
    blocks: Vec<Block>,
    pair: (AdaptedLinear, Dropout),
    gates: [AdaptedLinear; 2],
    extra: Option<AdaptedLinear>,
    none: Option<AdaptedLinear>,
    mixers: Vec<Mixer>,
    statistics: BatchNorm,
    #[adaptable(skip)]
    plain: Linear,
    #[adaptable(head)]
    head: H,
    width: usize,
    #[module(skip)]
    note: &'static str,
}

fn linear(d_in: usize, d_out: usize, device: &Device) -> AdaptedLinear {
    LinearConfig::new(d_in, d_out).init(device).into()
}

fn net(blocks: usize, device: &Device) -> Net<AdaptedLinear> {
    let block = |_| Block {
        norm: LayerNormConfig::new(4).init(device),
        up: linear(4, 7, device),
        down: linear(7, 4, device),
    };
    Net {
        words: EmbeddingConfig::new(9, 4).init(device).into(),
        blocks: (0..blocks).map(block).collect(),
        pair: (linear(4, 4, device), DropoutConfig::new(0.1).init()),
        gates: [linear(4, 2, device), linear(4, 3, device)],
        extra: Some(linear(4, 5, device)),
        none: None,
        mixers: vec![
            Mixer::Dense(linear(4, 6, device)),
            Mixer::Convolved(Conv1dConfig::new(4, 4, 1).init(device)),
        ],
        statistics: BatchNormConfig::new(4).init(device),
        plain: LinearConfig::new(4, 4).init(device),
        head: linear(4, 3, device),
        width: 4,
        note: "a note",
    }
}

fn paths<M: Adaptable>(model: &M) -> Vec<String> {
    model.sites().into_iter().map(|site| site.path).collect()
}

#[test]
fn every_layer_is_visited_in_the_order_of_the_fields_and_knows_its_path() {
    let (mut model, _) = named(net(2, &Device::default())).unwrap();
    let expected = [
        "words",
        "blocks.0.up",
        "blocks.0.down",
        "blocks.1.up",
        "blocks.1.down",
        "pair.0",
        "gates.0",
        "gates.1",
        "extra",
        "mixers.0.Dense",
        "head",
    ];
    assert_eq!(paths(&model), expected);
    let mut mutable = Vec::new();
    model.visit_linears_mut(&mut |linear| mutable.push(linear.site().path.clone()));
    assert_eq!(mutable, expected);
    assert_eq!(model.output_heads(), ["head"]);
    assert_eq!((model.width, model.note), (4, "a note"));
}

#[test]
fn all_linear_takes_every_linear_layer_but_the_head() {
    let (model, names) = named(net(1, &Device::default())).unwrap();
    let (_, report) = attach(model, &names, "default", &AdapterSpec::default(), 0).unwrap();
    let found: Vec<_> = report.sites.iter().map(|site| site.path.as_str()).collect();
    let expected = [
        "blocks.0.up",
        "blocks.0.down",
        "pair.0",
        "gates.0",
        "gates.1",
        "extra",
        "mixers.0.Dense",
    ];
    assert_eq!(found, expected);
}

/// Paths with ids, as Burn gives them.
fn ids<M: Module>(model: &M) -> BTreeMap<String, ParamId> {
    #[derive(Default)]
    struct Ids(Vec<String>, BTreeMap<String, ParamId>);
    impl ModuleVisitor for Ids {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.insert(self.0.join("."), param.id);
        }
    }
    let mut ids = Ids::default();
    model.visit(&mut ids);
    ids.1
}

#[test]
fn every_parameter_has_the_name_of_its_path_and_the_id_of_its_name() {
    let device = Device::default();
    let (model, names) = named(net(1, &device)).unwrap();
    for (path, id) in ids(&model) {
        // Burn keeps the ids of running statistics, which are no parameters.
        if path.starts_with("statistics.running") {
            assert!(names.get(id).is_none() && names.get(param_id(&path)).is_none());
            continue;
        }
        let name = path.replace("words.table.", "words.");
        assert_eq!(id, param_id(&name), "{path}");
        let layout = match name.as_str() {
            "words.weight" | "mixers.1.Convolved.weight" => Layout::AsIs,
            weight if weight.ends_with(".weight") => Layout::Transposed,
            _ => Layout::AsIs,
        };
        assert_eq!(names.get(id), Some((name.as_str(), layout)));
    }
    let (again, same) = named(net(1, &device)).unwrap();
    assert_eq!(names, same);
    let before = ids(&again);
    let (twice, thrice) = named(again).unwrap();
    assert_eq!((ids(&twice), thrice), (before, same));
}

#[test]
fn naming_changes_no_value_and_no_requirement_of_gradients() {
    let device = Device::default().autodiff();
    let block = LinearConfig::new(5, 3).init(&device);
    let before = block.weight.val().into_data();
    let (model, _) = named(vec![AdaptedLinear::from(block)]).unwrap();
    assert_eq!(model[0].weight.val().into_data(), before);
    assert!(model[0].weight.clone().into_param().is_require_grad());
}

#[test]
fn a_parameter_at_two_places_is_refused_with_both() {
    let device = Device::default();
    let layer = linear(4, 4, &device);
    let error = named(vec![layer.clone(), layer]).unwrap_err().to_string();
    assert!(error.contains("`0.weight` and `1.weight`"), "{error}");
    let layer: Linear = LinearConfig::new(4, 4).init(&device);
    let error = hosted(vec![layer.clone(), layer]).unwrap_err();
    assert!(matches!(error, PeftError::Model { problems } if problems.len() == 2));
}

#[test]
fn layers_without_a_path_are_not_adapted() {
    let device = Device::default();
    let (_, names) = named(net(1, &device)).unwrap();
    let error = attach(
        net(1, &device),
        &names,
        "default",
        &AdapterSpec::default(),
        0,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("peft_core::named"), "{error}");
}

#[derive(Module, Adaptable, Debug)]
struct Careless {
    seen: AdaptedLinear,
    #[adaptable(skip)]
    skipped: Vec<AdaptedLinear>,
}

#[test]
fn an_adapted_layer_that_is_not_visited_is_refused_by_name() {
    let device = Device::default();
    let model = Careless {
        seen: linear(3, 3, &device),
        skipped: vec![linear(3, 3, &device)],
    };
    let error = named(model).unwrap_err().to_string();
    assert!(
        error.contains("`skipped.0`") && !error.contains("`seen`"),
        "{error}"
    );
}

#[test]
fn a_hosted_model_has_the_layers_of_a_module_that_knows_no_adapters() {
    #[derive(Module, Debug)]
    struct Plain {
        words: Embedding,
        encoder: burn::nn::transformer::TransformerEncoder,
        norm: BatchNorm,
        head: Linear,
    }
    let device = Device::default().autodiff();
    let encoder = burn::nn::transformer::TransformerEncoderConfig::new(8, 16, 2, 1).init(&device);
    let plain = Plain {
        words: EmbeddingConfig::new(9, 8).init(&device),
        encoder,
        norm: BatchNormConfig::new(8).init(&device),
        head: LinearConfig::new(8, 2).init(&device),
    };
    let parameters = plain.num_params();
    let (model, names) = hosted(plain).unwrap();
    let model = model.with_heads(["head"]);
    assert_eq!(
        paths(&model),
        [
            "words",
            "encoder.layers.0.mha.query",
            "encoder.layers.0.mha.key",
            "encoder.layers.0.mha.value",
            "encoder.layers.0.mha.output",
            "encoder.layers.0.pwff.linear_inner",
            "encoder.layers.0.pwff.linear_outer",
            "head"
        ]
    );
    assert_eq!(model.num_params(), parameters);
    assert_eq!(model.module().num_params(), parameters);
    let spec = AdapterSpec {
        targets: TargetRules::new(Target::AllLinear),
        ..AdapterSpec::default()
    };
    let (model, report) = attach(model, &names, "default", &spec, 0).unwrap();
    assert_eq!(report.sites.len(), 6);
    // The base's running statistics stay as they are, and those that train later do not.
    assert!(!model.module().norm.training.is_enabled());
    let error = hosted(model).unwrap_err().to_string();
    assert!(error.contains("host the whole"), "{error}");
}
