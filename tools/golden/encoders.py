"""Tiny random encoders by transformers, and what they compute: crates/peft-models/tests/golden/<name>/

bert, roberta, distilbert: config.json + model.safetensors (3-label sequence classification), adapter/ (a PEFT
LoRA adapter with a trained head), expected.safetensors + expected.json (eval mode, float32, eager attention).
bert-bare: BertModel in F16, no `bert.` prefix, with a position_ids buffer. bert-sharded: two BF16 shards. Their
expected numbers come from the rounded weights computed in float32.

Regenerate from the repository root:  python3 tools/golden/encoders.py
"""

from common import MODELS, adapted, fresh, plain_config, randomise_b, saved_modules, versions, write_json, write_tensors

import json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

SHARED = dict(vocab_size=120, max_position_embeddings=40, initializer_range=0.3, num_labels=3)
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, hidden_act="gelu")
# An epsilon large enough to show in the numbers, so that it must be read from the config.
ROBERTA = dict(pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-2)
LENGTHS = [11, 7, 4, 9]
LABELS = [2, 0, 1, 2]
# name: seed, sequence classification class, config, LoRA targets
FAMILIES = {
    "bert": (301, BertForSequenceClassification, BertConfig(**SHARED, **SIZES), "all-linear"),
    "roberta": (302, RobertaForSequenceClassification, RobertaConfig(**SHARED, **SIZES, **ROBERTA), ["query", "value"]),
    "distilbert": (
        303,
        DistilBertForSequenceClassification,
        DistilBertConfig(**SHARED, dim=32, n_layers=2, n_heads=4, hidden_dim=64),
        ["q_lin", "v_lin"],
    ),
}


def randomise(model):
    """No weight at 0 or 1, where a missing bias or LayerNorm would not show. Scaled so that softmax stays soft."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "LayerNorm.weight" in name or "layer_norm.weight" in name:
                p.copy_(1 + 0.3 * torch.randn_like(p))
            else:
                p.normal_(std=0.3)


def batch(config, lengths=LENGTHS, width=11):
    """Random ids, right-padded with the family's pad id; token types 0 or 1 for BERT."""
    ids = torch.randint(5, config.vocab_size, (len(lengths), width))
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    inputs = {"input_ids": torch.where(mask == 1, ids, config.pad_token_id), "attention_mask": mask}
    if config.model_type == "bert":
        inputs["token_type_ids"] = torch.randint(0, 2, ids.shape) * mask
    return inputs


def encode(encoder, inputs):
    """Hidden states of the encoder (0 = embeddings), and the two sentence embeddings."""
    with torch.no_grad():
        result = encoder(**inputs, output_hidden_states=True)
    last, mask = result.last_hidden_state, inputs["attention_mask"][..., None].float()
    out = {f"hidden_states.{i}": h for i, h in enumerate(result.hidden_states)}
    out["last_hidden_state"] = last
    out["mean_embedding"] = (last * mask).sum(1) / mask.sum(1)
    out["cls_embedding"] = last[:, 0]
    if getattr(result, "pooler_output", None) is not None:
        out["pooler_output"] = result.pooler_output
    return out


def logits_of(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


def add_adapter(model, targets, folder):
    """Attach LoRA, make B and the trained head differ from their start, save as PEFT does."""
    config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="SEQ_CLS")
    adapted_model = get_peft_model(model, config).eval()
    randomise_b(adapted_model, std=0.1)
    with torch.no_grad():
        for name, p in adapted_model.named_parameters():
            if "modules_to_save" in name:
                p.add_(0.2 * torch.randn_like(p))
    adapted_model.save_pretrained(folder)
    (folder / "README.md").unlink()
    return adapted_model, config


def gradients(model, inputs):
    """Cross-entropy on LABELS: the loss and the gradient of every tensor of the adapter file, by its key there."""
    model.zero_grad()
    loss = model(**inputs, labels=torch.tensor(LABELS)).loss
    loss.backward()
    by_pointer = {p.data_ptr(): p.grad for p in model.parameters() if p.requires_grad}
    grads = {f"grad.{k}": by_pointer[v.data_ptr()] for k, v in get_peft_model_state_dict(model).items()}
    assert all(g.abs().max() > 1e-6 for g in grads.values())
    return loss.detach().reshape(1), grads


def write_family(name):
    seed, model_class, config, targets = FAMILIES[name]
    folder = fresh(MODELS / name)
    torch.manual_seed(seed)
    model = model_class._from_config(config, attn_implementation="eager").eval()
    randomise(model)
    model.save_pretrained(folder)
    inputs = batch(config)
    out = {**inputs, **encode(model.base_model, inputs), "logits": logits_of(model, inputs)}
    adapted_model, lora = add_adapter(model, targets, folder / "adapter")
    out["adapter_logits"] = logits_of(adapted_model, inputs)
    out["labels"] = torch.tensor(LABELS)
    out["adapter_loss"], grads = gradients(adapted_model, inputs)
    write_tensors(folder / "expected.safetensors", {**out, **grads})
    about = dict(
        config=plain_config(lora),
        sites=adapted(adapted_model),
        modules_to_save=saved_modules(adapted_model),
        lengths=LENGTHS,
        seed=seed,
        versions=versions(),
    )
    write_json(folder / "expected.json", about)

    loaded = model_class.from_pretrained(folder, attn_implementation="eager").eval()
    assert torch.equal(logits_of(loaded, inputs), out["logits"])
    with_adapter = PeftModel.from_pretrained(loaded, folder / "adapter").eval()
    torch.testing.assert_close(logits_of(with_adapter, inputs), out["adapter_logits"])
    assert (out["adapter_logits"] - out["logits"]).abs().max() > 0.1


def write_bare():
    """BertModel.save_pretrained in F16, plus the position_ids buffer that older files carry."""
    folder = fresh(MODELS / "bert-bare")
    torch.manual_seed(304)
    config = BertConfig(**SHARED, **SIZES)
    model = BertModel._from_config(config, attn_implementation="eager").eval()
    randomise(model)
    model.half().save_pretrained(folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    assert all(t.dtype == torch.float16 and not k.startswith("bert.") for k, t in tensors.items())
    tensors["embeddings.position_ids"] = torch.arange(config.max_position_embeddings)[None]
    save_file(tensors, file, metadata={"format": "pt"})
    rounded = BertModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    inputs = batch(config)
    write_tensors(folder / "expected.safetensors", {**inputs, **encode(rounded, inputs)})
    write_json(folder / "expected.json", dict(lengths=LENGTHS, seed=304, stored="F16", versions=versions()))


def write_sharded():
    """Sequence classification stored in BF16 as two shards with an index."""
    folder = fresh(MODELS / "bert-sharded")
    torch.manual_seed(305)
    config = BertConfig(**SHARED, **SIZES)
    model = BertForSequenceClassification._from_config(config, attn_implementation="eager").eval()
    randomise(model)
    model.bfloat16().save_pretrained(folder, max_shard_size="30KB")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == 2
    rounded = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    assert torch.equal(rounded.eval().classifier.weight, model.classifier.weight.float())
    inputs = batch(config)
    out = {**inputs, **encode(rounded.bert, inputs), "logits": logits_of(rounded, inputs)}
    write_tensors(folder / "expected.safetensors", out)
    write_json(folder / "expected.json", dict(lengths=LENGTHS, seed=305, stored="BF16", versions=versions()))


if __name__ == "__main__":
    for family in FAMILIES:
        write_family(family)
    write_bare()
    write_sharded()
