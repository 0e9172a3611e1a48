"""Tiny random decoders by transformers, and what they compute: crates/peft-models/tests/golden/<name>/

llama (grouped queries, every bias, linear rope scaling), llama3 (llama3 rope scaling, tied table), mistral (sliding window), qwen2
(biases of the projections, window from the second layer on), qwen3 (norms of queries and keys, wide heads), gpt2 (Conv1D, positions),
gemma (norms less 1, GELU), gemma2 (norms on both sides, bounded scores and logits, every second layer with a window), gemma3 (two kinds of
rotary positions), phi3 (joint projections, half of each head turned, LongRoPE beyond its length), smollm3 (a layer without positions),
granite (factors), olmo2 (norms of outputs, and of all queries together):
config.json + model.safetensors, adapter/ (a PEFT LoRA adapter of one kind of layer), expected.safetensors + expected.json (eval mode,
float32, eager attention): logits of full rows and of left-padded rows, greedy continuations, loss and gradients of the adapter.
gpt2-bare: the same weights as published ones are stored, without `transformer.` and with the causal mask as a buffer.

Regenerate from the repository root:  python3 tools/golden/decoders.py [NAME ..]
"""

import sys

from common import MODELS, fresh, randomise_b, versions, write_json, write_tensors

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

SIZES = dict(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rms_norm_eps=1e-3,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 100.0}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "partial_rotary_factor": 0.5,
    "short_factor": [1.0, 1.1],
    "long_factor": [1.3, 2.0],
}
ROWS, WIDTH, NEW = 3, 14, 12
# name: seed, config, adapted layers
FAMILIES = {
    "llama": (
        401,
        LlamaConfig(
            **SIZES, attention_bias=True, mlp_bias=True, rope_parameters=LINEAR, tie_word_embeddings=False
        ),
        ["gate_proj"],
    ),
    "llama3": (402, LlamaConfig(**SIZES, rope_parameters=LLAMA3, tie_word_embeddings=True), ["k_proj"]),
    "mistral": (
        403,
        MistralConfig(**SIZES, sliding_window=5, rope_parameters=PLAIN, tie_word_embeddings=False),
        ["q_proj"],
    ),
    "qwen2": (
        404,
        Qwen2Config(
            **SIZES,
            use_sliding_window=True,
            sliding_window=6,
            max_window_layers=1,
            rope_parameters=PLAIN,
            tie_word_embeddings=False,
        ),
        ["v_proj"],
    ),
    "qwen3": (
        405,
        Qwen3Config(**SIZES, head_dim=16, rope_parameters=PLAIN, tie_word_embeddings=True),
        ["q_proj"],
    ),
    "gemma": (
        407,
        GemmaConfig(**SIZES, head_dim=16, rope_parameters=PLAIN),
        ["o_proj"],
    ),
    "gemma2": (
        408,
        Gemma2Config(
            **SIZES,
            head_dim=16,
            query_pre_attn_scalar=20,
            sliding_window=5,
            attn_logit_softcapping=3.0,
            final_logit_softcapping=2.0,
            rope_parameters=PLAIN,
        ),
        ["q_proj"],
    ),
    "gemma3": (
        409,
        Gemma3TextConfig(
            **SIZES,
            head_dim=16,
            query_pre_attn_scalar=20,
            sliding_window=5,
            layer_types=["sliding_attention", "full_attention"],
            rope_parameters={"sliding_attention": PLAIN, "full_attention": LINEAR},
        ),
        ["k_proj"],
    ),
    "phi3": (
        410,
        Phi3Config(
            **SIZES,
            sliding_window=9,
            original_max_position_embeddings=8,
            rope_parameters=LONG,
        ),
        ["qkv_proj", "gate_up_proj"],
    ),
    "smollm3": (
        411,
        SmolLM3Config(**SIZES, no_rope_layer_interval=2, rope_parameters=PLAIN, attention_bias=True),
        ["v_proj"],
    ),
    "granite": (
        412,
        GraniteConfig(
            **SIZES,
            embedding_multiplier=3.0,
            attention_multiplier=0.4,
            residual_multiplier=0.7,
            logits_scaling=4.0,
            rope_parameters=PLAIN,
        ),
        ["up_proj"],
    ),
    "olmo2": (
        413,
        Olmo2Config(**SIZES, rope_parameters=PLAIN),
        ["q_proj"],
    ),
    "gpt2": (
        406,
        GPT2Config(
            vocab_size=97,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=64,
            layer_norm_epsilon=1e-3,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        ),
        ["c_attn"],
    ),
}


def randomise(model):
    """No weight at 0 or 1, where a missing bias or norm would not show."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name or ".ln_" in name:
                p.add_(0.3 * torch.randn_like(p))
            else:
                p.normal_(std=0.3)


def left_padded(ids):
    """The rows with 0, 3 and 6 tokens of padding on the left: ids, mask, positions from the first token on."""
    missing = torch.tensor([0, 3, 6])[:, None]
    mask = (torch.arange(WIDTH)[None] >= missing).long()
    return {
        "input_ids": ids * mask,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
    }


def adapter(model, targets, folder):
    config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config).eval()
    randomise_b(adapted, std=0.1)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    return adapted


def gradients(model, ids):
    """Cross-entropy of every next token: the loss, and the gradient of every tensor of the adapter file by its key there."""
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    by_pointer = {p.data_ptr(): p.grad for p in model.parameters() if p.requires_grad}
    grads = {f"grad.{k}": by_pointer[v.data_ptr()] for k, v in get_peft_model_state_dict(model).items()}
    assert all(g.abs().max() > 1e-6 for g in grads.values())
    return {"loss": loss.detach().reshape(1), **grads}


def write_family(name):
    seed, config, targets = FAMILIES[name]
    folder = fresh(MODELS / name)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomise(model)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(3, 97, (ROWS, WIDTH))
    padded = left_padded(ids)
    out = {"input_ids": ids, **{f"padded.{k}": v for k, v in padded.items()}}
    with torch.no_grad():
        out["logits"] = model(input_ids=ids).logits
        out["padded.logits"] = model(**padded).logits
        greedy = model.generate(ids[:1], max_new_tokens=NEW, do_sample=False, eos_token_id=None)
    out["greedy"] = greedy[:, WIDTH:]
    adapted = adapter(model, targets, folder / "adapter")
    with torch.no_grad():
        out["adapted.logits"] = adapted(input_ids=ids).logits
    out.update(gradients(adapted, ids))
    write_tensors(folder / "expected.safetensors", out)
    write_json(folder / "expected.json", {"generator": "tools/golden/decoders.py", "seed": seed, **versions()})


def write_bare_gpt2():
    """GPT-2 as it was published: no prefix, and buffers of the attention."""
    source, folder = MODELS / "gpt2", fresh(MODELS / "gpt2-bare")
    tensors = {k.removeprefix("transformer."): v for k, v in load_file(source / "model.safetensors").items()}
    for layer in range(2):
        tensors[f"h.{layer}.attn.bias"] = torch.tril(torch.ones(64, 64))[None, None]
    save_file(tensors, folder / "model.safetensors")
    for name in ["config.json", "expected.safetensors"]:
        (folder / name).write_bytes((source / name).read_bytes())


for family in sys.argv[1:] or FAMILIES:
    write_family(family)
if not sys.argv[1:]:
    write_bare_gpt2()
