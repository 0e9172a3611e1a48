//! What trains: gradients, movement, the loss, and the same steps after an interruption.

use std::collections::HashSet;

use burn::module::ParamId;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;

use super::{Contract, ROWS, train, values};
use crate::pass::Pass;
use crate::testing::tiny::{self, Tiny};
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
        let model = train(model, &mut optimizer, 400);
        let last = loss_of(&model);
        assert!(
            last < first * self.loss_share,
            "the loss went from {first} to {last} only"
        );
    }

    pub(super) fn resuming_is_exact(&self, device: &Device) {
        let device = device.clone().autodiff();
        let (model, _) = self.attached(&device, 1);
        let mut optimizer = AdamWConfig::new().init();
        let half = train(model.clone(), &mut optimizer, 3);
        let record = optimizer.to_record();
        let saved = values(&half);
        let unbroken = train(half, &mut optimizer, 3);

        // Another process: a new model whose parameters get the same ids from the same names.
        let (fresh, _) = self.attached(&device, 99);
        let restored = set_values(fresh, saved);
        let mut optimizer = AdamWConfig::new().init().load_record(record);
        let resumed = train(restored, &mut optimizer, 3);
        assert_eq!(values(&unbroken), values(&resumed), "resumed run");
    }
}

fn loss_of(model: &Tiny) -> f32 {
    let device = model.up().weight.val().device();
    let output = model.forward(tiny::inputs(ROWS, &device), &mut Pass::eval());
    tiny::loss(output, tiny::targets(ROWS, &device)).into_scalar()
}
