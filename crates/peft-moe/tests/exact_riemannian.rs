//! What the preconditioner must do exactly: invariance, first order, its limits.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use peft_core::lora::{Lora, LoraAdapter};
use peft_core::testing::case::Network;
use peft_core::testing::tolerance::{DECOMPOSITION, MATMUL, assert_close};
use peft_core::{Factors, ParamNames, PeftError, Procedure, Trainable};
use peft_moe::{GateRescale, MoeLora, Riemannian};
use support::{ALPHA, D_IN, D_OUT, RANK, adapted, gradients, host, mixture, numbers, set, tensor};

fn lora(device: &Device) -> (Network, ParamNames) {
    adapted(Box::new(Lora::default()), true, device)
}

fn factors(network: &Network) -> LoraAdapter {
    let adapter = network.layers[0].adapter("a").unwrap();
    adapter.downcast_ref::<LoraAdapter>().unwrap().clone()
}

/// The gradients as they are, and conditioned.
fn conditioned(
    network: &Network,
    names: &ParamNames,
    damping: f64,
    device: &Device,
) -> Result<GradientsParams, PeftError> {
    let mut grads = gradients(network, device);
    let pairs = Trainable::of(network, names).pairs;
    let riemannian = Riemannian {
        damping,
        ..Riemannian::default()
    };
    riemannian.condition(&mut grads, &pairs, &Factors::of(network, &pairs))?;
    Ok(grads)
}

/// `A B` after a step of SGD.
fn product_after(network: Network, grads: GradientsParams, rate: f64) -> Tensor<2> {
    let network = SgdConfig::new().init().step(rate, network, grads);
    let adapter = factors(&network);
    (adapter.a.val().matmul(adapter.b.val())).without_autodiff()
}

#[test]
fn without_damping_a_step_does_not_depend_on_how_the_product_is_factored() {
    let device = Device::flex().autodiff();
    let (network, names) = lora(&device);
    let adapter = factors(&network);
    // A M and M^-1 B have the same product.
    let m = tensor(vec![1.5, -0.4, 0.7, 0.8], [2, 2], &device);
    let determinant = 1.5 * 0.8 + 0.4 * 0.7;
    let inverse = vec![0.8, 0.4, -0.7, 1.5];
    let inverse = tensor(inverse, [2, 2], &device) / determinant;
    let a = host(adapter.a.val().matmul(m));
    let b = host(inverse.matmul(adapter.b.val()));
    let other = set(set(network.clone(), adapter.a.id, a), adapter.b.id, b);
    let products = [&network, &other].map(|network| {
        let grads = conditioned(network, &names, 0.0, &device).unwrap();
        host(product_after(network.clone(), grads, 0.05))
    });
    assert_close("product", &products[1], &products[0], DECOMPOSITION);
    // Plain steps do depend on it.
    let plain = [&network, &other].map(|network| {
        host(product_after(
            network.clone(),
            gradients(network, &device),
            0.05,
        ))
    });
    let apart = plain[0].iter().zip(&plain[1]).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) > 1e-2);
}

#[test]
fn to_first_order_the_product_moves_along_the_projected_gradient() {
    let device = Device::flex().autodiff();
    let (network, names) = lora(&device);
    let adapter = factors(&network);
    let rate = 1e-3;
    // Forward and backward, so that the second order cancels.
    let [there, back] = [rate, -rate].map(|rate| {
        let grads = conditioned(&network, &names, 0.0, &device).unwrap();
        product_after(network.clone(), grads, rate)
    });
    let change = (back - there) / (2.0 * rate);
    // dX = s (P_A G + G P_B), with G = x^T dy, and projections on the columns of A and the rows of B.
    let scale = ALPHA / RANK as f64;
    let x = support::inputs(&device).without_autodiff();
    let g = x
        .transpose()
        .matmul(support::upstream(&device).without_autodiff());
    let (a, b) = (
        adapter.a.val().without_autodiff(),
        adapter.b.val().without_autodiff(),
    );
    let inverse = |gram: Tensor<2>| -> Tensor<2> {
        let [p, q, r, s] = host(gram)[..] else {
            panic!("2 x 2")
        };
        let adjugate = tensor(vec![s, -q, -r, p], [2, 2], &Device::flex());
        adjugate / f64::from(p * s - q * r)
    };
    let on_a = a
        .clone()
        .matmul(inverse(a.clone().transpose().matmul(a.clone())));
    let on_a = on_a.matmul(a.transpose());
    let on_b = b.clone().transpose();
    let on_b = on_b
        .matmul(inverse(b.clone().matmul(b.clone().transpose())))
        .matmul(b);
    let expected = (on_a.matmul(g.clone()) + g.matmul(on_b)) * scale;
    for (found, expected) in host(change).iter().zip(host(expected)) {
        assert!(
            (found - expected).abs() < 1e-3 * (1.0 + expected.abs()),
            "{found} and {expected}"
        );
    }
}

#[test]
fn with_much_damping_the_direction_is_that_of_the_plain_gradient() {
    let device = Device::flex().autodiff();
    let (network, names) = lora(&device);
    let (plain, adapter) = (gradients(&network, &device), factors(&network));
    let much = conditioned(&network, &names, 1e6, &device).unwrap();
    for id in [adapter.a.id, adapter.b.id] {
        let found = host(much.get::<2>(id).unwrap() * 1e6);
        assert_close(
            "gradient",
            &found,
            &host(plain.get::<2>(id).unwrap()),
            MATMUL,
        );
    }
}

#[test]
fn a_mixture_of_one_expert_is_a_lora() {
    let device = Device::flex().autodiff();
    let (network, names) = lora(&device);
    let method = MoeLora {
        experts: 1,
        top_k: 1,
        gate_rescale: GateRescale::SqrtDetach,
        ..MoeLora::default()
    };
    let (one, one_names) = adapted(Box::new(method), true, &device);
    let (adapter, expert) = (factors(&network), mixture(&one));
    assert_eq!(host(adapter.a.val()), host(expert.a.val()));
    let grads = conditioned(&network, &names, 1e-3, &device).unwrap();
    let of_one = conditioned(&one, &one_names, 1e-3, &device).unwrap();
    for (id, other) in [(adapter.a.id, expert.a.id), (adapter.b.id, expert.b.id)] {
        let found = host(of_one.get::<2>(other).unwrap());
        assert_close(
            "gradient",
            &found,
            &host(grads.get::<2>(id).unwrap()),
            MATMUL,
        );
    }
}

#[test]
fn each_expert_is_conditioned_by_itself() {
    let device = Device::flex().autodiff();
    let method = MoeLora {
        experts: 3,
        top_k: 2,
        ..MoeLora::default()
    };
    let (network, names) = adapted(Box::new(method), true, &device);
    let adapter = mixture(&network);
    let before = conditioned(&network, &names, 1e-2, &device).unwrap();
    // Another B of the last expert changes the gradient of its own A alone, as its output does.
    let mut b = host(adapter.b.val());
    let changed = numbers(77, RANK * D_OUT, 0.9);
    b[2 * RANK * D_OUT..].copy_from_slice(&changed);
    let other = set(network, adapter.b.id, b);
    let after = conditioned(&other, &names, 1e-2, &device).unwrap();
    let columns = |grads: &GradientsParams, expert: usize| -> Vec<f32> {
        let values = host(grads.get::<2>(adapter.a.id).unwrap());
        let rows = values.chunks_exact(3 * RANK);
        rows.flat_map(|row| row[expert * RANK..(expert + 1) * RANK].to_vec())
            .collect()
    };
    for expert in 0..2 {
        assert_eq!(columns(&before, expert).len(), D_IN * RANK);
        assert_close(
            "A",
            &columns(&after, expert),
            &columns(&before, expert),
            MATMUL,
        );
    }
    assert_ne!(columns(&after, 2), columns(&before, 2));
}

#[test]
fn values_without_an_inverse_are_an_error_and_change_nothing() {
    let device = Device::flex().autodiff();
    let (network, names) = adapted(Box::new(Lora::default()), false, &device);
    let error = conditioned(&network, &names, 0.0, &device).unwrap_err();
    assert!(error.to_string().contains("damping"), "{error}");
    let damped = conditioned(&network, &names, 1e-6, &device).unwrap();
    let id = factors(&network).b.id;
    assert!(
        host(damped.get::<2>(id).unwrap())
            .iter()
            .all(|v| v.is_finite())
    );
    let broken = set(network, id, vec![f32::NAN; RANK * D_OUT]);
    let error = conditioned(&broken, &names, 1e-6, &device).unwrap_err();
    assert!(error.to_string().contains("not finite"), "{error}");
}

/// The solution of `(gram + damping I) x = column`, by elimination in f64.
fn solved(gram: &[f64], damping: f64, column: &[f64]) -> Vec<f64> {
    let n = column.len();
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let mut row = gram[i * n..][..n].to_vec();
            row[i] += damping;
            row.push(column[i]);
            row
        })
        .collect();
    for at in 0..n {
        for below in at + 1..n {
            let pivot = rows[at].clone();
            let factor = rows[below][at] / pivot[at];
            for (entry, above) in rows[below].iter_mut().zip(&pivot).skip(at) {
                *entry -= factor * above;
            }
        }
    }
    let mut x = vec![0.0; n];
    for at in (0..n).rev() {
        let known: f64 = (at + 1..n).map(|k| rows[at][k] * x[k]).sum();
        x[at] = (rows[at][n] - known) / rows[at][at];
    }
    x
}

/// Factors as training leaves them: one direction outweighs all others, and norms are far above one.
#[test]
fn factors_with_one_direction_are_conditioned_as_in_f64() {
    let device = Device::flex().autodiff();
    for (rank, norm) in [(8, 3.0), (16, 10.0), (16, 100.0), (8, 1e4)] {
        let (d_in, d_out) = (96, 80);
        let (network, names) =
            support::adapted_of(Box::new(Lora::default()), [d_in, d_out, rank], &device);
        let adapter = factors(&network);
        let (left, right) = (numbers(3, rank, 1.0), numbers(4, d_out, 1.0));
        let mut b: Vec<f32> = (0..rank * d_out)
            .map(|at| left[at / d_out] * right[at % d_out])
            .zip(numbers(9, rank * d_out, 1e-4))
            .map(|(product, rest)| product + rest)
            .collect();
        let length = b.iter().map(|value| value * value).sum::<f32>().sqrt();
        b.iter_mut().for_each(|value| *value *= norm / length);
        let network = set(network, adapter.b.id, b.clone());
        let pairs = Trainable::of(&network, &names).pairs;
        let gradient = numbers(7, d_in * rank, 1.0);
        let mut grads = GradientsParams::new();
        let plain = tensor(gradient.clone(), [d_in, rank], &Device::flex());
        grads.register(adapter.a.id, plain);
        Riemannian::default()
            .condition(&mut grads, &pairs, &Factors::of(&network, &pairs))
            .unwrap();
        let found = host(grads.get::<2>(adapter.a.id).unwrap());
        let row = |i: usize| {
            b[i * d_out..][..d_out]
                .iter()
                .map(|value| f64::from(*value))
        };
        let gram: Vec<f64> = (0..rank * rank)
            .map(|at| row(at / rank).zip(row(at % rank)).map(|(a, b)| a * b).sum())
            .collect();
        let trace: f64 = (0..rank).map(|at| gram[at * rank + at]).sum();
        let damping = 1e-6f64.max(1e-6 * trace);
        let (mut error, mut size) = (0.0, 0.0);
        for (found, gradient) in found.chunks(rank).zip(gradient.chunks(rank)) {
            let gradient: Vec<f64> = gradient.iter().map(|value| f64::from(*value)).collect();
            for (found, expected) in found.iter().zip(solved(&gram, damping, &gradient)) {
                error += (f64::from(*found) - expected).powi(2);
                size += expected * expected;
            }
        }
        assert!(
            size > 0.0 && error < 1e-10 * size,
            "{rank}, {norm}: {error} of {size}"
        );
    }
}
