"""Golden BoRA numbers from the dense formula in float64: crates/peft-decompose/tests/golden/bora/

    V = W + s B A,  H = m_r V / |V|_row,  W' = m_c H / |H|_column        (rows first; columns first swaps the two)

https://arxiv.org/abs/2412.06441; no code of its authors is public. Regenerate from the repository root:
python3 tools/golden/bora.py
"""

from dense import GOLDEN, SINGLE, TWO_LAYERS, write_case
from common import fresh

import torch

RANK, ALPHA = 3, 6
CASES = {
    "bora": (SINGLE, True, "both", "rows_first"),
    "bora-none": (SINGLE, True, "none", "rows_first"),
    "bora-two-layers": (TWO_LAYERS, False, "both", "rows_first"),
    "bora-columns-first": (TWO_LAYERS, True, "none", "columns_first"),
    "bora-columns-first-both": (SINGLE, False, "both", "columns_first"),
}


def start(_path, weight, d_in, d_out):
    normal = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    return {
        "lora_A.weight": (normal(RANK, d_in) / d_in**0.5, True),
        "lora_B.weight": (0.3 * normal(d_out, RANK), True),
        "bora_magnitude_rows": (weight.norm(dim=1) * (1 + 0.2 * normal(d_out)), True),
        "bora_magnitude_columns": (weight.norm(dim=0) * (1 + 0.2 * normal(d_in)), True),
    }


def effective_weight(detach, order):
    def norm(weight, dim):
        value = weight.norm(dim=dim, keepdim=True)
        return value.detach() if detach == "both" else value

    def effective(weight, t):
        v = weight + ALPHA / RANK * t["lora_B.weight"] @ t["lora_A.weight"]
        rows = lambda w: t["bora_magnitude_rows"][:, None] * w / norm(w, 1)
        columns = lambda w: t["bora_magnitude_columns"][None, :] * w / norm(w, 0)
        return columns(rows(v)) if order == "rows_first" else rows(columns(v))

    return effective


if __name__ == "__main__":
    fresh(GOLDEN / "bora")
    for number, (name, (layers, bias, detach, order)) in enumerate(CASES.items()):
        config = dict(peft_type="BORA", format_version=1, r=RANK, lora_alpha=ALPHA, detach=detach, order=order)
        write_case("bora", name, 300 + number, layers, bias, config, start, effective_weight(detach, order))
