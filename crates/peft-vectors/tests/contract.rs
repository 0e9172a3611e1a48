//! Every method of this crate against the contract that all methods share.

use burn::tensor::Device;
use peft_core::testing::contract::Contract;
use peft_core::{Method, MethodEntry};
use peft_vectors::adapterbias::{ADAPTER_BIAS, AdapterBias};
use peft_vectors::ia3::{IA3, Ia3, Names};

const ENTRIES: &[&MethodEntry] = &[&IA3, &ADAPTER_BIAS];

fn check(method: impl Method + 'static, random: bool, loss_share: f32) {
    let contract = Contract {
        entries: ENTRIES,
        method: Box::new(method),
        random,
        loss_share,
        mergeable: true,
    };
    contract.check(&Device::flex());
}

#[test]
fn ia3_passes_the_contract() {
    let inputs_too = Ia3 {
        feedforward_modules: Names::Ends(vec!["up_proj".into(), "up".into()]),
    };
    // 18 or 20 numbers for 36 targets.
    for method in [Ia3::default(), inputs_too] {
        check(method, false, 0.8);
    }
}

#[test]
fn adapterbias_passes_the_contract() {
    for offset in [true, false] {
        check(AdapterBias { offset }, true, 1.0 / 3.0);
    }
}
