//! `config.json` of a GGUF model.

use serde_json::{Map, Value, json};

use super::families::{self, Source};
use super::keys::Keys;
use super::sizes::Sizes;
use super::{Architecture, HfError, rope};
use crate::GgufModel;

/// The fields of the `config.json` that transformers have for this model.
///
/// Sizes come from the metadata, whether the output layer is tied and whether there are biases from the tensors that are there. Numbers of
/// single precision get their fewest digits, `1e-5` rather than `9.99999974e-6`. The scaling of Llama 3, of which a file has nothing but
/// the factors in `rope_freqs.weight`, is derived from them. `torch_dtype` is that of the values that
/// [`HfTensors::values`](super::HfTensors::values) gives.
///
/// | field | from |
/// |---|---|
/// | `hidden_size` (GPT-2: `n_embd`) | `embedding_length` |
/// | `num_hidden_layers` (`n_layer`) | `block_count` |
/// | `num_attention_heads` (`n_head`), `num_key_value_heads` | `attention.head_count`, `attention.head_count_kv` |
/// | `head_dim` | `attention.key_length`, else `hidden_size / num_attention_heads` |
/// | `intermediate_size` (`n_inner`) | `feed_forward_length` |
/// | `max_position_embeddings` (`n_positions`) | `context_length` |
/// | `vocab_size` | rows of `token_embd.weight`, where there is none `vocab_size` |
/// | `rms_norm_eps` (`layer_norm_epsilon`) | `attention.layer_norm_rms_epsilon` (`attention.layer_norm_epsilon`) |
/// | `rope_theta`, `rope_scaling` | `rope.freq_base`, else 10000; `rope.scaling.*`, `rope_freqs.weight` |
/// | `sliding_window` | `attention.sliding_window` |
/// | `tie_word_embeddings` | whether `output.weight` is absent |
/// | `bos_token_id`, `eos_token_id`, `pad_token_id` | `tokenizer.ggml.*`, else null |
///
/// A `llama` model is `model_type` `llama`, also where it was Mistral's: without a window they are one. With one it is `mistral`.
///
/// # Errors
///
/// [`HfError::Architecture`]; [`HfError::Unsupported`] for experts and for whatever `config.json` cannot say (sizes that differ from block
/// to block, other scalings, biases of some layers alone); [`HfError::Gguf`] for entries that are missing or of another type, and where
/// `rope_freqs.weight` cannot be read.
pub fn config(model: &GgufModel) -> Result<Map<String, Value>, HfError> {
    let architecture = Architecture::of(model)?;
    let keys = Keys::new(model, architecture);
    refuse_experts(keys)?;
    let sizes = Sizes::read(model, keys)?;
    let source = Source {
        model,
        keys,
        sizes: &sizes,
    };
    let mut fields = Map::new();
    for field in ["architectures", "model_type"] {
        fields.insert(field.into(), Value::Null);
    }
    fields.insert("vocab_size".into(), json!(sizes.vocabulary));
    if architecture != Architecture::Gpt2 {
        decoder(architecture, source, &mut fields)?;
    }
    families::add(architecture, source, &mut fields)?;
    let tied = !model.contains("output.weight");
    fields.insert("tie_word_embeddings".into(), json!(tied));
    for (field, key) in [
        ("bos_token_id", "bos_token_id"),
        ("eos_token_id", "eos_token_id"),
        ("pad_token_id", "padding_token_id"),
    ] {
        // Null where there is none: without the field, transformers take the id of the family's first model.
        fields.insert(field.into(), json!(keys.token(key, sizes.vocabulary)?));
    }
    fields.insert("torch_dtype".into(), json!("float32"));
    Ok(fields)
}

/// The fields that all decoders with rotary positions share.
fn decoder(
    architecture: Architecture,
    source: Source<'_>,
    fields: &mut Map<String, Value>,
) -> Result<(), HfError> {
    let Source { model, keys, sizes } = source;
    let base = keys.number_if_any("rope.freq_base")?;
    let base = base.map_or(json!(10_000.0), Value::Number);
    for (field, value) in [
        ("hidden_size", json!(sizes.hidden)),
        ("intermediate_size", json!(sizes.feed_forward)),
        ("num_hidden_layers", json!(sizes.blocks)),
        ("num_attention_heads", json!(sizes.heads)),
        ("num_key_value_heads", json!(sizes.kv_heads)),
        ("head_dim", json!(sizes.head)),
        ("hidden_act", json!("silu")),
        ("max_position_embeddings", json!(sizes.context)),
        (
            "rms_norm_eps",
            json!(keys.number("attention.layer_norm_rms_epsilon")?),
        ),
        ("rope_theta", base.clone()),
    ] {
        fields.insert(field.into(), value);
    }
    refuse_part_of_heads(architecture, keys, sizes)?;
    let base = base.as_f64().unwrap_or_default();
    if let Some(scaling) = rope::scaling(model, keys, sizes, base)? {
        fields.insert("rope_scaling".into(), scaling);
    }
    Ok(())
}

/// Refuses mixtures of experts, whose tensors these architectures' classes do not have.
fn refuse_experts(keys: Keys<'_>) -> Result<(), HfError> {
    match keys.integer_if_any("expert_count")? {
        None | Some(0) => Ok(()),
        Some(count) => {
            let supported = "0: mixtures of experts cannot be read";
            Err(keys.unsupported(keys.full("expert_count"), count, supported))
        }
    }
}

/// Refuses models of which a part of each head is turned by rotary positions, for which only Phi-3 has a field.
fn refuse_part_of_heads(
    architecture: Architecture,
    keys: Keys<'_>,
    sizes: &Sizes,
) -> Result<(), HfError> {
    const TURNED: &str = "rope.dimension_count";
    match keys.size_if_any(TURNED)? {
        Some(turned) if turned != sizes.head && architecture != Architecture::Phi3 => {
            let supported = format!("{}, the width of a head", sizes.head);
            Err(keys.unsupported(keys.full(TURNED), turned, supported))
        }
        _ => Ok(()),
    }
}
