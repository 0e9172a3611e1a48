"""Golden EVA numbers from PEFT: crates/peft-decompose/tests/golden/eva/<case>.{safetensors,json} and <case>/

A small torch network whose LoRA layers PEFT starts from what goes into them over some batches, trained for three AdamW steps; `<case>/` is the
folder that PEFT writes then. Signs of singular vectors are free, so the sum of outer products of A's rows is kept instead of A.

Regenerate from the repository root:  python3 tools/golden/eva.py
"""

import copy

from common import ROOT, fresh, lora_layers, versions, write_json, write_tensors

import torch
from lora import ADAMW, ROWS, STEPS, TwoLayers
from peft import EvaConfig, LoraConfig, PeftModel, get_peft_model, initialize_lora_eva_weights

GOLDEN = ROOT / "crates/peft-decompose/tests/golden/eva"
BATCHES, BATCH = 3, 16
BASIC = dict(r=2, lora_alpha=4, target_modules=["up", "down"])
# Fields of LoRA and of EVA, and how much less each direction of the inputs has than the one before.
CASES = {
    "eva": (BASIC, {}, 0.65),
    "eva-rho-1": (BASIC, dict(rho=1.0), 0.65),
    "eva-whiten": ({**BASIC, "use_rslora": True}, dict(whiten=True, adjust_scaling_factors=False, rho=1.5), 0.65),
    "eva-left-out": ({**BASIC, "r": 1}, dict(rho=4.0), 0.95),
    "eva-tau": ({**BASIC, "rank_pattern": {"layers.0.up": 3}}, dict(tau=0.9, rho=1.4), 0.65),
}


def write_case(name, seed, fields, eva, decay):
    torch.manual_seed(seed)
    base = TwoLayers(True)
    # Rows whose directions differ in size, as those of real activations do.
    mix = torch.linalg.qr(torch.randn(12, 12))[0]
    sizes = 2 * decay ** torch.arange(12)
    batches = [(torch.randn(BATCH, 12) * sizes) @ mix + 0.3 for _ in range(BATCHES)]
    config = LoraConfig(**fields, init_lora_weights="eva", eva_config=EvaConfig(**eva))
    model = get_peft_model(copy.deepcopy(base), config)
    initialize_lora_eva_weights(
        model,
        batches,
        forward_fn=lambda network, x: network(x),
        prepare_model_inputs_fn=None,
        prepare_layer_inputs_fn=None,
        show_progress_bar=False,
    )
    x, target = torch.randn(ROWS, 12), torch.randn(ROWS, 7)
    out = {"batches": torch.cat(batches), "x": x, "target": target}
    torch.testing.assert_close(model(x), base(x))
    layers = dict(lora_layers(model))
    sites = []
    for path, linear in base.named_modules():
        if not isinstance(linear, torch.nn.Linear):
            continue
        out[f"{path}.weight"], out[f"{path}.bias"] = linear.weight.clone(), linear.bias.clone()
        site = {"path": path, "d_in": linear.in_features, "d_out": linear.out_features, "rank": 0, "alpha": 0, "scaling": 0}
        if path in layers:
            layer = layers[path]
            a = layer.lora_A["default"].weight
            out[f"{path}.gram"] = a.T @ a
            site.update(rank=layer.r["default"], alpha=layer.lora_alpha["default"], scaling=layer.scaling["default"])
        sites.append(site)
    ranks = [site["rank"] for site in sites]
    assert name not in ("eva", "eva-left-out") or len(set(ranks)) > 1
    assert (0 in ranks) == (name == "eva-left-out")

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
    folder = GOLDEN / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    again = PeftModel.from_pretrained(copy.deepcopy(base), folder)
    torch.testing.assert_close(again(x), out["y"])
    write_tensors(GOLDEN / f"{name}.safetensors", out)
    adamw = {**ADAMW, "betas": list(ADAMW["betas"])}
    options = {**eva, "scaling": "rank_stabilized" if fields.get("use_rslora") else "standard"}
    about = dict(config=dict(peft_type="LORA", **fields), options=options, batch=BATCH, sites=sites, losses=losses, adamw=adamw, seed=seed, versions=versions())
    write_json(GOLDEN / f"{name}.json", about)


if __name__ == "__main__":
    fresh(GOLDEN)
    for number, (case, (lora_fields, eva_fields, decay)) in enumerate(CASES.items()):
        write_case(case, 830 + number, lora_fields, eva_fields, decay)
