//! Adapters of an embedding: PEFT's formula, merging, rows of their own, and methods that refuse.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeMap;

use burn::module::{Module, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor};
use peft_core::lora::{LORA, Lora};
use peft_core::merge::merge;
use peft_core::target::TargetRules;
use peft_core::testing::contract::{adapter_tensors, values};
use peft_core::testing::tolerance::{ELEMENTWISE, MATMUL, assert_close};
use peft_core::{
    Adaptable, AdaptedEmbedding, AdaptedLinear, AdapterSpec, AnyAdapter, Layout, Method,
    MethodEntry, ParamNames, Pass, PeftError, RowAdapters, Site, SiteKind, SiteLayout, Slot,
    attach, folder, values::set_values,
};
use serde_json::{Map, Value};

const VOCAB: usize = 7;
const DIM: usize = 5;

#[derive(Module, Debug)]
struct Words {
    words: AdaptedEmbedding,
}

impl Adaptable for Words {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        visit(&self.words.table);
    }
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        visit(&mut self.words.table);
    }
}

fn model(device: &Device) -> (Words, ParamNames) {
    let mut names = ParamNames::new();
    let id = names.insert("embeddings.word_embeddings.weight", Layout::AsIs);
    let table: Vec<f32> = (0..VOCAB * DIM).map(|i| (i as f32 * 0.37).sin()).collect();
    let table = Tensor::<1>::from_floats(table.as_slice(), device).reshape([VOCAB, DIM]);
    let words = AdaptedEmbedding::new("embeddings.word_embeddings", Param::initialized(id, table));
    (Words { words }, names)
}

fn spec() -> AdapterSpec {
    AdapterSpec {
        rank: 2,
        alpha: 6.0,
        targets: TargetRules::list(["word_embeddings"]),
        ..AdapterSpec::default()
    }
}

fn ids(device: &Device) -> Tensor<2, Int> {
    Tensor::from_ints([[0, 3, 3], [6, 1, 0]], device)
}

fn host(tensor: Tensor<3>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// An adapter whose factors are all different numbers.
fn adapted(name: &str, seed: u64) -> (Words, ParamNames) {
    let (model, names) = model(&Device::default());
    let (model, _) = attach(model, &names, name, &spec(), seed).unwrap();
    (numbered(model, &names), names)
}

fn numbered(model: Words, names: &ParamNames) -> Words {
    let own: BTreeMap<ParamId, Vec<f32>> = values(&model)
        .into_iter()
        .filter(|(id, _)| names.get(*id).is_none())
        .map(|(id, old)| {
            let new = (0..old.len()).map(|i| (i as f32 * 0.9 + old.len() as f32).cos());
            (id, new.collect())
        })
        .collect();
    set_values(model, own)
}

#[test]
fn a_fresh_adapter_changes_nothing_and_starts_as_in_peft() {
    let device = Device::default();
    let (base, names) = model(&device);
    let expected = host(base.words.forward(ids(&device), &mut Pass::eval()));
    let (model, _) = attach(base, &names, "default", &spec(), 1).unwrap();
    let found = host(model.words.forward(ids(&device), &mut Pass::eval()));
    assert_eq!(found, expected);
    let tensors = adapter_tensors(&model, "default");
    let factor = |name: &str| &tensors[&format!("embeddings.word_embeddings.{name}")];
    let (a, b) = (factor("lora_embedding_A"), factor("lora_embedding_B"));
    assert_eq!(
        (a.shape.as_slice(), b.shape.as_slice()),
        (&[2, VOCAB][..], &[DIM, 2][..])
    );
    assert!(a.data.iter().all(|value| *value == 0.0), "A starts at zero");
    assert!(b.data.iter().all(|value| *value != 0.0), "B starts random");
}

#[test]
fn the_forward_is_the_formula_of_peft() {
    let device = Device::default();
    let (model, _) = adapted("default", 1);
    let tensors = adapter_tensors(&model, "default");
    let a = &tensors["embeddings.word_embeddings.lora_embedding_A"].data;
    let b = &tensors["embeddings.word_embeddings.lora_embedding_B"].data;
    let table: Vec<f32> = model.words.table.weight.val().into_data().iter().collect();
    let scale = 6.0 / 2.0;
    let mut expected = Vec::new();
    for id in [0, 3, 3, 6, 1, 0] {
        for column in 0..DIM {
            let product: f32 = (0..2).map(|r| a[r * VOCAB + id] * b[column * 2 + r]).sum();
            expected.push(table[id * DIM + column] + scale * product);
        }
    }
    let found = host(model.words.forward(ids(&device), &mut Pass::eval()));
    assert_close("looked up rows", &found, &expected, MATMUL);
    let merged = merge(model).unwrap();
    let folded = host(
        merged
            .model()
            .words
            .forward(ids(&device), &mut Pass::eval()),
    );
    assert_close("merged rows", &folded, &expected, MATMUL);
}

#[test]
fn training_moves_both_factors_and_no_row_of_the_table() {
    let device = Device::default().autodiff();
    let (base, names) = model(&device);
    let (mut model, report) = attach(base, &names, "default", &spec(), 1).unwrap();
    assert_eq!(report.sites[0].trainable, 2 * (VOCAB + DIM));
    let before = values(&model);
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..2 {
        let output = model.words.forward(ids(&device), &mut Pass::train(0));
        let grads = GradientsParams::from_grads(output.powi_scalar(2).sum().backward(), &model);
        model = optimizer.step(1e-2, model, grads);
    }
    for (id, after) in values(&model) {
        assert_eq!(after == before[&id], names.get(id).is_some(), "{id}");
    }
}

#[test]
fn rows_use_their_own_adapter_also_where_one_row_of_ids_serves_all() {
    let device = Device::default();
    let (model, names) = adapted("a", 1);
    let (model, _) = attach(model, &names, "b", &spec(), 2).unwrap();
    let alone = |name: Option<&str>, ids: Tensor<2, Int>| {
        let mut words = model.words.clone();
        let active: Vec<(&str, f64)> = name.map(|name| (name, 1.0)).into_iter().collect();
        words.table.activate(&active);
        host(words.forward(ids, &mut Pass::eval()))
    };
    let rows = [Some("a"), None];
    let adapters = RowAdapters::new(&rows, &device);
    let found = host(
        model
            .words
            .forward(ids(&device), &mut Pass::eval().with_rows(&adapters)),
    );
    let positions = Tensor::from_ints([[2, 4]], &device);
    let shared = host(
        model
            .words
            .forward(positions.clone(), &mut Pass::eval().with_rows(&adapters)),
    );
    for (row, name) in rows.into_iter().enumerate() {
        let (wide, narrow) = (3 * DIM, 2 * DIM);
        let expected = alone(name, ids(&device));
        assert_close(
            "row",
            &found[row * wide..][..wide],
            &expected[row * wide..][..wide],
            ELEMENTWISE,
        );
        assert_close(
            "shared",
            &shared[row * narrow..][..narrow],
            &alone(name, positions.clone()),
            ELEMENTWISE,
        );
    }
}

#[test]
fn an_adapter_of_the_table_travels() {
    let device = Device::default();
    let (model, names) = adapted("default", 1);
    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "default", &spec(), dir.path()).unwrap();
    let (fresh, names) = self::model(&device);
    let entries: [&MethodEntry; 1] = [&LORA];
    let loaded = folder::load(fresh, &names, "again", &entries, dir.path()).unwrap();
    let lookup = |model: &Words| host(model.words.forward(ids(&device), &mut Pass::eval()));
    assert_eq!(lookup(&loaded.model), lookup(&model));
}

/// LoRA under a type that does not say that it adapts embeddings.
#[derive(Debug)]
struct LinearOnly(Lora);

impl Method for LinearOnly {
    fn entry(&self) -> &'static MethodEntry {
        self.0.entry()
    }
    fn create(&self, slot: &Slot<'_>) -> Result<AnyAdapter, PeftError> {
        self.0.create(slot)
    }
    fn layout(&self, site: &Site, rank: usize, alpha: f64) -> SiteLayout {
        self.0.layout(site, rank, alpha)
    }
    fn config_fields(&self) -> Map<String, Value> {
        self.0.config_fields()
    }
    fn options(&self) -> Map<String, Value> {
        self.0.options()
    }
    fn boxed(&self) -> Box<dyn Method> {
        Box::new(Self(self.0.clone()))
    }
}

#[test]
fn a_method_for_linear_layers_refuses_an_embedding_by_its_path() {
    let (model, names) = model(&Device::default());
    let spec = AdapterSpec {
        method: Box::new(LinearOnly(Lora::default())),
        ..spec()
    };
    let error = attach(model, &names, "default", &spec, 1).unwrap_err();
    assert!(
        matches!(&error, PeftError::SiteKind { site, kind: SiteKind::Embedding, .. } if site == "embeddings.word_embeddings"),
        "{error}"
    );
}

#[test]
fn all_linear_leaves_embeddings_out() {
    let (model, names) = model(&Device::default());
    let spec = AdapterSpec {
        method: Box::new(Lora::default()),
        ..AdapterSpec::default()
    };
    let error = attach(model, &names, "default", &spec, 1).unwrap_err();
    assert!(matches!(error, PeftError::Target(_)), "{error}");
}
