"""Golden PiSSA, OLoRA and MiLoRA numbers: crates/peft-decompose/tests/golden/{pissa,olora,milora}/<case>.{safetensors,json}

A small torch network whose LoRA layers PEFT starts from the frozen weights, trained for three AdamW steps. `<case>-raw/` is the
folder PEFT writes by default (its loader decomposes the base again), `<case>-safe/` the converted one that is plain LoRA.
PEFT has no MiLoRA: its start is computed here and put into PEFT's LoRA, the base losing the product, as in the paper; what trains,
converts and reads it again is PEFT. It has no `-raw` folder.
Signs of singular vectors and of QR are free, so single factors are not compared: products, losses and outputs are.

Regenerate from the repository root:  python3 tools/golden/pissa.py
"""

import copy
import tempfile

from common import ROOT, adapted, fresh, lora_layers, versions, write_json, write_tensors

import torch
from lora import ADAMW, PATTERNS, ROWS, STEPS, Single, TwoLayers
from peft import LoraConfig, PeftModel, get_peft_model

GOLDEN = ROOT / "crates/peft-decompose/tests/golden"
CASES = {
    "": (Single, True, dict(r=4, lora_alpha=8, target_modules=["linear"])),
    "-rslora": (Single, False, dict(r=4, lora_alpha=8, target_modules=["linear"], use_rslora=True)),
    "-patterns": (TwoLayers, True, PATTERNS),
}


def product(layer):
    return layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight


@torch.no_grad()
def start_at_minor_components(layers):
    for _, layer in layers:
        weight, rank, scale = layer.get_base_layer().weight, layer.r["default"], layer.scaling["default"]
        u, sigma, vh = torch.linalg.svd(weight.double(), full_matrices=False)
        root = (sigma[-rank:] / scale).sqrt()
        layer.lora_A["default"].weight.copy_(root[:, None] * vh[-rank:])
        layer.lora_B["default"].weight.copy_(u[:, -rank:] * root)
        weight -= product(layer)


def write_case(method, name, seed, network, bias, fields):
    torch.manual_seed(seed)
    base = network(bias)
    known = method != "milora"
    model = get_peft_model(copy.deepcopy(base), LoraConfig(**fields, init_lora_weights=method if known else True))
    layers = lora_layers(model)
    if not known:
        start_at_minor_components(layers)
    x, target = torch.randn(ROWS, 12), torch.randn(ROWS, 7)
    out = {"x": x, "target": target, "y_start": model(x)}
    torch.testing.assert_close(out["y_start"], base(x), rtol=1e-4, atol=1e-5)
    for path, layer in layers:
        out[f"{path}.weight"] = base.get_submodule(path).weight.clone()
        if bias:
            out[f"{path}.bias"] = base.get_submodule(path).bias.clone()
        out[f"{path}.start"] = product(layer).detach().clone()

    with tempfile.TemporaryDirectory() as start:
        config = model.peft_config["default"]
        config.init_lora_weights = True
        model.save_pretrained(start)
        # PEFT converts what has one of its own starts.
        config.init_lora_weights = method if known else "pissa"
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **ADAMW)
        losses = []
        for step in range(STEPS + 1):
            loss = (model(x) - target).square().mean()
            losses.append(loss.item())
            if step < STEPS:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        assert losses[-1] < losses[0]
        out["y"] = model(x)
        sites = adapted(model)
        raw, safe = GOLDEN / method / f"{name}-raw", GOLDEN / method / f"{name}-safe"
        if known:
            model.save_pretrained(raw)
        model.save_pretrained(safe, path_initial_model_for_weight_conversion=start)
    for folder in (raw, safe) if known else (safe,):
        (folder / "README.md").unlink()
        again = PeftModel.from_pretrained(copy.deepcopy(base), folder)
        torch.testing.assert_close(again(x), out["y"], rtol=1e-4, atol=1e-5)
    write_tensors(GOLDEN / method / f"{name}.safetensors", out)
    adamw = {**ADAMW, "betas": list(ADAMW["betas"])}
    about = dict(config=dict(peft_type="LORA", **fields), sites=sites, losses=losses, adamw=adamw, seed=seed, versions=versions())
    write_json(GOLDEN / method / f"{name}.json", about)


if __name__ == "__main__":
    for first, method in ((500, "pissa"), (600, "olora"), (700, "milora")):
        fresh(GOLDEN / method)
        for number, (case, (net, with_bias, config_fields)) in enumerate(CASES.items()):
            write_case(method, method + case, first + number, net, with_bias, config_fields)
