//! What a module is, by its name: where only tensors are there, an embedding and a head look like any linear layer.

/// Whether a module is an embedding.
pub(crate) fn is_embedding(path: &str) -> bool {
    const NAMES: [&str; 4] = ["wte", "wpe", "shared", "relative_attention_bias"];
    let last = path.rsplit('.').next().unwrap_or(path);
    NAMES.contains(&last) || last.contains("embed")
}

/// Whether a module is an output head or belongs to one.
pub(crate) fn is_head(path: &str) -> bool {
    const NAMES: [&str; 4] = ["lm_head", "classifier", "score", "qa_outputs"];
    path.split('.').any(|part| NAMES.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_and_heads_are_told_by_their_names() {
        for path in [
            "model.embed_tokens",
            "transformer.wte",
            "shared",
            "a.word_embeddings",
        ] {
            assert!(is_embedding(path), "{path}");
        }
        for path in ["lm_head", "classifier.out_proj", "score"] {
            assert!(is_head(path) && !is_embedding(path), "{path}");
        }
        for path in [
            "model.layers.0.self_attn.q_proj",
            "bert.pooler.dense",
            "embeddings.dense",
        ] {
            assert!(!is_head(path) && !is_embedding(path), "{path}");
        }
    }
}
