"""Golden numbers of HRA, OFT and BOFT from PEFT: crates/peft-orthogonal/tests/golden/<method>/<case>.{safetensors,json} and <case>/

Cases are those of tuners.py. BOFT's butterflies of more than one factor need a CUDA extension in PEFT, which puts blocks on a diagonal; torch
does that here, everything else is PEFT's.

Regenerate from the repository root:  python3 tools/golden/orthogonal.py
"""

from common import ROOT, fresh

import torch
from lora import Block, Single, TwoLayers
from peft import BOFTConfig, HRAConfig, OFTConfig
from peft.tuners.boft import layer as boft
from peft.tuners.hra.layer import HRALayer
from peft.tuners.oft.layer import OFTLayer
from torch import nn
from moved import write_case

GOLDEN = ROOT / "crates/peft-orthogonal/tests/golden"


class Even(nn.Module):
    """y = layers.1(layers.0(x)), each down(tanh(up(x))), of widths that halve several times"""

    def __init__(self, bias):
        super().__init__()
        self.layers = nn.ModuleList([Block(16, 24, 8, bias), Block(8, 16, 7, bias)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Diagonal:
    """Blocks [factors, count, size, size] on the diagonals of as many matrices as there are factors."""

    @staticmethod
    def apply(blocks):
        return torch.stack([torch.block_diag(*factor) for factor in blocks])


ONE, BOTH = ["linear"], ["up", "down"]
HRA_CASES = {
    "hra": (Single, True, dict(r=4, target_modules=ONE)),
    "hra-odd": (TwoLayers, False, dict(r=5, target_modules=BOTH)),
    "hra-gs": (TwoLayers, True, dict(r=3, target_modules=BOTH, apply_GS=True)),
}
OFT_CASES = {
    "oft": (Even, True, dict(oft_block_size=4, target_modules=BOTH)),
    "oft-exact": (Even, False, dict(oft_block_size=8, target_modules=BOTH, use_cayley_neumann=False)),
    "oft-shared": (Single, True, dict(oft_block_size=4, target_modules=ONE, block_share=True, num_cayley_neumann_terms=3)),
    "oft-runs": (TwoLayers, True, dict(r=4, oft_block_size=0, target_modules=BOTH, num_cayley_neumann_terms=7)),
    "oft-constrained": (Single, True, dict(oft_block_size=4, target_modules=ONE, coft=True, eps=0.5)),
}
BOFT_CASES = {
    "boft": (Single, True, dict(target_modules=ONE)),
    "boft-number": (TwoLayers, False, dict(boft_block_size=0, boft_block_num=1, target_modules=BOTH)),
    "boft-butterfly": (Even, True, dict(boft_block_size=2, boft_n_butterfly_factor=3, target_modules=BOTH)),
}


def reflections(path, layer):
    return {f"{path}.hra_u": layer.hra_u["default"]}


def rotations(path, layer):
    return {f"{path}.oft_R.weight": layer.oft_R["default"].weight}


def butterflies(path, layer):
    return {f"{path}.boft_R": layer.boft_R["default"], f"{path}.boft_s": layer.boft_s["default"]}


if __name__ == "__main__":
    boft.get_fbd_cuda = lambda: True
    boft.FastBlockDiag = Diagonal
    METHODS = {
        "hra": (HRA_CASES, HRAConfig, HRALayer, reflections),
        "oft": (OFT_CASES, OFTConfig, OFTLayer, rotations),
        "boft": (BOFT_CASES, BOFTConfig, boft.BOFTLayer, butterflies),
    }
    seed = 820
    for method, (cases, config, kind, parts) in METHODS.items():
        folder = fresh(GOLDEN / method)
        for case, (net, with_bias, fields) in cases.items():
            write_case(folder, case, seed, net, with_bias, config(**fields), kind, parts)
            seed += 1
