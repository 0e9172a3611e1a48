"""What TRL makes of conversations, prompts and completions: crates/peft-train/tests/golden/chat_masks.json, chat_tokenizer.json

A byte-level tokenizer is trained here. For each template there is a twin that marks its answers with {% generation %} and renders the
same text: TRL trains on such twins of published templates. The masks are those of `SFTTrainer` with assistant_only_loss and the twin,
and with completion_only_loss for prompts and completions; what a twin renders otherwise (Qwen 3 drops thoughts) is left out.

Published templates are those that TRL carries; ours stand in this file.

Regenerate from the repository root:  python3 tools/golden/chat_masks.py
"""

from common import ROOT, versions, write_json

import json
import tempfile
from pathlib import Path

import trl
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

GOLDEN = ROOT / "crates/peft-train/tests/golden"
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<end_of_turn>",
           "<start_of_turn>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "[INST]", "[/INST]"]
TURN = "{{ '<|im_start|>' + m.role + '\\n' }}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
SAID = "{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>\\n' }}{% endgeneration %}{% else %}" \
       "{{ m.content + '<|im_end|>\\n' }}{% endif %}"
LAST = "{% if loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
THINK = "{% if m.role == 'assistant' %}{% generation %}" + LAST + "{{ m.content + '<|im_end|>\\n' }}{% endgeneration %}{% else %}" \
        "{{ m.content + '<|im_end|>\\n' }}{% endif %}"
SYSTEM_LAST = "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}{% else %}" \
    "{% set system = '' %}{% set turns = messages %}{% endif %}{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}{{ '[INST]' }}" \
    "{% if loop.last and system %}{{ system + '\\n\\n' }}{% endif %}{{ m.content + '[/INST]' }}{% elif m.role == 'assistant' %}{% generation %}" \
    "{{ m.content + eos_token }}{% endgeneration %}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
ONCE = "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% if loop.last %}" \
    "{{ eos_token }}{% endif %}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
TOOLS = "{% if tools %}{{ '[tools]' }}{% for t in tools %}{{ t | tojson }}{% endfor %}{{ '[/tools]\\n' }}{% endif %}{% for m in messages %}" \
    "{{ '[' + m.role + ']' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% for c in m.tool_calls or [] %}" \
    "{{ c.function | tojson }}{% endfor %}{{ '[/]\\n' }}{% endgeneration %}{% else %}{{ m.content + '[/]\\n' }}{% endif %}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
OURS = {
    "chatml": "{% for m in messages %}" + TURN + SAID + "{% endfor %}" + ASK,
    "default-system": "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}" + TURN + SAID + "{% endfor %}" + ASK,
    "think-last": "{% for m in messages %}" + TURN + THINK + "{% endfor %}" + ASK,
    "system-in-last-user": SYSTEM_LAST,
    "end-once": ONCE,
    "tools": TOOLS,
}
PUBLISHED = ["qwen2_5", "llama3", "gemma", "phi3"]

says = lambda role, content, **more: {"role": role, "content": content, **more}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather of a town", "parameters": {
    "type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}}}
CALL = says("assistant", "", tool_calls=[{"type": "function", "function": {"name": "weather", "arguments": {"town": "Zürich"}}}])
CONVERSATIONS = [
    {"messages": [says("user", "Hi."), says("assistant", "Hello, you.\nWhat is it?")]},
    {"messages": [says("user", "Tell me a story."), says("assistant", "Once upon a time."), says("user", "Go on, é 日本!"),
                  says("assistant", "There was a frog.")]},
    {"messages": [says("assistant", "I am Bob."), says("user", "Once?"), says("assistant", "Once upon a time.")]},
    {"messages": [says("system", "You are brief."), says("user", "A frog?"), says("assistant", "Green."), says("user", "And?"),
                  says("assistant", "Green.")]},
    {"messages": [says("user", "Weather?"), CALL, says("tool", "12 degrees"), says("assistant", "It is 12 degrees.")], "tools": [TOOL]},
]
PROMPTS = [
    {"prompt": "Question: 1 + 1? Answer:", "completion": " two"},
    {"prompt": "The mess", "completion": "ages"},
    {"prompt": "One", "completion": "two</s>"},
    {"prompt": [says("user", "Hi.")], "completion": [says("assistant", "Hello.")]},
    {"prompt": [says("system", "Brief."), says("user", "A frog?"), says("assistant", "Yes."), says("user", "Green?")],
     "completion": [says("assistant", "Green.")]},
]


def unmarked(template):
    import re
    return re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)


def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    text = Path(__file__).read_text() + (ROOT / "docs/CONTRIBUTING.md").read_text()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(text.splitlines(keepends=True), trainer)
    path = GOLDEN / "chat_tokenizer.json"
    made.save(str(path), pretty=False)
    return PreTrainedTokenizerFast(tokenizer_file=str(path), bos_token="<s>", eos_token="</s>", pad_token="</s>")


def trained(rows, made, **settings):
    """The ids and labels that TRL learns from."""
    model = LlamaForCausalLM(LlamaConfig(vocab_size=420, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))
    with tempfile.TemporaryDirectory() as out:
        config = SFTConfig(output_dir=out, report_to=[], use_cpu=True, max_length=None, bf16=False, **settings)
        data = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=made).train_dataset
    return [{"ids": row["input_ids"], "learnt": [label != -100 for label in row["labels"]]} for row in data]


def case(made, plain, twin, row):
    """Texts of both, ids and mask; no mask where TRL or the template refuses."""
    render = lambda template, ask: made.apply_chat_template(
        row["messages"], tools=row.get("tools"), chat_template=template, tokenize=False, add_generation_prompt=ask)
    out = dict(row)
    try:
        out |= {"text": render(plain, False), "asked": render(plain, True)}
        if render(twin, False) != out["text"]:
            return out
    except Exception:
        return out | {"text": None}
    made.chat_template = twin
    # Arrow would give every tool call every key; JSON text is what TRL takes for tools.
    whole = made.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=True, return_dict=True,
                                     return_assistant_tokens_mask=True)
    if "tools" not in row:
        (of_trl,) = trained([row], made, assistant_only_loss=True)
        assert of_trl == {"ids": whole["input_ids"], "learnt": [mask == 1 for mask in whole["assistant_masks"]]}, row
    return out | {"ids": whole["input_ids"], "learnt": [mask == 1 for mask in whole["assistant_masks"]]}


def main():
    made = tokenizer()
    carried = Path(trl.__file__).parent / "chat_templates"
    read = lambda name: (carried / f"{name}.jinja").read_text()
    templates = {name: (unmarked(twin), twin) for name, twin in OURS.items()}
    templates |= {name: (read(name), read(f"{name}_training")) for name in PUBLISHED}
    out = {"generator": "tools/golden/chat_masks.py", **versions(), "trl": trl.__version__, "templates": {}, "prompts": []}
    for name, (plain, twin) in templates.items():
        cases = [case(made, plain, twin, row) for row in CONVERSATIONS]
        out["templates"][name] = {"template": plain, "twin": twin, "cases": cases}
        print(name, [sum(c["learnt"]) if "learnt" in c else c["text"] is None and "refused" or "no mask" for c in cases])
    made.chat_template = unmarked(OURS["chatml"])
    for row in PROMPTS:
        (found,) = trained([row], made, completion_only_loss=True)
        out["prompts"].append(row | found)
        print(row["completion"], len(found["ids"]), sum(found["learnt"]))
    out["prompts_template"] = made.chat_template
    GOLDEN.joinpath("chat_masks.json").write_text(json.dumps(out, ensure_ascii=False) + "\n", encoding="utf-8")


main()
