"""What transformers makes of conversations: crates/peft-train/tests/golden/chat.json

For each template: the text of conversations with and without the beginning of an answer, or the template's refusal, and the token
ids of the text (TinyStories-656K's tokenizer). What is learnt of them: chat_masks.py.

Templates of published models stand in the data folder, ours in this file; the JSON holds the source of ours alone.

Regenerate from the repository root:  python3 tools/golden/chat.py path/to/data
"""

from common import ROOT, versions, write_json

import json
import sys
from pathlib import Path

from datetime import datetime

from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import render_jinja_template


class Fixed(datetime):
    """Some templates write the date."""

    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


chat_template_utils.datetime = Fixed

PUBLISHED = ["granitemoe-1b", "phi3-mini", "qwen2-14b", "qwen3-14b-mlx4bit", "slm-split"]
OURS = {
    "turns": {
        "bos_token": "<s>",
        "eos_token": {"content": "</s>"},
        "chat_template": "{{ bos_token }}{% for message in messages %}\n"
        "    {%- if loop.index0 % 2 == 0 and message.role == 'assistant' %}\n"
        "        {{- raise_exception('the assistant does not begin') }}\n"
        "    {%- endif %}\n"
        "{{ '[' + message['role'].upper() + '] ' }}{% if message.role == 'assistant' %}"
        "{% generation %}{{ message.content.strip() + eos_token }}{% endgeneration %}{% else %}{{ message.content | trim }}{% endif %}\n"
        "{% endfor %}\n"
        "  {% if add_generation_prompt %}\n[ASSISTANT] {% endif %}",
    },
    "tools": {
        "eos_token": "<|end|>",
        "chat_template": "{%- for message in messages %}{% if message.tool_calls is defined and message.tool_calls %}"
        "{{ message.tool_calls | tojson }}{{ '\\n' }}{{ message.tool_calls[0].function.arguments | tojson(indent=2) }}"
        "{% else %}{{ message.content.split('</think>')[-1].lstrip('\\n') }}{% endif %}"
        "{% if not loop.last %}{% continue %}{% endif %}{{ eos_token }}{% endfor %}"
        "{% if strftime_now is defined %}today{% endif %}{{ messages | map(attribute='role') | join(', ') }}",
    },
}
SYSTEM = {"role": "system", "content": "You are brief."}
USER = {"role": "user", "content": "What is a frog?"}
FROG = {"role": "assistant", "content": " A small green animal.\nIt jumps. "}
AGAIN = {"role": "user", "content": 'And a "bee"? & <tell> é 日本'}
BEE = {"role": "assistant", "content": "An insect."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "look_up", "arguments": {"word": "bée", "many": [1, 2.5, True, None], "empty": {}}}}
    ],
}
CONVERSATIONS = [[USER], [USER, FROG], [SYSTEM, USER, FROG], [USER, FROG, AGAIN, BEE], [USER, CALL], [FROG, USER], [SYSTEM]]


def special_tokens(fields):
    token = lambda value: value["content"] if isinstance(value, dict) else value
    return {name: token(value) for name, value in fields.items() if name.endswith("_token") and value is not None}


def render(fields, messages, ask):
    """The text, or None where the template refuses."""
    try:
        rendered, _ = render_jinja_template(
            conversations=[messages],
            chat_template=fields["chat_template"],
            add_generation_prompt=ask,
            **special_tokens(fields),
        )
        return rendered[0]
    except Exception as error:
        return None


def case(fields, tokenizer, messages):
    text = render(fields, messages, False)
    out = {"messages": messages, "text": text, "asked": render(fields, messages, True)}
    if text is not None:
        out["ids"] = tokenizer(text, add_special_tokens=False).input_ids
    return out


def main(data):
    # What tokenizer.json says; AutoTokenizer builds a LlamaTokenizer of its own from it, which drops unknown characters.
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(data / "models/story-llama-0.65m/tokenizer.json"))
    out = {"generator": "tools/golden/chat.py", **versions(), "ours": {}, "published": {}}
    for name, fields in OURS.items():
        out["ours"][name] = {"config": fields, "cases": [case(fields, tokenizer, c) for c in CONVERSATIONS]}
    for name in PUBLISHED:
        fields = json.loads((data / "model_configs" / name / "tokenizer_config.json").read_text())
        out["published"][name] = [case(fields, tokenizer, c) for c in CONVERSATIONS]
    write_json(ROOT / "crates/peft-train/tests/golden/chat.json", out)
    for name, cases in [*out["published"].items(), *((n, f["cases"]) for n, f in out["ours"].items())]:
        print(name, ["refused" if c["text"] is None else len(c.get("ids", [])) for c in cases])


main(Path(sys.argv[1]))
