//! Settings that can have no effect beside the others are mistakes, and said before anything is read.

mod method;

use peft_core::Procedures;
use peft_prune::lora_drop::LORA_DROP;
use peft_train::Select;

use super::{DataConfig, PruneConfig, RunConfig, TaskKind};
use crate::{Error, Result};

/// Refuses settings without effect, all of them at once.
///
/// # Errors
/// Each setting, and what it would need.
pub(super) fn check(config: &RunConfig, steering: &Procedures) -> Result<()> {
    method::check(config, steering)?;
    let train = &config.train;
    let mut idle = Vec::new();
    let mut note = |is_set: bool, setting: &str, why: &str| {
        if is_set {
            idle.push(format!("  {setting}: {why}"));
        }
    };
    if !config.data.has_validation() {
        let why = "has no effect without validation data (--valid)";
        note(train.patience.is_some(), "train.patience", why);
        note(train.select == Select::Best, "train.select=best", why);
        note(train.eval_every.is_some(), "train.eval_every", why);
    }
    if config.task != TaskKind::CausalLm {
        let (data, usual) = (&config.data, DataConfig::default());
        let why = "has an effect with --task causal-lm only";
        note(data.packing.is_some(), "data.packing", why);
        note(data.train_on_prompt, "data.train_on_prompt", why);
        note(!data.sample_prompts.is_empty(), "data.sample_prompts", why);
        note(
            data.sample_tokens != usual.sample_tokens,
            "data.sample_tokens",
            why,
        );
    }
    let by_plan = config.adapter.options.contains_key("shared");
    let measures = config.adapter.method == LORA_DROP.id && !by_plan;
    if !measures && config.prune != PruneConfig::default() {
        let why = match by_plan {
            true => "has no effect beside a plan (--plan), which says already which layers share",
            false => "has an effect with --method lora-drop only",
        };
        note(true, "prune", why);
    }
    if idle.is_empty() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "settings without effect:\n{}",
        idle.join("\n")
    )))
}

#[cfg(test)]
mod tests {
    use super::super::parse_setting;
    use super::*;

    fn problem(settings: &[&str]) -> String {
        let settings: Vec<_> = settings
            .iter()
            .map(|text| parse_setting(text).unwrap())
            .collect();
        match RunConfig::load(None, &settings) {
            Ok(_) => String::new(),
            Err(error) => peft_core::causes(&error),
        }
    }

    #[test]
    fn every_setting_without_effect_is_named_in_one_error() {
        let error = problem(&[
            "train.patience=2",
            "train.select=best",
            "train.eval_every=5",
            "data.packing=true",
            "prune.keep=0.5",
        ]);
        let named = ["patience", "select", "eval_every", "packing"];
        for name in named.into_iter().chain(["prune"]) {
            assert!(error.contains(name), "{name}: {error}");
        }
        assert!(problem(&["train.optimizer=sgd", "train.beta2=0.99"]).contains("beta2"));
    }

    #[test]
    fn the_same_settings_are_accepted_where_they_do_something() {
        let valid = [
            "data.valid=v.jsonl",
            "train.patience=2",
            "train.select=best",
        ];
        assert_eq!(problem(&valid), "");
        assert_eq!(problem(&["train.optimizer=sgd", "train.momentum=0.9"]), "");
        assert_eq!(problem(&["task=causal-lm", "data.packing=true"]), "");
        assert_eq!(problem(&["adapter.method=lora-drop", "prune.keep=0.5"]), "");
        let by_plan = "adapter.options={shared={a=\"b\"}}";
        let error = problem(&["adapter.method=lora-drop", by_plan, "prune.keep=0.5"]);
        assert!(error.contains("plan"), "{error}");
    }
}
