//! Every method of this crate against the contract that all methods share.

use peft_core::lora::{LoraInit, Scaling};
use peft_core::testing::contract::Contract;
use peft_decompose::Side;
use peft_decompose::bora::{BORA, Bora, Detach, Order};
use peft_decompose::dora::{DORA, Dora};

#[test]
fn dora_passes_the_contract() {
    let variants = [
        Dora::default(),
        Dora {
            axis: Side::Input,
            ..Dora::default()
        },
        Dora {
            init: LoraInit::Gaussian,
            scaling: Scaling::RankStabilized,
            ..Dora::default()
        },
    ];
    for method in variants {
        Contract {
            entries: &[&DORA],
            method: Box::new(method),
            mergeable: true,
        }
        .check();
    }
}

#[test]
fn bora_passes_the_contract() {
    let variants = [
        Bora::default(),
        Bora {
            detach: Detach::None,
            ..Bora::default()
        },
        Bora {
            order: Order::ColumnsFirst,
            ..Bora::default()
        },
        Bora {
            detach: Detach::None,
            order: Order::ColumnsFirst,
            ..Bora::default()
        },
    ];
    for method in variants {
        Contract {
            entries: &[&BORA],
            method: Box::new(method),
            mergeable: true,
        }
        .check();
    }
}
