//! Methods that decompose the weight, beside LoRA and the two ends: the head alone and the full model.

use super::comparison::Study;
use super::contender::Contender;
use super::data::{COLA, SST2};

/// Rank 8 and alpha 16 on query and value throughout; SVFit trains every singular value of the same layers.
const LORA_RATES: &[f64] = &[1e-3, 2e-3, 4e-3, 8e-3];

pub(super) const STUDY: Study = Study {
    name: "decompose",
    prepare: |_, arguments, _| Ok(arguments.clone()),
    evaluations: 1,
    contenders: &[
        Contender {
            name: "head only",
            folder: "head",
            method: "head",
            settings: &[],
            rates: &[5e-3, 2e-2, 8e-2],
        },
        Contender {
            name: "LoRA r8",
            folder: "lora",
            method: "lora",
            settings: &[LOW_RANK],
            rates: LORA_RATES,
        },
        Contender {
            name: "DoRA r8",
            folder: "dora",
            method: "dora",
            settings: &[LOW_RANK],
            rates: LORA_RATES,
        },
        Contender {
            name: "BoRA r8",
            folder: "bora",
            method: "bora",
            settings: &[LOW_RANK],
            rates: LORA_RATES,
        },
        Contender {
            name: "SVFit, all values",
            folder: "svfit",
            method: "svfit",
            settings: &[&["adapter.targets=[\"query\",\"value\"]"]],
            rates: &[1.6e-2, 6.4e-2, 2.56e-1],
        },
        Contender {
            name: "full",
            folder: "full",
            method: "full",
            settings: &[],
            rates: &[6e-5, 2e-4, 6e-4],
        },
    ],
    data: &[SST2, COLA],
};

const LOW_RANK: &[&str] = &[
    "adapter.rank=8",
    "adapter.alpha=16.0",
    "adapter.targets=[\"query\",\"value\"]",
];
