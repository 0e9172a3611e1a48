"""Golden numbers of IA3, from PEFT, and of AdapterBias, which PEFT does not have, from its formula in torch:
crates/peft-vectors/tests/golden/{ia3,adapterbias}/<case>.{safetensors,json} and <case>/

Cases of IA3 are those of tuners.py; those of AdapterBias are the network of lowrank.py.

Regenerate from the repository root:  python3 tools/golden/vectors.py
"""

from common import ROOT, fresh

from lora import Single, TwoLayers
from lowrank import SITES, parameter
from lowrank import write_case as write_formula
from peft import IA3Config
from peft.tuners.ia3.layer import IA3Layer
from moved import write_case

GOLDEN = ROOT / "crates/peft-vectors/tests/golden"
BOTH = ["up", "down"]
CASES = {
    "ia3": (Single, True, dict(target_modules=["linear"], feedforward_modules=[])),
    "ia3-feedforward": (TwoLayers, True, dict(target_modules=BOTH, feedforward_modules=["down"])),
    "ia3-regex": (TwoLayers, False, dict(target_modules=BOTH, feedforward_modules=r"layers\.1\.(up|down)")),
}


def factors(path, layer):
    return {f"{path}.ia3_l": layer.ia3_l["default"]}


class Shift:
    """Every row goes along v by as much as u and the offset say."""

    def __init__(self, offset):
        self.config = dict(peft_type="ADAPTER_BIAS", offset=offset)
        self.offset, self.parameters, self.fixed = offset, {}, {}
        for path, d_in, d_out in SITES:
            self.parameters[f"{path}.adapterbias_u"] = parameter(d_in)
            self.parameters[f"{path}.adapterbias_v"] = parameter(d_out)
            if offset:
                self.parameters[f"{path}.adapterbias_offset"] = parameter(1)

    def of(self, path, name):
        return self.parameters[f"{path}.adapterbias_{name}"]

    def weight(self, path):
        return self.of(path, "v")[:, None] * self.of(path, "u")

    def delta(self, path, x, seen):
        measure = (x * self.of(path, "u")).sum(1, keepdim=True)
        if self.offset:
            measure = measure + self.of(path, "offset")
        return measure * self.of(path, "v")


if __name__ == "__main__":
    folder = fresh(GOLDEN / "ia3")
    for number, (case, (net, with_bias, fields)) in enumerate(CASES.items()):
        write_case(folder, case, 800 + number, net, with_bias, IA3Config(**fields), IA3Layer, factors)
    folder = fresh(GOLDEN / "adapterbias")
    write_formula(folder, "adapterbias", 810, lambda: Shift(True))
    write_formula(folder, "adapterbias-plain", 811, lambda: Shift(False))
