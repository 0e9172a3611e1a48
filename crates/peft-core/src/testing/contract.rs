//! The contract that every method passes: one row in a table subjects a method to every generic test.

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use indexmap::IndexMap;

use super::tiny::{self, Tiny};
use super::tolerance::{MATMUL, assert_close};
use crate::attach::{Adaptable, AdapterSpec, attach, detach, select_adapters};
use crate::count::count;
use crate::error::PeftError;
use crate::file::HostTensor;
use crate::folder;
use crate::merge::merge;
use crate::method::{Method, MethodEntry};
use crate::names::ParamNames;
use crate::pass::Pass;
use crate::reparam;
use crate::target::{Target, TargetRules};
use crate::trainable::Trainable;

/// What the contract needs to know of a method.
#[derive(Debug)]
pub struct Contract {
    /// Registry that reads the method's folders back.
    pub entries: &'static [&'static MethodEntry],
    /// The method, without dropout.
    pub method: Box<dyn Method>,
    /// Whether one weight reproduces the adapter (merge, second host).
    pub mergeable: bool,
}

const RANK: usize = 2;
const ALPHA: f64 = 4.0;
const ROWS: usize = 12;

impl Contract {
    /// Runs every check on the device that the environment variable `BURN_DEVICE` names.
    ///
    /// # Panics
    /// When the method breaks the contract.
    pub fn check(&self) {
        let device = Device::default();
        self.attaching_changes_no_output(&device);
        self.only_the_adapter_trains(&device);
        self.every_trained_parameter_moves_and_the_loss_falls(&device);
        self.merging_reproduces_the_adapter_and_unmerging_the_bits(&device);
        self.the_second_host_agrees(&device);
        self.saving_and_loading_is_exact(&device);
        self.resuming_is_exact(&device);
        self.the_count_follows_the_formula(&device);
        self.targets_that_match_nothing_are_an_error(&device);
        self.seeds_decide_the_factors(&device);
        self.several_adapters_add_up_and_switch(&device);
    }

    fn spec(&self, targets: &[&str]) -> AdapterSpec {
        AdapterSpec {
            method: self.method.boxed(),
            rank: RANK,
            alpha: ALPHA,
            targets: TargetRules::new(Target::List(targets.iter().map(|t| (*t).into()).collect())),
            rank_pattern: IndexMap::new(),
            alpha_pattern: IndexMap::new(),
            modules_to_save: vec![],
            task_type: None,
            base_model: None,
        }
    }

    fn attached(&self, device: &Device, seed: u64) -> (Tiny, ParamNames) {
        let (model, names) = Tiny::new(device);
        let spec = self.spec(&["up_proj", "down_proj"]);
        let (model, _) = attach(model, &names, "default", &spec, seed).expect("attaches");
        (model, names)
    }

    fn trained(&self, device: &Device, steps: usize) -> (Tiny, ParamNames) {
        let (model, names) = self.attached(&device.clone().autodiff(), 1);
        let mut optimizer = AdamWConfig::new().init();
        (train(model, &mut optimizer, steps), names)
    }

    fn attaching_changes_no_output(&self, device: &Device) {
        let (base, _) = Tiny::new(device);
        let (adapted, _) = self.attached(device, 1);
        let x = tiny::inputs(ROWS, device);
        let expected = host(base.forward(x.clone(), &mut Pass::eval()));
        let actual = host(adapted.forward(x, &mut Pass::eval()));
        assert_close("output right after attaching", &actual, &expected, MATMUL);
    }

    fn only_the_adapter_trains(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (model, names) = self.attached(&device, 1);
        let trainable = Trainable::of(&model, &names);
        assert!(!trainable.params.is_empty(), "nothing trains");
        for param in &trainable.params {
            assert!(
                names.get(param.id).is_none(),
                "base parameter {} trains",
                param.name
            );
        }
        let x = tiny::inputs(ROWS, &device);
        let loss = tiny::loss(
            model.forward(x, &mut Pass::train()),
            tiny::targets(ROWS, &device),
        );
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        assert_eq!(
            grads.len(),
            trainable.params.len(),
            "gradients exist for what trains, only"
        );
    }

    fn every_trained_parameter_moves_and_the_loss_falls(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (model, names) = self.attached(&device, 1);
        let ids: Vec<(ParamId, String)> = Trainable::of(&model, &names)
            .params
            .into_iter()
            .map(|param| (param.id, param.name))
            .collect();
        let frozen: HashSet<ParamId> = names.iter().map(|(id, _, _)| id).collect();
        let before = values(&model);
        let first = loss_of(&model);
        let mut optimizer = AdamWConfig::new().init();
        let model = train(model, &mut optimizer, 2);
        let after = values(&model);
        for (id, name) in &ids {
            assert_ne!(before[id], after[id], "`{name}` did not move in two steps");
        }
        for id in frozen {
            assert_eq!(before[&id], after[&id], "a frozen parameter moved");
        }
        let model = train(model, &mut optimizer, 400);
        let last = loss_of(&model);
        assert!(
            last < first / 3.0,
            "the loss went from {first} to {last} only"
        );
    }

    fn merging_reproduces_the_adapter_and_unmerging_the_bits(&self, device: &Device) {
        let (model, _) = self.trained(device, 5);
        let model = model.valid();
        let x = tiny::inputs(ROWS, device);
        let adapted = host(model.forward(x.clone(), &mut Pass::eval()));
        let before = values(&model);
        let merged = merge(model);
        if !self.mergeable {
            assert!(
                matches!(merged, Err(PeftError::NoEffectiveWeight { .. })),
                "a method without an effective weight must refuse to merge"
            );
            return;
        }
        let merged = merged.expect("merges");
        assert_eq!(merged.sites.len(), 2);
        for site in &merged.sites {
            assert!(site.max_change > 0.0, "`{}` did not change", site.path);
            assert!(
                site.output_error < 1e-5,
                "`{}`: {}",
                site.path,
                site.output_error
            );
        }
        let output = host(merged.model().forward(x.clone(), &mut Pass::eval()));
        assert_close("merged output", &output, &adapted, MATMUL);
        let model = merged.unmerge();
        assert_eq!(before, values(&model), "unmerging restores every bit");
        assert_eq!(adapted, host(model.forward(x, &mut Pass::eval())));
    }

    fn the_second_host_agrees(&self, device: &Device) {
        let (model, _) = Tiny::new(device);
        let spec = self.spec(&["up", "down"]);
        let result = reparam::reparameterize(model.plain(), &spec, 1);
        if !self.mergeable {
            assert!(matches!(result, Err(PeftError::NoEffectiveWeight { .. })));
            return;
        }
        let (plain, attached) = result.expect("attaches to a plain Burn module");
        assert_eq!(attached.report.sites.len(), 2);
        let x = tiny::inputs(ROWS, device);
        let base = host(model.forward(x.clone(), &mut Pass::eval()));
        assert_close(
            "second host at the start",
            &host(plain.forward(x.clone())),
            &base,
            MATMUL,
        );

        let device = &device.clone().autodiff();
        let (model, _) = Tiny::new(device);
        let (mut plain, attached) =
            reparam::reparameterize(model.plain(), &spec, 1).expect("attaches");
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..3 {
            let output = plain.forward(tiny::inputs(ROWS, device));
            let loss = tiny::loss(output, tiny::targets(ROWS, device));
            let grads = GradientsParams::from_grads(loss.backward(), &plain);
            plain = optimizer.step(1e-2, plain, grads);
        }
        let dense = plain.valid();
        let output = host(dense.forward(x.clone()));
        assert!(output != base, "the second host did not train");
        let adapters = attached.current(&dense);
        assert_eq!(adapters.len(), 2);
        let (mut factored, _) = Tiny::new(&Device::default());
        factored.visit_linears_mut(&mut |linear| {
            let role = linear.site().role().trim_end_matches("_proj").to_owned();
            if let Some((_, adapter)) = adapters.iter().find(|(path, _)| *path == role) {
                linear.insert("moved", adapter.clone());
            }
        });
        let moved = host(factored.forward(x.clone(), &mut Pass::eval()));
        assert_close("the same adapter in both hosts", &moved, &output, MATMUL);
        let folded = host(dense.materialize().forward(x));
        assert_close("materialized", &folded, &output, MATMUL);
    }

    fn saving_and_loading_is_exact(&self, device: &Device) {
        let (model, names) = self.trained(device, 3);
        let spec = self.spec(&["up_proj", "down_proj"]);
        let dir = tempfile::tempdir().expect("a temporary directory");
        folder::save(&model, &names, "default", &spec, dir.path()).expect("saves");
        let (fresh, fresh_names) = Tiny::new(device);
        let loaded = folder::load(fresh, &fresh_names, "again", self.entries, dir.path())
            .expect("loads what was saved");
        let x = tiny::inputs(ROWS, device);
        assert_eq!(
            host(model.valid().forward(x.clone(), &mut Pass::eval())),
            host(loaded.model.forward(x, &mut Pass::eval())),
            "outputs after loading"
        );
        let other = tempfile::tempdir().expect("a temporary directory");
        folder::save(
            &loaded.model,
            &fresh_names,
            "again",
            &loaded.spec,
            other.path(),
        )
        .expect("saves again");
        let read = |dir: &std::path::Path| std::fs::read(dir.join("adapter_model.safetensors"));
        assert_eq!(
            read(dir.path()).expect("a file"),
            read(other.path()).expect("a file"),
            "the same bytes after a round trip"
        );
    }

    fn resuming_is_exact(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (model, _) = self.attached(&device, 1);
        let mut optimizer = AdamWConfig::new().init();
        let half = train(model.clone(), &mut optimizer, 3);
        let record = optimizer.to_record();
        let saved = values(&half);
        let unbroken = train(half, &mut optimizer, 3);

        // Another process: a new model whose parameters get the same ids from the same names.
        let (fresh, _) = self.attached(&device, 99);
        let restored = restore(fresh, &saved);
        let mut optimizer = AdamWConfig::new().init().load_record(record);
        let resumed = train(restored, &mut optimizer, 3);
        assert_eq!(values(&unbroken), values(&resumed), "resumed run");
    }

    fn the_count_follows_the_formula(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (base, _) = Tiny::new(&device);
        let total = count(&base, &HashSet::new()).total;
        for rank in [1, 2, 5] {
            let (model, names) = Tiny::new(&device);
            let spec = AdapterSpec {
                rank,
                ..self.spec(&["up_proj", "down_proj"])
            };
            let (model, report) = attach(model, &names, "default", &spec, 1).expect("attaches");
            let counted = count(&model, &HashSet::new());
            let formula: usize = report.sites.iter().map(|site| site.trainable).sum();
            assert_eq!(counted.trainable, formula, "rank {rank}");
            assert!(counted.total >= total + formula, "rank {rank}");
        }
    }

    fn targets_that_match_nothing_are_an_error(&self, device: &Device) {
        let (model, names) = Tiny::new(device);
        let error = attach(model, &names, "default", &self.spec(&["up_prog"]), 1)
            .expect_err("nothing matches");
        assert!(
            error.to_string().contains("up_proj"),
            "a near miss is named: {error}"
        );
    }

    fn seeds_decide_the_factors(&self, device: &Device) {
        let draw = |seed| values(&self.attached(device, seed).0);
        assert_eq!(draw(1), draw(1), "the same seed");
    }

    fn several_adapters_add_up_and_switch(&self, device: &Device) {
        let (model, _) = self.trained(device, 4);
        let model = model.valid();
        let x = tiny::inputs(ROWS, device);
        let forward = |model: &Tiny| host(model.up().forward(x.clone(), &mut Pass::eval()));
        let one = forward(&model);
        let base = forward(&select_adapters(model.clone(), &[]).expect("disables"));
        let (plain, _) = Tiny::new(device);
        assert_eq!(
            base,
            forward(&plain),
            "disabled means the base, bit for bit"
        );
        assert_eq!(
            base,
            forward(&detach(model.clone(), "default").expect("removes"))
        );
        assert!(one != base, "a trained adapter changes the output");

        let mut both = model.clone();
        let copy = model.up().adapter("default").expect("attached").clone();
        both.visit_linears_mut(&mut |linear| {
            if linear.site().role() == "up_proj" {
                linear.insert("copy", copy.clone());
            }
        });
        let halves = [("default", 0.5), ("copy", 0.5)];
        let halved = forward(&select_adapters(both.clone(), &halves).expect("both exist"));
        assert_close("two halves of one adapter", &halved, &one, MATMUL);
        let error = select_adapters(both, &[("nobody", 1.0)]).expect_err("unknown");
        assert!(error.to_string().contains("default"), "{error}");
    }
}

/// `steps` AdamW steps on a fixed regression batch.
pub fn train(mut model: Tiny, optimizer: &mut ModuleOptimizer, steps: usize) -> Tiny {
    let device = model.up().weight.val().device();
    for _ in 0..steps {
        let output = model.forward(tiny::inputs(ROWS, &device), &mut Pass::train());
        let loss = tiny::loss(output, tiny::targets(ROWS, &device));
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-2, model, grads);
    }
    model
}

fn loss_of(model: &Tiny) -> f32 {
    let device = model.up().weight.val().device();
    let output = model.forward(tiny::inputs(ROWS, &device), &mut Pass::eval());
    tiny::loss(output, tiny::targets(ROWS, &device)).into_scalar()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Every float parameter by id.
pub fn values<M: Module>(model: &M) -> BTreeMap<ParamId, Vec<f32>> {
    struct Values(BTreeMap<ParamId, Vec<f32>>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.insert(param.id, host(param.val()));
        }
    }
    let mut values = Values(BTreeMap::new());
    model.visit(&mut values);
    values.0
}

fn restore(model: Tiny, saved: &BTreeMap<ParamId, Vec<f32>>) -> Tiny {
    let tensors = saved
        .iter()
        .map(|(id, data)| (*id, data.clone()))
        .collect::<BTreeMap<_, _>>();
    crate::values::set_values(model, tensors)
}

/// The tensors of an adapter as a file holds them, for golden comparisons.
///
/// # Panics
/// When no layer has an adapter of that name.
pub fn adapter_tensors<M: Adaptable>(model: &M, name: &str) -> BTreeMap<String, HostTensor> {
    let tensors = folder::adapter_tensors(model, name, &HashSet::new());
    assert!(!tensors.is_empty(), "no adapter named `{name}`");
    tensors
}
