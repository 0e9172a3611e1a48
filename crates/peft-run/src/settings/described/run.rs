//! What is trained, on which data.

use super::Absent::{Example, Never, Required, Table};
use super::{Setting, setting};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "task",
        "seq-cls (labels), regression (numbers), causal-lm (next tokens) or image-cls.",
        Never,
    ),
    setting(
        "model",
        "Folder of the base model in the Hugging Face layout, or a repository of the hub: OWNER/NAME or OWNER/NAME@REVISION.",
        Required("\"path/to/model\""),
    ),
    setting(
        "out",
        "Run directory: adapter, log, checkpoints, results.",
        Required("\"runs/first\""),
    ),
    setting(
        "device",
        "auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second); several between commas share every step, the model lives on the first.",
        Never,
    ),
    setting(
        "metrics",
        "accuracy, f1, precision, recall, f1_macro, f1_weighted, precision_macro, recall_macro, matthews; pearson, spearman, mse; empty: the usual ones. The first one compares models.",
        Never,
    ),
    setting(
        "positive",
        "Label that f1, precision and recall are of; absent: of two labels the second, f1 says which.",
        Example("\"fraud\""),
    ),
    setting(
        "base_dropout",
        "Dropout of the base model; absent: what its config.json says.",
        Example("0.1"),
    ),
    setting(
        "quantize",
        "Rounds the frozen weights as they are read, for less memory: nf4, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0, bf16 or f16; f32 unpacks them, for more memory and often more speed; absent: as the file has them.",
        Example("\"nf4\""),
    ),
    setting(
        "compute",
        "What the products of layers and of attention multiply: f32; bf16, rounded, about twice as fast on AMD's processors with AVX512-BF16; or auto, bf16 where it takes less time. Sums and everything else are f32.",
        Never,
    ),
    setting("data", "Training and validation data.", Table),
    setting(
        "data.train",
        "Training file: CSV, TSV, JSONL, JSON or Parquet, also packed (.gz); for image-cls a folder per class, a table of pixels or idx.",
        Required("\"path/to/train.csv\""),
    ),
    setting(
        "data.valid",
        "Validation file; absent: no scores.",
        Example("\"path/to/valid.csv\""),
    ),
    setting(
        "data.valid_share",
        "Share of the training examples to set aside and judge by, the same of each label, instead of data.valid.",
        Example("0.1"),
    ),
    setting(
        "data.format",
        "csv, tsv, jsonl, json or parquet; absent: by the extension.",
        Example("\"csv\""),
    ),
    setting(
        "data.quoting",
        "What a double quote means: auto (by the file), none (itself) or double (it encloses cells).",
        Never,
    ),
    setting(
        "data.separator",
        "What stands between cells, such as ; or a tab; absent: as the file has it.",
        Example("\";\""),
    ),
    setting(
        "data.encoding",
        "Encoding of the texts, such as windows-1252; absent: UTF-8, or what the file's mark says.",
        Example("\"windows-1252\""),
    ),
    setting(
        "data.columns",
        "text=review and label=sentiment for columns of a header; or text and label, names for a file without one, in their order; _ skips a column.",
        Example("[\"text\", \"label\"]"),
    ),
    setting(
        "data.header",
        "Whether the first row is a header; absent: as it looks, and asked about where that is unclear.",
        Example("true"),
    ),
    setting(
        "data.max_length",
        "Largest number of tokens of an example; absent: the longest row that the model takes, up to 2,048.",
        Example("512"),
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
        "data.tokenizer",
        "Folder whose tokenizer and chat template are used; absent: those beside adapter.start, or the model's.",
        Example("\"path/to/folder\""),
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
];
