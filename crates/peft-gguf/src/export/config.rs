//! What `config.json` says, in the keys of the metadata.

use peft_format::file::input::CONFIG_LIMIT;
use serde_json::{Map, Value as Json};

use super::ExportError;
use super::families::{self, Sizes};
use super::fields::Fields;
use crate::hf::{Architecture, rope_divisors};
use crate::{FormatError, GgufWriter, Value};

/// What a configuration comes to.
pub(super) struct Described {
    pub(super) architecture: Architecture,
    pub(super) heads: u64,
    pub(super) kv_heads: u64,
    /// What each rotary frequency is divided by, a tensor of its own in files.
    pub(super) divisors: Option<Vec<f32>>,
    /// Rows of the table of tokens.
    pub(super) vocabulary: u32,
}

/// The architecture of a `model_type`.
fn architecture(fields: &Fields<'_>) -> Result<Architecture, ExportError> {
    let family = fields.get("model_type").and_then(Json::as_str);
    family.and_then(Architecture::of_model_type).ok_or_else(|| {
        let known = Architecture::MODEL_TYPES.map(|(name, _)| name).join(", ");
        fields.error("model_type", &format!("one of {known}"))
    })
}

/// Writes what the configuration says.
pub(super) fn describe(
    config: &Map<String, Json>,
    writer: &mut GgufWriter,
) -> Result<Described, ExportError> {
    let fields = Fields(config);
    let architecture = architecture(&fields)?;
    writer.insert("general.architecture", architecture.name())?;
    writer.insert("general.type", "model")?;
    let mut put =
        |key: &str, value: Value| writer.insert(&format!("{}.{key}", architecture.name()), value);
    let is_gpt2 = architecture == Architecture::Gpt2;
    let of = |gpt2: &'static str, other: &'static str| if is_gpt2 { gpt2 } else { other };
    let hidden = fields.size(of("n_embd", "hidden_size"))?;
    let heads = fields.size(of("n_head", "num_attention_heads"))?;
    let inner = match fields.size_if_any(of("n_inner", "intermediate_size"))? {
        Some(inner) => inner,
        None if is_gpt2 => hidden.saturating_mul(4),
        None => return Err(fields.error("intermediate_size", "a size")),
    };
    let context = fields.size(of("n_positions", "max_position_embeddings"))?;
    let blocks = fields.size(of("n_layer", "num_hidden_layers"))?;
    put("context_length", context.into())?;
    put("embedding_length", hidden.into())?;
    put("block_count", blocks.into())?;
    put("feed_forward_length", inner.into())?;
    put("attention.head_count", heads.into())?;
    let vocabulary = fields.size("vocab_size")?;
    let mut described = Described {
        architecture,
        heads: heads.into(),
        kv_heads: heads.into(),
        divisors: None,
        vocabulary,
    };
    if is_gpt2 {
        let eps = fields.number_or("layer_norm_epsilon", 1e-5)?;
        put("attention.layer_norm_epsilon", (eps as f32).into())?;
        return Ok(described);
    }
    let head = match fields.size_if_any("head_dim")? {
        Some(head) => head,
        None if families::is_gemma(architecture) => 256,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    let sizes = Sizes {
        blocks,
        hidden,
        heads,
        head,
    };
    decoder(&fields, &sizes, &mut described, &mut put)?;
    families::describe(architecture, fields, &sizes, &mut put)?;
    Ok(described)
}

/// What decoders with rotary positions have beside.
fn decoder(
    fields: &Fields<'_>,
    sizes: &Sizes,
    described: &mut Described,
    put: &mut impl FnMut(&str, Value) -> Result<(), FormatError>,
) -> Result<(), ExportError> {
    let head = sizes.head;
    let kv_heads = fields.size_if_any("num_key_value_heads")?;
    let kv_heads = kv_heads.unwrap_or(sizes.heads);
    described.kv_heads = kv_heads.into();
    put("attention.head_count_kv", kv_heads.into())?;
    let eps = fields.number_or("rms_norm_eps", 1e-6)?;
    put("attention.layer_norm_rms_epsilon", (eps as f32).into())?;
    put("attention.key_length", head.into())?;
    put("attention.value_length", head.into())?;
    let part = families::turned(fields)?;
    put(
        "rope.dimension_count",
        ((f64::from(head) * part) as u32).into(),
    )?;
    put("vocab_size", described.vocabulary.into())?;
    let rope = Rope::read(fields)?;
    put("rope.freq_base", (rope.base as f32).into())?;
    if let Some((kind, factor)) = rope.scaling {
        put("rope.scaling.type", kind.into())?;
        put("rope.scaling.factor", (factor as f32).into())?;
    }
    if let Some(original) = rope.original {
        put("rope.scaling.original_context_length", original.into())?;
    }
    for (key, value) in rope.yarn {
        put(&format!("rope.scaling.{key}"), (value as f32).into())?;
    }
    if rope.llama3.is_some() {
        // A divisor for every second row of a head.
        ExportError::refuse_large("head_dim", head, 2, CONFIG_LIMIT)?;
    }
    described.divisors = rope
        .llama3
        .map(|factor| rope_divisors(factor, rope.base, head.into()));
    if let Some(window) = window(fields)? {
        put("attention.sliding_window", window.into())?;
    }
    Ok(())
}

/// How positions turn queries and keys.
struct Rope {
    base: f64,
    /// The kind of scaling that files name, and its factor.
    scaling: Option<(&'static str, f64)>,
    /// The factor of Llama 3's scaling, for which files have a tensor.
    llama3: Option<f64>,
    /// The context length that YaRN stretches.
    original: Option<u32>,
    /// YaRN's further numbers by their keys.
    yarn: Vec<(&'static str, f64)>,
}

/// YaRN's numbers beside factor and length: keys and fields.
const YARN: [(&str, &str); 4] = [
    ("yarn_ext_factor", "extrapolation_factor"),
    ("yarn_attn_factor", "attention_factor"),
    ("yarn_beta_fast", "beta_fast"),
    ("yarn_beta_slow", "beta_slow"),
];

impl Rope {
    fn read(fields: &Fields<'_>) -> Result<Self, ExportError> {
        // Newer files have base and scaling in one place, some for each type of block.
        let (field, scaling) = ["rope_scaling", "rope_parameters"]
            .into_iter()
            .find_map(|field| {
                let scaling = fields.get(field)?.as_object()?;
                let global = scaling.get("full_attention").and_then(Json::as_object);
                Some((field, global.unwrap_or(scaling)))
            })
            .unzip();
        let number = |key: &str| scaling?.get(key)?.as_f64();
        let base = match number("rope_theta") {
            Some(base) => base,
            None => fields.number_or("rope_theta", families::usual_base(fields))?,
        };
        let mut rope = Self {
            base,
            scaling: None,
            llama3: None,
            original: None,
            yarn: Vec::new(),
        };
        let kind = scaling.and_then(|scaling| {
            let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
            kind.and_then(Json::as_str)
        });
        let error = || {
            let expected = "linear, yarn, or llama3 with low_freq_factor 1, high_freq_factor 4 and \
                original_max_position_embeddings 8192";
            fields.error(field.unwrap_or("rope_scaling"), expected)
        };
        match kind {
            None | Some("default") => Ok(rope),
            Some("linear") => {
                rope.scaling = Some(("linear", number("factor").ok_or_else(error)?));
                Ok(rope)
            }
            Some("yarn") => {
                rope.scaling = Some(("yarn", number("factor").ok_or_else(error)?));
                let length = "original_max_position_embeddings";
                let original = scaling.and_then(|scaling| scaling.get(length)?.as_u64());
                let original = original.and_then(|original| u32::try_from(original).ok());
                rope.original = Some(original.ok_or_else(error)?);
                let further = YARN
                    .iter()
                    .filter_map(|(key, field)| Some((*key, number(field)?)));
                rope.yarn = further.collect();
                Ok(rope)
            }
            Some("llama3")
                if number("low_freq_factor") == Some(1.0)
                    && number("high_freq_factor") == Some(4.0)
                    && number("original_max_position_embeddings") == Some(8192.0) =>
            {
                rope.llama3 = Some(number("factor").ok_or_else(error)?);
                Ok(rope)
            }
            Some(_) => Err(error()),
        }
    }
}

/// How far the tokens of all blocks look back, Mistral's and Phi-3's. Files have one window for all blocks of it, and none of Qwen's.
fn window(fields: &Fields<'_>) -> Result<Option<u32>, ExportError> {
    let kind = fields.get("model_type").and_then(Json::as_str);
    match kind {
        Some("mistral" | "phi3") => fields.size_if_any("sliding_window"),
        Some("qwen2" | "qwen3")
            if fields.get("use_sliding_window") == Some(&Json::Bool(true))
                && fields.get("sliding_window").is_some() =>
        {
            Err(fields.error("use_sliding_window", "false"))
        }
        _ => Ok(None),
    }
}
