//! A classifier with an adapter of PEFT, against the numbers that it has there.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Int, Tensor, TensorData};
use peft_core::file::key;
use peft_core::lora::LoraAdapter;
use peft_core::{Adaptable, TrainedCopy};

use crate::common::{Expected, assert_close, floats};

/// Compares the logits of four examples, their loss, and its gradient in every pair and head of the adapter `a`; gives how many gradients.
#[track_caller]
pub(crate) fn assert_gradients_of_peft(
    expected: &Expected,
    model: &impl Adaptable,
    logits: Tensor<2>,
) -> usize {
    let of_peft = expected.floats("adapted.logits");
    assert_close(&floats(logits.clone()), &of_peft, 1e-4);
    let labels = TensorData::new(vec![2_i64, 0, 1, 2], [4]);
    let labels = Tensor::<1, Int>::from_data(labels, &logits.device());
    let loss = CrossEntropyLossConfig::new()
        .init(&logits.device())
        .forward(logits, labels);
    assert_close(&floats(loss.clone()), &expected.floats("loss"), 1e-5);
    let grads = loss.backward();
    let mut compared = 0;
    let mut compare = |path: &str, tensor: &str, grad: Vec<f32>| {
        let wanted = expected.floats(&format!("grad.{}", key(path, tensor)));
        let size = wanted.iter().fold(0.1_f32, |m, v| m.max(v.abs()));
        assert_close(&grad, &wanted, 1e-4 * size);
        compared += 1;
    };
    model.visit_linears(&mut |linear| {
        let path = &linear.site().path;
        let Some(adapter) = linear.adapter("a") else {
            return;
        };
        let grad = |tensor: Tensor<2>| floats(tensor.grad(&grads).unwrap().transpose());
        if let Some(lora) = adapter.downcast_ref::<LoraAdapter>() {
            compare(path, "lora_A.weight", grad(lora.a.val()));
            compare(path, "lora_B.weight", grad(lora.b.val()));
            return;
        }
        let head: &TrainedCopy = adapter.downcast_ref().unwrap();
        compare(path, "weight", grad(head.weight.val()));
        if let Some(bias) = &head.bias {
            compare(path, "bias", floats(bias.val().grad(&grads).unwrap()));
        }
    });
    compared
}
