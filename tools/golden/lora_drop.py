"""Golden LoRA-drop numbers from the dense formula in float64: crates/peft-prune/tests/golden/lora-drop/

    W' = W + s B A,  some layers with the A and B of an earlier one: autograd sums their gradients by itself.

https://arxiv.org/abs/2402.07721. Regenerate from the repository root:  python3 tools/golden/lora_drop.py
"""

from common import ROOT, fresh
from dense import write_case

import torch

GOLDEN = ROOT / "crates/peft-prune/tests/golden"
RANK, ALPHA = 2, 5
LAYERS = [(f"layers.{i}.{kind}", 8, 8) for i in range(3) for kind in ("up", "down")]
SHARED = {"layers.1.up": "layers.0.up", "layers.2.up": "layers.0.up", "layers.2.down": "layers.1.down"}
CASES = {"shared": (SHARED, False, False), "shared-rslora": (SHARED, True, True), "own": ({}, True, False)}


def start(_path, _weight, d_in, d_out):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    return {"lora_A.weight": (normal(RANK, d_in) / d_in**0.5, True), "lora_B.weight": (0.3 * normal(d_out, RANK), True)}


def effective(scale):
    return lambda weight, t: weight + scale * t["lora_B.weight"] @ t["lora_A.weight"]


if __name__ == "__main__":
    fresh(GOLDEN / "lora-drop")
    for number, (name, (shared, bias, rslora)) in enumerate(CASES.items()):
        config = dict(peft_type="LORA_DROP", format_version=1, r=RANK, lora_alpha=ALPHA, use_rslora=rslora, shared=shared)
        scale = ALPHA / (RANK**0.5 if rslora else RANK)
        write_case("lora-drop", name, 700 + number, LAYERS, bias, config, start, effective(scale), golden=GOLDEN, shared=shared)
