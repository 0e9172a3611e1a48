//! Routers at their edges: all rows to one expert, no rows, values that are not numbers.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use peft_core::Pass;
use peft_core::lora::Lora;
use peft_core::testing::case::Network;
use peft_core::testing::tolerance::{ELEMENTWISE, assert_close};
use peft_moe::{ExpertUse, MoeLora};
use support::{D_IN, D_OUT, RANK, ROWS, adapted, host, inputs, mixture, numbers, set, tensor};

fn method(experts: usize, top_k: usize) -> Box<MoeLora> {
    Box::new(MoeLora {
        experts,
        top_k,
        ..MoeLora::default()
    })
}

/// A mixture whose router gives every row to the second of three experts: its logit is the first input, made 5, times 3.
fn all_to_the_second(device: &Device) -> (Network, Tensor<2>) {
    let (network, _) = adapted(method(3, 1), true, device);
    let id = mixture(&network).router.id;
    let mut router = vec![0.0; D_IN * 3];
    router[1] = 3.0;
    let mut x = numbers(3, ROWS * D_IN, 1.0);
    x.chunks_exact_mut(D_IN).for_each(|row| row[0] = 5.0);
    let x = tensor(x, [ROWS, D_IN], device);
    (set(network, id, router), x)
}

#[test]
fn all_rows_to_one_expert_are_a_lora_of_it() {
    let device = Device::flex();
    let (network, x) = all_to_the_second(&device);
    let adapter = mixture(&network);
    let (lora, _) = adapted(Box::new(Lora::default()), true, &device);
    let pair = lora.layers[0].adapter("a").unwrap().pairs()[0];
    let a = adapter.a.val().narrow(1, RANK, RANK);
    let b = adapter.b.val().narrow(0, RANK, RANK);
    let lora = set(set(lora, pair.a, host(a)), pair.b, host(b));
    let run = |network: &Network| host(network.forward(x.clone(), &mut Pass::eval()));
    assert_close("output", &run(&network), &run(&lora), ELEMENTWISE);

    let mut used = ExpertUse::default();
    let _ = network.forward(x, &mut Pass::eval().with_observer(&mut used));
    let site = &used.sites()[0];
    assert_eq!(site.chosen, [0.0, 1.0, 0.0]);
    assert_eq!(site.dead().collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn no_rows_give_no_rows_and_gradients_of_zero() {
    let device = Device::flex().autodiff();
    let method = MoeLora {
        balance_loss: 0.1,
        z_loss: 0.1,
        ..*method(4, 2)
    };
    let (network, _) = adapted(Box::new(method), true, &device);
    let x = tensor(vec![], [0, D_IN], &device);
    let mut pass = Pass::train(1);
    let y = network.forward(x, &mut pass);
    assert_eq!(y.dims(), [0, D_OUT]);
    assert!(pass.loss_of_layers().is_none());
    // Beside rows, rows of padding alone add no loss either.
    let padding = TensorData::new(vec![true; ROWS], [1, ROWS]);
    let mut pass = Pass::train(1);
    pass.set_padding(Some(Tensor::from_data(padding, &device)));
    let y = network.forward(inputs(&device), &mut pass);
    pass.backward(y.sum(), 1.0, |_| {});
    let loss = pass.loss_of_layers().unwrap();
    assert_eq!(loss.into_scalar::<f32>(), 0.0);
}

#[test]
fn a_row_that_is_not_a_number_spoils_itself_alone() {
    let device = Device::flex();
    let (network, _) = adapted(method(4, 2), true, &device);
    let mut x = numbers(3, ROWS * D_IN, 1.0);
    let clean = host(network.forward(tensor(x.clone(), [ROWS, D_IN], &device), &mut Pass::eval()));
    for broken in [f32::NAN, f32::INFINITY] {
        x[2 * D_IN + 1] = broken;
        let y = network.forward(tensor(x.clone(), [ROWS, D_IN], &device), &mut Pass::eval());
        for (row, (found, clean)) in host(y)
            .chunks_exact(D_OUT)
            .zip(clean.chunks_exact(D_OUT))
            .enumerate()
        {
            if row == 2 {
                assert!(found.iter().all(|value| !value.is_finite()), "{found:?}");
            } else {
                assert_eq!(found, clean, "row {row}");
            }
        }
    }
}
