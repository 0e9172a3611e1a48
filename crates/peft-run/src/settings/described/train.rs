//! How it trains.

use super::Absent::{Example, Never, Table};
use super::{Setting, setting};

pub(super) const SETTINGS: &[Setting] = &[
    setting(
        "train",
        "How it trains: optimizer, schedule, checkpoints.",
        Table,
    ),
    setting(
        "train.seed",
        "Decides factors, data order and dropout.",
        Never,
    ),
    setting(
        "train.epochs",
        "Passes over the training data, unless max_steps is given.",
        Never,
    ),
    setting(
        "train.max_steps",
        "Takes exactly so many steps, in as many passes as that needs; epochs then counts for nothing.",
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
    setting("train.optimizer", "Optimizer: adamw or sgd.", Never),
    setting("train.lr", "Peak learning rate.", Never),
    setting(
        "train.head_lr",
        "That of the output layer: a number, \"same\" (as lr), or \"auto\": for one that starts afresh beside an adapter 2e-2 (less beyond 384 inputs) or lr, whichever is larger.",
        Never,
    ),
    setting(
        "train.lora_plus",
        "Learning rate of the factors B over that of A: LoRA+ uses 16.",
        Never,
    ),
    setting(
        "train.schedule",
        "Schedule of the learning rate: constant, linear or cosine.",
        Never,
    ),
    setting(
        "train.warmup",
        "Warm-up: a number of steps, or with a point a share of all steps, such as 0.1.",
        Never,
    ),
    setting("train.momentum", "Momentum of SGD.", Never),
    setting(
        "train.weight_decay",
        "Weight decay, decoupled for AdamW.",
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
    setting(
        "train.groups",
        "Parameters with their own lr, schedule, warmup, optimizer, weight_decay or clip_norm: [{ params = \"router.weight\", lr = 1e-4 }].",
        Never,
    ),
    setting(
        "procedures",
        "What steers training beyond the loss and the optimizer, a table of options for each: [procedures.riemannian], [procedures.chain]; `peft methods` lists them.",
        Table,
    ),
];
