//! What trains.

use super::Absent::{Example, Never, Options, Table};
use super::{Setting, setting};

pub(super) const SETTINGS: &[Setting] = &[
    setting("adapter", "What trains.", Table),
    setting(
        "adapter.method",
        "Method: see `peft methods`; or head, or full.",
        Never,
    ),
    setting(
        "adapter.rank",
        "Rank where no pattern says otherwise.",
        Never,
    ),
    setting(
        "adapter.alpha",
        "Alpha where no pattern says otherwise; absent: twice the rank.",
        Example("16.0"),
    ),
    setting(
        "adapter.targets",
        "Module names; or all-linear; or a regular expression, /regex/ as a flag; absent: the architecture's.",
        Example("[\"query\", \"value\"]"),
    ),
    setting(
        "adapter.strict",
        "Whether a target that matches no layer is an error rather than a warning.",
        Never,
    ),
    setting(
        "adapter.exclude",
        "Names or a regular expression: modules left out.",
        Example("[\"classifier\"]"),
    ),
    setting(
        "adapter.layers",
        "Indices of the layers to adapt; absent: all.",
        Example("[10, 11]"),
    ),
    setting(
        "adapter.layers_pattern",
        "Name of the list that the indices count, such as \"layer\".",
        Never,
    ),
    setting(
        "adapter.rank_pattern",
        "Path pattern to rank, such as { \"output.dense\" = 4 }; the first match wins.",
        Never,
    ),
    setting(
        "adapter.alpha_pattern",
        "Path pattern to alpha; the first match wins.",
        Never,
    ),
    setting(
        "adapter.modules_to_save",
        "Modules trained as a whole; absent: the task's head.",
        Example("[\"classifier\"]"),
    ),
    setting(
        "adapter.bias",
        "Biases of the base that train along: none, all or lora_only (adapted layers).",
        Never,
    ),
    setting(
        "adapter.start",
        "Adapter folder whose values the adapter starts with; method, rank, alpha, targets, patterns and saved modules are as there where nothing else is said.",
        Example("\"runs/first\""),
    ),
    setting(
        "adapter.experts_from",
        "For moe-lora: LoRA folders that its experts start as, one each from the first.",
        Never,
    ),
    setting(
        "adapter.options",
        "The method's own options: see `peft methods`.",
        Options,
    ),
];
