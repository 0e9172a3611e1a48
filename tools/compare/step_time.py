"""Time of a training step and of a forward pass in Hugging Face PEFT, on made-up tokens or images. Prints one JSON line.

The same work as `peft bench`: a model folder, a method, rows of tokens or images, forward, backward, clipping and AdamW; no dropout.
"""

import argparse
import json
import resource
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageClassification, AutoModelForSequenceClassification

WARM_UP = 2
FAMILIES = {
    "seq-cls": (AutoModelForSequenceClassification, "SEQ_CLS"),
    "causal-lm": (AutoModelForCausalLM, "CAUSAL_LM"),
    "image-cls": (AutoModelForImageClassification, None),
}
# transformers 5 calls the layers of a vision transformer otherwise than files do.
IN_MEMORY = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
DROPOUTS = ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "attention_dropout", "dropout"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", choices=FAMILIES, required=True)
    parser.add_argument("--method", choices=["lora", "dora"], required=True)
    parser.add_argument("--targets", required=True, help="names separated by commas, or all-linear")
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--compute", choices=["f32", "bf16"], default="f32", help="bf16: under torch.autocast")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def load(args):
    config = AutoConfig.from_pretrained(args.model)
    for name in DROPOUTS:
        if getattr(config, name, None) is not None:
            setattr(config, name, 0.0)
    family, task_type = FAMILIES[args.task]
    if args.task != "causal-lm":
        config.num_labels = 2
    model = family.from_pretrained(args.model, config=config, dtype=torch.float32)
    targets = args.targets if args.targets == "all-linear" else args.targets.split(",")
    if args.task == "image-cls" and targets != "all-linear":
        targets = [IN_MEMORY[name] for name in targets]
    adapter = LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        target_modules=targets,
        use_dora=args.method == "dora",
        task_type=task_type,
        modules_to_save=["classifier"] if args.task == "image-cls" else None,
    )
    return get_peft_model(model, adapter).to(args.device)


def made_up(args, config):
    classes = torch.arange(args.rows) % 2
    if args.task == "image-cls":
        return {"pixel_values": torch.rand(args.rows, config.num_channels, config.image_size, config.image_size), "labels": classes}
    ids = torch.randint(1, 250, (args.rows, args.tokens))
    if args.task == "causal-lm":
        return {"input_ids": ids, "labels": ids}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": classes}


def wait(device):
    if device != "cpu":
        torch.accelerator.synchronize()


def seconds(work, steps, device):
    times = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - began)
    return sorted(times[WARM_UP:])[steps // 2]


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = load(args)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    batch = {name: values.to(args.device) for name, values in made_up(args, model.config).items()}

    autocast = torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.compute == "bf16")

    def step():
        with autocast:
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def forward():
        with torch.no_grad(), autocast:
            model(**batch)

    model.train()
    of_step = seconds(step, args.steps, args.device)
    model.eval()
    of_forward = seconds(forward, args.steps, args.device)
    if args.device == "cpu":
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    else:
        memory = torch.cuda.max_memory_reserved() / 2**20
    print(json.dumps({"step": of_step, "forward": of_forward, "memory": memory}))


main()
