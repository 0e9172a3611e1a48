//! LoRA-drop against the contract that all methods share.

use burn::tensor::Device;
use peft_core::lora::{Lora, Scaling};
use peft_core::testing::contract::Contract;
use peft_prune::lora_drop::{LORA_DROP, LoraDrop};

#[test]
fn lora_drop_passes_the_contract() {
    for scaling in [Scaling::Standard, Scaling::RankStabilized] {
        let method = LoraDrop {
            lora: Lora {
                scaling,
                ..Lora::default()
            },
            ..LoraDrop::default()
        };
        Contract {
            entries: &[&LORA_DROP],
            method: Box::new(method),
            random: true,
            loss_share: 1.0 / 3.0,
            mergeable: true,
        }
        .check(&Device::flex());
    }
}
