"""Hidden states of a real MiniLM on sentences of a file, for a comparison that stays out of the repository.

usage: python3 tools/golden/minilm.py MINILM sts-dev.csv MINILM/golden.safetensors

Writes, for the first 50 sentences (first text of a row of STS-B, column 6): ids and mask [50, seq] as F32, and
last_hidden_state [50, seq, 384]. `cargo test -p peft-models --test minilm` compares when the file lies in the model's folder.
"""
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

folder, data, out = sys.argv[1:]
texts = [line.rstrip("\n").split("\t")[5] for line in open(data, encoding="utf-8")][:50]
tokens = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True, truncation=True, max_length=128)
with torch.no_grad():
    hidden = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
save_file(
    {"ids": tokens.input_ids.float(), "mask": tokens.attention_mask.float(), "last_hidden_state": hidden.contiguous()},
    out,
)
print(len(texts), "sentences,", tuple(hidden.shape))
