//! Every method of this crate against the contract that all methods share.

use burn::tensor::Device;
use peft_core::testing::contract::Contract;
use peft_core::{Method, MethodEntry};
use peft_orthogonal::boft::{BOFT, Boft};
use peft_orthogonal::hra::{HRA, Hra};
use peft_orthogonal::oft::{OFT, Oft};

const ENTRIES: &[&MethodEntry] = &[&HRA, &OFT, &BOFT];

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
fn hra_passes_the_contract() {
    check(Hra::default(), true, 0.6);
}

#[test]
fn oft_passes_the_contract() {
    let exact = Oft {
        use_cayley_neumann: false,
        ..Oft::default()
    };
    let constrained = Oft {
        coft: true,
        eps: 3.0,
        ..exact.clone()
    };
    for method in [Oft::default(), exact, constrained] {
        check(method, false, 0.6);
    }
}

#[test]
fn oft_of_many_runs_passes_the_contract() {
    let runs = Oft {
        oft_block_size: 0,
        ..Oft::default()
    };
    let shared = Oft {
        oft_block_size: 2,
        block_share: true,
        ..Oft::default()
    };
    check(runs, false, 0.6);
    // Two numbers for 36 targets.
    check(shared, false, 0.95);
}

#[test]
fn boft_passes_the_contract() {
    let boft = Boft {
        boft_block_size: 2,
        ..Boft::default()
    };
    check(boft, false, 0.6);
}
