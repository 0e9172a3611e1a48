//! The contract that every method passes: one row in a table subjects a method to every generic test.

mod exporting;
mod files;
mod hosts;
mod merging;
mod start;
mod training;
mod types;

use std::collections::{BTreeMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor};
use serde_json::Value;

use super::tiny::{self, Tiny};
use crate::adaptable::Adaptable;
use crate::attach::attach;
use crate::fields;
use crate::file::HostTensor;
use crate::folder;
use crate::method::{Method, MethodEntry};
use crate::names::ParamNames;
use crate::pass::Pass;
use crate::spec::AdapterSpec;
use crate::target::{Target, TargetRules};
use crate::values::set_values;

/// What the contract needs to know of a method.
#[derive(Debug)]
pub struct Contract {
    /// Registry that reads the method's folders back.
    pub entries: &'static [&'static MethodEntry],
    /// The method, without dropout.
    pub method: Box<dyn Method>,
    /// Whether the start is drawn from the seed, or follows from the frozen weight alone.
    pub random: bool,
    /// Share of the first loss that 400 steps must get below: a third, unless so few numbers train that they cannot fit
    /// the targets.
    pub loss_share: f32,
    /// Whether one weight reproduces the adapter (merge, second host).
    pub mergeable: bool,
}

const RANK: usize = 2;
const ALPHA: f64 = 4.0;
const ROWS: usize = 12;

impl Contract {
    /// Runs every check on the device that the environment variable `BURN_DEVICE` names, whose numbers are those of `reference`.
    ///
    /// # Panics
    /// When the method breaks the contract.
    pub fn check(&self, reference: &Device) {
        let device = Device::default();
        self.training_gives_the_numbers_of_the_reference(&device, reference);
        self.attaching_changes_no_output(&device);
        self.what_no_target_matches_stays_untouched(&device);
        self.only_the_adapter_trains(&device);
        self.every_trained_parameter_moves_and_the_loss_falls(&device);
        self.merging_reproduces_the_adapter_and_unmerging_the_bits(&device);
        self.bases_of_half_precision_run_train_and_merge(&device);
        self.a_nan_in_the_adapter_is_refused_by_merge(&device);
        self.exported_as_a_lora_it_does_the_same(&device);
        self.the_second_host_agrees(&device);
        self.saving_and_loading_is_exact(&device);
        self.its_options_make_it_again();
        self.a_nan_in_a_folder_is_refused(&device);
        self.resuming_is_exact(&device);
        self.the_layout_is_what_is_created(&device);
        self.the_count_follows_the_formula(&device);
        self.alpha_scales_what_says_so(&device);
        self.what_its_folders_cannot_say_is_refused(&device);
        self.targets_that_match_nothing_are_an_error(&device);
        self.seeds_decide_the_factors(&device);
        self.several_adapters_add_up_and_switch(&device);
        self.rows_go_through_adapters_of_their_own(&device);
    }

    fn spec(&self, targets: &[&str]) -> AdapterSpec {
        AdapterSpec {
            method: self.method.boxed(),
            rank: RANK,
            alpha: ALPHA,
            targets: TargetRules::new(Target::List(targets.iter().map(|t| (*t).into()).collect())),
            ..AdapterSpec::default()
        }
    }

    /// Whether the method's folders have a place for a field.
    fn keeps(&self, field: &str) -> bool {
        let fields = self.method.config_fields();
        !fields.get(field).is_some_and(Value::is_null)
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
}

/// `steps` AdamW steps on a fixed regression batch.
pub fn train(mut model: Tiny, optimizer: &mut ModuleOptimizer, steps: usize) -> Tiny {
    let device = model.up().weight.val().device();
    for _ in 0..steps {
        let output = model.forward(tiny::inputs(ROWS, &device), &mut Pass::train(0));
        let loss = tiny::loss(output, tiny::targets(ROWS, &device));
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-2, model, grads);
    }
    model
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Every parameter by id.
pub fn values<M: Module>(model: &M) -> BTreeMap<ParamId, Vec<f32>> {
    struct Values(BTreeMap<ParamId, Vec<f32>>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.insert(param.id, host(param.val()));
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            let integers = param.val().into_data();
            self.0.insert(param.id, integers.iter::<f32>().collect());
        }
    }
    let mut values = Values(BTreeMap::new());
    model.visit(&mut values);
    values.0
}

/// The model with one NaN among the trained values of one adapter, and the path of that adapter's site.
fn poisoned(model: Tiny) -> (Tiny, String) {
    let adapter = model.up().adapter("default").expect("attached");
    let id = fields::trained_ids(adapter)
        .into_iter()
        .next()
        .expect("the adapter has parameters");
    let mut data = values(&model)
        .remove(&id)
        .expect("a parameter of the model");
    data[0] = f32::NAN;
    let site = model.up().site().path.clone();
    (set_values(model, BTreeMap::from([(id, data)])), site)
}

/// The tensors of an adapter as a file holds them, for golden comparisons.
///
/// # Panics
/// When no layer has an adapter of that name.
pub fn adapter_tensors<M: Adaptable>(model: &M, name: &str) -> BTreeMap<String, HostTensor> {
    let tensors = folder::adapter_tensors(model, name, &HashSet::new());
    assert!(!tensors.is_empty(), "no adapter named `{name}`");
    let named = tensors.into_iter();
    named
        .map(|(key, tensor)| (key.to_string(), tensor))
        .collect()
}
