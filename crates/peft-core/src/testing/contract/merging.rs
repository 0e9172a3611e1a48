//! Merging: the same outputs from one weight, the old bits back, and what is refused.

use burn::module::Module;
use burn::tensor::Device;

use super::{Contract, ROWS, host, poisoned, values};
use crate::error::PeftError;
use crate::merge::merge;
use crate::pass::Pass;
use crate::testing::tiny;
use crate::testing::tolerance::{MATMUL, assert_close};

impl Contract {
    pub(super) fn merging_reproduces_the_adapter_and_unmerging_the_bits(&self, device: &Device) {
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

    pub(super) fn a_nan_in_the_adapter_is_refused_by_merge(&self, device: &Device) {
        if !self.mergeable {
            return;
        }
        let (model, _) = self.trained(device, 2);
        let (model, site) = poisoned(model.valid());
        let error = merge(model).expect_err("a NaN must not reach a weight");
        assert!(
            matches!(&error, PeftError::NotFinite { site: named, .. } if *named == site),
            "the error names `{site}`: {error}"
        );
    }
}
