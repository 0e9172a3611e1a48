//! What the configurations of decoders ask for: read, or refused by name.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::golden;
use peft_models::{DecoderConfig, DecoderFamily, ModelConfig, ModelError, default_targets};
use serde_json::{Value, json};

fn read(name: &str, changes: &[(&str, Value)]) -> Result<DecoderConfig, ModelError> {
    let mut config = ModelConfig::read(&golden(name)).unwrap();
    for (field, value) in changes {
        config = config.with_field(field, value.clone());
    }
    (DecoderFamily::of(&config)?.read)(&config)
}

fn refused(name: &str, changes: &[(&str, Value)]) -> String {
    read(name, changes).unwrap_err().to_string()
}

#[test]
fn scalings_of_rotary_positions_that_are_not_here_are_named() {
    let scaling = |value: Value| refused("llama3", &[("rope_parameters", value)]);
    let error = scaling(json!({"rope_type": "mrope", "rope_theta": 10000.0, "factor": 4.0}));
    assert!(
        error.contains("mrope")
            && error.contains("default, linear, dynamic, yarn, longrope, llama3"),
        "{error}"
    );
    let error = scaling(json!({"rope_type": "linear", "rope_theta": 10000.0}));
    assert!(
        error.contains("rope_parameters.factor") && error.contains("found nothing"),
        "{error}"
    );
    let error = scaling(
        json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
        "high_freq_factor": 1.0, "original_max_position_embeddings": 32}),
    );
    assert!(error.contains("below high_freq_factor"), "{error}");
    let error = scaling(json!({"rope_theta": -1.0}));
    assert!(error.contains("rope_theta"), "{error}");
    // The names of older files.
    let old = [
        ("rope_parameters", Value::Null),
        ("rope_theta", json!(500.0)),
        ("rope_scaling", json!({"type": "linear", "factor": 4.0})),
    ];
    let new = [(
        "rope_parameters",
        json!({"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0}),
    )];
    let (old, new) = (read("llama3", &old).unwrap(), read("llama3", &new).unwrap());
    assert_eq!(old.ropes, new.ropes);
    assert_ne!(old.ropes, read("llama3", &[]).unwrap().ropes);
}

#[test]
fn windows_are_those_of_the_family() {
    let windows = |name: &str, changes: &[(&str, Value)]| read(name, changes).unwrap().windows;
    assert_eq!(windows("mistral", &[]), [Some(5), Some(5)]);
    assert_eq!(
        windows("mistral", &[("sliding_window", Value::Null)]),
        [None, None]
    );
    assert_eq!(windows("qwen2", &[]), [None, Some(6)]);
    assert_eq!(
        windows("qwen2", &[("use_sliding_window", json!(false))]),
        [None, None]
    );
    // Older files give the first layer with a window instead of a list.
    let old = [
        ("layer_types", Value::Null),
        ("max_window_layers", json!(0)),
    ];
    assert_eq!(windows("qwen2", &old), [Some(6), Some(6)]);
    let error = refused(
        "qwen2",
        &[("layer_types", json!(["full_attention", "linear_attention"]))],
    );
    assert!(error.contains("linear_attention"), "{error}");
}

#[test]
fn fields_that_files_of_a_family_leave_out_have_its_defaults() {
    let without = |name: &str, fields: &[&str]| {
        let nulls: Vec<_> = fields.iter().map(|field| (*field, Value::Null)).collect();
        read(name, &nulls).unwrap()
    };
    // Older files have a pattern instead of a list, and the base of the blocks with a window beside.
    let fields = ["layer_types", "rope_parameters", "tie_word_embeddings"];
    let gemma = without("gemma3", &fields);
    assert_eq!(gemma.windows, [Some(5), Some(5)]);
    assert_eq!(gemma.rope_of, [Some(1), Some(1)]);
    assert_ne!(gemma.ropes[0], gemma.ropes[1]);
    assert!(gemma.tied);
    assert_eq!(without("gemma2", &["layer_types"]).windows, [Some(5), None]);
    let capped = read("gemma2", &[("attn_logit_softcapping", Value::Null)]).unwrap();
    assert_eq!((capped.attention_cap, capped.logit_cap), (None, Some(2.0)));
    let first = [
        ("hidden_activation", Value::Null),
        ("hidden_act", json!("gelu")),
    ];
    let (first, now) = (read("gemma", &first).unwrap(), read("gemma", &[]).unwrap());
    assert_eq!(first.activation, now.activation);
    assert_eq!(
        without("smollm3", &["no_rope_layers"]).rope_of,
        [Some(0), None]
    );
}

#[test]
fn sizes_and_options_that_cannot_be_are_refused_by_their_field() {
    for (name, field, value) in [
        ("llama", "num_key_value_heads", json!(3)),
        ("qwen2", "num_attention_heads", json!(3)),
        ("llama", "num_hidden_layers", json!(u64::MAX)),
        ("llama", "intermediate_size", json!(u64::MAX)),
        ("llama", "vocab_size", json!(12_000_001)),
        ("llama", "hidden_act", json!("mish")),
        ("llama", "partial_rotary_factor", json!(0.5)),
        ("llama", "quantization_config", json!({"bits": 4})),
        ("llama", "tie_word_embeddings", json!("yes")),
        ("gpt2", "scale_attn_by_inverse_layer_idx", json!(true)),
        ("gpt2", "add_cross_attention", json!(true)),
        ("gpt2", "n_head", json!(0)),
        ("gemma2", "use_bidirectional_attention", json!(true)),
        ("gemma2", "query_pre_attn_scalar", json!(0)),
        ("gemma2", "final_logit_softcapping", json!(-1.0)),
        ("gemma2", "sliding_window", json!(0)),
        ("gemma3", "attn_logit_softcapping", json!(50.0)),
        ("smollm3", "no_rope_layers", json!([1])),
        ("smollm3", "no_rope_layers", json!([1, 2])),
        ("granite", "logits_scaling", json!(0)),
    ] {
        let error = refused(name, &[(field, value)]);
        assert!(error.contains(field), "{field}: {error}");
    }
    let config = ModelConfig::read(&golden("bert")).unwrap();
    let error = DecoderFamily::of(&config).unwrap_err().to_string();
    assert!(
        error.contains("`bert`") && error.contains("qwen3"),
        "{error}"
    );
}

#[test]
fn default_targets_are_those_of_peft() {
    for kind in [
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3_text",
    ] {
        assert_eq!(default_targets(kind).unwrap(), ["q_proj", "v_proj"]);
    }
    assert_eq!(default_targets("gpt2").unwrap(), ["c_attn"]);
}
