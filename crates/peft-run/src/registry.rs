//! The lists of methods and procedures: one line each.

use peft_core::{MethodEntry, ProcedureEntry};

/// Every method of this program.
pub const METHODS: &[&MethodEntry] = &[
    &peft_core::lora::LORA,
    &peft_core::lora::RSLORA,
    &peft_decompose::dora::DORA,
    &peft_decompose::bora::BORA,
    &peft_decompose::svfit::SVFIT,
    &peft_decompose::pissa::PISSA,
    &peft_decompose::milora::MILORA,
    &peft_decompose::olora::OLORA,
    &peft_decompose::eva::EVA,
    &peft_lowrank::vera::VERA,
    &peft_lowrank::sharelora::SHARE_LORA,
    &peft_lowrank::reslora::RES_LORA,
    &peft_lowrank::sbora::SBORA,
    &peft_lowrank::multilora::MULTI_LORA,
    &peft_lowrank::loha::LOHA,
    &peft_lowrank::lokr::LOKR,
    &peft_lowrank::hira::HIRA,
    &peft_lowrank::miss::MISS,
    &peft_lowrank::randlora::RANDLORA,
    &peft_vectors::ia3::IA3,
    &peft_vectors::adapterbias::ADAPTER_BIAS,
    &peft_orthogonal::hra::HRA,
    &peft_orthogonal::oft::OFT,
    &peft_orthogonal::boft::BOFT,
    &peft_prune::lora_drop::LORA_DROP,
    &peft_moe::mixture::MOE_LORA,
    &peft_recycle::eigenlorax::EIGENLORAX,
];

/// Every procedure of this program that a table of its own turns on.
pub const PROCEDURES: &[&ProcedureEntry] = &[&peft_moe::RIEMANNIAN, &peft_chain::CHAIN];

/// Identifiers of the methods with low-rank pairs, as a list for messages.
pub fn with_pairs() -> String {
    let ids = METHODS.iter().filter(|entry| entry.pairs);
    ids.map(|entry| entry.id).collect::<Vec<_>>().join(", ")
}

/// The entry called `id`.
pub fn find(id: &str) -> Option<&'static MethodEntry> {
    METHODS.iter().copied().find(|entry| entry.id == id)
}
