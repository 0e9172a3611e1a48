//! What `peft init` says of every setting of a run.

/// How a setting stands in the run file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It always has a value: the default stands there.
    Never,
    /// It has no default: this stands there to be replaced.
    Required(&'static str),
    /// It may be absent: this stands there, commented out.
    Example(&'static str),
    /// It is a table of settings.
    Table,
    /// It is the table of the method's own options.
    Options,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Dotted name.
    pub(super) key: &'static str,
    /// One sentence.
    pub(super) comment: &'static str,
    /// How it stands in the run file.
    pub(super) absent: Absent,
}

const fn setting(key: &'static str, comment: &'static str, absent: Absent) -> Setting {
    Setting {
        key,
        comment,
        absent,
    }
}

use Absent::{Example, Never, Options, Required, Table};

/// Every setting; a test compares the list with the settings that a run knows.
pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "task",
        "seq-cls (labels), regression (numbers), causal-lm (next tokens) or image-cls.",
        Never,
    ),
    setting(
        "model",
        "Folder of the base model in the Hugging Face layout, or OWNER/NAME of the hub.",
        Required("\"path/to/model\""),
    ),
    setting(
        "out",
        "Run directory: adapter, log, checkpoints, results.",
        Required("\"runs/first\""),
    ),
    setting(
        "device",
        "auto, flex, ndarray, wgpu[:n], vulkan[:n], metal[:n] or cuda[:n].",
        Never,
    ),
    setting(
        "metrics",
        "accuracy, f1, f1_macro, matthews, pearson, spearman, mse; empty: the usual ones.",
        Never,
    ),
    setting(
        "base_dropout",
        "Dropout of the base model; absent: what its config.json says.",
        Example("0.1"),
    ),
    setting("data", "Training and validation data.", Table),
    setting(
        "data.train",
        "Training file: CSV, TSV, JSONL or JSON; for image-cls a folder per class, a table of pixels or idx.",
        Required("\"path/to/train.csv\""),
    ),
    setting(
        "data.valid",
        "Validation file; absent: no scores.",
        Example("\"path/to/valid.csv\""),
    ),
    setting(
        "data.format",
        "csv, tsv, jsonl or json; absent: by the extension.",
        Example("\"csv\""),
    ),
    setting(
        "data.quoting",
        "What a double quote means: auto, none or double.",
        Never,
    ),
    setting(
        "data.columns",
        "Column names of a file without a header; _ skips one.",
        Example("[\"text\", \"label\"]"),
    ),
    setting(
        "data.max_length",
        "Largest number of tokens of an example; longer ones are cut.",
        Never,
    ),
    setting(
        "data.limit",
        "Uses only so many training examples, from the beginning.",
        Example("1000"),
    ),
    setting(
        "data.sample",
        "Uses only this share of the training examples, the same of each label.",
        Example("0.1"),
    ),
    setting(
        "data.packing",
        "For causal-lm: several texts in a row, unseen by each other; absent: plain texts yes, prompts no.",
        Example("true"),
    ),
    setting(
        "data.train_on_prompt",
        "For causal-lm: learn prompts too, not completions alone.",
        Never,
    ),
    setting(
        "data.sample_prompts",
        "For causal-lm: prompts to continue after every evaluation, as in [\"Once upon\"].",
        Never,
    ),
    setting(
        "data.sample_tokens",
        "For causal-lm: how many tokens each of them is continued by, at most.",
        Never,
    ),
    setting(
        "data.today",
        "For causal-lm: the date for chat templates that write one; absent: today's.",
        Example("\"2024-07-26\""),
    ),
    setting(
        "data.roles",
        "Column names, where they differ from text, sentence1, sentence2, label and score.",
        Table,
    ),
    setting(
        "data.roles.text",
        "Column of the (first) text.",
        Example("\"review\""),
    ),
    setting(
        "data.roles.pair",
        "Column of the second text.",
        Example("\"answer\""),
    ),
    setting(
        "data.roles.target",
        "Column of the label or number.",
        Example("\"stars\""),
    ),
    setting("adapter", "What trains.", Table),
    setting(
        "adapter.method",
        "See `peft methods`; or head, or full.",
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
        "Names, a regular expression or \"all-linear\"; absent: the architecture's.",
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
        "adapter.options",
        "The method's own options: see `peft methods`.",
        Options,
    ),
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
        "train",
        "How it trains: AdamW, a schedule, checkpoints.",
        Table,
    ),
    setting(
        "train.seed",
        "Decides factors, data order and dropout.",
        Never,
    ),
    setting("train.epochs", "Passes over the training data.", Never),
    setting(
        "train.max_steps",
        "Stops after so many steps, whatever epochs says.",
        Example("1000"),
    ),
    setting("train.batch_size", "Examples of a batch.", Never),
    setting(
        "train.max_tokens",
        "Largest examples * longest of a batch, padding included.",
        Example("4096"),
    ),
    setting(
        "train.group_by_length",
        "Batches of similar lengths, so that little padding is computed.",
        Never,
    ),
    setting(
        "train.accumulation",
        "Batches whose gradients make one step.",
        Never,
    ),
    setting(
        "train.gradient_checkpointing",
        "Computes each block again in the backward pass: less memory, one more forward.",
        Never,
    ),
    setting("train.lr", "Peak learning rate.", Never),
    setting("train.schedule", "constant, linear or cosine.", Never),
    setting(
        "train.warmup",
        "Steps, or with a point a share of all steps, such as 0.1.",
        Never,
    ),
    setting(
        "train.weight_decay",
        "Decoupled weight decay of AdamW.",
        Never,
    ),
    setting("train.beta1", "Decay of AdamW's first moment.", Never),
    setting("train.beta2", "Decay of AdamW's second moment.", Never),
    setting("train.epsilon", "Floor of AdamW's denominator.", Never),
    setting(
        "train.clip_norm",
        "Largest global norm of the gradients; 0 does not clip.",
        Never,
    ),
    setting(
        "train.eval_every",
        "Evaluates every so many steps; absent: after every epoch.",
        Example("100"),
    ),
    setting(
        "train.save_every",
        "Saves a checkpoint every so many steps; absent: after every epoch.",
        Example("100"),
    ),
    setting(
        "train.keep_checkpoints",
        "Checkpoints that stay on disk, the best one not counted.",
        Never,
    ),
    setting(
        "train.patience",
        "Stops after so many evaluations without a better result.",
        Example("3"),
    ),
    setting(
        "train.select",
        "Weights the run ends with: last or best.",
        Never,
    ),
    setting(
        "train.log_every",
        "Writes a training record every so many steps.",
        Never,
    ),
    setting(
        "train.eval_batch_size",
        "Examples of an evaluation batch.",
        Never,
    ),
];
