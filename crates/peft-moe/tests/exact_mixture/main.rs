//! What a mixture of experts must do exactly: gates, rescaled gradients, experts nobody chose, losses of the router.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod losses;
#[path = "../support/mod.rs"]
mod support;

use burn::optim::{AdamWConfig, SgdConfig};
use burn::tensor::{Device, Tensor};
use peft_core::testing::case::Network;
use peft_core::testing::tolerance::{ELEMENTWISE, MATMUL, assert_close};
use peft_core::{AdapterSpec, DeltaEvent, Observer, Pass, PeftError, RoutingEvent, export, merge};
use peft_moe::{ExpertUse, GateRescale, MoeLora};
use support::{D_IN, D_OUT, RANK, ROWS, adapted, gradients, host, inputs, mixture, numbers, set};

const MODES: [GateRescale; 3] = [
    GateRescale::None,
    GateRescale::SqrtDetach,
    GateRescale::Theory,
];

fn method(experts: usize, top_k: usize, gate_rescale: GateRescale) -> Box<MoeLora> {
    Box::new(MoeLora {
        experts,
        top_k,
        gate_rescale,
        ..MoeLora::default()
    })
}

fn output(network: &Network, device: &Device) -> Vec<f32> {
    host(network.forward(inputs(device), &mut Pass::eval()))
}

/// Probabilities `[rows][experts]` and the gates, 0 where an expert is not chosen, from the formula in f64.
fn gates(network: &Network, top_k: usize) -> Vec<Vec<f64>> {
    let router: Vec<f64> = mixture(network)
        .router
        .val()
        .into_data()
        .iter::<f64>()
        .collect();
    let experts = router.len() / D_IN;
    let x = numbers(3, ROWS * D_IN, 1.0);
    let gates = x.chunks_exact(D_IN).map(|row| {
        let logit = |e: usize| -> f64 {
            let terms = row.iter().enumerate();
            terms
                .map(|(i, x)| f64::from(*x) * router[i * experts + e])
                .sum()
        };
        let weights: Vec<f64> = (0..experts).map(|e| logit(e).exp()).collect();
        let mut sorted = weights.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let least = sorted[top_k - 1];
        let whole: f64 = sorted[..top_k].iter().sum();
        let gate = |weight: &f64| {
            if *weight >= least {
                weight / whole
            } else {
                0.0
            }
        };
        weights.iter().map(gate).collect()
    });
    gates.collect()
}

#[test]
fn with_b_at_zero_the_output_is_the_bases() {
    let device = Device::flex();
    for mode in MODES {
        let (network, _) = adapted(method(4, 2, mode), false, &device);
        let base = peft_core::detach(network.clone(), "a").unwrap();
        assert_eq!(output(&network, &device), output(&base, &device));
    }
}

#[test]
fn all_modes_say_the_same() {
    let device = Device::flex();
    let outputs = MODES.map(|mode| {
        let (network, _) = adapted(method(4, 2, mode), true, &device);
        output(&network, &device)
    });
    assert_close("sqrt-detach", &outputs[1], &outputs[0], ELEMENTWISE);
    assert_close("theory", &outputs[2], &outputs[0], ELEMENTWISE);
}

/// What a router says, for the observer.
#[derive(Default)]
struct Seen {
    probabilities: Vec<f32>,
    chosen: Vec<i64>,
}

impl Observer for Seen {
    fn delta(&mut self, _event: &DeltaEvent<'_>) {}
    fn routing(&mut self, event: &RoutingEvent<'_>) {
        self.probabilities = host(event.probabilities.clone());
        self.chosen = event.chosen.clone().into_data().iter::<i64>().collect();
    }
}

#[test]
fn every_row_chooses_its_most_probable_experts_and_no_other() {
    let device = Device::flex();
    let (network, _) = adapted(method(5, 2, GateRescale::None), true, &device);
    let mut seen = Seen::default();
    let _ = network.forward(inputs(&device), &mut Pass::eval().with_observer(&mut seen));
    let expected = gates(&network, 2);
    for row in 0..ROWS {
        let sum: f32 = seen.probabilities[row * 5..(row + 1) * 5].iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
        let mut chosen: Vec<i64> = seen.chosen[row * 2..(row + 1) * 2].to_vec();
        chosen.sort_unstable();
        let expected: Vec<i64> = (0..5)
            .filter(|e| expected[row][*e as usize] > 0.0)
            .collect();
        assert_eq!(chosen, expected);
    }
    let mut used = ExpertUse::default();
    let _ = network.forward(inputs(&device), &mut Pass::eval().with_observer(&mut used));
    let site = &used.sites()[0];
    assert_eq!((site.rows, site.path.as_str()), (ROWS as u64, "layer"));
    assert!((site.chosen.iter().sum::<f64>() - 2.0).abs() < 1e-12);
    assert!((site.probability.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(site.entropy > 0.0 && site.entropy <= 1.0);
}

/// Gradients of `a`, `b` and the router from the closed form in f64, with `credit(g)` in place of the gate.
fn closed_form(network: &Network, top_k: usize, credit: impl Fn(f64) -> f64) -> [Vec<f64>; 3] {
    let adapter = mixture(network);
    let wide = |tensor: Tensor<2>| -> Vec<f64> { tensor.into_data().iter::<f64>().collect() };
    let (a, b) = (wide(adapter.a.val()), wide(adapter.b.val()));
    let gates = gates(network, top_k);
    let experts = gates[0].len();
    let (x, dy) = (numbers(3, ROWS * D_IN, 1.0), numbers(5, ROWS * D_OUT, 1.0));
    let mut grads = [
        vec![0.0; a.len()],
        vec![0.0; b.len()],
        vec![0.0; D_IN * experts],
    ];
    for row in 0..ROWS {
        let x = &x[row * D_IN..(row + 1) * D_IN];
        let dy = &dy[row * D_OUT..(row + 1) * D_OUT];
        let mut d_gate = vec![0.0; experts];
        for e in (0..experts).filter(|e| gates[row][*e] > 0.0) {
            let c = credit(gates[row][e]);
            for k in e * RANK..(e + 1) * RANK {
                let inputs = x.iter().enumerate();
                let h: f64 = inputs
                    .map(|(i, x)| f64::from(*x) * a[i * experts * RANK + k])
                    .sum();
                let outputs = dy.iter().enumerate();
                let u: f64 = outputs.map(|(o, g)| f64::from(*g) * b[k * D_OUT + o]).sum();
                d_gate[e] += adapter.scale * h * u;
                for (i, x) in x.iter().enumerate() {
                    grads[0][i * experts * RANK + k] += adapter.scale * c * u * f64::from(*x);
                }
                for (o, g) in dy.iter().enumerate() {
                    grads[1][k * D_OUT + o] += adapter.scale * c * h * f64::from(*g);
                }
            }
        }
        // The gates are a softmax over the chosen logits.
        let mean: f64 = (0..experts).map(|e| gates[row][e] * d_gate[e]).sum();
        for e in 0..experts {
            let d_logit = gates[row][e] * (d_gate[e] - mean);
            for (i, x) in x.iter().enumerate() {
                grads[2][i * experts + e] += d_logit * f64::from(*x);
            }
        }
    }
    grads
}

#[test]
fn experts_get_their_credit_and_the_router_its_true_gradient() {
    let device = Device::flex().autodiff();
    let credits: [fn(f64) -> f64; 3] = [|g| g, f64::sqrt, |_| 1.0];
    for (mode, credit) in MODES.into_iter().zip(credits) {
        let (network, _) = adapted(method(4, 2, mode), true, &device);
        let grads = gradients(&network, &device);
        let adapter = mixture(&network);
        let expected = closed_form(&network, 2, credit);
        let ids = [adapter.a.id, adapter.b.id, adapter.router.id];
        for ((id, expected), name) in ids.into_iter().zip(expected).zip(["a", "b", "router"]) {
            let expected: Vec<f32> = expected.iter().map(|value| *value as f32).collect();
            let found = host(grads.get::<2>(id).unwrap());
            assert_close(&format!("{mode:?} {name}"), &found, &expected, MATMUL);
        }
    }
}

#[test]
fn with_one_expert_per_token_all_modes_are_the_same() {
    let device = Device::flex().autodiff();
    let all = MODES.map(|mode| {
        let (network, _) = adapted(method(4, 1, mode), true, &device);
        let (grads, adapter) = (gradients(&network, &device), mixture(&network));
        [adapter.a.id, adapter.b.id].map(|id| host(grads.get::<2>(id).unwrap()))
    });
    for other in &all[1..] {
        assert_close("a", &other[0], &all[0][0], ELEMENTWISE);
        assert_close("b", &other[1], &all[0][1], ELEMENTWISE);
    }
}

/// A router that never chooses the last of three experts.
fn shunned(device: &Device) -> Network {
    let (network, _) = adapted(method(3, 1, GateRescale::None), true, device);
    let id = mixture(&network).router.id;
    let mut router = vec![0.0; D_IN * 3];
    (router[0], router[1]) = (1.0, -1.0);
    let network = set(network, id, router);
    // The logits are x_0, -x_0 and 0, and no row has an x_0 of 0: one of the first two is the largest.
    network
}

#[test]
fn an_expert_that_nobody_chose_stays_as_it_is() {
    let device = Device::flex().autodiff();
    let network = shunned(&device);
    let adapter = mixture(&network);
    let last = |values: Vec<f32>, side: usize| -> Vec<f32> {
        match side {
            0 => values
                .chunks(3 * RANK)
                .flat_map(|row| row[2 * RANK..].to_vec())
                .collect(),
            _ => values[2 * RANK * D_OUT..].to_vec(),
        }
    };
    let grads = gradients(&network, &device);
    for (side, id) in [adapter.a.id, adapter.b.id].into_iter().enumerate() {
        let gradient = last(host(grads.get::<2>(id).unwrap()), side);
        assert!(gradient.iter().all(|value| *value == 0.0), "{gradient:?}");
    }
    let values = |network: &Network| {
        let adapter = mixture(network);
        [host(adapter.a.val()), host(adapter.b.val())]
    };
    let before = values(&network);
    let sgd = SgdConfig::new().init().step(0.1, network.clone(), grads);
    let after = values(&sgd);
    for side in 0..2 {
        assert_eq!(
            last(after[side].clone(), side),
            last(before[side].clone(), side)
        );
        assert_ne!(after[side], before[side]);
    }
    // AdamW without a momentum from before leaves it alone too, weight decay aside.
    let mut adamw = AdamWConfig::new().with_weight_decay(0.0).init();
    let grads = gradients(&network, &device);
    let after = values(&adamw.step(0.1, network, grads));
    for side in 0..2 {
        assert_eq!(
            last(after[side].clone(), side),
            last(before[side].clone(), side)
        );
    }
}

#[test]
fn dropout_draws_other_masks_in_each_pass_and_none_in_evaluation() {
    let device = Device::flex();
    let method = MoeLora {
        dropout: 0.5,
        ..*method(4, 2, GateRescale::None)
    };
    let (network, _) = adapted(Box::new(method), true, &device);
    let (still, _) = adapted(self::method(4, 2, GateRescale::None), true, &device);
    let run = |seed: u64| host(network.forward(inputs(&device), &mut Pass::train(seed)));
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_eq!(output(&network, &device), output(&still, &device));
}

#[test]
fn a_mixture_is_neither_merged_nor_exported_and_wrong_options_are_refused() {
    let device = Device::flex();
    let method = method(4, 2, GateRescale::None);
    let (network, _) = adapted(method.clone(), true, &device);
    let error = merge::merge_site(&network.layers[0]).unwrap_err();
    assert!(error.to_string().contains("router chooses"), "{error}");
    let spec = AdapterSpec {
        method,
        ..AdapterSpec::default()
    };
    let error = export::to_lora(network, "a", &spec, None).unwrap_err();
    assert!(
        matches!(error, PeftError::NoEffectiveWeight { .. }),
        "{error}"
    );
    for (option, value) in [
        ("experts", serde_json::json!(0)),
        ("top_k", serde_json::json!(9)),
        ("balance_loss", serde_json::json!(-1.0)),
        ("gate_rescale", serde_json::json!("sqrt")),
    ] {
        let options = [(option.to_owned(), value)].into_iter().collect();
        let error = (peft_moe::mixture::MOE_LORA.from_options)(&options).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(option) || text.contains("sqrt-detach"),
            "{text}"
        );
    }
}
