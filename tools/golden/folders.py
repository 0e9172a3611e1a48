"""Adapter folders exactly as PEFT writes them: crates/peft-core/tests/golden/folders/<name>/ and folders/manifest.json

Every folder is a LoRA adapter on the same tiny random BERT (hidden 16, 2 layers) or GPT-2. The manifest lists all
linear layers, embeddings and norms of the models and, per folder, what PEFT really adapted (path, shape, rank, alpha,
scaling read from the live layers). The last four folders are of other forms: biases, mixed types, a named adapter in a
subfolder, a pickle; their values are random throughout.

Regenerate from the repository root:  python3 tools/golden/folders.py
Compare folders written by this project (the test `golden_folders` leaves them in target/tmp/written):
  python3 tools/golden/folders.py --check target/tmp/written
"""

import sys
from pathlib import Path

from common import CORE, adapted, fresh, randomise_b, saved_modules, versions, write_json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, BertModel, GPT2Config, GPT2Model
from transformers.pytorch_utils import Conv1D

MODEL = dict(
    vocab_size=40,
    max_position_embeddings=16,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    num_labels=3,
)
GPT2 = dict(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2)
SEED = 400
# PEFT writes pattern keys sorted and the first match wins, so overlapping keys here stand in sorted order.
PATTERNS = dict(
    target_modules=["query", "key", "value", "intermediate.dense"],
    rank_pattern={r"^bert\.encoder\.layer\.0\..*\.query": 2, r"layer\.[1-9]\.intermediate\.dense": 6, "query": 3},
    alpha_pattern={r"encoder\.layer\.\d+\.attention\.self\.(key|value)": 12, "value": 99},
)
# name: (model, LoraConfig fields beyond r=4 and lora_alpha=8, how it is saved)
BARE, HEAD, CONV = "bare", "sequence_classification", "gpt2"
FOLDERS = {
    "lora": (BARE, dict(target_modules=["query", "value"])),
    "rslora": (BARE, dict(target_modules=["query", "value"], use_rslora=True)),
    "patterns": (HEAD, PATTERNS),
    "seq-cls-head": (HEAD, dict(target_modules=["query", "value"], task_type="SEQ_CLS")),
    "all-linear": (HEAD, dict(target_modules="all-linear", task_type="SEQ_CLS")),
    "regex-target": (HEAD, dict(target_modules=r".*\.layer\.1\..*(query|output\.dense)")),
    "layers-to-transform": (HEAD, dict(target_modules=["query", "dense"], layers_to_transform=[1])),
    "layers-pattern": (HEAD, dict(target_modules=["value"], layers_to_transform=0, layers_pattern="layer")),
    "exclude": (HEAD, dict(target_modules=["query", "dense"], exclude_modules=["pooler.dense", "output.dense"])),
    "conv1d": (CONV, dict(target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)),
    "embedding": (BARE, dict(target_modules=["word_embeddings", "query"])),
    "bias-all": (HEAD, dict(target_modules=["query"], bias="all")),
    "bias-lora-only": (HEAD, dict(target_modules=["query", "value"], bias="lora_only")),
    "mixed-dtypes": (HEAD, dict(target_modules=["query", "value"], task_type="SEQ_CLS")),
    "named": (BARE, dict(target_modules=["key"])),
    "pickle": (HEAD, dict(target_modules=["query"], task_type="SEQ_CLS")),
}


def base_model(kind):
    torch.manual_seed(SEED)
    if kind == CONV:
        return GPT2Model(GPT2Config(**GPT2))
    config = BertConfig(**MODEL)
    return BertForSequenceClassification(config) if kind == HEAD else BertModel(config)


def layers(model):
    """Path, sizes and kind of everything that can be adapted, and of the norms, whose biases may train."""
    kinds = {torch.nn.Linear: "linear", Conv1D: "conv1d", torch.nn.Embedding: "embedding", torch.nn.LayerNorm: "norm"}
    found = []
    for name, module in model.named_modules():
        if type(module) in kinds:
            kind = kinds[type(module)]
            shape = list(module.weight.shape)
            d_in, d_out = shape[::-1] if kind == "linear" else (shape * 2)[:2]
            found.append({"path": name, "d_in": d_in, "d_out": d_out, "kind": kind})
    return found


def randomise(model, name):
    """Every trained value becomes random: factors, heads, biases. Values that stay at their start would hide mistakes."""
    for key, parameter in model.named_parameters():
        if parameter.requires_grad and ("lora_" not in key or "lora_B" in key or "embedding_A" in key):
            torch.nn.init.normal_(parameter, std=0.3)
    if name == "mixed-dtypes":
        for key, parameter in model.named_parameters():
            if "query.lora_" in key:
                parameter.data = parameter.data.to(torch.bfloat16)
            if "value.lora_A" in key:
                parameter.data = parameter.data.to(torch.float16)


def tensors_of(folder):
    if (folder / "adapter_model.bin").exists():
        return torch.load(folder / "adapter_model.bin", weights_only=True)
    return load_file(folder / "adapter_model.safetensors")


def outputs(model):
    """Of two rows of tokens, which tell whether two folders mean the same."""
    with torch.no_grad():
        result = model.eval()(input_ids=torch.tensor([[3, 5, 7, 11], [13, 17, 19, 23]]))
    return getattr(result, "logits", None) if hasattr(result, "logits") else result.last_hidden_state


def load(kind, folder):
    """The folder in a fresh model, in PEFT, every tensor of it used."""
    model = PeftModel.from_pretrained(base_model(kind), folder)
    missing = set(tensors_of(folder)) - set(get_peft_model_state_dict(model))
    assert not missing, f"PEFT has no use for {missing}"
    return model


def write_folder(name, seed, kind, fields):
    adapter = "second" if name == "named" else "default"
    folder = fresh(CORE / "folders" / name)
    base = base_model(kind)
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, **fields), adapter_name=adapter)
    if name in FORMS:
        torch.manual_seed(seed)
        randomise(model, name)
    else:
        randomise_b(model)
    model.save_pretrained(folder, safe_serialization=name != "pickle")
    folder = folder / adapter if adapter != "default" else folder
    (folder / "README.md").unlink(missing_ok=True)
    (CORE / "folders" / name / "README.md").unlink(missing_ok=True)
    entry = {
        "model": kind,
        "adapted": adapted(model, adapter),
        "modules_to_save": saved_modules(model),
        "keys": {k: list(v.shape) for k, v in sorted(tensors_of(folder).items())},
    }
    again = load(kind, folder)
    assert adapted(again) == entry["adapted"], "reloading the folder changes what PEFT adapts"
    assert saved_modules(again) == entry["modules_to_save"]
    return entry


FORMS = ["conv1d", "embedding", "bias-all", "bias-lora-only", "mixed-dtypes", "named", "pickle"]


def check(written):
    """Compare folders that this project wrote, written/NAME, with PEFT's own: the same outputs in PEFT."""
    for name, (kind, _) in FOLDERS.items():
        original = CORE / "folders" / name
        original = original / "second" if name == "named" else original
        expected, found = outputs(load(kind, original)), outputs(load(kind, written / name))
        difference = (expected - found).abs().max().item()
        print(f"{name}: largest difference {difference:.2e} of outputs up to {expected.abs().max().item():.2f}")
        assert difference <= 1e-6


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        check(Path(sys.argv[2]))
        sys.exit()
    fresh(CORE / "folders")
    entries = {
        name: write_folder(name, SEED + 1 + i, kind, fields) for i, (name, (kind, fields)) in enumerate(FOLDERS.items())
    }
    models = {kind: layers(base_model(kind)) for kind in (BARE, HEAD, CONV)}
    manifest = {"model_config": MODEL, "gpt2_config": GPT2, "layers": models, "folders": entries, "versions": versions()}
    write_json(CORE / "folders/manifest.json", manifest)
