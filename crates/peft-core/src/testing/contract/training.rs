//! What trains: gradients, movement, the loss, and the same steps after an interruption.

use std::collections::HashSet;

use burn::module::{Module, ParamId};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;

use super::{Contract, ROWS, host, train, values};
use crate::pass::Pass;
use crate::reads;
use crate::testing::tiny::{self, Tiny};
use crate::testing::tolerance::{DEVICE, assert_close};
use crate::trainable::Trainable;
use crate::values::set_values;

impl Contract {
    pub(super) fn only_the_adapter_trains(&self, device: &Device) {
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
        assert_eq!(
            trainable.pairs.is_empty(),
            !self.method.entry().pairs,
            "the entry says whether there are low-rank pairs"
        );
        let x = tiny::inputs(ROWS, &device);
        let loss = tiny::loss(
            model.forward(x, &mut Pass::train(0)),
            tiny::targets(ROWS, &device),
        );
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        assert_eq!(
            grads.len(),
            trainable.params.len(),
            "gradients exist for what trains, only"
        );
    }

    pub(super) fn every_trained_parameter_moves_and_the_loss_falls(&self, device: &Device) {
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
        let waits = reads();
        let model = train(model, &mut optimizer, 400);
        assert_eq!(reads(), waits, "steps wait for the device");
        let last = loss_of(&model);
        assert!(
            last < first * self.loss_share,
            "the loss went from {first} to {last} only"
        );
    }

    /// Outputs and merged weights after a few steps, on this device and on the reference.
    pub(super) fn training_gives_the_numbers_of_the_reference(
        &self,
        device: &Device,
        reference: &Device,
    ) {
        let results = |device: &Device| {
            let model = self.trained(device, 3).0.valid();
            let output = model.forward(tiny::inputs(ROWS, device), &mut Pass::eval());
            let adapter = model.up().adapter("default").expect("attached");
            let effective = adapter.effective_weight(model.up().weight.val());
            (host(output), effective.map(host).unwrap_or_default())
        };
        let ((output, weight), (other_output, other_weight)) =
            (results(device), results(reference));
        assert_close("trained outputs", &output, &other_output, DEVICE);
        assert_close("effective weight", &weight, &other_weight, DEVICE);
    }

    pub(super) fn resuming_is_exact(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (model, _) = self.attached(&device, 1);
        let mut optimizer = AdamWConfig::new().init();
        let half = train(model.clone(), &mut optimizer, 3);
        // As bytes: on wgpu, data that was read stays in a buffer that a later read may overwrite.
        let record = optimizer.into_bytes().expect("a record");
        let saved = values(&half);
        let unbroken = train(half, &mut optimizer, 3);

        // Another process: a new model whose parameters get the same ids from the same names.
        let (fresh, _) = self.attached(&device, 99);
        let restored = set_values(fresh, saved);
        let optimizer = AdamWConfig::new().init();
        let mut optimizer = optimizer.from_bytes(record).expect("the same record");
        let resumed = train(restored, &mut optimizer, 3);
        assert_eq!(values(&unbroken), values(&resumed), "resumed run");
    }
}

fn loss_of(model: &Tiny) -> f32 {
    let device = model.up().weight.val().device();
    let output = model.forward(tiny::inputs(ROWS, &device), &mut Pass::eval());
    tiny::loss(output, tiny::targets(ROWS, &device)).into_scalar()
}
