"""Adapter folders exactly as PEFT writes them: crates/peft-core/tests/golden/folders/<name>/ and folders/manifest.json

Every folder is a LoRA adapter on the same tiny random BERT (hidden 16, 2 layers). The manifest lists all linear layers
of the model and, per folder, what PEFT really adapted (path, shape, rank, alpha, scaling read from the live layers).

Regenerate from the repository root:  python3 tools/golden/folders.py
"""

from common import CORE, adapted, fresh, randomise_b, saved_modules, versions, write_json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, BertModel

MODEL = dict(
    vocab_size=40,
    max_position_embeddings=16,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    num_labels=3,
)
SEED = 400
# PEFT writes pattern keys sorted and the first match wins, so overlapping keys here stand in sorted order.
PATTERNS = dict(
    target_modules=["query", "key", "value", "intermediate.dense"],
    rank_pattern={r"^bert\.encoder\.layer\.0\..*\.query": 2, r"layer\.[1-9]\.intermediate\.dense": 6, "query": 3},
    alpha_pattern={r"encoder\.layer\.\d+\.attention\.self\.(key|value)": 12, "value": 99},
)
# name: (with a classification head, LoraConfig fields beyond r=4 and lora_alpha=8)
FOLDERS = {
    "lora": (False, dict(target_modules=["query", "value"])),
    "rslora": (False, dict(target_modules=["query", "value"], use_rslora=True)),
    "patterns": (True, PATTERNS),
    "seq-cls-head": (True, dict(target_modules=["query", "value"], task_type="SEQ_CLS")),
    "all-linear": (True, dict(target_modules="all-linear", task_type="SEQ_CLS")),
    "regex-target": (True, dict(target_modules=r".*\.layer\.1\..*(query|output\.dense)")),
    "layers-to-transform": (True, dict(target_modules=["query", "dense"], layers_to_transform=[1])),
    "layers-pattern": (True, dict(target_modules=["value"], layers_to_transform=0, layers_pattern="layer")),
    "exclude": (True, dict(target_modules=["query", "dense"], exclude_modules=["pooler.dense", "output.dense"])),
}


def base_model(head):
    torch.manual_seed(SEED)
    config = BertConfig(**MODEL)
    return BertForSequenceClassification(config) if head else BertModel(config)


def linears(model):
    return [
        {"path": name, "d_in": module.in_features, "d_out": module.out_features}
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]


def write_folder(name, seed, head, fields):
    folder = fresh(CORE / "folders" / name)
    base = base_model(head)
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, **fields))
    randomise_b(model)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    entry = {
        "model": "sequence_classification" if head else "bare",
        "adapted": adapted(model),
        "modules_to_save": saved_modules(model),
        "keys": {k: list(v.shape) for k, v in sorted(load_file(folder / "adapter_model.safetensors").items())},
    }
    again = PeftModel.from_pretrained(base_model(head), folder)
    assert adapted(again) == entry["adapted"], "reloading the folder changes what PEFT adapts"
    assert saved_modules(again) == entry["modules_to_save"]
    assert sorted(p.name for p in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    return entry


if __name__ == "__main__":
    fresh(CORE / "folders")
    entries = {
        name: write_folder(name, SEED + 1 + i, head, fields) for i, (name, (head, fields)) in enumerate(FOLDERS.items())
    }
    models = {"bare": linears(base_model(False)), "sequence_classification": linears(base_model(True))}
    manifest = {"model_config": MODEL, "linears": models, "folders": entries, "versions": versions()}
    write_json(CORE / "folders/manifest.json", manifest)
