"""Golden EigenLoRAx numbers from the dense formula in float64: crates/peft-recycle/tests/golden/eigenlorax/

    W' = W + (C_B^T L_B) (L_A C_A),  C_A [k, d_in] and C_B [k, d_out] with orthonormal rows and frozen, L_A [r, k] and L_B [k, r] trained

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


if __name__ == "__main__":
    fresh(GOLDEN / "eigenlorax")
    for number, (name, layers, bias) in enumerate([("single", SINGLE, True), ("layers", TWO_LAYERS, False)]):
        config = dict(peft_type="EIGENLORAX", format_version=1, r=RANK, components=K, save_components=True)
        write_case("eigenlorax", name, 900 + number, layers, bias, config, start, effective, golden=GOLDEN)
