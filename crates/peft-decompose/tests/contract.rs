//! Every method of this crate against the contract that all methods share.

use burn::tensor::Device;
use peft_core::Method;
use peft_core::lora::{LORA, LoraInit, RSLORA, Scaling};
use peft_core::testing::contract::Contract;
use peft_decompose::Side;
use peft_decompose::bora::{BORA, Bora, Detach, Order};
use peft_decompose::dora::{DORA, Dora};
use peft_decompose::eva::EVA;
use peft_decompose::milora::{MILORA, Milora};
use peft_decompose::olora::{OLORA, Olora};
use peft_decompose::pissa::{PISSA, Pissa};
use peft_decompose::relative::RelativeOptions;
use peft_decompose::svfit::{SVFIT, Size, Svfit};
use serde_json::Map;

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
        Dora {
            init: LoraInit::Orthogonal,
            ..Dora::default()
        },
    ];
    for method in variants {
        Contract {
            entries: &[&DORA],
            method: Box::new(method),
            random: true,
            loss_share: 1.0 / 3.0,
            mergeable: true,
        }
        .check(&Device::flex());
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
            random: true,
            loss_share: 1.0 / 3.0,
            mergeable: true,
        }
        .check(&Device::flex());
    }
}

#[test]
fn svfit_passes_the_contract() {
    let vectors = Svfit {
        vectors: true,
        ..Svfit::default()
    };
    let two = Svfit {
        k: Size::Rank,
        ..Svfit::default()
    };
    // 14 and 4 numbers for 36 targets.
    for (method, loss_share) in [(Svfit::default(), 0.5), (vectors, 0.5), (two, 0.8)] {
        Contract {
            entries: &[&SVFIT],
            method: Box::new(method),
            random: false,
            loss_share,
            mergeable: true,
        }
        .check(&Device::flex());
    }
}

#[test]
fn eva_that_has_seen_nothing_passes_the_contract() {
    let method = EVA.from_options;
    Contract {
        entries: &[&LORA, &RSLORA, &EVA],
        method: method(&Map::new()).expect("no options"),
        random: true,
        loss_share: 1.0 / 3.0,
        mergeable: true,
    }
    .check(&Device::flex());
}

#[test]
fn methods_that_start_from_the_weight_pass_the_contract() {
    for scaling in [Scaling::Standard, Scaling::RankStabilized] {
        let options = RelativeOptions {
            scaling,
            ..RelativeOptions::default()
        };
        let pissa = Pissa {
            options: options.clone(),
        };
        let milora = Milora {
            options: options.clone(),
        };
        let olora = Olora { options };
        let methods: [Box<dyn Method>; 3] = [Box::new(pissa), Box::new(olora), Box::new(milora)];
        for method in methods {
            Contract {
                entries: &[&LORA, &RSLORA, &PISSA, &OLORA, &MILORA],
                method,
                random: false,
                loss_share: 1.0 / 3.0,
                mergeable: true,
            }
            .check(&Device::flex());
        }
    }
}
