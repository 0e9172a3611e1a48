//! Names of tensors in GGUF files and in transformers.
//!
//! A file has `token_embd`, `output_norm`, `output` and, in each block `blk.N`, layers such as `attn_q`; transformers have
//! `model.embed_tokens`, `model.norm`, `lm_head` and `model.layers.N.self_attn.q_proj`, or GPT-2's names. Weights and biases end on
//! `.weight` and `.bias` in both.

use super::Architecture;

/// Layers of a file and of transformers.
type Pairs = &'static [(&'static str, &'static str)];

/// What the layers of an architecture are called.
struct Names {
    /// The list of blocks in transformers.
    blocks: &'static str,
    /// Layers that stand in no block.
    model: Pairs,
    /// Layers of a block, in one or two lists.
    block: [Pairs; 2],
}

/// The list of blocks in files.
const FILE_BLOCKS: &str = "blk";

const MODEL: Pairs = &[
    ("token_embd", "model.embed_tokens"),
    ("output_norm", "model.norm"),
    ("output", "lm_head"),
];

const ATTENTION: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
];

const ATTENTION_WITHOUT_NORMS: Pairs = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
];

const GATED: Pairs = &[
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

static LLAMA: Names = Names {
    blocks: "model.layers",
    model: MODEL,
    block: [ATTENTION_WITHOUT_NORMS, GATED],
};

static QWEN3: Names = Names {
    blocks: "model.layers",
    model: MODEL,
    block: [ATTENTION, GATED],
};

/// Gemma 2's and 3's MLP, with norms on both sides of it and one behind attention.
const BETWEEN_NORMS: Pairs = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];

static GEMMA2: Names = Names {
    blocks: "model.layers",
    model: MODEL,
    block: [ATTENTION_WITHOUT_NORMS, BETWEEN_NORMS],
};

static GEMMA3: Names = Names {
    blocks: "model.layers",
    model: MODEL,
    block: [ATTENTION, BETWEEN_NORMS],
};

static OLMO2: Names = Names {
    blocks: "model.layers",
    model: MODEL,
    block: [
        &[
            ("attn_q", "self_attn.q_proj"),
            ("attn_k", "self_attn.k_proj"),
            ("attn_v", "self_attn.v_proj"),
            ("attn_q_norm", "self_attn.q_norm"),
            ("attn_k_norm", "self_attn.k_norm"),
            ("attn_output", "self_attn.o_proj"),
            ("post_attention_norm", "post_attention_layernorm"),
        ],
        &[
            ("ffn_gate", "mlp.gate_proj"),
            ("ffn_up", "mlp.up_proj"),
            ("ffn_down", "mlp.down_proj"),
            ("post_ffw_norm", "post_feedforward_layernorm"),
        ],
    ],
};

static PHI3: Names = Names {
    blocks: "model.layers",
    model: MODEL,
    block: [
        &[
            ("attn_norm", "input_layernorm"),
            ("attn_qkv", "self_attn.qkv_proj"),
            ("attn_output", "self_attn.o_proj"),
        ],
        &[
            ("ffn_norm", "post_attention_layernorm"),
            ("ffn_up", "mlp.gate_up_proj"),
            ("ffn_down", "mlp.down_proj"),
        ],
    ],
};

static GPT2: Names = Names {
    blocks: "transformer.h",
    model: &[
        ("token_embd", "transformer.wte"),
        ("position_embd", "transformer.wpe"),
        ("output_norm", "transformer.ln_f"),
        ("output", "lm_head"),
    ],
    block: [
        &[
            ("attn_norm", "ln_1"),
            ("attn_qkv", "attn.c_attn"),
            ("attn_output", "attn.c_proj"),
        ],
        &[
            ("ffn_norm", "ln_2"),
            ("ffn_up", "mlp.c_fc"),
            ("ffn_down", "mlp.c_proj"),
        ],
    ],
};

fn names_of(architecture: Architecture) -> &'static Names {
    match architecture {
        Architecture::Llama
        | Architecture::Qwen2
        | Architecture::Gemma
        | Architecture::Granite
        | Architecture::SmolLm3 => &LLAMA,
        Architecture::Gemma2 => &GEMMA2,
        Architecture::Olmo2 => &OLMO2,
        Architecture::Qwen3 => &QWEN3,
        Architecture::Gpt2 => &GPT2,
        Architecture::Gemma3 => &GEMMA3,
        Architecture::Phi3 => &PHI3,
    }
}

/// Which way a name is translated.
#[derive(Clone, Copy)]
enum Way {
    ToHf,
    ToGguf,
}

/// The name in transformers of a file's tensor; `None` where models of the architecture have no such tensor.
///
/// ```
/// use peft_gguf::hf::{Architecture, names};
///
/// let name = names::to_hf(Architecture::Llama, "blk.0.attn_q.weight");
/// assert_eq!(name.as_deref(), Some("model.layers.0.self_attn.q_proj.weight"));
/// ```
#[must_use]
pub fn to_hf(architecture: Architecture, name: &str) -> Option<String> {
    translated(architecture, name, Way::ToHf)
}

/// The name in files of a tensor of transformers; `None` where models of the architecture have no such tensor.
///
/// ```
/// use peft_gguf::hf::{Architecture, names};
///
/// let name = names::to_gguf(Architecture::Gpt2, "transformer.h.11.attn.c_attn.bias");
/// assert_eq!(name.as_deref(), Some("blk.11.attn_qkv.bias"));
/// ```
#[must_use]
pub fn to_gguf(architecture: Architecture, name: &str) -> Option<String> {
    translated(architecture, name, Way::ToGguf)
}

/// Whether a file's tensor is no parameter: tables of rotary frequencies, which transformers compute.
#[must_use]
pub fn is_computed(name: &str) -> bool {
    let layer = split_block(name, FILE_BLOCKS).map_or(name, |(_, layer)| layer);
    matches!(
        layer,
        "rope_freqs.weight"
            | "rope_factors_long.weight"
            | "rope_factors_short.weight"
            | "attn_rot_embd.weight"
    )
}

/// The number of the block in which a file's tensor stands.
pub(super) fn block_of(name: &str) -> Option<u64> {
    split_block(name, FILE_BLOCKS).map(|(number, _)| number)
}

/// A file's layer without the block and without `.weight` or `.bias`, which comes second.
pub(super) fn layer_of(name: &str) -> Option<(&str, &str)> {
    let layer = split_block(name, FILE_BLOCKS).map_or(name, |(_, layer)| layer);
    layer.rsplit_once('.')
}

fn translated(architecture: Architecture, name: &str, way: Way) -> Option<String> {
    let names = names_of(architecture);
    let (module, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    let (from, to) = match way {
        Way::ToHf => (FILE_BLOCKS, names.blocks),
        Way::ToGguf => (names.blocks, FILE_BLOCKS),
    };
    if let Some((number, layer)) = split_block(module, from) {
        let mut all = names.block.iter().copied();
        let layer = all.find_map(|pairs| other(pairs, layer, way))?;
        return Some(format!("{to}.{number}.{layer}.{kind}"));
    }
    Some(format!("{}.{kind}", other(names.model, module, way)?))
}

fn other(pairs: Pairs, name: &str, way: Way) -> Option<&'static str> {
    let found = pairs.iter().find(|(file, hf)| match way {
        Way::ToHf => *file == name,
        Way::ToGguf => *hf == name,
    });
    found.map(|(file, hf)| match way {
        Way::ToHf => *hf,
        Way::ToGguf => *file,
    })
}

/// The number of a block and what comes behind it. A number has one spelling, so that no two names mean one tensor.
fn split_block<'a>(name: &'a str, blocks: &str) -> Option<(u64, &'a str)> {
    let rest = name.strip_prefix(blocks)?.strip_prefix('.')?;
    let (digits, layer) = rest.split_once('.')?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some((number, layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back() {
        for architecture in Architecture::ALL {
            let names = names_of(architecture);
            let layers = names.block.iter().copied().flatten();
            let block = layers.map(|(file, _)| format!("blk.31.{file}"));
            let model = names.model.iter().map(|(file, _)| (*file).to_owned());
            for module in model.chain(block) {
                for kind in ["weight", "bias"] {
                    let file = format!("{module}.{kind}");
                    let hf = to_hf(architecture, &file).unwrap();
                    assert_eq!(to_gguf(architecture, &hf), Some(file), "{hf}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_name_has_none() {
        for name in [
            "",
            ".weight",
            "output",
            "output.scale",
            "blk.0.weight",
            "blk.x.attn_q.weight",
            "blk.00.attn_q.weight",
            "blk.+1.attn_q.weight",
            "blk.99999999999999999999.attn_q.weight",
            "blk.0.attn_q_norm.weight",
            "blk.0.attn_qkv.weight",
            "blk.0.ffn_gate_exps.weight",
            "model.norm.weight",
        ] {
            assert_eq!(to_hf(Architecture::Llama, name), None, "{name}");
        }
        assert_eq!(to_gguf(Architecture::Llama, "blk.0.attn_q.weight"), None);
        assert!(is_computed("rope_freqs.weight") && is_computed("blk.3.attn_rot_embd.weight"));
        assert!(!is_computed("blk.3.attn_q.weight"));
    }
}
