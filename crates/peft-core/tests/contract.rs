//! LoRA and rsLoRA under the contract that every method passes.

use burn::tensor::Device;
use peft_core::lora::{LORA, Lora, LoraInit, RSLORA, Scaling};
use peft_core::testing::contract::Contract;

fn contract(scaling: Scaling, init: LoraInit) -> Contract {
    Contract {
        entries: &[&LORA, &RSLORA],
        method: Box::new(Lora {
            dropout: 0.0,
            init,
            scaling,
        }),
        random: true,
        loss_share: 1.0 / 3.0,
        mergeable: true,
    }
}

#[test]
fn lora_passes_the_contract() {
    contract(Scaling::Standard, LoraInit::Kaiming).check(&Device::flex());
}

#[test]
fn lora_with_an_orthogonal_start_passes_the_contract() {
    contract(Scaling::Standard, LoraInit::Orthogonal).check(&Device::flex());
}

#[test]
fn rslora_passes_the_contract() {
    contract(Scaling::RankStabilized, LoraInit::Gaussian).check(&Device::flex());
}
