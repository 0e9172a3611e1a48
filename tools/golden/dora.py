"""Golden DoRA numbers from PEFT: crates/peft-decompose/tests/golden/dora/<case>.{safetensors,json} and <case>/

Each case is a small torch network with PEFT's real DoRA layers (B and the magnitudes made random): forward, merged
weight, gradients of loss = mean((y - target)^2), three AdamW steps on the same batch. `<case>/` is the adapter folder
that PEFT's save_pretrained writes before training.

Regenerate from the repository root:  python3 tools/golden/dora.py
"""

from common import ROOT, adapted, fresh, lora_layers, randomise_b, versions, write_json, write_tensors

import torch
from lora import ADAMW, PATTERNS, ROWS, Single, TwoLayers, train_parts
from peft import LoraConfig, get_peft_model

GOLDEN = ROOT / "crates/peft-decompose/tests/golden/dora"
CASES = {
    "dora": (Single, True, dict(r=4, lora_alpha=8, target_modules=["linear"])),
    "dora-no-bias": (Single, False, dict(r=4, lora_alpha=8, target_modules=["linear"])),
    "dora-rslora": (Single, True, dict(r=4, lora_alpha=8, target_modules=["linear"], use_rslora=True)),
    "dora-patterns": (TwoLayers, True, PATTERNS),
}


def parts(path, layer):
    """The trained tensors of a layer under the names of the file."""
    return {
        f"{path}.lora_A.weight": layer.lora_A["default"].weight,
        f"{path}.lora_B.weight": layer.lora_B["default"].weight,
        f"{path}.lora_magnitude_vector": layer.lora_magnitude_vector["default"].weight,
    }


def randomise_magnitudes(layers):
    """PEFT starts them at the row norms of W; move each by about a fifth."""
    for _, layer in layers:
        magnitude = layer.lora_magnitude_vector["default"].weight
        with torch.no_grad():
            magnitude.mul_(1 + 0.2 * torch.randn_like(magnitude))


def write_case(name, seed, network, bias, fields):
    torch.manual_seed(seed)
    model = get_peft_model(network(bias), LoraConfig(**fields, use_dora=True))
    randomise_b(model)
    layers = lora_layers(model)
    randomise_magnitudes(layers)
    model.save_pretrained(GOLDEN / name)
    (GOLDEN / name / "README.md").unlink()
    x = torch.randn(ROWS, 12, requires_grad=True)
    target = torch.randn(ROWS, 7)
    out = {"x": x, "target": target}
    for path, layer in layers:
        base = layer.get_base_layer()
        out[f"{path}.weight"] = base.weight.clone()
        if base.bias is not None:
            out[f"{path}.bias"] = base.bias.clone()

    y = model(x)
    (y - target).square().mean().backward()
    out["y"], out["grad_x"] = y, x.grad.clone()
    for path, layer in layers:
        out.update({f"{name}@grad": p.grad.clone() for name, p in parts(path, layer).items()})

    start = {k: v.clone() for k, v in model.state_dict().items()}
    losses = train_parts(model, layers, parts, x.detach(), target, out)
    model.load_state_dict(start)
    check(out, layers)
    sites = adapted(model)
    merged = model.merge_and_unload()
    for path, _ in layers:
        out[f"{path}.merged_weight"] = merged.get_submodule(path).weight.clone()
    torch.testing.assert_close(merged(x), y, rtol=1e-4, atol=1e-5)
    assert losses[-1] < losses[0]
    write_tensors(GOLDEN / f"{name}.safetensors", out)
    about = dict(
        network=network.__doc__.strip(),
        sites=sites,
        losses=losses,
        adamw={**ADAMW, "betas": list(ADAMW["betas"])},
        seed=seed,
        versions=versions(),
    )
    write_json(GOLDEN / f"{name}.json", about)


def check(out, layers):
    """Nothing in a file may be so small that a wrong implementation passes."""
    for path, layer in layers:
        for name, p in parts(path, layer).items():
            assert out[f"{name}@grad"].abs().max() > 1e-4, name
        norm = (layer.get_base_layer().weight + layer.get_delta_weight("default")).norm(dim=1)
        scale = layer.lora_magnitude_vector["default"].weight / norm
        assert (scale - 1).abs().max() > 0.05, path


if __name__ == "__main__":
    fresh(GOLDEN)
    for number, (case, (net, with_bias, config_fields)) in enumerate(CASES.items()):
        write_case(case, 200 + number, net, with_bias, config_fields)
