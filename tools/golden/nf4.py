"""Golden NF4 blocks of bitsandbytes, for crates/peft-kernels/tests/golden/nf4.json.

Values, the packed codes (two in a byte, the first in its upper half), the scales, and the values unpacked again: normal ones, a block of
zeros, ties at every midpoint, one large value among small ones.

    python tools/golden/nf4.py
"""

import json
from pathlib import Path

import bitsandbytes
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

BLOCK = 64
OUT = Path(__file__).parents[2] / "crates/peft-kernels/tests/golden/nf4.json"


def values() -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    normal = torch.randn(8, BLOCK, generator=generator) * 0.05
    zeros = torch.zeros(1, BLOCK)
    table = bitsandbytes.functional.get_4bit_type("nf4", device="cpu")
    middle = torch.zeros(1, BLOCK)
    middle[0, 0] = 1.0
    middle[0, 1:16] = (table[1:] + table[:-1]) / 2
    lone = torch.randn(1, BLOCK, generator=generator) * 1e-3
    lone[0, 17] = -7.0
    return torch.cat([normal, zeros, middle, lone]).reshape(-1, 2 * BLOCK // 2)


def main() -> None:
    given = values()
    packed, state = quantize_4bit(given, blocksize=BLOCK, quant_type="nf4", quant_storage=torch.uint8)
    unpacked = dequantize_4bit(packed, state)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    golden = {
        "bitsandbytes": bitsandbytes.__version__,
        "dims": list(given.shape),
        "values": given.flatten().tolist(),
        "codes": packed.flatten().tolist(),
        "scales": state.absmax.flatten().tolist(),
        "unpacked": unpacked.flatten().tolist(),
    }
    OUT.write_text(json.dumps(golden) + "\n")
    print(OUT, given.shape, len(golden["codes"]))


if __name__ == "__main__":
    main()
