"""Small models of transformers, converted to GGUF as llama.cpp converts them, and what transformers have of them.

usage: python tools/golden/gguf_models.py    (pip install gguf==0.19.0)

Each model becomes NAME.gguf and an entry of models.json: the fields of its configuration, and of each tensor of its state dict the shape,
the sum of its values and the sum of each value times its place (from 1). Values are rounded to half precision first, so that files are
small and exact; of the file in Q8_0, they are those that the package gguf reads. Where transformers can load the file themselves, what
they load must be the state dict that was converted, which proves the conversion.
"""

import json
import math
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers as hf
from gguf import GGMLQuantizationType as Kind

OUT = Path(__file__).resolve().parents[2] / "crates/peft-gguf/tests/golden/hf"
SIZES = dict(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=None,
)  # fmt: skip
ONE = SIZES | dict(num_hidden_layers=1)
WIDE = ONE | dict(hidden_size=32, intermediate_size=32)
LLAMA3 = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
MODELS = {
    "llama_tied": ("llama", Kind.F16, hf.LlamaConfig(**SIZES, tie_word_embeddings=True, rms_norm_eps=1e-5)),
    "llama_untied": (
        "llama", Kind.F16,
        hf.LlamaConfig(
            **SIZES | dict(num_key_value_heads=1, pad_token_id=3), rope_theta=1e6, rope_scaling=dict(rope_type="linear", factor=2.5)
        ),
    ),
    "llama_biases": ("llama", Kind.F16, hf.LlamaConfig(**ONE, attention_bias=True, mlp_bias=True, head_dim=8)),
    "llama_llama3": (
        "llama", Kind.F16,
        hf.LlamaConfig(**ONE | dict(num_attention_heads=2), head_dim=16, rope_theta=5e5, rope_scaling=dict(factor=32.0, **LLAMA3)),
    ),
    "llama_q8_0": ("llama", Kind.Q8_0, hf.LlamaConfig(**WIDE, tie_word_embeddings=True)),
    "mistral": ("llama", Kind.F16, hf.MistralConfig(**ONE, sliding_window=None)),
    "qwen2": (
        "qwen2", Kind.F16,
        hf.Qwen2Config(
            **SIZES, rope_theta=1e6, rope_scaling=dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=32)
        ),
    ),
    "qwen3": ("qwen3", Kind.F16, hf.Qwen3Config(**SIZES, head_dim=8, rms_norm_eps=1e-6, rope_theta=1e6)),
    "gemma3": (
        "gemma3", Kind.F16, hf.Gemma3TextConfig(**ONE, head_dim=8, query_pre_attn_scalar=8, sliding_window=16),
    ),
    "phi3": ("phi3", Kind.F16, hf.Phi3Config(**ONE | dict(pad_token_id=0), original_max_position_embeddings=32)),
    "gpt2": (
        "gpt2", Kind.F16,
        hf.GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2),
    ),
    "gemma": ("gemma", Kind.F16, hf.GemmaConfig(**ONE, head_dim=8)),
    "gemma2": (
        "gemma2", Kind.F16,
        hf.Gemma2Config(**SIZES, head_dim=8, query_pre_attn_scalar=8, sliding_window=16, attn_logit_softcapping=40.0),
    ),
    "granite": (
        "granite", Kind.F16,
        hf.GraniteConfig(
            **ONE, attention_multiplier=0.5, embedding_multiplier=12.0, residual_multiplier=0.25, logits_scaling=8.0
        ),
    ),
    "smollm3": ("smollm3", Kind.F16, hf.SmolLM3Config(**SIZES, use_sliding_window=False)),
    "olmo2": ("olmo2", Kind.F16, hf.Olmo2Config(**ONE, rope_theta=5e5)),
    "phi3_long": (
        "phi3", Kind.F16,
        hf.Phi3Config(
            **ONE | dict(pad_token_id=0), original_max_position_embeddings=32, partial_rotary_factor=0.5,
            rope_scaling=dict(rope_type="longrope", short_factor=[1.0], long_factor=[2.5]),
        ),
    ),
}  # fmt: skip
FIELDS = [
    "architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "sliding_window", "hidden_act", "max_position_embeddings", "rms_norm_eps", "attention_bias",
    "mlp_bias", "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id", "use_sliding_window", "hidden_activation",
    "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping", "attention_multiplier", "embedding_multiplier",
    "residual_multiplier", "logits_scaling", "no_rope_layers", "original_max_position_embeddings", "n_embd", "n_layer", "n_head", "n_positions",
    "activation_function", "layer_norm_epsilon",
]  # fmt: skip


# Architectures whose files transformers do not load.
UNKNOWN = ["gemma", "granite", "smollm3", "olmo2"]
# Whose rows of queries and keys llama.cpp's converter moves.
ROTARY = ["llama", "granite", "smollm3"]


def state_dict(config):
    """Random values of half precision, as transformers name and shape them."""
    model = hf.AutoModelForCausalLM.from_config(config)
    state = {}
    for name, parameter in model.named_parameters():
        draw = torch.randn(parameter.shape) * 0.5
        state[name] = draw.half().float().numpy()
    return model, state


def permute(weights, heads):
    """The rows of queries and keys as llama.cpp's converter has them for llama."""
    rows = weights.shape[0]
    return weights.reshape(heads, 2, rows // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def converted(arch, config, name, values):
    if arch in ROTARY and ".q_proj." in name:
        return permute(values, config.num_attention_heads)
    if arch in ROTARY and ".k_proj." in name:
        return permute(values, config.num_key_value_heads)
    if arch == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return values.T
    if arch.startswith("gemma") and name.endswith("norm.weight"):
        return values + np.float32(1.0)
    return values


def llama3_factors(rope, width):
    """What llama.cpp's converter writes to rope_freqs.weight, in the same single precision."""
    frequencies = 1.0 / (rope["rope_theta"] ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    factors = []
    for frequency in frequencies:
        wavelength = 2 * math.pi / frequency
        if wavelength < 8192 / rope["high_freq_factor"]:
            factors.append(1)
        elif wavelength > 8192 / rope["low_freq_factor"]:
            factors.append(rope["factor"])
        else:
            smooth = (8192 / wavelength - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors, dtype=torch.float32).numpy()


def add_rope(writer, arch, config):
    """The keys of rotary positions, of which gemma3 has those of the blocks that see all tokens."""
    rope = config.rope_parameters
    rope = rope.get("full_attention", rope)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_freq_base(rope["rope_theta"])
    if arch in ["llama", "phi3"]:
        writer.add_rope_dimension_count(int(width * rope.get("partial_rotary_factor", 1.0)))
    kind = rope["rope_type"]
    if kind in ["linear", "yarn"]:
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if arch == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
    if kind == "longrope":
        ratio = config.max_position_embeddings / config.original_max_position_embeddings
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(ratio) / math.log(config.original_max_position_embeddings)))
        for length in ["long", "short"]:
            writer.add_tensor(f"rope_factors_{length}.weight", np.array(rope[f"{length}_factor"], dtype=np.float32))
    if kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(rope, width))


def add_metadata(writer, arch, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    for key in ["bos", "eos"]:
        getattr(writer, f"add_{key}_token_id")(getattr(config, f"{key}_token_id"))
    if config.pad_token_id is not None:
        writer.add_pad_token_id(config.pad_token_id)
    if arch == "gpt2":
        writer.add_feed_forward_length(4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        # transformers need a vocabulary to load the file.
        writer.add_vocab_size(config.vocab_size)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if arch != "phi3" and config.to_dict().get("head_dim") is not None:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if arch == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if arch in ["gemma2", "gemma3", "phi3"]:
        writer.add_sliding_window(config.sliding_window or 0)
    add_rope(writer, arch, config)


def write(path, arch, kind, config, state):
    """Writes the file and gives the values that it has, in transformers' orientation."""
    architecture = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == arch)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, arch)
    # transformers go by "mistral" in a name.
    writer.add_name("tiny")
    add_metadata(writer, arch, config)
    for name, values in state.items():
        data = np.ascontiguousarray(converted(arch, config, name, values))
        stored = kind if data.ndim == 2 else Kind.F32
        file_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(file_name, gguf.quantize(data, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def loaded(path, config, state):
    """What transformers load from the file, and how it differs from what was converted.

    The configuration is given, for they leave out biases of Llama and the width of Qwen3's heads when they make it of the file. Mistral's
    is not, for its files are called llama.
    """
    if config.model_type in UNKNOWN:
        print(f"  transformers do not load files of {config.model_type}")
        return state
    config = None if config.model_type == "mistral" else config
    found = hf.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, config=config, dtype=torch.float32)
    found = {name: value.detach().numpy() for name, value in found.named_parameters()}
    missing = sorted(state.keys() - found.keys())
    worst = max(float(np.abs(found[name] - state[name]).max()) for name in state if name in found)
    print(f"  transformers load {len(found)} of {len(state)} tensors, greatest difference {worst}, without {missing}")
    assert found.keys() <= state.keys()
    return found


def rope_fields(config):
    """`rope_theta` and `rope_scaling`, as configurations had them before transformers 5."""
    rope = dict(getattr(config, "rope_parameters", None) or {})
    if "full_attention" in rope:
        local = rope["sliding_attention"]["rope_theta"]
        return rope_fields(type("Full", (), {"rope_parameters": rope["full_attention"]})) | {"rope_local_base_freq": local}
    if not rope:
        return {}
    fields = {"rope_theta": rope.pop("rope_theta")}
    rope.pop("partial_rotary_factor", None)
    if rope["rope_type"] == "longrope":
        # The length is a field of its own in configurations of this family.
        rope.pop("original_max_position_embeddings")
    if rope.pop("rope_type") != "default":
        fields["rope_scaling"] = dict(rope_type=config.rope_parameters["rope_type"], **rope)
    return fields


def summary(values):
    values = values.astype(np.float64)
    flat = values.ravel()
    places = np.arange(1, flat.size + 1)
    return {"shape": list(values.shape), "sum": math.fsum(flat), "weighted": math.fsum(flat * places)}


def main():
    torch.manual_seed(11)
    OUT.mkdir(exist_ok=True)
    models = {}
    for name, (arch, kind, config) in MODELS.items():
        print(name)
        model, state = state_dict(config)
        path = OUT / f"{name}.gguf"
        write(path, arch, kind, config, state)
        found = loaded(path, config, state)
        if kind != Kind.F16:
            state = found
        fields = {key: value for key, value in config.to_dict().items() if key in FIELDS and value is not None}
        fields["architectures"] = [type(model).__name__]
        if name == "mistral":
            # Without a window it is a Llama, and files do not say more.
            fields |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
        models[name] = {
            "config": fields | rope_fields(config),
            "tensors": {key: summary(values) for key, values in state.items()},
        }
    (OUT / "models.json").write_text(json.dumps(models, separators=(",", ":")).replace('"tensors"', '\n"tensors"') + "\n")


if __name__ == "__main__":
    main()
