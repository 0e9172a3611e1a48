"""Golden VeRA numbers from PEFT: crates/peft-lowrank/tests/golden/vera/<case>.{safetensors,json} and <case>/

What a case holds stands in tuners.py; the folder of `vera-drawn` holds no matrices, only the seed of them.

Regenerate from the repository root:  python3 tools/golden/vera.py
"""

import warnings

from common import ROOT, fresh

import peft
from lora import Single, TwoLayers
from peft import VeraConfig
from tuners import write_case

GOLDEN = ROOT / "crates/peft-lowrank/tests/golden/vera"
CASES = {
    "vera": (Single, dict(r=4, target_modules=["linear"])),
    "vera-sizes": (TwoLayers, dict(r=6, target_modules=["up", "down"], d_initial=0.3, projection_prng_key=77)),
    "vera-drawn": (
        TwoLayers,
        dict(r=3, target_modules=["up", "down"], projection_prng_key=2**32 + 5, save_projection=False),
    ),
}

if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*not save vera_A.*")
    fresh(GOLDEN)
    for number, (case, (network, fields)) in enumerate(CASES.items()):
        kind = peft.tuners.vera.layer.VeraLayer
        write_case(GOLDEN, case, 600 + number, network, VeraConfig(**fields), kind, {"vera": 0.5}, exact=False)
