"""Golden combinations of adapters by PEFT's add_weighted_adapter: crates/peft-recycle/tests/golden/combine/

    adapters/NAME      folders of three adapters that differ in rank, alpha, rsLoRA and targets
    products.safetensors   CASE.SITE = s B A [d_out, d_in] of the combined adapter

Regenerate from the repository root:  python3 tools/golden/combine.py
"""

from common import ROOT, fresh, versions, write_json, write_tensors

import torch
from peft import LoraConfig, get_peft_model

GOLDEN = ROOT / "crates/peft-recycle/tests/golden/combine"
WIDTHS = {"up": (12, 9), "down": (9, 12)}
ADAPTERS = {
    "one": dict(r=4, lora_alpha=8, target_modules=["up", "down"]),
    "two": dict(r=4, lora_alpha=3, use_rslora=True, target_modules=["up", "down"]),
    "three": dict(r=6, lora_alpha=9, target_modules=["up"]),
}
ALIKE, ALL = (["one", "two"], [0.7, -0.4]), (["one", "two", "three"], [0.7, -0.4, 1.3])
CASES = {
    "linear": (ALIKE, {}),
    "cat": (ALL, {}),
    "svd": (ALL, dict(svd_rank=5)),
    "ties": (ALIKE, dict(density=0.6, majority_sign_method="total")),
    "ties-frequency": (ALIKE, dict(density=0.6, majority_sign_method="frequency")),
    "magnitude_prune": (ALIKE, dict(density=0.35)),
    "ties_svd": (ALL, dict(density=0.6, svd_rank=5)),
    "magnitude_prune_svd": (ALL, dict(density=0.35, svd_rank=5)),
}


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name, (d_in, d_out) in WIDTHS.items():
            self.add_module(name, torch.nn.Linear(d_in, d_out))


if __name__ == "__main__":
    fresh(GOLDEN)
    torch.manual_seed(11)
    model = None
    for name, settings in ADAPTERS.items():
        config = LoraConfig(**settings)
        if model is None:
            model = get_peft_model(Network(), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, std=0.4)
    products = {}
    for case, ((names, weights), options) in CASES.items():
        kind = case.removesuffix("-frequency")
        model.add_weighted_adapter(names, weights, f"{case}-result", combination_type=kind, **options)
        for site in WIDTHS:
            layer = getattr(model.base_model.model, site)
            products[f"{case}.{site}"] = layer.get_delta_weight(f"{case}-result")
    write_tensors(GOLDEN / "products.safetensors", products)
    for name, settings in ADAPTERS.items():
        model.save_pretrained(str(GOLDEN / "adapters"), selected_adapters=[name])
        (GOLDEN / "adapters" / name / "README.md").unlink(missing_ok=True)
    (GOLDEN / "adapters/README.md").unlink(missing_ok=True)
    write_json(GOLDEN / "about.json", {"cases": CASES, "versions": versions()})
