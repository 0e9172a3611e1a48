//! What the methods that PEFT took from LyCORIS have in common: alpha's name, what they drop while training, and fields of convolutions.

use burn::tensor::Tensor;
use peft_core::file::PeftConfig;
use peft_core::options::{as_map, check_probability, own_option, peft_fields, refuse_untyped};
use peft_core::{Pass, PeftError};
use serde_json::{Map, Value, json};

/// What configurations call alpha.
pub(crate) const ALPHA: &str = "alpha";

/// What is dropped while training: single outputs of an update, and whole updates.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Dropouts {
    /// Probability that an output of the update is dropped, the same for all rows.
    pub(crate) rank: f64,
    /// Whether the outputs that stay are scaled up, by the share of them that does.
    pub(crate) scaled: bool,
    /// Probability that the whole update is dropped.
    pub(crate) module: f64,
}

impl Dropouts {
    /// The two probabilities of a configuration.
    pub(crate) fn of(method: &'static str, config: &PeftConfig) -> Result<Self, PeftError> {
        Ok(Self {
            rank: own_option(method, config, "rank_dropout")?,
            scaled: false,
            module: own_option(method, config, "module_dropout")?,
        })
    }

    /// # Errors
    /// What is no probability.
    pub(crate) fn checked(self, method: &'static str) -> Result<Self, PeftError> {
        check_probability(method, "rank_dropout", self.rank)?;
        check_probability(method, "module_dropout", self.module)?;
        Ok(self)
    }

    /// What is left of an update `[rows, d_out]`.
    ///
    /// What is dropped is a factor of zero, so that every parameter has a gradient at every step.
    pub(crate) fn apply(self, delta: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let d_out = delta.dims()[1];
        let delta = match self.kept(self.rank, [1, d_out], &delta, pass) {
            // Where all outputs are dropped, their mean must not divide.
            Some(kept) if self.scaled => {
                let share = kept.clone().mean().clamp_min(1.0 / d_out as f64);
                delta * (kept / share.unsqueeze())
            }
            Some(kept) => delta * kept,
            None => delta,
        };
        match self.kept(self.module, [1, 1], &delta, pass) {
            Some(kept) => delta * kept,
            None => delta,
        }
    }

    /// Ones, and zeros where something is dropped; nothing where nothing can be.
    fn kept(
        self,
        probability: f64,
        shape: [usize; 2],
        like: &Tensor<2>,
        pass: &mut Pass<'_>,
    ) -> Option<Tensor<2>> {
        let ones = Tensor::ones(shape, &like.device());
        let kept = pass.dropped(&ones, probability)?;
        Some(kept.mul_scalar(1.0 - probability))
    }
}

/// Refuses a configuration with fields that cannot be read, or whose convolutions have a form of their own.
pub(crate) fn refuse_foreign(method: &'static str, config: &PeftConfig) -> Result<(), PeftError> {
    const FIELD: &str = "use_effective_conv2d";
    refuse_untyped(config)?;
    match own_option::<bool>(method, config, FIELD)? {
        false => Ok(()),
        true => Err(PeftError::Unsupported {
            problems: vec![format!(
                "`{FIELD}` = true: it decomposes kernels of convolutions, and linear layers alone are adapted here; \
                 train again without it, or merge the adapter in Python PEFT"
            )],
        }),
    }
}

/// The fields of a configuration, with `own` beside them.
pub(crate) fn fields(peft_type: &str, dropouts: Dropouts, own: Value) -> Map<String, Value> {
    let mut fields = peft_fields(
        &json!({
            "peft_type": peft_type,
            "rank_dropout": dropouts.rank,
            "module_dropout": dropouts.module,
            "use_effective_conv2d": false,
            "bias": null,
            "fan_in_fan_out": null,
        }),
        &[],
    );
    fields.extend(as_map(&own));
    fields
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "ones and zeros are exact")]

    use burn::tensor::Device;

    use super::*;

    fn applied(dropouts: Dropouts, mut pass: Pass<'_>) -> Vec<f32> {
        let ones = Tensor::<2>::ones([2, 500], &Device::default());
        dropouts.apply(ones, &mut pass).into_data().iter().collect()
    }

    #[test]
    fn outputs_are_dropped_for_all_rows_and_scaled_by_what_stays() {
        for scaled in [false, true] {
            let dropouts = Dropouts {
                rank: 0.3,
                scaled,
                module: 0.0,
            };
            let values = applied(dropouts, Pass::train(3));
            assert_eq!(values[..500], values[500..]);
            let kept = values.iter().filter(|value| **value != 0.0).count();
            assert!((600..800).contains(&kept), "{kept}");
            let expected = if scaled { 1000.0 / kept as f32 } else { 1.0 };
            let is_right = |value: &f32| *value == 0.0 || (value - expected).abs() < 1e-5;
            assert!(values.iter().all(is_right));
            assert_eq!(applied(dropouts, Pass::eval()), [1.0; 1000]);
        }
    }

    #[test]
    fn where_every_output_is_dropped_nothing_is_left_and_nothing_is_no_number() {
        let dropouts = Dropouts {
            rank: 1.0 - 1e-9,
            scaled: true,
            module: 0.0,
        };
        assert_eq!(applied(dropouts, Pass::train(1)), [0.0; 1000]);
    }

    #[test]
    fn a_whole_update_is_dropped_as_often_as_it_should() {
        let dropouts = Dropouts {
            module: 0.25,
            ..Dropouts::default()
        };
        let dropped = (0..200).filter(|seed| {
            let values = applied(dropouts, Pass::train(*seed));
            assert!(values.iter().all(|value| *value == values[0]));
            values[0] == 0.0
        });
        let dropped = dropped.count();
        assert!((30..70).contains(&dropped), "{dropped}");
        assert_eq!(applied(dropouts, Pass::eval()), [1.0; 1000]);
    }
}
