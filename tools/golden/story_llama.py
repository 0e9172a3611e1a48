"""What transformers computes with the published TinyStories-656K: crates/peft-models/tests/golden/story-llama/expected.safetensors

The model itself is not here: the test looks for it in the data folder. 20 short texts (token ids, logits after the last token of each)
and a greedy continuation of 100 tokens; float32, eager attention.

Regenerate from the repository root:  python3 tools/golden/story_llama.py path/to/story-llama-0.65m
"""

from common import MODELS, fresh, versions, write_json, write_tensors

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = [
    "Once upon a time there was a little dog.",
    "The sun was warm and the birds",
    "Lily wanted to",
    "One day, Tom and his mother went to the park because",
    "\"Can I have a red ball?\" asked Ben.",
    "There was a big tree with",
    "The cat sat",
    "Mia found a shiny stone near the river. She picked it up and",
    "It was raining, so the children stayed inside and",
    "The frog jumped over the log.",
    "Sam was sad. He had lost his toy car.",
    "Her grandmother gave her a cookie",
    "A small bird could not fly",
    "They played all day long until",
    "The bear said, \"I am very hungry.\"",
    "In the garden grew a flower that",
    "Max likes to draw",
    "The moon was bright.",
    "\"Please help me,\" said the mouse to the lion.",
    "At the end of the day everyone was happy and",
]


def main(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    out = {}
    with torch.no_grad():
        for index, text in enumerate(TEXTS):
            ids = tokenizer(text, return_tensors="pt").input_ids
            out[f"ids.{index}"] = ids
            out[f"logits.{index}"] = model(input_ids=ids).logits[0, -1]
        prompt = out["ids.0"]
        answer = model.generate(prompt, max_new_tokens=100, do_sample=False, eos_token_id=None, repetition_penalty=1.0)
    out["greedy"] = answer[:, prompt.shape[1] :]
    target = fresh(MODELS / "story-llama")
    write_tensors(target / "expected.safetensors", out)
    write_json(
        target / "expected.json",
        {
            "generator": "tools/golden/story_llama.py",
            "texts": TEXTS,
            "continuation": tokenizer.decode(out["greedy"][0]),
            **versions(),
        },
    )


main(sys.argv[1])
