"""Golden EigenLoRAx numbers from the dense formula in float64: crates/peft-recycle/tests/golden/eigenlorax/

    W' = W + (C_B^T L_B) (L_A C_A),  C_A [k, d_in] and C_B [k, d_out] with orthonormal rows and frozen, L_A [r, k] and L_B [k, r] trained
    W' = W + B^T A, A = sum_j l_j A_j [r, d_in], B = sum_j m_j B_j [r, d_out]: whole factors as components, one number for each (flat)

https://arxiv.org/abs/2502.04700. Regenerate from the repository root:  python3 tools/golden/eigenlorax.py
"""

from common import ROOT, fresh
from dense import SINGLE, TWO_LAYERS, write_case

import torch

GOLDEN = ROOT / "crates/peft-recycle/tests/golden"
RANK, K = 2, 4


def start(_path, _weight, d_in, d_out):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    rows = lambda d: torch.linalg.qr(normal(d, K)).Q.T.contiguous()
    return {
        "loadings_A": (normal(RANK, K), True),
        "loadings_B": (0.5 * normal(K, RANK), True),
        "components_A": (rows(d_in), False),
        "components_B": (rows(d_out), False),
    }


def effective(weight, t):
    return weight + (t["components_B"].T @ t["loadings_B"]) @ (t["loadings_A"] @ t["components_A"])


def flat_start(_path, _weight, d_in, d_out):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    factors = lambda d: torch.linalg.qr(normal(RANK * d, K)).Q.T.contiguous()
    return {
        "loadings_A": (normal(1, K), True),
        "loadings_B": (0.5 * normal(1, K), True),
        "components_A": (factors(d_in), False),
        "components_B": (factors(d_out), False),
    }


def flat_effective(weight, t):
    a, b = ((t[f"loadings_{side}"] @ t[f"components_{side}"]).reshape(RANK, -1) for side in "AB")
    return weight + b.T @ a


if __name__ == "__main__":
    fresh(GOLDEN / "eigenlorax")
    for number, (name, layers, bias) in enumerate([("flat-single", SINGLE, True), ("flat-layers", TWO_LAYERS, False)]):
        config = dict(peft_type="EIGENLORAX", format_version=1, r=RANK, components=K, variant="flat", save_components=True)
        write_case("eigenlorax", name, 910 + number, layers, bias, config, flat_start, flat_effective, golden=GOLDEN)
    for number, (name, layers, bias) in enumerate([("single", SINGLE, True), ("layers", TWO_LAYERS, False)]):
        config = dict(peft_type="EIGENLORAX", format_version=1, r=RANK, components=K, save_components=True)
        write_case("eigenlorax", name, 900 + number, layers, bias, config, start, effective, golden=GOLDEN)
