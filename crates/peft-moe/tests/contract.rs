//! Mixtures of experts under the contract that every method passes.

use burn::tensor::Device;
use peft_core::lora::LoraInit;
use peft_core::testing::contract::Contract;
use peft_moe::mixture::MOE_LORA;
use peft_moe::{GateRescale, MoeLora};

fn contract(method: MoeLora) -> Contract {
    Contract {
        entries: &[&MOE_LORA],
        method: Box::new(method),
        random: true,
        loss_share: 1.0 / 3.0,
        mergeable: false,
    }
}

#[test]
fn a_mixture_with_true_gradients_passes_the_contract() {
    contract(MoeLora::default()).check(&Device::flex());
}

#[test]
fn a_mixture_with_rescaled_gradients_and_losses_of_its_own_passes_the_contract() {
    let method = MoeLora {
        experts: 5,
        top_k: 5,
        gate_rescale: GateRescale::SqrtDetach,
        balance_loss: 1e-2,
        z_loss: 1e-3,
        init: LoraInit::Orthogonal,
        ..MoeLora::default()
    };
    contract(method).check(&Device::flex());
}
