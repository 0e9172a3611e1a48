//! Every method of this crate against the contract that all methods share.

use burn::tensor::Device;
use peft_core::lora::Scaling;
use peft_core::testing::contract::Contract;
use peft_core::{Method, MethodEntry};
use peft_lowrank::multilora::{MULTI_LORA, MultiLora};
use peft_lowrank::reslora::{RES_LORA, ResLora};
use peft_lowrank::sbora::{SBORA, Sbora, Selected};
use peft_lowrank::sharelora::{SHARE_LORA, ShareLora, Shared};
use peft_lowrank::vera::{VERA, Vera};

const ENTRIES: &[&MethodEntry] = &[&VERA, &SHARE_LORA, &RES_LORA, &SBORA, &MULTI_LORA];

fn check(method: impl Method + 'static, random: bool, loss_share: f32, mergeable: bool) {
    let contract = Contract {
        entries: ENTRIES,
        method: Box::new(method),
        random,
        loss_share,
        mergeable,
    };
    contract.check(&Device::flex());
}

#[test]
fn vera_passes_the_contract() {
    let drawn_again = Vera {
        save_projection: false,
        ..Vera::default()
    };
    // 22 numbers, and directions that do not train, for 36 targets.
    for method in [Vera::default(), drawn_again] {
        check(method, false, 0.8, true);
    }
}

#[test]
fn sharelora_passes_the_contract() {
    for share in [Shared::A, Shared::B, Shared::Ab] {
        let method = ShareLora {
            share,
            ..ShareLora::default()
        };
        check(method, true, 1.0 / 3.0, true);
    }
}

#[test]
fn reslora_passes_the_contract() {
    check(ResLora::default(), true, 1.0 / 3.0, false);
}

#[test]
fn sbora_passes_the_contract() {
    // Updates of single inputs or outputs, for targets that depend on all.
    for side in [Selected::Input, Selected::Output] {
        let method = Sbora {
            side,
            ..Sbora::default()
        };
        check(method, true, 0.6, true);
    }
}

#[test]
fn multilora_passes_the_contract() {
    let two = MultiLora {
        count: 2,
        scaling: Scaling::RankStabilized,
        ..MultiLora::default()
    };
    for method in [MultiLora::default(), two] {
        check(method, true, 1.0 / 3.0, true);
    }
}
