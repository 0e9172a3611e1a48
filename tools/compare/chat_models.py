"""Hugging Face PEFT beside `peft train` on a chat model of llama.cpp: LoRA at all linear layers on the E2E set as chats.

    chat_models.py prepare --gguf MODEL.gguf --data E2E_FOLDER --work FOLDER --steps 200 --held-out 300
    chat_models.py train --work FOLDER --mode f32 --steps 200 --lr 5e-4 --threads 2

`prepare` unpacks the model into FOLDER/base, writes FOLDER/train.jsonl and FOLDER/valid.jsonl (rows that fit in a row of tokens, so that
nothing is cut) and FOLDER/start, an adapter of fresh values with which both programs begin. `train` takes the batches that FOLDER/order.json
lists and prints one JSON line: the loss on the held-out rows before and after, the seconds of a step in the middle, the most memory.

`cargo xtask compare-chat` runs both in turns with ours. Needed: pip install torch transformers peft gguf safetensors
"""

import argparse
import csv
import json
import pathlib
import resource
import statistics
import sys
import time

try:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    sys.exit(f"{error.name} is not there, nothing was compared: pip install torch transformers peft gguf safetensors")

ROWS = 8
TOKENS = 128
RANK = 8
IGNORED = -100


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    prepare = verbs.add_parser("prepare")
    prepare.add_argument("--gguf", type=pathlib.Path, required=True)
    prepare.add_argument("--data", type=pathlib.Path, required=True)
    prepare.add_argument("--held-out", type=int, required=True)
    train = verbs.add_parser("train")
    train.add_argument("--mode", choices=["f32", "bf16"], required=True)
    train.add_argument("--lr", type=float, required=True)
    train.add_argument("--threads", type=int, required=True)
    for verb in [prepare, train]:
        verb.add_argument("--work", type=pathlib.Path, required=True)
        verb.add_argument("--steps", type=int, required=True)
    return parser.parse_args()


def encoded(tokenizer, messages):
    """Ids of a chat and the labels: the answer with all that the template puts behind it, as `peft train` learns it."""
    asked = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    assert whole.startswith(asked), "the template writes the question otherwise where an answer follows"
    ids = tokenizer(whole, add_special_tokens=False).input_ids
    begin = len(tokenizer(asked, add_special_tokens=False).input_ids)
    labels = [IGNORED] * begin + ids[begin:]
    return ids, labels


def chats(path, tokenizer, count):
    """So many chats, spread over a file whose neighbouring rows say the same."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    all_chats = [[{"role": "user", "content": row["mr"]}, {"role": "assistant", "content": row["ref"]}] for row in rows]
    fitting = [chat for chat in all_chats if len(encoded(tokenizer, chat)[0]) <= TOKENS]
    assert len(fitting) >= count, f"{path}: {count} chats of at most {TOKENS} tokens are needed, found {len(fitting)}"
    return [fitting[at * len(fitting) // count] for at in range(count)]


def write_chats(path, rows):
    path.write_text("".join(json.dumps({"messages": row}, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def prepare(args):
    folder, name = str(args.gguf.parent), args.gguf.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    # What is in memory is unpacked; the configuration still says how the file was packed.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    model.config.rms_norm_eps = round(model.config.rms_norm_eps, 10)
    base = args.work / "base"
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    write_chats(args.work / "train.jsonl", chats(args.data / "devset.csv", tokenizer, ROWS * args.steps))
    write_chats(args.work / "valid.jsonl", chats(args.data / "testset_w_refs.csv", tokenizer, args.held_out))
    torch.manual_seed(0)
    adapter = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, adapter).save_pretrained(args.work / "start")


def batch(tokenizer, rows):
    length = max(len(ids) for ids, _ in rows)
    fill = lambda values, with_: values + [with_] * (length - len(values))
    return {
        "input_ids": torch.tensor([fill(ids, tokenizer.pad_token_id or 0) for ids, _ in rows]),
        "attention_mask": torch.tensor([fill([1] * len(ids), 0) for ids, _ in rows]),
        "labels": torch.tensor([fill(labels, IGNORED) for _, labels in rows]),
    }


def read(path, tokenizer):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [encoded(tokenizer, json.loads(line)["messages"]) for line in lines]


def held_out(model, tokenizer, rows, autocast):
    model.eval()
    nats = tokens = 0
    for at in range(0, len(rows), ROWS):
        one = batch(tokenizer, rows[at : at + ROWS])
        count = int((one["labels"][:, 1:] != IGNORED).sum())
        with torch.no_grad(), autocast():
            nats += float(model(**one).loss) * count
        tokens += count
    model.train()
    return nats / tokens


def train(args):
    torch.set_num_threads(args.threads)
    base = args.work / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, args.work / "start", is_trainable=True)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=args.lr, weight_decay=0.0)
    autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.mode == "bf16")
    rows, valid = read(args.work / "train.jsonl", tokenizer), read(args.work / "valid.jsonl", tokenizer)
    order = json.loads((args.work / "order.json").read_text())[: args.steps]
    before = held_out(model, tokenizer, valid, autocast)
    seconds = []
    for number, indices in enumerate(order, 1):
        began = time.perf_counter()
        with autocast():
            loss = model(**batch(tokenizer, [rows[index] for index in indices])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        if number % 20 == 0:
            print(f"step {number} of {len(order)}, loss {float(loss):.3f}, {seconds[-1]:.2f} s", file=sys.stderr)
    after = held_out(model, tokenizer, valid, autocast)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"before": before, "loss": after, "step": statistics.median(seconds), "memory": memory}))


def main():
    args = arguments()
    {"prepare": prepare, "train": train}[args.verb](args)


main()
