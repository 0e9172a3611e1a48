"""Golden SVFit numbers from the dense formula in float64: crates/peft-decompose/tests/golden/svfit/

    W = U diag(sigma) V^T,  W' = W + U_k diag(shift) V_k^T

https://arxiv.org/abs/2409.05926; no code of its authors is public. Regenerate from the repository root:
python3 tools/golden/svfit.py
"""

import hashlib

from dense import GOLDEN, SINGLE, TWO_LAYERS, write_case
from common import fresh

import torch

# Name: layers, bias, how k is chosen, share of the energy, whether squares are added up, whether vectors are stored.
CASES = {
    "svfit": (SINGLE, True, "full", 0.99, True, False),
    "svfit-rank": (TWO_LAYERS, False, "rank", 0.99, True, False),
    "svfit-energy": (TWO_LAYERS, True, "energy", 0.9, True, False),
    "svfit-energy-plain": (SINGLE, True, "energy", 0.8, False, False),
    "svfit-vectors": (SINGLE, False, "rank", 0.99, True, True),
}
RANK = 4


def size(sigma, k, share, squared):
    """How many singular values train."""
    if k == "full":
        return len(sigma)
    if k == "rank":
        return RANK
    parts = sigma**2 if squared else sigma
    return int((parts.cumsum(0) / parts.sum() < share).sum()) + 1


def starter(k, share, squared, vectors):
    def start(_path, weight, d_in, d_out):
        u, sigma, vt = torch.linalg.svd(weight, full_matrices=False)
        count = size(sigma, k, share, squared)
        assert k == "full" or count < len(sigma)
        digest = hashlib.sha256(weight.float().numpy().astype("<f4").tobytes()).digest()
        tensors = {
            "svfit_sigma": (sigma[:count], False),
            "svfit_shift": (0.2 * torch.randn(count, dtype=torch.float64), True),
            "svfit_base_sha256": (torch.tensor(list(digest), dtype=torch.float64), False),
        }
        if vectors:
            tensors["svfit_U"] = (u[:, :count], False)
            tensors["svfit_V"] = (vt[:count].T, False)
        return tensors

    return start


def effective(weight, t):
    u, _, vt = torch.linalg.svd(weight, full_matrices=False)
    count = len(t["svfit_shift"])
    return weight + u[:, :count] @ torch.diag(t["svfit_shift"]) @ vt[:count]


if __name__ == "__main__":
    fresh(GOLDEN / "svfit")
    for number, (name, (layers, bias, k, share, squared, vectors)) in enumerate(CASES.items()):
        config = dict(peft_type="SVFIT", format_version=1, r=RANK, k=k, share=share, squared=squared, vectors=vectors)
        write_case("svfit", name, 400 + number, layers, bias, config, starter(k, share, squared, vectors), effective)
