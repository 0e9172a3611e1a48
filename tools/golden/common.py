"""Shared by the golden generators: where files go, fixed seeds, writers. Importing it makes Python's hash order fixed.

PEFT writes sets (target_modules) in hash order, so the generators restart themselves once with PYTHONHASHSEED=0.
"""

import json
import os
import platform
import shutil
import sys
import warnings
from pathlib import Path

if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "crates/peft-core/tests/golden"
FORMAT = ROOT / "crates/peft-format/tests/golden"
MODELS = ROOT / "crates/peft-models/tests/golden"

torch.set_num_threads(1)
torch.set_default_dtype(torch.float32)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


def versions():
    """The versions that computed a file, for its JSON."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }


def fresh(folder):
    """An empty folder at this path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_json(path, value):
    """Keys keep their order: in rank_pattern and alpha_pattern the first match wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_tensors(path, tensors):
    """Write copies of the tensors, then read the file back and compare."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
    save_file(tensors, path)
    back = load_file(path)
    assert back.keys() == tensors.keys()
    for name, t in tensors.items():
        assert torch.equal(back[name], t), name
        assert torch.isfinite(t.float()).all(), f"{name} is not finite"


def plain_config(config):
    """A PEFT config as JSON-ready values: sets sorted, enums as their text."""

    def plain(value):
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return getattr(value, "value", value)

    return plain(config.to_dict())


def lora_layers(peft_model):
    """(path without `base_model.model.`, live PEFT layer), in model order."""
    prefix = "base_model.model."
    return [
        (name.removeprefix(prefix), module)
        for name, module in peft_model.named_modules()
        if isinstance(module, peft.tuners.lora.LoraLayer)
    ]


def randomise_b(peft_model, std=0.3):
    """PEFT starts B at zero, where every test of the delta would pass; make it random."""
    for _, layer in lora_layers(peft_model):
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=std)


def adapted(peft_model, adapter="default"):
    """What PEFT really attached: path, shape, rank, alpha and scaling read from the live layers."""
    return [
        {
            "path": path,
            "d_in": layer.in_features,
            "d_out": layer.out_features,
            "rank": layer.r[adapter],
            "alpha": layer.lora_alpha[adapter],
            "scaling": layer.scaling[adapter],
        }
        for path, layer in lora_layers(peft_model)
    ]


def saved_modules(model):
    """Live paths of the modules trained and saved whole. PEFT matches modules_to_save by bare endswith:
    "classifier" also takes DistilBERT's "pre_classifier"."""
    prefix = "base_model.model."
    return [n.removeprefix(prefix) for n, m in model.named_modules() if isinstance(m, peft.utils.ModulesToSaveWrapper)]
