"""A tiny random ViT by transformers, and what it computes: crates/peft-models/tests/golden/vit/

config.json + model.safetensors (3-label image classification), adapter/ (a PEFT LoRA adapter with a trained head), expected.safetensors +
expected.json (eval mode, float32, eager attention): pixels, hidden states, logits, logits with the adapter, loss and gradients.

transformers 5 calls the layers otherwise in memory than in files; adapter/ has the names of the files, as published ones have,
adapter-transformers-5/ is the same as it is saved today.

Regenerate from the repository root:  python3 tools/golden/vit.py
"""

import shutil

from common import MODELS, fresh, randomise_b, versions, write_json, write_tensors

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification

LABELS = [2, 0, 1, 2]
CONFIG = ViTConfig(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    image_size=12,
    patch_size=4,
    num_channels=3,
    num_labels=3,
    layer_norm_eps=1e-2,
    hidden_dropout_prob=0.1,
)


def randomise(model):
    """No weight at 0 or 1, where a missing bias or norm would not show."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "layernorm" in name and name.endswith("weight"):
                p.copy_(1 + 0.3 * torch.randn_like(p))
            else:
                p.normal_(std=0.3)


def in_files(key):
    """The name of a tensor in files."""
    key = key.replace(".vit.layers.", ".vit.encoder.layer.")
    return key.replace(".attention.q_proj.", ".attention.attention.query.").replace(".attention.v_proj.", ".attention.attention.value.")


def rename(folder):
    path = folder / "adapter_model.safetensors"
    save_file({in_files(k): v for k, v in load_file(path).items()}, path, metadata={"format": "pt"})
    path = folder / "adapter_config.json"
    text = path.read_text().replace('"q_proj"', '"query"').replace('"v_proj"', '"value"')
    path.write_text(text)


def main():
    torch.manual_seed(501)
    folder = fresh(MODELS / "vit")
    model = ViTForImageClassification._from_config(CONFIG, attn_implementation="eager").eval()
    randomise(model)
    model.save_pretrained(folder)
    pixels = torch.randn(len(LABELS), 3, 12, 12)
    with torch.no_grad():
        out = {"pixels": pixels, "hidden": model.vit(pixels).last_hidden_state, "logits": model(pixels).logits}
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    adapted = get_peft_model(model, config).eval()
    randomise_b(adapted, std=0.1)
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "modules_to_save" in name:
                p.add_(0.2 * torch.randn_like(p))
    adapted.save_pretrained(folder / "adapter")
    (folder / "adapter/README.md").unlink()
    shutil.copytree(folder / "adapter", folder / "adapter-transformers-5")
    rename(folder / "adapter")
    with torch.no_grad():
        out["adapted.logits"] = adapted(pixel_values=pixels).logits
    adapted.zero_grad()
    loss = adapted(pixel_values=pixels, labels=torch.tensor(LABELS)).loss
    loss.backward()
    out["loss"] = loss.detach().reshape(1)
    by_pointer = {p.data_ptr(): p.grad for p in adapted.parameters() if p.requires_grad}
    out.update({f"grad.{in_files(k)}": by_pointer[v.data_ptr()] for k, v in get_peft_model_state_dict(adapted).items()})
    write_tensors(folder / "expected.safetensors", out)
    write_json(folder / "expected.json", {"generator": "tools/golden/vit.py", "labels": LABELS, **versions()})


main()
