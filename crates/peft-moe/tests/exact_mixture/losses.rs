//! Losses of the router: their formulas, padding, and that they reach it.

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use peft_core::Pass;
use peft_core::testing::case::Network;
use peft_moe::MoeLora;

use super::gates;
use crate::support::{D_IN, ROWS, adapted, host, inputs, mixture, numbers, upstream};

const EXPERTS: usize = 4;

fn with(balance_loss: f64, z_loss: f64, device: &Device) -> Network {
    let method = MoeLora {
        experts: EXPERTS,
        top_k: 2,
        balance_loss,
        z_loss,
        ..MoeLora::default()
    };
    adapted(Box::new(method), true, device).0
}

/// What the losses come to when only the first `real` rows are no padding.
fn measured(network: &Network, real: usize, device: &Device) -> Option<f64> {
    let padding: Vec<bool> = (0..ROWS).map(|row| row >= real).collect();
    let padding = TensorData::new(padding, [1, ROWS]);
    let mut pass = Pass::train(1);
    pass.set_padding(Some(Tensor::from_data(padding, device)));
    let y = network.forward(inputs(device), &mut pass);
    pass.backward(y.sum(), 1.0, |_| {});
    let loss = pass.loss_of_layers()?;
    Some(f64::from(loss.into_scalar::<f32>()))
}

/// `(balance, z)` of the first rows in f64.
fn formulas(network: &Network, real: usize) -> (f64, f64) {
    let router: Vec<f64> = mixture(network).router.val().into_data().iter().collect();
    let chosen = gates(network, 2);
    let x = numbers(3, ROWS * D_IN, 1.0);
    let (mut share, mut mean, mut z) = ([0.0; EXPERTS], [0.0; EXPERTS], 0.0);
    for row in 0..real {
        let logit = |e: usize| -> f64 {
            let terms = (0..D_IN).map(|i| f64::from(x[row * D_IN + i]) * router[i * EXPERTS + e]);
            terms.sum()
        };
        let whole: f64 = (0..EXPERTS).map(|e| logit(e).exp()).sum();
        for e in 0..EXPERTS {
            mean[e] += logit(e).exp() / whole / real as f64;
            if chosen[row][e] > 0.0 {
                share[e] += 0.5 / real as f64;
            }
        }
        z += whole.ln().powi(2) / real as f64;
    }
    let products = share.iter().zip(mean).map(|(share, mean)| share * mean);
    (EXPERTS as f64 * products.sum::<f64>(), z)
}

#[test]
fn losses_of_the_router_are_those_of_the_formulas_and_leave_padding_out() {
    let device = Device::flex().autodiff();
    let network = with(0.5, 0.25, &device);
    for real in [ROWS, 4] {
        let (balance, z) = formulas(&network, real);
        let expected = 0.5 * balance + 0.25 * z;
        let found = measured(&network, real, &device).unwrap();
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
    assert_eq!(measured(&with(0.0, 0.0, &device), ROWS, &device), None);
}

#[test]
fn losses_reach_the_router_and_count_as_much_as_the_batch_does() {
    let device = Device::flex().autodiff();
    let router = |network: &Network, share: f64| -> Vec<f32> {
        let id = mixture(network).router.id;
        let mut pass = Pass::train(1);
        let y = network.forward(inputs(&device), &mut pass);
        let mut found = vec![];
        pass.backward((y * upstream(&device)).sum(), share, |part| {
            let part = GradientsParams::from_grads(part, network);
            found = host(part.get::<2>(id).unwrap());
        });
        found
    };
    let network = with(0.5, 0.25, &device);
    let whole = router(&network, 1.0);
    assert_ne!(whole, router(&with(0.0, 0.0, &device), 1.0));
    for (half, whole) in router(&network, 0.5).iter().zip(whole) {
        assert!((half - 0.5 * whole).abs() < 1e-6, "{half} of {whole}");
    }
}
