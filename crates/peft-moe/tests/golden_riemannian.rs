//! Preconditioned SGD and AdamW against float64 steps with explicit inverses, in both orders, of plain LoRA and of experts.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::Path;

use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::Device;
use peft_core::Trainable;
use peft_core::gradient::take;
use peft_core::lora::LORA;
use peft_core::testing::case::{Case, Network};
use peft_core::testing::contract::adapter_tensors;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::{Factors, Procedure, rounds};
use peft_moe::mixture::MOE_LORA;
use peft_moe::{Order, Riemannian};

const STEPS: usize = 5;

fn step(
    network: Network,
    mut grads: GradientsParams,
    trainable: &Trainable,
    riemannian: &Riemannian,
    (optimizer, rate): (&mut ModuleOptimizer, f64),
) -> Network {
    rounds(trainable, riemannian.steps_a_first())
        .into_iter()
        .fold(network, |network, round| {
            let mut grads = take(&mut grads, round);
            let factors = Factors::of(&network, &trainable.pairs);
            riemannian
                .condition(&mut grads, &trainable.pairs, &factors)
                .unwrap();
            optimizer.step(rate, network, grads)
        })
}

fn check(case: &str, optimizer: &mut ModuleOptimizer, rate: f64, order: Order) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/riemannian");
    let golden = Case::read(&root, case);
    let device = Device::flex().autodiff();
    let (mut network, names, _) = golden.load(&[&LORA, &MOE_LORA], &device);
    let riemannian = Riemannian {
        damping: 1e-2,
        order,
    };
    for number in 1..=STEPS {
        let (_, _, loss) = golden.loss(&network, &device);
        let expected = golden.about["losses"][number - 1].as_f64().unwrap() as f32;
        let actual = loss.clone().into_scalar::<f32>();
        assert_close(
            &format!("{case}: loss {number}"),
            &[actual],
            &[expected],
            MATMUL,
        );
        let trainable = Trainable::of(&network, &names);
        let grads = GradientsParams::from_grads(loss.backward(), &network);
        network = step(network, grads, &trainable, &riemannian, (optimizer, rate));
        let tensors = adapter_tensors(&network, "default");
        for param in &trainable.params {
            let name = format!("{}@step{number}", param.name);
            let actual = &tensors[&param.name].data;
            assert_close(
                &format!("{case}: {name}"),
                actual,
                golden.values(&name),
                MATMUL,
            );
        }
    }
}

#[test]
fn five_steps_of_either_optimizer_in_either_order_equal_the_reference() {
    for (name, order) in [
        ("jacobi", Order::Jacobi),
        ("gauss-seidel", Order::GaussSeidel),
    ] {
        for adapter in ["lora", "moe"] {
            let mut sgd = SgdConfig::new().init();
            check(&format!("{adapter}-sgd-{name}"), &mut sgd, 2e-2, order);
            let mut adamw = AdamWConfig::new()
                .with_epsilon(1e-3)
                .with_weight_decay(0.0)
                .init();
            check(&format!("{adapter}-adamw-{name}"), &mut adamw, 5e-3, order);
        }
    }
}
