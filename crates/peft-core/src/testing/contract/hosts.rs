//! The two hosts of an adapter, and several adapters in one of them.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;

use super::{Contract, ROWS, host};
use crate::active::{detach, select_adapters};
use crate::adaptable::Adaptable;
use crate::attach::attach;
use crate::error::PeftError;
use crate::folder;
use crate::hosted::hosted;
use crate::merge::merge;
use crate::pass::Pass;
use crate::rows::RowAdapters;
use crate::testing::tiny::{self, Tiny};
use crate::testing::tolerance::{ELEMENTWISE, MATMUL, assert_close};

impl Contract {
    pub(super) fn the_second_host_agrees(&self, device: &Device) {
        let (model, _) = Tiny::new(device);
        let spec = self.spec(&["up", "down"]);
        let attached = |model: &Tiny| {
            let (plain, names) = hosted(model.plain()).expect("has no parameter twice");
            let (plain, report) = attach(plain, &names, "default", &spec, 1)?;
            assert_eq!(report.sites.len(), 2);
            Ok((plain, names))
        };
        let result: Result<_, PeftError> = attached(&model);
        if !self.mergeable {
            assert!(matches!(result, Err(PeftError::NoEffectiveWeight { .. })));
            return;
        }
        let (plain, _) = result.expect("attaches to a plain Burn module");
        let x = tiny::inputs(ROWS, device);
        let base = host(model.forward(x.clone(), &mut Pass::eval()));
        let start = host(plain.module().forward(x.clone()));
        assert_close("second host at the start", &start, &base, MATMUL);

        let device = &device.clone().autodiff();
        let (mut plain, names) = attached(&Tiny::new(device).0).expect("attaches");
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..3 {
            let output = plain.module().forward(tiny::inputs(ROWS, device));
            let loss = tiny::loss(output, tiny::targets(ROWS, device));
            let grads = GradientsParams::from_grads(loss.backward(), &plain);
            plain = optimizer.step(1e-2, plain, grads);
        }
        let dense = plain.valid();
        let output = host(dense.module().forward(x.clone()));
        assert!(output != base, "the second host did not train");
        let (mut factored, _) = Tiny::new(&Device::default());
        dense.visit_linears(&mut |from| {
            factored.visit_linears_mut(&mut |to| {
                let adapter = from.adapter("default");
                if let Some(adapter) =
                    adapter.filter(|_| to.site().role().starts_with(from.site().role()))
                {
                    to.insert("moved", adapter.clone());
                }
            });
        });
        let moved = host(factored.forward(x.clone(), &mut Pass::eval()));
        assert_close("the same adapter in both hosts", &moved, &output, MATMUL);
        let merged = merge(dense.clone()).expect("merges");
        let folded = host(merged.model().module().forward(x.clone()));
        assert_close("merged in the second host", &folded, &output, MATMUL);
        assert_eq!(host(merged.unmerge().module().forward(x.clone())), output);

        let folder = tempfile::tempdir().expect("a folder");
        folder::save(&dense, &names, "default", &spec, folder.path()).expect("saves");
        let (fresh, names) = hosted(Tiny::new(&Device::default()).0.plain()).expect("hosts");
        let loaded = folder::load(fresh, &names, "again", self.entries, folder.path());
        let again = host(loaded.expect("loads").model.module().forward(x));
        assert_eq!(again, output, "loaded into a fresh second host");
    }

    pub(super) fn several_adapters_add_up_and_switch(&self, device: &Device) {
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

    pub(super) fn rows_go_through_adapters_of_their_own(&self, device: &Device) {
        let (first, _) = self.trained(device, 4);
        let (second, _) = self.trained(device, 9);
        let second = second.valid();
        let mut model = first.valid();
        let mut others = Vec::new();
        second.visit_linears(&mut |linear| others.push(linear.adapter("default").cloned()));
        let mut others = others.into_iter();
        model.visit_linears_mut(&mut |linear| {
            if let Some(Some(adapter)) = others.next() {
                linear.insert("second", adapter);
            }
        });
        let x = tiny::inputs(ROWS, device);
        let alone = |name: Option<&str>| {
            let active: Vec<(&str, f64)> = name.map(|name| (name, 1.0)).into_iter().collect();
            let model = select_adapters(model.clone(), &active).expect("both exist");
            host(model.forward(x.clone(), &mut Pass::eval()))
        };
        let names = [Some("default"), None, Some("second"), Some("second")];
        let rows: Vec<Option<&str>> = names.into_iter().cycle().take(ROWS).collect();
        let adapters = RowAdapters::new(&rows, device);
        let mut pass = Pass::eval().with_rows(&adapters);
        let together = host(model.forward(x.clone(), &mut pass));
        let width = together.len() / ROWS;
        let outputs = [alone(Some("default")), alone(None), alone(Some("second"))];
        assert!(outputs[0] != outputs[2], "the two adapters differ");
        for (row, name) in rows.iter().enumerate() {
            let expected = &outputs[[0, 1, 2, 2][row % 4]];
            let range = row * width..(row + 1) * width;
            let what = format!("row {row} through {name:?}");
            assert_close(
                &what,
                &together[range.clone()],
                &expected[range],
                ELEMENTWISE,
            );
        }
    }
}
