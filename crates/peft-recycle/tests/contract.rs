//! EigenLoRAx under the contract that every method passes: with random components, and in a basis.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::tensor::Device;
use peft_core::testing::contract::Contract;
use peft_recycle::eigenlorax::EIGENLORAX;
use peft_recycle::{Basis, BasisOptions, Components, Pool};
use serde_json::{Map, Value, json};
use support::Adapter;

fn contract(options: Value) -> Contract {
    let options: Map<String, Value> = serde_json::from_value(options).unwrap();
    Contract {
        entries: &[&EIGENLORAX],
        method: (EIGENLORAX.from_options)(&options).unwrap(),
        random: true,
        loss_share: 1.0 / 3.0,
        mergeable: true,
    }
}

#[test]
fn random_components_pass_the_contract() {
    contract(json!({})).check(&Device::flex());
    contract(json!({ "save_components": false, "components": 5 })).check(&Device::flex());
}

#[test]
fn random_components_of_whole_factors_pass_the_contract() {
    let flat = |save_components: bool| {
        let options =
            json!({ "variant": "flat", "components": 24, "save_components": save_components });
        // 24 numbers for each factor, the smallest of which has 12 entries.
        let mut contract = contract(options);
        contract.loss_share = 0.5;
        contract.check(&Device::flex());
    };
    flat(true);
    flat(false);
}

#[test]
fn a_basis_passes_the_contract() {
    let place = tempfile::tempdir().unwrap();
    // The model of the contract, and the same as a plain module.
    let sites = [
        ("layers.0.up_proj", 6, 10),
        ("layers.1.down_proj", 10, 8),
        ("up", 6, 10),
        ("down", 10, 8),
    ];
    let folders: Vec<_> = (0..3)
        .map(|seed| {
            let adapter = Adapter::at(&sites, 2, seed);
            adapter.write(&place.path().join(format!("adapter-{seed}")))
        })
        .collect();
    let pool = Pool::open(&folders).unwrap();
    // Components of whole factors have the rank of the basis, so the contract's other ranks do not suit them.
    let options = BasisOptions {
        components: Components::Fixed(5),
        ..BasisOptions::default()
    };
    let basis = place.path().join("basis");
    Basis::build(&pool, &options, &basis).unwrap();
    for save_components in [true, false] {
        let options = json!({ "basis": basis, "save_components": save_components });
        contract(options).check(&Device::flex());
    }
}
