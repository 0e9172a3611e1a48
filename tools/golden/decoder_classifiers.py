"""Tiny random decoders with a classification head by transformers: crates/peft-models/tests/golden/<name>-classifier/

llama (its word table tied in the language model) and gpt2: config.json + model.safetensors (3 labels), adapter/ (a PEFT LoRA adapter
with a trained head), expected.safetensors (eval mode, float32, eager attention): logits of padded rows with and without the adapter,
loss and gradients of the adapter.

Regenerate from the repository root:  python3 tools/golden/decoder_classifiers.py
"""

from common import MODELS, fresh, randomise_b, versions, write_json, write_tensors

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from transformers import AutoModelForSequenceClassification, GPT2Config, LlamaConfig

LABELS, ROWS, WIDTH = 3, 4, 11
LENGTHS = [11, 4, 7, 1]
TARGETS = [2, 0, 1, 2]
FAMILIES = {
    "llama": (
        501,
        LlamaConfig(
            vocab_size=97,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            rms_norm_eps=1e-3,
            pad_token_id=0,
            tie_word_embeddings=True,
            num_labels=LABELS,
        ),
        ["q_proj"],
    ),
    "gpt2": (
        502,
        GPT2Config(
            vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=64, layer_norm_epsilon=1e-3, pad_token_id=0, num_labels=LABELS
        ),
        ["c_attn"],
    ),
}


def write_family(name):
    seed, config, targets = FAMILIES[name]
    folder = fresh(MODELS / f"{name}-classifier")
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.add_(0.3 * torch.randn_like(p)) if "norm" in key or ".ln_" in key else p.normal_(std=0.3)
    model.save_pretrained(folder)
    mask = (torch.arange(WIDTH)[None] < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(3, 97, (ROWS, WIDTH)) * mask
    out = {"input_ids": ids}
    with torch.no_grad():
        out["logits"] = model(input_ids=ids, attention_mask=mask).logits
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="SEQ_CLS")).eval()
    randomise_b(adapted, std=0.1)
    with torch.no_grad():
        for key, p in adapted.named_parameters():
            if "modules_to_save" in key:
                p.add_(0.2 * torch.randn_like(p))
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter/README.md").unlink()
    adapted.zero_grad()
    result = adapted(input_ids=ids, attention_mask=mask, labels=torch.tensor(TARGETS))
    result.loss.backward()
    out["adapted.logits"] = result.logits.detach()
    out["loss"] = result.loss.detach().reshape(1)
    by_pointer = {p.data_ptr(): p.grad for p in adapted.parameters() if p.requires_grad}
    out.update({f"grad.{k}": by_pointer[v.data_ptr()] for k, v in get_peft_model_state_dict(adapted).items()})
    write_tensors(folder / "expected.safetensors", out)
    write_json(folder / "expected.json", {"generator": "tools/golden/decoder_classifiers.py", "seed": seed, "lengths": LENGTHS, **versions()})


for family in FAMILIES:
    write_family(family)
