//! Every method of this crate against the contract that all methods share.

use burn::tensor::Device;
use peft_core::lora::Scaling;
use peft_core::testing::contract::Contract;
use peft_core::{Method, MethodEntry};
use peft_lowrank::hira::{HIRA, HiRa};
use peft_lowrank::loha::{LOHA, LoHa};
use peft_lowrank::lokr::{LOKR, LoKr, LoKrInit};
use peft_lowrank::miss::{MISS, Miss};
use peft_lowrank::multilora::{MULTI_LORA, MultiLora};
use peft_lowrank::randlora::{Basis, RANDLORA, RandLora};
use peft_lowrank::reslora::{RES_LORA, ResLora};
use peft_lowrank::sbora::{SBORA, Sbora, Selected};
use peft_lowrank::sharelora::{SHARE_LORA, ShareLora, Shared};
use peft_lowrank::vera::{VERA, Vera};

const ENTRIES: &[&MethodEntry] = &[
    &VERA,
    &SHARE_LORA,
    &RES_LORA,
    &SBORA,
    &MULTI_LORA,
    &LOHA,
    &LOKR,
    &HIRA,
    &MISS,
    &RANDLORA,
];

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

#[test]
fn loha_passes_the_contract() {
    check(LoHa::default(), true, 1.0 / 3.0, true);
}

#[test]
fn lokr_passes_the_contract() {
    // Of rank 2 both factors are whole in layers of this size; a factor of 1 leaves the second one as large as the layer, and a product.
    let wide = LoKr {
        decompose_factor: 1,
        init: LoKrInit::Lycoris,
        ..LoKr::default()
    };
    for method in [LoKr::default(), wide] {
        check(method, true, 0.6, true);
    }
}

#[test]
fn hira_passes_the_contract() {
    check(HiRa::default(), true, 1.0 / 3.0, true);
}

#[test]
fn miss_passes_the_contract() {
    // 20 numbers, and 4, for 36 targets.
    for (mini_r, loss_share) in [(0, 0.6), (2, 0.9)] {
        let method = Miss {
            mini_r,
            ..Miss::default()
        };
        check(method, false, loss_share, true);
    }
}

#[test]
fn randlora_passes_the_contract() {
    for basis in [Basis::Dense, Basis::Sparse, Basis::VerySparse] {
        for save_projection in [true, false] {
            let method = RandLora {
                basis,
                save_projection,
                ..RandLora::default()
            };
            check(method, false, 0.6, true);
        }
    }
}
