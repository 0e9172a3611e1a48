"""Golden numbers of LoHa, LoKr, HiRA, MiSS and RandLoRA from PEFT:
crates/peft-lowrank/tests/golden/<method>/<case>.{safetensors,json} and <case>/

What a case holds stands in tuners.py.

Regenerate from the repository root:  python3 tools/golden/relatives.py [METHOD ...]
Compare folders written by this project (the test `golden_relatives` leaves them in target/tmp/relatives):
  python3 tools/golden/relatives.py --check target/tmp/relatives
"""

import sys
import warnings
from pathlib import Path

from common import ROOT, fresh

from lora import Block, Single, TwoLayers
from peft import HiraConfig, LoHaConfig, LoKrConfig, MissConfig, RandLoraConfig
from peft.tuners.hira.layer import HiraLayer
from peft.tuners.loha.layer import LoHaLayer
from peft.tuners.lokr.layer import LoKrLayer
from peft.tuners.miss.layer import MissLayer
from peft.tuners.randlora.layer import RandLoraLayer
from torch import nn
from tuners import check, write_case

GOLDEN = ROOT / "crates/peft-lowrank/tests/golden"
ONE = dict(target_modules=["linear"])
BOTH = dict(target_modules=["up", "down"])


class Even(nn.Module):
    """y = layers.1(layers.0(x)), each layer down(tanh(up(x))), every width even"""

    def __init__(self, bias):
        super().__init__()
        self.layers = nn.ModuleList([Block(12, 10, 8, bias), Block(8, 6, 4, bias)])

    forward = TwoLayers.forward


# method: (config, layer, deviations of what trains, {case: (network, fields)})
METHODS = {
    "loha": (
        LoHaConfig,
        LoHaLayer,
        {"hada": 0.6},
        {
            "loha": (Single, dict(r=2, alpha=4, **ONE)),
            # Ranks whose squares are narrower and wider than the layers, and an alpha of its own.
            "loha-patterns": (
                TwoLayers,
                dict(
                    r=3, alpha=5, rank_pattern={"layers.0.up": 1}, alpha_pattern={r"^layers\.1\.down": 2}, **BOTH
                ),
            ),
        },
    ),
    "lokr": (
        LoKrConfig,
        LoKrLayer,
        {"lokr": 0.5},
        {
            "lokr": (Single, dict(r=4, alpha=6, **ONE)),
            "lokr-both": (
                TwoLayers,
                dict(r=1, alpha=2, decompose_both=True, rank_pattern={"layers.0.up": 2}, **BOTH),
            ),
            "lokr-factor": (
                Even,
                dict(r=2, alpha=3, decompose_factor=2, init_weights="lycoris", alpha_pattern={"up": 5}, **BOTH),
            ),
        },
    ),
    "hira": (
        HiraConfig,
        HiraLayer,
        {"hira": 0.7},
        {
            "hira": (Single, dict(r=3, **ONE)),
            "hira-layers": (TwoLayers, dict(r=4, init_weights="gaussian", **BOTH)),
        },
    ),
    "miss": (
        MissConfig,
        MissLayer,
        {"miss": 0.3},
        {
            # 5 does not divide the width of 12.
            "miss": (Single, dict(r=5, **ONE)),
            "miss-layers": (TwoLayers, dict(r=4, **BOTH)),
            "miss-mini": (Even, dict(r=3, init_weights="mini", mini_r=2, **BOTH)),
        },
    ),
    "randlora": (
        RandLoraConfig,
        RandLoraLayer,
        {"lambda": 0.5, "gamma": 0.3},
        {
            "randlora": (Single, dict(r=4, randlora_alpha=3, **ONE)),
            "randlora-sizes": (TwoLayers, dict(r=3, randlora_alpha=2, projection_prng_key=77, **BOTH)),
            "randlora-drawn": (
                TwoLayers,
                dict(r=4, randlora_alpha=2, projection_prng_key=2**32 + 5, save_projection=False, **BOTH),
            ),
            "randlora-sparse": (TwoLayers, dict(r=4, randlora_alpha=2, sparse=True, save_projection=False, **BOTH)),
            "randlora-very-sparse": (
                TwoLayers,
                dict(r=5, randlora_alpha=2, very_sparse=True, save_projection=False, **BOTH),
            ),
        },
    ),
}


def generate(chosen):
    for at, (method, (config, kind, deviations, cases)) in enumerate(METHODS.items()):
        if chosen and method not in chosen:
            continue
        folder = fresh(GOLDEN / method)
        for number, (case, (network, fields)) in enumerate(cases.items()):
            write_case(folder, case, 800 + 10 * at + number, network, config(**fields), kind, deviations)


def check_all(written):
    for method, (_, _, _, cases) in METHODS.items():
        for case, (network, _) in cases.items():
            if (written / case).is_dir():
                check(GOLDEN / method, case, network, written / case)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*not save basis_A.*|.*projection.*|.*alpha.*")
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        check_all(Path(sys.argv[2]))
        sys.exit()
    generate(sys.argv[1:])
