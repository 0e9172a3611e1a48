"""Golden LoRA numbers from PEFT: crates/peft-core/tests/golden/lora/<case>.{safetensors,json}

Each case is a small torch network with PEFT's real LoRA layers (B made random): forward, delta weight, gradients of
loss = mean((y - target)^2), three AdamW steps on the same batch, merged weight. Values are drawn in float32 and all
that follows is computed in float64, so that the files hold no rounding but that of their own float32.

Regenerate from the repository root:  python3 tools/golden/lora.py
"""

from common import CORE, adapted, fresh, lora_layers, plain_config, randomise_b, versions, write_json, write_tensors

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

ADAMW = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
ROWS = 5
STEPS = 3


class Single(nn.Module):
    """y = linear(x)"""

    def __init__(self, bias):
        super().__init__()
        self.linear = nn.Linear(12, 7, bias=bias)

    def forward(self, x):
        return self.linear(x)


class Block(nn.Module):
    def __init__(self, d_in, d_hidden, d_out, bias):
        super().__init__()
        self.up = nn.Linear(d_in, d_hidden, bias=bias)
        self.down = nn.Linear(d_hidden, d_out, bias=bias)

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


class TwoLayers(nn.Module):
    """y = layers.1(layers.0(x)), each layer down(tanh(up(x)))"""

    def __init__(self, bias):
        super().__init__()
        self.layers = nn.ModuleList([Block(12, 10, 9, bias), Block(9, 8, 7, bias)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


PATTERNS = dict(
    r=4,
    lora_alpha=8,
    target_modules=["up", "down"],
    rank_pattern={"layers.0.up": 2, r"^layers\.1\.down": 3},
    alpha_pattern={"up": 5, r"^layers\.1\.down": 16},
)
CASES = {
    "lora": (Single, True, dict(r=4, lora_alpha=8, target_modules=["linear"])),
    "lora-no-bias": (Single, False, dict(r=4, lora_alpha=8, target_modules=["linear"])),
    "rslora": (Single, True, dict(r=4, lora_alpha=8, target_modules=["linear"], use_rslora=True)),
    "rslora-no-bias": (Single, False, dict(r=4, lora_alpha=8, target_modules=["linear"], use_rslora=True)),
    "patterns": (TwoLayers, True, PATTERNS),
    "patterns-rslora": (TwoLayers, False, {**PATTERNS, "use_rslora": True}),
    "orthogonal": (Single, True, dict(r=4, lora_alpha=8, target_modules=["linear"], init_lora_weights="orthogonal")),
}


def watch(layers, out):
    """Record input and output of every LoRA layer in the next forward pass."""
    handles = []
    for path, layer in layers:

        def hook(_module, args, output, path=path):
            out[f"{path}.input"] = args[0].detach().clone()
            out[f"{path}.output"] = output.detach().clone()

        handles.append(layer.register_forward_hook(hook))
    return handles


def train(model, x, target, count, record):
    """AdamW steps of `count` tensors on one batch, each followed by `record(step)`; the losses before the first and after each step."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert len(trainable) == count
    optimizer = torch.optim.AdamW(trainable, **ADAMW)
    losses = []
    for step in range(STEPS + 1):
        loss = (model(x) - target).square().mean()
        losses.append(loss.item())
        if step == STEPS:
            return losses
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        record(step + 1)


def train_parts(model, layers, parts, x, target, out):
    """As train, of the tensors that `parts(path, layer)` names; puts them into `out` as NAME@stepN."""

    def record(step):
        for path, layer in layers:
            out.update({f"{name}@step{step}": p.clone() for name, p in parts(path, layer).items()})

    return train(model, x, target, sum(len(parts(*layer)) for layer in layers), record)


def write_case(name, seed, network, bias, fields):
    torch.manual_seed(seed)
    config = LoraConfig(**fields)
    model = get_peft_model(network(bias), config)
    orthogonal = config.init_lora_weights == "orthogonal"
    if not orthogonal:
        randomise_b(model)
    model.double().eval()
    layers = lora_layers(model)
    x = torch.randn(ROWS, 12).double().requires_grad_()
    target = torch.randn(ROWS, 7).double()
    out = {"x": x, "target": target}
    for path, layer in layers:
        base = layer.get_base_layer()
        out[f"{path}.weight"] = base.weight.clone()
        if base.bias is not None:
            out[f"{path}.bias"] = base.bias.clone()
        out[f"{path}.lora_a"] = layer.lora_A["default"].weight.clone()
        out[f"{path}.lora_b"] = layer.lora_B["default"].weight.clone()
        out[f"{path}.delta_weight"] = layer.get_delta_weight("default").clone()

    hooks = watch(layers, out)
    y = model(x)
    for hook in hooks:
        hook.remove()
    (y - target).square().mean().backward()
    out["y"], out["grad_x"] = y, x.grad.clone()
    for path, layer in layers:
        out[f"{path}.grad_a"] = layer.lora_A["default"].weight.grad.clone()
        out[f"{path}.grad_b"] = layer.lora_B["default"].weight.grad.clone()

    start = {k: v.clone() for k, v in model.state_dict().items()}
    def record(step):
        for path, layer in layers:
            out[f"{path}.lora_a_step{step}"] = layer.lora_A["default"].weight.detach().clone()
            out[f"{path}.lora_b_step{step}"] = layer.lora_B["default"].weight.detach().clone()

    losses = train(model, x.detach(), target, 2 * len(layers), record)
    model.load_state_dict(start)
    sites = adapted(model)
    merged = model.merge_and_unload()
    for path, _ in layers:
        out[f"{path}.merged_weight"] = merged.get_submodule(path).weight.clone()

    check(out, sites, losses, merged(x), orthogonal)
    write_tensors(CORE / f"lora/{name}.safetensors", {k: v.float() for k, v in out.items()})
    about = dict(
        config=plain_config(config),
        network=network.__doc__.strip(),
        bias=bias,
        sites=sites,
        losses=losses,
        adamw={**ADAMW, "betas": list(ADAMW["betas"])},
        seed=seed,
        versions=versions(),
    )
    write_json(CORE / f"lora/{name}.json", about)


def check(out, sites, losses, merged_y, orthogonal):
    """The formulas these files stand for, recomputed, so that a wrong file is never written."""
    torch.testing.assert_close(merged_y, out["y"], rtol=1e-4, atol=1e-5)
    assert losses[-1] < losses[0]
    for site in sites:
        t = {k.removeprefix(site["path"] + "."): v for k, v in out.items() if k.startswith(site["path"] + ".")}
        delta = site["scaling"] * t["lora_b"] @ t["lora_a"]
        assert t["lora_a"].shape == (site["rank"], site["d_in"]) and t["lora_b"].abs().max() > 0.05
        assert delta.abs().max() < 1e-6 if orthogonal else delta.abs().max() > 0.05
        assert t["grad_a"].abs().max() > 1e-4 and t["grad_b"].abs().max() > 1e-4
        torch.testing.assert_close(delta, t["delta_weight"])
        torch.testing.assert_close(t["weight"] + delta, t["merged_weight"])
        bias = t.get("bias", torch.zeros(site["d_out"], dtype=torch.float64))
        torch.testing.assert_close(t["input"] @ t["merged_weight"].T + bias, t["output"], rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    fresh(CORE / "lora")
    for number, (case, (net, with_bias, config_fields)) in enumerate(CASES.items()):
        write_case(case, 100 + number, net, with_bias, config_fields)
