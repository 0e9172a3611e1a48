"""Load an adapter folder written by this project with Python PEFT and print its logits, one JSON line per text.

Used by hand; writes no file.  Each output line: {"index": i, "logits": [...]}.

  python3 tools/golden/check_folder.py --model BASE_FOLDER --adapter ADAPTER_FOLDER --text "first" --text "second"
  python3 tools/golden/check_folder.py --model BASE_FOLDER --adapter ADAPTER_FOLDER --texts rows.jsonl   ("text" field)
  python3 tools/golden/check_folder.py --model BASE_FOLDER --adapter ADAPTER_FOLDER --ids "5 6 7" --ids "8 9"

--ids gives token ids instead of texts, for base folders without a tokenizer. Without --adapter: the base model alone.
PEFT only warns about missing keys and ignores unknown ones; here every difference is an error.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="base model folder (HF layout)")
    parser.add_argument("--adapter", help="adapter folder (adapter_config.json + adapter_model.safetensors)")
    parser.add_argument("--labels", type=int, help="number of labels (default: from the base config)")
    parser.add_argument("--max-length", type=int, default=128)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", action="append")
    source.add_argument("--texts", help="JSON lines with a text field")
    source.add_argument("--ids", action="append", help="token ids separated by blanks")
    return parser.parse_args()


def load(args):
    labels = args.labels or AutoConfig.from_pretrained(args.model).num_labels
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=labels, dtype=torch.float32)
    if args.adapter:
        model = PeftModel.from_pretrained(model, args.adapter)
        check_tensors(model, load_file(Path(args.adapter) / "adapter_model.safetensors"))
    return model.eval()


def check_tensors(model, file):
    """The file must hold exactly the tensors PEFT would save, and PEFT must have loaded their values."""
    loaded = get_peft_model_state_dict(model)
    # PEFT repeats a tensor that all layers have beside each of them; here it is written once.
    once = {k for k in loaded if f"base_model.{k.rsplit('.', 1)[1]}" in file}
    problems = [f"missing in the file: {k}" for k in sorted(loaded.keys() - file.keys() - once)]
    problems += [f"unknown to PEFT: {k}" for k in sorted(file.keys() - loaded.keys())]
    shared = sorted(loaded.keys() & file.keys())
    problems += [f"differs after loading: {k}" for k in shared if not same(loaded[k], file[k])]
    if problems:
        sys.exit("\n".join(problems))


def same(a, b):
    return a.shape == b.shape and torch.equal(a.detach().float(), b.float())


def inputs(args):
    """One encoded row per text; rows run one by one, so there is no padding."""
    if args.ids:
        for ids in args.ids:
            yield {"input_ids": torch.tensor([[int(i) for i in ids.split()]])}
        return
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    texts = args.text or [json.loads(line)["text"] for line in open(args.texts, encoding="utf-8")]
    for text in texts:
        yield tokenizer(text, return_tensors="pt", truncation=True, max_length=args.max_length)


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments_given = arguments()
    network = load(arguments_given)
    with torch.no_grad():
        for index, row in enumerate(inputs(arguments_given)):
            logits = network(**row).logits[0].tolist()
            json.dump({"index": index, "logits": logits}, sys.stdout)
            print()
