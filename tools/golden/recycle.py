"""Golden subspaces of a small pool from numpy's SVD in float64: crates/peft-recycle/tests/golden/subspace/

    X = [s_1 B_1 | ... | s_N B_N],  C = the first left singular vectors of X, or of X less its mean column.

https://arxiv.org/abs/2502.04700. Regenerate from the repository root:  python3 tools/golden/recycle.py
"""

from common import ROOT, fresh, write_json, write_tensors

import numpy as np
import torch

GOLDEN = ROOT / "crates/peft-recycle/tests/golden/subspace"
SITES = {"encoder.layer.0.q": (12, 9), "encoder.layer.1.q": (12, 9), "encoder.layer.10.v": (7, 16)}
# rank, alpha, rsLoRA, alpha of one site
MEMBERS = [(2, 4, False, {}), (3, 3, False, {}), (2, 8, True, {}), (4, 16, False, {"layer.1.q": 1}), (1, 2, False, {})]
# Components that are compared; in front of a gap between the singular values.
K = 4


def scale(rank, alpha, rslora):
    return alpha / (rank**0.5 if rslora else rank)


def member(rng, number, rank, alpha, rslora, pattern):
    """A PEFT folder whose columns lie near four shared directions per side."""
    tensors, columns = {}, {}
    for site, (d_in, d_out) in SITES.items():
        shared = np.random.default_rng(len(site) * 100 + d_in)
        a, b = (
            shared.normal(size=(d, K)) @ np.diag([8, 6, 4, 3]) @ rng.normal(size=(K, rank)) + 0.3 * rng.normal(size=(d, rank)) + 0.5
            for d in (d_in, d_out)
        )
        a, b = a.astype(np.float32), b.astype(np.float32)
        tensors[f"base_model.model.{site}.lora_A.weight"] = torch.from_numpy(a.T)
        tensors[f"base_model.model.{site}.lora_B.weight"] = torch.from_numpy(b)
        here = next((value for key, value in pattern.items() if site.endswith(key)), alpha)
        columns[site] = (a.astype(np.float64), scale(rank, here, rslora) * b.astype(np.float64))
    folder = GOLDEN / "pool" / f"member-{number}"
    config = dict(peft_type="LORA", task_type=None, base_model_name_or_path="golden/base", r=rank, lora_alpha=alpha)
    config |= dict(use_rslora=rslora, alpha_pattern=pattern, rank_pattern={}, target_modules=["q", "v"])
    write_json(folder / "adapter_config.json", config)
    write_tensors(folder / "adapter_model.safetensors", tensors)
    return columns


def subspaces(pool):
    """Components, singular values and mean of every site and side, in float64 rounded once."""
    tensors = {}
    for site in SITES:
        for side, name in enumerate("AB"):
            x = np.concatenate([columns[site][side] for columns in pool], axis=1)
            mean = x.mean(axis=1, keepdims=True)
            for mode, matrix in (("uncentred", x), ("centred", x - mean)):
                u, s, _ = np.linalg.svd(matrix, full_matrices=False)
                assert s[K - 1] > 1.5 * s[K], (site, name, mode, s)
                tensors[f"{site}.{name}.{mode}"] = torch.from_numpy(u[:, :K].astype(np.float32))
                tensors[f"{site}.{name}.{mode}.values"] = torch.from_numpy(s.astype(np.float32))
            tensors[f"{site}.{name}.mean"] = torch.from_numpy(mean.astype(np.float32))
    return tensors


if __name__ == "__main__":
    fresh(GOLDEN)
    rng = np.random.default_rng(7)
    pool = [member(rng, number, *settings) for number, settings in enumerate(MEMBERS)]
    write_tensors(GOLDEN / "subspaces.safetensors", subspaces(pool))
    write_json(GOLDEN / "about.json", {"components": K, "numpy": np.__version__, "torch": torch.__version__})
