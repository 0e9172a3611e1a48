"""What adapter folders hold beside factors: crates/peft-models/tests/golden/contents/<base>-<kind>/

Adapters by Hugging Face PEFT on the tiny decoders of decoders.py (llama: output layer of its own, qwen3 and gpt2: tied to the word table) and on
bert: the output layer or the word table saved whole, adapted, both; a vocabulary with two tokens more or three less than the base's, saved by
itself and with `modules_to_save` (where PEFT stores a layer under three names); a body without a head. Each folder has expected.safetensors:
`input_ids`, and `logits` (`hidden` for a body) of base and adapter in float32.

Regenerate from the repository root, after decoders.py and encoders.py:  python3 tools/golden/contents.py
"""

from common import MODELS, fresh, versions, write_json, write_tensors

import json

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel, AutoModelForCausalLM

TABLE = {"llama": "embed_tokens", "qwen3": "embed_tokens", "gpt2": "wte"}
LAYER = {"llama": "v_proj", "qwen3": "v_proj", "gpt2": "c_attn", "bert": "query"}
# kind: modules to save, more targets, change of the number of tokens (T is the table, H the output layer)
KINDS = {
    "head": (["H"], [], 0),
    "table": (["T"], [], 0),
    "both": (["T", "H"], [], 0),
    "lora-table": ([], ["T"], 0),
    "lora-head": ([], ["H"], 0),
    "grown": ([], [], 2),
    "shrunk": ([], [], -3),
    "grown-saved": (["T", "H"], [], 2),
}
ROWS, WIDTH = 2, 9


def names(base, symbols):
    return [{"T": TABLE[base], "H": "lm_head"}[symbol] for symbol in symbols]


def train(model):
    """Moves what training moves: both factors of every pair, and every copy."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.normal_(std=0.2)
            elif "modules_to_save" in name:
                p.add_(0.2 * torch.randn_like(p))


def write_decoder(base, kind):
    saved, targets, change = KINDS[kind]
    torch.manual_seed(sum(map(ord, base + kind)))
    model = AutoModelForCausalLM.from_pretrained(MODELS / base, attn_implementation="eager").eval()
    tokens = model.config.vocab_size + change
    if change:
        model.resize_token_embeddings(tokens, mean_resizing=False)
        with torch.no_grad():
            for layer in {model.get_input_embeddings(), model.get_output_embeddings()}:
                layer.weight.add_(0.2 * torch.randn_like(layer.weight))
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=[LAYER[base], *names(base, targets)],
        modules_to_save=names(base, saved) or None,
        task_type="CAUSAL_LM",
        fan_in_fan_out=base == "gpt2",
    )
    adapted = get_peft_model(model, config).eval()
    train(adapted)
    folder = fresh(MODELS / "contents" / f"{base}-{kind}")
    adapted.save_pretrained(folder, save_embedding_layers=True if change else "auto")
    (folder / "README.md").unlink()
    ids = torch.randint(3, tokens, (ROWS, WIDTH))
    ids[:, 0] = tokens - 1
    with torch.no_grad():
        logits = adapted(input_ids=ids).logits
    finish(folder, {"input_ids": ids, "logits": logits})


def write_body(base):
    torch.manual_seed(7)
    model = AutoModel.from_pretrained(MODELS / base, attn_implementation="eager").eval()
    config = LoraConfig(r=4, lora_alpha=8, target_modules=[LAYER[base]], fan_in_fan_out=base == "gpt2")
    adapted = get_peft_model(model, config).eval()
    train(adapted)
    folder = fresh(MODELS / "contents" / f"{base}-body")
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    ids = torch.randint(3, model.config.vocab_size, (ROWS, WIDTH))
    with torch.no_grad():
        hidden = adapted(input_ids=ids).last_hidden_state
    finish(folder, {"input_ids": ids, "hidden": hidden})


def finish(folder, tensors):
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = folder.name.split("-")[0]
    write_json(folder / "adapter_config.json", config)
    write_tensors(folder / "expected.safetensors", tensors)
    write_json(folder / "expected.json", {"generator": "tools/golden/contents.py", **versions()})


for base in ["llama", "qwen3"]:
    for kind in KINDS:
        write_decoder(base, kind)
for kind in ["table", "lora-table", "grown"]:
    write_decoder("gpt2", kind)
for base in ["llama", "gpt2", "bert"]:
    write_body(base)
