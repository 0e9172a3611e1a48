//! Targets that a configuration leaves to the architecture.

use super::{LORA, PeftConfig};
use crate::file::parse_key;
use crate::target::Target;

impl PeftConfig {
    /// Names the adapted modules where the configuration does not, by the tensors of the file, whose raw names are `keys`.
    ///
    /// For a null `target_modules` PEFT took the default of the architecture when it trained; that is what the file has tensors of.
    /// [`crate::file::read_folder`] does this; [`crate::file::read_config`] alone does not know the tensors.
    pub fn add_implied_targets<'a>(&mut self, keys: impl Iterator<Item = &'a str>) {
        const FACTORS: [&str; 4] = [
            "lora_A.weight",
            "lora_B.weight",
            "lora_embedding_A",
            "lora_embedding_B",
        ];
        if self.target.is_some() || self.peft_type != LORA {
            return;
        }
        let keys = keys.filter_map(|raw| parse_key(raw, &FACTORS));
        let factors = keys.filter(|key| FACTORS.contains(&key.tensor.as_str()));
        let mut modules: Vec<String> = factors.map(|key| key.module).collect();
        modules.sort();
        modules.dedup();
        if !modules.is_empty() {
            self.target = Some(Target::List(modules));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_of_the_file_are_the_targets_that_nobody_named() {
        let named = Target::List(vec!["value".into()]);
        let mut config = PeftConfig::new(LORA, named.clone());
        let keys = [
            "base_model.model.a.0.query.lora_A.weight",
            "base_model.model.a.0.query.lora_B.weight",
            "base_model.model.words.lora_embedding_A",
            "base_model.model.classifier.weight",
        ];
        config.add_implied_targets(keys.into_iter());
        assert_eq!(config.target, Some(named));
        config.target = None;
        config.add_implied_targets(keys[3..].iter().copied());
        assert_eq!(config.target, None);
        config.add_implied_targets(keys.into_iter());
        let found = ["a.0.query", "words"].map(str::to_owned).to_vec();
        assert_eq!(config.target, Some(Target::List(found)));
    }
}
