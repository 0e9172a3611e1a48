"""Golden steps of preconditioned optimizers in float64: crates/peft-moe/tests/golden/riemannian/

    G_A <- (B^T B + d I)^-1 G_A,  G_B <- G_B (A A^T + d I)^-1     (the authors' orientation), then SGD or AdamW, five steps

Jacobi conditions both by the values before the step, Gauss-Seidel G_B by the A after it. Inverses are explicit. AdamW is torch's formula
with bias correction, written out. https://arxiv.org/abs/2402.02347. Regenerate from the repository root:  python3 tools/golden/riemannian.py
"""

from common import ROOT, fresh
from dense import TWO_LAYERS, write_case
from moe_lora import GENTLE, mixture

import torch

GOLDEN = ROOT / "crates/peft-moe/tests/golden"
RANK, ALPHA, DAMPING, STEPS = 2, 4, 1e-2, 5
CASES = {f"{kind}-{order}": (kind, order) for kind in ("sgd", "adamw") for order in ("jacobi", "gauss-seidel")}
RATES = {"sgd": 2e-2, "adamw": 5e-3}


def lora(path, _weight, d_in, d_out):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    return {"lora_A.weight": (normal(RANK, d_in) / d_in**0.5, True), "lora_B.weight": (0.3 * normal(d_out, RANK), True)}


def effective(weight, t):
    return weight + ALPHA / RANK * t["lora_B.weight"] @ t["lora_A.weight"]


def experts(_path, _weight, d_in, d_out):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    return {
        "experts.lora_A.weight": (normal(3 * RANK, d_in) / d_in**0.5, True),
        "experts.lora_B.weight": (0.3 * normal(d_out, 3 * RANK), True),
        "router.weight": (normal(3, d_in), True),
    }


def inverse(gram):
    return torch.linalg.inv(gram + DAMPING * torch.eye(len(gram), dtype=torch.float64))


def conditioned(key, grad, trained):
    """The gradient of one factor, block by block; other parameters keep theirs."""
    if ".lora_A." in key:
        other = trained[key.replace(".lora_A.", ".lora_B.")].detach()
        blocks = [inverse(b.T @ b) @ g for b, g in zip(other.split(RANK, 1), grad.split(RANK, 0))]
        return torch.cat(blocks, 0)
    if ".lora_B." in key:
        other = trained[key.replace(".lora_B.", ".lora_A.")].detach()
        blocks = [g @ inverse(a @ a.T) for a, g in zip(other.split(RANK, 0), grad.split(RANK, 1))]
        return torch.cat(blocks, 1)
    return grad


def optimizer(kind, order):
    def train(trained, loss, out, adamw):
        moments = {key: (torch.zeros_like(t), torch.zeros_like(t)) for key, t in trained.items()}

        def step(key, grad, number):
            tensor, lr = trained[key], RATES[kind]
            if kind == "sgd":
                tensor.data -= lr * grad
                return
            m, v = moments[key]
            m.mul_(0.9).add_(0.1 * grad)
            v.mul_(0.999).add_(0.001 * grad**2)
            m_hat, v_hat = m / (1 - 0.9**number), v / (1 - 0.999**number)
            tensor.data -= lr * m_hat / (v_hat.sqrt() + adamw["eps"])

        losses = []
        for number in range(1, STEPS + 1):
            for tensor in trained.values():
                tensor.grad = None
            value = loss()
            value.backward()
            losses.append(value.item())
            late = [key for key in trained if ".lora_B." in key and order == "gauss-seidel"]
            early = [key for key in trained if key not in late]
            for keys in (early, late):
                grads = {key: conditioned(key, trained[key].grad, trained) for key in keys}
                for key, grad in grads.items():
                    step(key, grad, number)
            out.update({f"{key}@step{number}": t.detach().clone() for key, t in trained.items()})
        return losses

    return train


if __name__ == "__main__":
    fresh(GOLDEN / "riemannian")
    for number, (name, (kind, order)) in enumerate(CASES.items()):
        write = lambda case, config, start, **how: write_case(
            "riemannian", f"{case}-{name}", 850 + number, TWO_LAYERS, True, config, start, golden=GOLDEN, adamw=GENTLE, update=optimizer(kind, order), **how
        )
        write("lora", dict(peft_type="LORA", r=RANK, lora_alpha=ALPHA), lora, effective=effective)
        moe = dict(peft_type="MOE_LORA", format_version=1, r=RANK, lora_alpha=5, num_experts=3, top_k=2)
        write("moe", {**moe, "gate_rescale": "sqrt-detach"}, experts, product=mixture("sqrt-detach", 3, 2))
