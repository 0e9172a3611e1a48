//! The several names one tensor has in the wild: with and without the base prefix, and as TensorFlow spelt it.

/// First segments of heads that belong to other tasks; a model that has no such head passes them over.
const OTHER_HEADS: [&str; 10] = [
    "cls",
    "classifier",
    "lm_head",
    "pooler",
    "pre_classifier",
    "qa_outputs",
    "score",
    "vocab_layer_norm",
    "vocab_projector",
    "vocab_transform",
];

/// Old spellings of layer norm parameters: (today, then).
const LEGACY: [(&str, &str); 2] = [
    ("LayerNorm.weight", "LayerNorm.gamma"),
    ("LayerNorm.bias", "LayerNorm.beta"),
];

/// What stands beside the language model in a model of pictures and texts.
const BESIDE: [&str; 2] = ["model.vision_tower.", "model.multi_modal_projector."];

/// A tensor's name without base prefix and in today's spelling.
pub(crate) fn canonical(name: &str, prefix: &str) -> String {
    let name = without_prefix(name, prefix);
    for (today, then) in LEGACY {
        if let Some(stem) = name.strip_suffix(then) {
            return format!("{stem}{today}");
        }
    }
    name.to_owned()
}

/// Every spelling under which a file may hold the tensor `name`, the likeliest first.
pub(crate) fn spellings(name: &str, prefix: &str) -> Vec<String> {
    let other = match without_prefix(name, prefix) {
        bare if bare.len() < name.len() => Some(bare.to_owned()),
        bare if is_head(bare) && !bare.starts_with("pooler.") => None,
        bare => Some(format!("{prefix}.{bare}")),
    };
    let mut all = vec![name.to_owned()];
    all.extend(other);
    for index in 0..all.len() {
        for (today, then) in LEGACY {
            if let Some(stem) = all[index].strip_suffix(today) {
                all.push(format!("{stem}{then}"));
            }
        }
    }
    all
}

/// Whether the tensor belongs to a head rather than to the base model; the pooler lies inside the base.
pub(crate) fn is_task_head(canonical: &str) -> bool {
    is_head(canonical) && !canonical.starts_with("pooler.")
}

/// Whether the tensor belongs to a part beside the language model.
pub(crate) fn is_beside(name: &str) -> bool {
    BESIDE.iter().any(|part| name.starts_with(part))
}

/// Whether a tensor that the model does not have may be ignored: a buffer, a head of another task, or a part beside the language model.
pub(crate) fn is_leftover(name: &str, prefix: &str) -> bool {
    let bare = without_prefix(name, prefix);
    is_head(bare)
        || is_beside(name)
        || matches!(
            last(bare),
            "position_ids" | "token_type_ids" | "inv_freq" | "masked_bias"
        )
        || bare.ends_with(".attn.bias")
}

fn is_head(bare: &str) -> bool {
    let first = bare.split('.').next().unwrap_or(bare);
    OTHER_HEADS.contains(&first)
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn without_prefix<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_with_and_without_prefix_and_in_old_spelling() {
        let today = "bert.encoder.layer.0.output.LayerNorm.weight";
        for stored in [
            today,
            "encoder.layer.0.output.LayerNorm.weight",
            "bert.encoder.layer.0.output.LayerNorm.gamma",
            "encoder.layer.0.output.LayerNorm.gamma",
        ] {
            assert!(
                spellings(today, "bert").contains(&stored.to_owned()),
                "{stored}"
            );
            assert_eq!(
                canonical(stored, "bert"),
                "encoder.layer.0.output.LayerNorm.weight"
            );
        }
        assert!(spellings("embeddings.x", "bert").contains(&"bert.embeddings.x".to_owned()));
    }

    #[test]
    fn heads_have_one_name_and_leftovers_are_recognised() {
        assert_eq!(
            spellings("classifier.weight", "bert"),
            ["classifier.weight"]
        );
        for name in [
            "cls.predictions.bias",
            "bert.pooler.dense.weight",
            "bert.embeddings.position_ids",
        ] {
            assert!(is_leftover(name, "bert"), "{name}");
        }
        for name in [
            "bert.encoder.layer.9.output.dense.weight",
            "clsx.weight",
            "embeddings.extra",
        ] {
            assert!(!is_leftover(name, "bert"), "{name}");
        }
        assert!(is_task_head("classifier.weight") && !is_task_head("pooler.dense.weight"));
    }
}
