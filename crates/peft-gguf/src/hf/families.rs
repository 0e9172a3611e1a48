//! The fields of `config.json` that an architecture has beside those of all.

use serde_json::{Map, Value, json};

use super::HfError;
use super::keys::Keys;
use super::sizes::Sizes;
use super::{Architecture, names};
use crate::GgufModel;

/// What a family's fields are made of.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) model: &'a GgufModel,
    pub(super) keys: Keys<'a>,
    pub(super) sizes: &'a Sizes,
}

type Fields = Map<String, Value>;

/// Adds the fields of an architecture, with `architectures` and `model_type`.
pub(super) fn add(
    architecture: Architecture,
    source: Source<'_>,
    fields: &mut Fields,
) -> Result<(), HfError> {
    match architecture {
        Architecture::Llama => llama(source, fields),
        Architecture::Qwen2 => {
            named(fields, "Qwen2ForCausalLM", "qwen2");
            fields.insert("use_sliding_window".into(), json!(false));
            Ok(())
        }
        Architecture::Qwen3 => {
            named(fields, "Qwen3ForCausalLM", "qwen3");
            fields.insert("use_sliding_window".into(), json!(false));
            attention_bias(source, fields)
        }
        Architecture::Gemma => {
            named(fields, "GemmaForCausalLM", "gemma");
            fields.insert("hidden_act".into(), json!(GELU));
            attention_bias(source, fields)
        }
        Architecture::Gemma2 => gemma2(source, fields),
        Architecture::Gemma3 => gemma3(source, fields),
        Architecture::Granite => granite(source, fields),
        Architecture::SmolLm3 => smollm3(source, fields),
        Architecture::Olmo2 => olmo2(source, fields),
        Architecture::Phi3 => phi3(source, fields),
        Architecture::Gpt2 => gpt2(source, fields),
    }
}

fn named(fields: &mut Fields, class: &str, model_type: &str) {
    fields.insert("architectures".into(), json!([class]));
    fields.insert("model_type".into(), json!(model_type));
}

/// Llama, and Mistral, which differs by its window alone: without one, both are the same model.
fn llama(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    attention_bias(source, fields)?;
    let mlp = biases(source, &["ffn_gate", "ffn_up", "ffn_down"])?;
    let Some(window) = window(source)? else {
        named(fields, "LlamaForCausalLM", "llama");
        fields.insert("mlp_bias".into(), json!(mlp));
        return Ok(());
    };
    if mlp || fields.get("attention_bias") == Some(&json!(true)) {
        let what = source.keys.full(WINDOW);
        let found = format!("{window} in a model with biases");
        return Err(source
            .keys
            .unsupported(what, found, "a window without biases"));
    }
    named(fields, "MistralForCausalLM", "mistral");
    fields.remove("attention_bias");
    fields.insert("sliding_window".into(), json!(window));
    Ok(())
}

/// Gemma's nonlinearity, of which files do not speak.
const GELU: &str = "gelu_pytorch_tanh";
/// Blocks of the largest Gemma 2 and of the largest Gemma 3, in which scores are divided by the root of another number than the width of a
/// head.
pub(crate) const LARGEST_GEMMA2: u64 = 46;
pub(crate) const LARGEST_GEMMA3: u64 = 62;

/// What scores are divided by the root of.
fn query_scalar(sizes: &Sizes, largest: u64) -> u64 {
    match sizes.blocks == largest {
        true => sizes.hidden / sizes.heads,
        false => sizes.head,
    }
}

/// Gemma 2: every other block sees the tokens of a window, and scores and logits are bounded. What a file leaves out is what llama.cpp takes.
fn gemma2(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    let Source { keys, sizes, .. } = source;
    named(fields, "Gemma2ForCausalLM", "gemma2");
    fields.remove("hidden_act");
    attention_bias(source, fields)?;
    let cap = |key: &str, usual: f64| -> Result<Value, HfError> {
        let given = keys.number_if_any(key)?;
        Ok(given.map_or(json!(usual), Value::Number))
    };
    let window = window(source)?.unwrap_or(4096);
    for (field, value) in [
        ("hidden_activation", json!(GELU)),
        (
            "query_pre_attn_scalar",
            json!(query_scalar(sizes, LARGEST_GEMMA2)),
        ),
        ("sliding_window", json!(window)),
        (
            "attn_logit_softcapping",
            cap("attn_logit_softcapping", 50.0)?,
        ),
        (
            "final_logit_softcapping",
            cap("final_logit_softcapping", 30.0)?,
        ),
    ] {
        fields.insert(field.into(), value);
    }
    Ok(())
}

/// Granite, whose factors are 1 where a file has none, but for that of the scores.
fn granite(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    let Source { keys, sizes, .. } = source;
    named(fields, "GraniteForCausalLM", "granite");
    attention_bias(source, fields)?;
    let mlp = biases(source, &["ffn_gate", "ffn_up", "ffn_down"])?;
    fields.insert("mlp_bias".into(), json!(mlp));
    let usual = 1.0 / (sizes.head as f64).sqrt();
    for (key, field, usual) in [
        ("attention.scale", "attention_multiplier", usual),
        ("embedding_scale", "embedding_multiplier", 1.0),
        ("residual_scale", "residual_multiplier", 1.0),
        ("logit_scale", "logits_scaling", 1.0),
    ] {
        let given = keys.number_if_any(key)?;
        // 0 stands for none in files.
        let given = given.filter(|factor| factor.as_f64() != Some(0.0));
        fields.insert(field.into(), given.map_or(json!(usual), Value::Number));
    }
    Ok(())
}

/// SmolLM3, of which every fourth block has no rotary positions; files do not say so.
fn smollm3(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    named(fields, "SmolLM3ForCausalLM", "smollm3");
    attention_bias(source, fields)?;
    let mlp = biases(source, &["ffn_gate", "ffn_up", "ffn_down"])?;
    fields.insert("mlp_bias".into(), json!(mlp));
    fields.insert("no_rope_layer_interval".into(), json!(4));
    let turned = (1..=source.sizes.blocks).map(|block| u8::from(block % 4 != 0));
    fields.insert("no_rope_layers".into(), turned.collect());
    fields.insert("use_sliding_window".into(), json!(false));
    Ok(())
}

/// OLMo 2. Files of OLMo 3 have its name too, and a window.
fn olmo2(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    named(fields, "Olmo2ForCausalLM", "olmo2");
    if let Some(window) = window(source)? {
        let what = source.keys.full(WINDOW);
        return Err(source
            .keys
            .unsupported(what, window, "OLMo 2, which has none"));
    }
    attention_bias(source, fields)
}

/// The language model of Gemma 3: every sixth block sees all tokens, the others those of a window, with frequencies of their own.
fn gemma3(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    const LOCAL: &str = "rope.freq_base_swa";
    const PATTERN: &str = "attention.sliding_window_pattern";
    let Source { keys, sizes, .. } = source;
    named(fields, "Gemma3ForCausalLM", "gemma3_text");
    fields.remove("hidden_act");
    let scalar = query_scalar(sizes, LARGEST_GEMMA3);
    let window = window(source)?;
    let pattern = match keys.size_if_any(PATTERN)? {
        Some(pattern) => pattern,
        None => window.map_or(1, |_| 6),
    };
    let local = keys.number_if_any(LOCAL)?;
    let softcap = keys.number_if_any("final_logit_softcapping")?;
    for (field, value) in [
        ("hidden_activation", json!(GELU)),
        ("query_pre_attn_scalar", json!(scalar)),
        (
            "rope_local_base_freq",
            local.map_or(json!(10_000.0), Value::Number),
        ),
        ("sliding_window_pattern", json!(pattern)),
        ("attention_bias", json!(false)),
        (
            "final_logit_softcapping",
            softcap.map_or(Value::Null, Value::Number),
        ),
    ] {
        fields.insert(field.into(), value);
    }
    if let Some(window) = window {
        fields.insert("sliding_window".into(), json!(window));
    }
    Ok(())
}

/// Phi-3 and Phi-4: fused projections, of whose heads a part may be turned.
fn phi3(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    let Source { keys, sizes, .. } = source;
    named(fields, "Phi3ForCausalLM", "phi3");
    fields.insert("attention_bias".into(), json!(false));
    fields.insert("sliding_window".into(), json!(window(source)?));
    let original = keys.size_if_any("rope.scaling.original_context_length")?;
    let original = original.unwrap_or(sizes.context);
    fields.insert("original_max_position_embeddings".into(), json!(original));
    let turned = keys.size_if_any("rope.dimension_count")?;
    let part = turned.map_or(1.0, |turned| turned as f64 / sizes.head as f64);
    fields.insert("partial_rotary_factor".into(), json!(part));
    Ok(())
}

/// GPT-2, whose fields have names of their own.
fn gpt2(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    let Source { keys, sizes, .. } = source;
    named(fields, "GPT2LMHeadModel", "gpt2");
    if sizes.head * sizes.heads != sizes.hidden {
        let what = keys.full("attention.key_length");
        let supported = format!("{} heads of {} in all", sizes.heads, sizes.hidden);
        return Err(keys.unsupported(what, sizes.head, supported));
    }
    if sizes.kv_heads != sizes.heads {
        let what = keys.full("attention.head_count_kv");
        return Err(keys.unsupported(what, sizes.kv_heads, sizes.heads.to_string()));
    }
    for (field, value) in [
        ("n_embd", json!(sizes.hidden)),
        ("n_layer", json!(sizes.blocks)),
        ("n_head", json!(sizes.heads)),
        ("n_inner", json!(sizes.feed_forward)),
        ("n_positions", json!(sizes.context)),
        ("n_ctx", json!(sizes.context)),
        ("activation_function", json!("gelu_new")),
        (
            "layer_norm_epsilon",
            json!(keys.number("attention.layer_norm_epsilon")?),
        ),
    ] {
        fields.insert(field.into(), value);
    }
    Ok(())
}

const WINDOW: &str = "attention.sliding_window";

/// How far tokens look back; 0 stands for no bound in files.
fn window(source: Source<'_>) -> Result<Option<u64>, HfError> {
    let window = source.keys.integer_if_any(WINDOW)?;
    Ok(window.filter(|window| *window > 0))
}

fn attention_bias(source: Source<'_>, fields: &mut Fields) -> Result<(), HfError> {
    let biased = biases(source, &["attn_q", "attn_k", "attn_v", "attn_output"])?;
    fields.insert("attention_bias".into(), json!(biased));
    Ok(())
}

/// Whether these layers have biases, in all blocks or in none: `config.json` says one thing for all of them.
fn biases(source: Source<'_>, layers: &[&str]) -> Result<bool, HfError> {
    let Source { model, keys, sizes } = source;
    let is_one = |name: &str| match names::layer_of(name) {
        Some((layer, "bias")) => names::block_of(name).is_some() && layers.contains(&layer),
        _ => false,
    };
    let found = model.tensors().filter(|info| is_one(info.name())).count() as u64;
    let all = sizes.blocks * layers.len() as u64;
    match found {
        0 => Ok(false),
        _ if found == all => Ok(true),
        _ => {
            let what = format!("the number of biases of {}", layers.join(", "));
            Err(keys.unsupported(what, found, format!("0 or {all}")))
        }
    }
}
