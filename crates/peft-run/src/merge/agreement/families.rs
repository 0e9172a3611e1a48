//! A tiny model of every family, as its configuration.

use serde_json::{Value, json};

/// Words of each.
pub(super) const TOKENS: usize = 23;

/// Name of a family, and its configuration.
pub(super) fn families() -> Vec<(&'static str, Value)> {
    let decoder = |kind: &str, tied: bool| {
        json!({
            "model_type": kind, "vocab_size": TOKENS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
            "initializer_range": 0.3, "tie_word_embeddings": tied, "attention_bias": true
        })
    };
    let gemma = |kind: &str| {
        let mut fields = decoder(kind, true);
        fields["sliding_window"] = json!(5);
        fields
    };
    let encoder = |kind: &str, padding: usize| {
        json!({
            "model_type": kind, "vocab_size": TOKENS, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 32, "type_vocab_size": 2, "num_labels": 3, "pad_token_id": padding,
            "initializer_range": 0.3
        })
    };
    vec![
        ("bert", encoder("bert", 0)),
        ("roberta", encoder("roberta", 1)),
        (
            "distilbert",
            json!({
                "model_type": "distilbert", "vocab_size": TOKENS, "dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2,
                "max_position_embeddings": 32, "num_labels": 3, "initializer_range": 0.3
            }),
        ),
        ("llama", decoder("llama", false)),
        ("llama, tied", decoder("llama", true)),
        ("mistral", decoder("mistral", false)),
        ("qwen2, tied", decoder("qwen2", true)),
        ("qwen3", decoder("qwen3", false)),
        ("gemma2, tied", gemma("gemma2")),
        ("gemma3, tied", gemma("gemma3_text")),
        ("phi3", decoder("phi3", false)),
        ("smollm3, tied", decoder("smollm3", true)),
        ("granite", decoder("granite", false)),
        ("olmo2", decoder("olmo2", false)),
        (
            "gpt2, tied",
            json!({
                "model_type": "gpt2", "vocab_size": TOKENS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32,
                "initializer_range": 0.3
            }),
        ),
        (
            "vit",
            json!({
                "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
                "image_size": 8, "patch_size": 4, "num_channels": 1, "num_labels": 3, "initializer_range": 0.3
            }),
        ),
    ]
}
