//! Heads that a task trains without naming them.

use super::PeftConfig;
use crate::file::parse_key;
use crate::target::is_saved_module;

/// Task types, and the modules that PEFT adds to `modules_to_save` for them when it loads an adapter. PEFT before 0.12
/// did not write these names to the file.
const HEADS: [(&str, &[&str]); 3] = [
    ("SEQ_CLS", &["classifier", "score"]),
    ("TOKEN_CLS", &["classifier", "score"]),
    ("QUESTION_ANS", &["qa_outputs"]),
];

impl PeftConfig {
    /// Adds the task's heads to `modules_to_save`, those of which the file has tensors, whose raw names are `keys`.
    /// [`crate::file::read_folder`] does that; [`crate::file::read_config`] alone does not know the tensors.
    pub fn add_implied_heads<'a>(&mut self, keys: impl Iterator<Item = &'a str>) {
        let task = self.task_type.as_deref();
        let Some((_, heads)) = HEADS.iter().find(|(name, _)| Some(*name) == task) else {
            return;
        };
        let modules: Vec<String> = keys
            .filter_map(|raw| parse_key(raw, &[]))
            .filter(|key| ["weight", "bias"].contains(&key.tensor.as_str()))
            .map(|key| key.module)
            .filter(|module| {
                !module
                    .split('.')
                    .any(|segment| segment.starts_with("lora_"))
            })
            .collect();
        for head in *heads {
            let head = [(*head).to_owned()];
            let above = |module: &String| {
                let paths = module.match_indices('.').map(|(end, _)| &module[..end]);
                paths
                    .chain([module.as_str()])
                    .any(|path| is_saved_module(path, &head))
            };
            if !self.modules_to_save.contains(&head[0]) && modules.iter().any(above) {
                self.modules_to_save.extend(head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    fn heads(task: Option<&str>, keys: &[&str]) -> Vec<String> {
        let mut config = PeftConfig::new("LORA", Target::AllLinear);
        config.task_type = task.map(str::to_owned);
        config.add_implied_heads(keys.iter().copied());
        config.modules_to_save
    }

    #[test]
    fn a_head_in_the_file_belongs_to_its_task_even_if_the_config_is_silent() {
        let bert = [
            "base_model.model.classifier.weight",
            "base_model.model.q.lora_A.weight",
        ];
        assert_eq!(heads(Some("SEQ_CLS"), &bert), ["classifier"]);
        let roberta = ["base_model.model.classifier.out_proj.bias"];
        assert_eq!(heads(Some("SEQ_CLS"), &roberta), ["classifier"]);
        assert_eq!(
            heads(Some("TOKEN_CLS"), &["base_model.model.score.weight"]),
            ["score"]
        );
        assert_eq!(heads(Some("CAUSAL_LM"), &bert), [""; 0]);
        assert_eq!(heads(None, &bert), [""; 0]);
        assert_eq!(heads(Some("SEQ_CLS"), &bert[1..]), [""; 0]);
        let adapted = ["base_model.model.classifier.lora_A.weight"];
        assert_eq!(heads(Some("SEQ_CLS"), &adapted), [""; 0]);
    }
}
