//! What attaching does and leaves alone: the start point, the count, targets and seeds.

use std::collections::{BTreeMap, HashSet};

use burn::module::ParamId;
use burn::optim::AdamWConfig;
use burn::tensor::Device;
use indexmap::IndexMap;

use super::{ALPHA, Contract, RANK, ROWS, host, train, values};
use crate::adaptable::Adaptable;
use crate::adapter::{FactorPair, TensorName};
use crate::attach::attach;
use crate::base_params::BiasTraining;
use crate::count::count;
use crate::fields;
use crate::names::ParamNames;
use crate::pass::Pass;
use crate::site_layout::{PairFields, TensorShape};
use crate::spec::AdapterSpec;
use crate::testing::tiny::{self, Tiny};
use crate::testing::tolerance::{MATMUL, assert_close};
use crate::tie::TieGroups;

impl Contract {
    pub(super) fn attaching_changes_no_output(&self, device: &Device) {
        let (base, _) = Tiny::new(device);
        let (adapted, _) = self.attached(device, 1);
        let x = tiny::inputs(ROWS, device);
        let expected = host(base.forward(x.clone(), &mut Pass::eval()));
        let actual = host(adapted.forward(x, &mut Pass::eval()));
        assert_close("output right after attaching", &actual, &expected, MATMUL);
    }

    pub(super) fn what_no_target_matches_stays_untouched(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (base, names) = Tiny::new(&device);
        let before = values(&base);
        let spec = self.spec(&["up_proj"]);
        let (model, report) = attach(base, &names, "default", &spec, 1).expect("attaches");
        assert_eq!(report.sites.len(), 1);
        model.visit_linears(&mut |linear| {
            let adapters = linear.adapter_names().count();
            let expected = usize::from(linear.site().role() == "up_proj");
            assert_eq!(adapters, expected, "adapters of `{}`", linear.site().path);
        });
        assert_base_unchanged(&model, &names, &before, "attaching");
        let mut optimizer = AdamWConfig::new().init();
        let model = train(model, &mut optimizer, 2);
        assert_base_unchanged(&model, &names, &before, "training");
    }

    pub(super) fn the_count_follows_the_formula(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (base, _) = Tiny::new(&device);
        let total = count(&base, &HashSet::new()).total;
        for rank in [1, 2, 5] {
            let (model, names) = Tiny::new(&device);
            let spec = AdapterSpec {
                rank,
                ..self.spec(&["up_proj", "down_proj"])
            };
            let plan = spec.plan(&model.sites(), &[]).expect("plans");
            let (model, report) = attach(model, &names, "default", &spec, 1).expect("attaches");
            let ties = TieGroups::of(&model, "default", self.method.as_ref()).expect("ties");
            let counted = count(&model, &ties.followers());
            let formula: usize = plan.sites.iter().map(|site| site.trainable).sum();
            assert_eq!(counted.trainable, formula, "rank {rank}");
            assert_eq!(report.sites, plan.sites, "rank {rank}");
            assert!(counted.total >= total + formula, "rank {rank}");
        }
    }

    pub(super) fn the_layout_is_what_is_created(&self, device: &Device) {
        let (model, _) = self.attached(device, 1);
        let spec = self.spec(&["up_proj", "down_proj"]);
        let plan = spec.plan(&model.sites(), &[]).expect("plans");
        let common = self.method.common(&plan.sites).expect("sites that suit");
        model.visit_linears(&mut |linear| {
            let Some(adapter) = linear.adapter("default") else {
                return;
            };
            let layout = self.method.layout(linear.site(), RANK, ALPHA);
            let tensors = || layout.tensors.iter().chain(&common);
            let told: Vec<TensorName> = tensors().map(|tensor| tensor.name.clone()).collect();
            assert_eq!(told, adapter.tensors(), "names");
            assert!(layout.tensors.iter().all(|tensor| !tensor.name.common));
            assert!(common.iter().all(|tensor| tensor.name.common));
            let fields = fields::ids(adapter);
            for TensorShape { name, shape } in tensors() {
                assert_eq!(*shape, fields[&*name.field].1, "{}", name.field);
            }
            let pair = |pair: &PairFields| FactorPair {
                a: fields[&*pair.a].0,
                b: fields[&*pair.b].0,
                scale: pair.scale,
                count: pair.count,
            };
            let pairs: Vec<FactorPair> = layout.pairs.iter().map(pair).collect();
            assert_eq!(pairs, adapter.pairs(), "pairs");
        });
    }

    pub(super) fn alpha_scales_what_says_so(&self, device: &Device) {
        let device = device.clone().autodiff();
        let output = |alpha| {
            let (model, names) = Tiny::new(&device);
            let spec = AdapterSpec {
                alpha,
                ..self.spec(&["up_proj", "down_proj"])
            };
            let (model, _) = attach(model, &names, "default", &spec, 1).expect("attaches");
            let model = train(model, &mut AdamWConfig::new().init(), 3);
            host(model.forward(tiny::inputs(ROWS, &device), &mut Pass::eval()))
        };
        let differ = output(ALPHA) != output(4.0 * ALPHA);
        let says = self.method.entry().alpha;
        assert_eq!(differ, says, "another alpha gives another adapter");
    }

    pub(super) fn what_its_folders_cannot_say_is_refused(&self, device: &Device) {
        let (model, _) = Tiny::new(device);
        let plan = |spec: &AdapterSpec| spec.plan(&model.sites(), &[]);
        let usual = || self.spec(&["up_proj", "down_proj"]);
        let bias = AdapterSpec {
            bias: BiasTraining::LoraOnly,
            ..usual()
        };
        let rank = AdapterSpec {
            rank_pattern: IndexMap::from([("up_proj".to_owned(), 1)]),
            ..usual()
        };
        let alpha = AdapterSpec {
            alpha_pattern: IndexMap::from([("up_proj".to_owned(), 1.0)]),
            ..usual()
        };
        let is_scaled = self.method.entry().alpha;
        let cases = [
            ("bias", bias, self.keeps("bias")),
            ("rank_pattern", rank, self.keeps("rank_pattern")),
            (
                "alpha_pattern",
                alpha,
                !is_scaled || self.keeps("alpha_pattern"),
            ),
        ];
        for (field, spec, keeps) in cases {
            match plan(&spec) {
                Ok(_) => assert!(keeps, "`{field}` has no place in a folder"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(!keeps && error.contains(field), "`{field}`: {error}");
                }
            }
        }
    }

    pub(super) fn targets_that_match_nothing_are_an_error(&self, device: &Device) {
        let (model, names) = Tiny::new(device);
        let error = attach(model, &names, "default", &self.spec(&["up_prog"]), 1)
            .expect_err("nothing matches");
        assert!(
            error.to_string().contains("up_proj"),
            "a near miss is named: {error}"
        );
    }

    pub(super) fn seeds_decide_the_factors(&self, device: &Device) {
        let draw = |seed| values(&self.attached(device, seed).0);
        assert_eq!(draw(1), draw(1), "the same seed");
        let differ = draw(1) != draw(2);
        assert_eq!(differ, self.random, "another seed gives other factors");
    }
}

fn assert_base_unchanged(
    model: &Tiny,
    names: &ParamNames,
    before: &BTreeMap<ParamId, Vec<f32>>,
    after: &str,
) {
    let now = values(model);
    for (id, name, _) in names.iter() {
        assert_eq!(before[&id], now[&id], "`{name}` after {after}");
    }
}
