"""What defines PEFT's LoRA initialisations: crates/peft-core/tests/golden/init.json

Per init_lora_weights value, d_in and rank: the exact bound or std (recomputed here from its formula) and the largest
value, mean and variance of a big sample drawn by PEFT's own layer (population variance, float64).

Regenerate from the repository root:  python3 tools/golden/init.py
"""

from common import CORE, versions, write_json

import math

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear
from torch import nn

SHAPES = [(12, 7, 4), (64, 64, 8), (768, 768, 8), (768, 3072, 16), (3072, 768, 4)]
SAMPLE = 400_000
BOUND = "uniform(-b, b), b = sqrt(3) * sqrt(2 / (1 + 5)) / sqrt(fan_in) = 1 / sqrt(fan_in)"
FORMULAS = {
    "true": {"a": f"{BOUND}, fan_in = d_in", "b": "zeros"},
    "gaussian": {"a": "normal(mean 0, std = 1 / rank)", "b": "zeros"},
    "orthogonal": {
        "a": "X Q[0::2] / 10, X standard normal, Q orthogonal [rank, rank]: variance 1 / 200",
        "b": "Q[1::2]^T Y / 10, Y standard normal: variance 1 / 200, product with A zero",
    },
    "false": {"a": f"{BOUND}, fan_in = d_in", "b": f"{BOUND}, fan_in = rank"},
}


def draw(init, d_in, d_out, rank):
    """Samples of A and of B, at least SAMPLE values of A, from fresh PEFT layers."""
    config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights=init, target_modules=["linear"])
    a, b, largest = [], [], 0.0
    with torch.device("cpu"):
        base = nn.Linear(d_in, d_out, bias=False)
        for _ in range(math.ceil(SAMPLE / (rank * d_in))):
            layer = Linear(base, "default", config=config, r=rank, lora_alpha=rank)
            a.append(layer.lora_A["default"].weight.detach().flatten())
            b.append(layer.lora_B["default"].weight.detach().flatten())
            largest = max(largest, layer.get_delta_weight("default").abs().max().item())
    assert largest < 1e-6 or init is False
    return torch.cat(a).double(), torch.cat(b).double()


def stats(sample):
    return {
        "count": sample.numel(),
        "max_abs": sample.abs().max().item(),
        "mean": sample.mean().item(),
        "variance": sample.var(unbiased=False).item(),
    }


def uniform(fan_in):
    bound = math.sqrt(3) * nn.init.calculate_gain("leaky_relu", math.sqrt(5)) / math.sqrt(fan_in)
    assert math.isclose(bound, 1 / math.sqrt(fan_in))
    return {"distribution": "uniform", "bound": bound, "variance": bound**2 / 3}


def expected(init, d_in, rank):
    zeros = {"distribution": "zeros", "bound": 0.0, "variance": 0.0}
    if init == "orthogonal":
        # Rows of an orthogonal matrix: the squares of each add up to 1, over half of the rows.
        half = {"distribution": "orthogonal", "coefficient": 0.1, "variance": 0.1**2 / 2}
        return half, half
    if init == "gaussian":
        return {"distribution": "normal", "std": 1 / rank, "variance": 1 / rank**2}, zeros
    return uniform(d_in), zeros if init else uniform(rank)


def check(exact, sample):
    if "bound" in exact:
        assert sample["max_abs"] <= exact["bound"] * (1 + 1e-6)
    assert abs(sample["variance"] - exact["variance"]) <= 0.02 * exact["variance"]
    assert abs(sample["mean"]) <= 5 * math.sqrt(exact["variance"] / sample["count"])


if __name__ == "__main__":
    torch.manual_seed(200)
    cases = []
    for value in (True, "gaussian", False, "orthogonal"):
        for n_in, n_out, r in SHAPES:
            for_a, for_b = expected(value, n_in, r)
            a_sample, b_sample = (stats(s) for s in draw(value, n_in, n_out, r))
            check(for_a, a_sample)
            check(for_b, b_sample)
            key = {"init_lora_weights": value, "d_in": n_in, "d_out": n_out, "rank": r}
            cases.append({**key, "a": {"exact": for_a, "sample": a_sample}, "b": {"exact": for_b, "sample": b_sample}})
    write_json(CORE / "init.json", {"cases": cases, "formulas": FORMULAS, "versions": versions()})
