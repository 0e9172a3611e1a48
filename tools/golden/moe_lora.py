"""Golden numbers of mixtures of LoRA experts from the dense formula in float64: crates/peft-moe/tests/golden/moe-lora/

    p = softmax(x Wg^T) over all experts, top-k, renormalised:  g
    out_i = c_i e_i + (g_i - c_i) detach(e_i),  e_i = s B_i A_i x,  c = g | sqrt(g) | 1, detached   (every expert computed, most times 0)

https://arxiv.org/abs/2502.15828 with the gate of the authors' moe_lora.py. Regenerate from the repository root:
python3 tools/golden/moe_lora.py
"""

from common import ROOT, fresh
from dense import ADAMW, SINGLE, TWO_LAYERS, write_case

import torch

GOLDEN = ROOT / "crates/peft-moe/tests/golden"
RANK, ALPHA = 2, 5
# Some gradients of routers are so small that rounding decides their direction, which AdamW then takes for a step of full size.
GENTLE = {**ADAMW, "eps": 1e-3}
CASES = {
    "true": ("none", 4, 2, SINGLE, True),
    "sqrt-detach": ("sqrt-detach", 4, 2, TWO_LAYERS, True),
    "theory": ("theory", 5, 3, TWO_LAYERS, False),
    "all-chosen": ("sqrt-detach", 3, 3, TWO_LAYERS, True),
}


def start_of(experts):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)

    def start(_path, _weight, d_in, d_out):
        return {
            "experts.lora_A.weight": (normal(experts * RANK, d_in) / d_in**0.5, True),
            "experts.lora_B.weight": (0.3 * normal(d_out, experts * RANK), True),
            "router.weight": (normal(experts, d_in), True),
        }

    return start


def credit(rescale, gate):
    gate = gate.detach()
    return {"none": gate, "sqrt-detach": gate.sqrt(), "theory": (gate > 0).double()}[rescale]


def mixture(rescale, experts, top_k):
    def product(x, weight, t):
        p = torch.softmax(x @ t["router.weight"].T, dim=-1)
        mask = torch.zeros_like(p).scatter(1, p.topk(top_k).indices, 1.0)
        gates = p * mask / (p * mask).sum(-1, keepdim=True)
        y = x @ weight.T
        for i in range(experts):
            rows = slice(i * RANK, (i + 1) * RANK)
            e = ALPHA / RANK * (x @ t["experts.lora_A.weight"][rows].T) @ t["experts.lora_B.weight"][:, rows].T
            g = gates[:, i : i + 1]
            c = credit(rescale, g)
            y = y + c * e + (g - c) * e.detach()
        return y

    return product


if __name__ == "__main__":
    fresh(GOLDEN / "moe-lora")
    for number, (name, (rescale, experts, top_k, layers, bias)) in enumerate(CASES.items()):
        config = dict(peft_type="MOE_LORA", format_version=1, r=RANK, lora_alpha=ALPHA)
        config.update(num_experts=experts, top_k=top_k, gate_rescale=rescale, balance_loss=0.0, z_loss=0.0)
        start, product = start_of(experts), mixture(rescale, experts, top_k)
        write_case("moe-lora", name, 800 + number, layers, bias, config, start, product=product, golden=GOLDEN, adamw=GENTLE)
