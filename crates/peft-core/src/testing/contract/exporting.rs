//! Exporting: the plain LoRA gives the same outputs, or says by how much it differs.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Contract, ROWS, host};
use crate::adaptable::Adaptable;
use crate::adapter::AnyAdapter;
use crate::error::PeftError;
use crate::export::{Exported, to_lora};
use crate::lora::LoraAdapter;
use crate::pass::Pass;
use crate::testing::tiny::{self, Tiny};
use crate::testing::tolerance::{DECOMPOSITION, MATMUL, Tolerance, assert_close};

/// A rank beyond that of any layer.
const FULL: usize = usize::MAX;

impl Contract {
    pub(super) fn exported_as_a_lora_it_does_the_same(&self, device: &Device) {
        let (model, _) = self.trained(device, 5);
        let model = model.valid();
        let spec = self.spec(&["up_proj", "down_proj"]);
        let export = |rank| to_lora(model.clone(), "default", &spec, rank);
        if !self.mergeable || changes_bias(&model) {
            let error = export(Some(FULL)).expect_err("no weight that is all");
            assert!(matches!(error, PeftError::NoEffectiveWeight { .. }));
            return;
        }
        let same = |exported: &Exported<Tiny>, tolerance: Tolerance| {
            let x = tiny::inputs(ROWS, device);
            let expected = host(model.forward(x.clone(), &mut Pass::eval()));
            let output = host(exported.model.forward(x, &mut Pass::eval()));
            assert_close("exported output", &output, &expected, tolerance);
        };
        let exact = model
            .up()
            .adapter("default")
            .and_then(AnyAdapter::low_rank)
            .is_some();
        match export(None) {
            Ok(exported) => {
                assert!(exact && exported.sites.iter().all(|site| site.error == 0.0));
                same(&exported, MATMUL);
            }
            Err(error) => assert!(!exact && matches!(error, PeftError::NoLowRankForm { .. })),
        }
        same(&export(Some(FULL)).expect("of full rank"), DECOMPOSITION);
        let cut = export(Some(1)).expect("of rank 1");
        assert_eq!((cut.spec.rank, cut.spec.alpha), (1, 1.0));
        let error = error_of(&model, &cut.model);
        let reported = cut.sites[0].error;
        assert!(
            (error - reported).abs() < 1e-3,
            "reported {reported}, found {error}"
        );
    }
}

/// Whether the adapter changes the bias of a layer.
fn changes_bias(model: &Tiny) -> bool {
    let mut changes = false;
    model.visit_linears(&mut |linear| {
        if let (Some(adapter), Some(bias)) = (linear.adapter("default"), &linear.bias) {
            changes |= host(adapter.effective_bias(bias.val())) != host(bias.val());
        }
    });
    changes
}

/// `||W' - W - A B||_F / ||W' - W||_F` of the first layer.
fn error_of(model: &Tiny, exported: &Tiny) -> f64 {
    let weight = model.up().weight.val();
    let adapter = model.up().adapter("default").expect("attached");
    let change = adapter
        .effective_weight(weight.clone())
        .expect("has a weight")
        - weight;
    let lora = exported.up().adapter("default").expect("exported");
    let lora: &LoraAdapter = lora.downcast_ref().expect("a plain LoRA");
    assert!((lora.scale - 1.0).abs() < 1e-12);
    let product = lora.a.val().matmul(lora.b.val());
    let norm = |matrix: Tensor<2>| {
        host(matrix)
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    norm(change.clone() - product) / norm(change)
}
