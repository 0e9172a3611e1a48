//! How LoRA-drop finds out which layers share.

use super::Absent::{Example, Never, Table};
use super::{Setting, setting};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "prune",
        "For method lora-drop without a plan: a LoRA is trained on a sample, measured there, and dropped.",
        Table,
    ),
    setting(
        "prune.score",
        "output, output-l2, parameters, gradient or random.",
        Never,
    ),
    setting(
        "prune.scope",
        "per-type or global: what importance is shared out among.",
        Never,
    ),
    setting(
        "prune.threshold",
        "Keeps the most important layers until their importance adds up to this; absent: 0.9.",
        Example("0.9"),
    ),
    setting(
        "prune.keep",
        "Keeps as many layers as fit into this share of the parameters instead.",
        Example("0.5"),
    ),
    setting(
        "prune.sample",
        "Share of the training data to train and measure on, the same of each label.",
        Never,
    ),
    setting(
        "prune.warm_epochs",
        "Passes over the sample of the LoRA that is measured.",
        Never,
    ),
    setting(
        "prune.measure",
        "after or online: measured in a pass after that training, or in its steps.",
        Never,
    ),
    setting(
        "prune.start",
        "fresh or warm: whether the run by the plan starts afresh or goes on from that LoRA.",
        Never,
    ),
];
