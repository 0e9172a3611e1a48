//! Settings that make a run smaller.

use serde::Serialize;

use crate::Result;
use crate::settings::{RunConfig, parse_setting};

/// Less than this share of the memory is not worth a setting.
const WORTH: f64 = 0.02;

/// Settings that make a run smaller, and how small it is with them and all those before them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alternative {
    /// What it is called.
    pub name: String,
    /// What to add to the command; settings override flags that it has already.
    pub flags: String,
    /// Bytes at most.
    pub total: u64,
}

/// What can be changed: what it is called, the flags, and the settings.
fn changes(config: &RunConfig) -> [(&'static str, String, Vec<String>); 3] {
    let rows = config.train.batch_size;
    let accumulation = rows.saturating_mul(config.train.accumulation);
    let set = |setting: &str| format!("--set {setting}");
    let recomputed = "train.gradient_checkpointing=true";
    let one = "train.batch_size=1";
    let summed = format!("train.accumulation={accumulation}");
    [
        (
            "--quantize nf4",
            "--quantize nf4".to_owned(),
            vec!["quantize=\"nf4\"".to_owned()],
        ),
        (
            "gradient checkpointing",
            set(recomputed),
            vec![recomputed.to_owned()],
        ),
        (
            "batches of 1, added up",
            format!("{} {}", set(one), set(&summed)),
            vec![one.to_owned(), summed],
        ),
    ]
}

/// What makes the run `config`, which takes `total`, smaller, one change upon the other; what its method refuses is left out.
///
/// # Errors
/// What `estimate` returns.
pub(super) fn alternatives(
    config: &RunConfig,
    total: u64,
    mut estimate: impl FnMut(&RunConfig) -> Result<u64>,
) -> Result<Vec<Alternative>> {
    let (mut config, mut total) = (config.clone(), total);
    let mut found = Vec::new();
    for (name, flags, settings) in changes(&config) {
        let settings: Vec<_> = settings
            .iter()
            .map(|text| parse_setting(text))
            .collect::<Result<_>>()?;
        // What goes together is decided where every run is checked.
        let Ok(changed) = config.with(&settings).and_then(RunConfig::checked) else {
            continue;
        };
        let less = estimate(&changed)?;
        if (less as f64) < (1.0 - WORTH) * total as f64 {
            found.push(Alternative {
                name: name.to_owned(),
                flags,
                total: less,
            });
            (config, total) = (changed, less);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, estimate: impl Fn(&RunConfig) -> u64) -> Vec<(String, u64)> {
        let mut config = RunConfig::default();
        config.adapter.method = method.into();
        config.train.batch_size = 4;
        let total = estimate(&config);
        let found = alternatives(&config, total, |config| Ok(estimate(config))).unwrap();
        found
            .into_iter()
            .map(|other| (other.name, other.total))
            .collect()
    }

    /// 800 of weights, and 100 for each row, of which checkpointing leaves 10.
    fn estimate(config: &RunConfig) -> u64 {
        let weights = if config.quantize.is_some() { 100 } else { 800 };
        let row = if config.train.gradient_checkpointing {
            10
        } else {
            100
        };
        weights + row * config.train.batch_size as u64
    }

    #[test]
    fn changes_add_up_and_what_a_method_refuses_is_left_out() {
        let named = |names: &[(&str, u64)]| -> Vec<(String, u64)> {
            names
                .iter()
                .map(|(name, total)| ((*name).to_owned(), *total))
                .collect()
        };
        let three = [
            ("--quantize nf4", 500),
            ("gradient checkpointing", 140),
            ("batches of 1, added up", 110),
        ];
        assert_eq!(of("lora", estimate), named(&three));
        let two = [
            ("gradient checkpointing", 840),
            ("batches of 1, added up", 810),
        ];
        assert_eq!(of("full", estimate), named(&two));
        assert_eq!(of("lora", |_| 1000), named(&[]));
    }
}
