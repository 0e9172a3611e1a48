"""A model folder of random weights, for timing: python3 random_model.py SHAPE FOLDER

SHAPE is `minilm` (all-MiniLM-L6-v2's layers, f32), `llama-1b` (Llama-3.2-1B's, bf16) or `llama-tiny`.
"""

import sys

import torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM


def llama(width, mlp, layers, heads, key_value_heads, words):
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=width,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=key_value_heads,
            vocab_size=words,
            max_position_embeddings=8192,
            rope_theta=500000.0,
            tie_word_embeddings=True,
        )
    )


def minilm():
    return BertForSequenceClassification(
        BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, vocab_size=30522)
    )


SHAPES = {
    "minilm": (minilm, torch.float32),
    "llama-1b": (lambda: llama(2048, 8192, 16, 32, 8, 128256), torch.bfloat16),
    "llama-tiny": (lambda: llama(64, 160, 16, 4, 2, 512), torch.bfloat16),
}


def main():
    shape, folder = sys.argv[1:]
    torch.manual_seed(0)
    make, dtype = SHAPES[shape]
    torch.set_default_dtype(dtype)
    make().save_pretrained(folder)


main()
