//! What is unusual about a tensor key and tolerated all the same, by name.

use std::fmt;

use super::keys::{PREFIX, SAVED, TensorKey, WRAPPERS, parse_key};

/// A way in which a key differs from the one that PEFT writes today.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyOddity {
    /// `base_model.model.` stands there more than once.
    RepeatedPrefix,
    /// `base_model.model.` is missing.
    NoPrefix,
    /// The segment of a training wrapper: `module`, `_orig_mod`, `_fsdp_wrapped_module`, ...
    Wrapper(String),
    /// An adapter name inside the key, as in `lora_A.default.weight`.
    AdapterName(String),
    /// `modules_to_save` inside the key.
    SavedInfix,
    /// `P.lora_A` instead of `P.lora_A.weight`.
    WithoutWeight,
}

impl fmt::Display for KeyOddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RepeatedPrefix => f.write_str("the prefix base_model.model. is doubled"),
            Self::NoPrefix => f.write_str("the prefix base_model.model. is missing"),
            Self::Wrapper(segment) => write!(f, "the wrapper `{segment}` is part of the key"),
            Self::AdapterName(name) => write!(f, "the adapter name `{name}` is part of the key"),
            Self::SavedInfix => write!(f, "`{SAVED}` is part of the key"),
            Self::WithoutWeight => f.write_str("the key lacks .weight, as in loralib"),
        }
    }
}

/// What is unusual about a key; `known` are the tensor names of the method, as for [`parse_key`].
#[must_use]
pub fn key_oddities(raw: &str, known: &[&str]) -> Vec<KeyOddity> {
    let Some(TensorKey { module, tensor }) = parse_key(raw, known) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut segments = Vec::new();
    for segment in raw.split('.') {
        if WRAPPERS.contains(&segment) {
            found.push(KeyOddity::Wrapper(segment.to_owned()));
        } else {
            segments.push(segment);
        }
    }
    let mut rest = segments.as_slice();
    let mut prefixes = 0;
    loop {
        rest = match rest {
            ["module", tail @ ..] if !module.starts_with("module.") => {
                found.push(KeyOddity::Wrapper("module".to_owned()));
                tail
            }
            [first, second, tail @ ..] if [*first, *second] == PREFIX && !tail.is_empty() => {
                prefixes += 1;
                tail
            }
            _ => break,
        };
    }
    match prefixes {
        0 if !module.is_empty() => found.push(KeyOddity::NoPrefix),
        0 | 1 => {}
        _ => found.push(KeyOddity::RepeatedPrefix),
    }
    if rest.contains(&SAVED) {
        found.push(KeyOddity::SavedInfix);
        return found;
    }
    let (path, name) = (length(&module), length(&tensor));
    if !module.is_empty() && rest.len() == path + name + 1 {
        // The name stands after the first segment of the tensor's name.
        found.extend(
            rest.get(path + 1)
                .map(|name| KeyOddity::AdapterName((*name).to_owned())),
        );
    } else if rest.len() + 1 == path + name {
        found.push(KeyOddity::WithoutWeight);
    }
    found
}

fn length(dotted: &str) -> usize {
    dotted
        .split('.')
        .filter(|segment| !segment.is_empty())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LORA: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

    #[test]
    fn the_key_that_peft_writes_is_not_odd() {
        for raw in [
            "base_model.model.m.0.q.lora_A.weight",
            "base_model.model.model.layers.0.q.lora_B.weight",
            "base_model.model.classifier.dense.weight",
        ] {
            assert_eq!(key_oddities(raw, &LORA), [], "{raw}");
        }
    }

    #[test]
    fn every_tolerated_form_is_named() {
        use KeyOddity::*;
        let wrapper = |name: &str| Wrapper(name.to_owned());
        let cases = [
            (
                "base_model.model.base_model.model.m.q.lora_A.weight",
                vec![RepeatedPrefix],
            ),
            ("m.q.lora_A.weight", vec![NoPrefix]),
            ("m.q.lora_A", vec![NoPrefix, WithoutWeight]),
            (
                "base_model.model.m.q.lora_A.sst2.weight",
                vec![AdapterName("sst2".into())],
            ),
            (
                "base_model.model._orig_mod.q.lora_A.weight",
                vec![wrapper("_orig_mod")],
            ),
            (
                "base_model.model.module.q.lora_A.weight",
                vec![wrapper("module")],
            ),
            (
                "base_model.model.classifier.modules_to_save.default.weight",
                vec![SavedInfix],
            ),
        ];
        for (raw, expected) in cases {
            assert_eq!(key_oddities(raw, &LORA), expected, "{raw}");
        }
    }
}
