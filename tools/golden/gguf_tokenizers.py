"""Tiny tokenizers as GGUF files, and the ids that their originals give.

usage: python tools/golden/gguf_tokenizers.py [FOLDER]
(pip install gguf==0.19.0 sentencepiece==0.2.3 protobuf==7.36.2)

Byte-level tokenizers are trained with the pre-tokenizers of their families, written here as their `tokenizer.json` has them, and
SentencePiece models by SentencePiece itself. The expected ids come from those originals, never from a GGUF file. With FOLDER, the
files go there, with the few hyperparameters that llama.cpp asks for before it loads a vocabulary alone.
"""

import json
import sys
from pathlib import Path

import gguf
import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/peft-gguf/tests/golden/tokenizers"
SPLIT = {
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}  # fmt: skip
TEXTS = [
    "",
    "Hello world",
    "The quick brown fox jumps over the lazy dog. The dog doesn't care; they'LL see what it'S about.",
    "  two spaces before, three after   ",
    " one\u00a0no-break space, a\u3000wide one",
    "tabs\tand\t\tmore\nnew lines\n\n\r\nof all kinds\r\n   \n  indented",
    "\n",
    " ",
    "   ",
    "na\u00efve caf\u00e9 \u00fcber stra\u00dfe \u0141\u00f3d\u017a \u0130stanbul",
    "nai\u0308ve cafe\u0301 in two code points each",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u4eca\u65e5\u306f\u3053\u3093\u306b\u3061\u306f\u30ab\u30bf\u30ab\u30ca\u3002 \uc548\ub155\ud558\uc138\uc694",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645\u060c \u0645\u0631\u062d\u0628\u0627\u064b \u0661\u0662\u0663\u0664",
    "\u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947 \u0434\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c \u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f980",
    "1 12 123 1234 12345 1234567 3.14159 \u00bd \u2167 2024-01-02 0x1F",
    "fn main() {\n    let x: Vec<u8> = vec![1, 2, 3];\n\tprintln!(\"{x:?}\"); // \u2192 done\n}\n",
    "def f(a, b=None):\n\treturn a if b is None else a**b  # power\n",
    "https://example.org/a_b?q=%20&r=1#top user@example.org",
    "a\u0000b\u0001c\u007f\ufffd\ufeff\u200b\u202e \U000e0041 \u0378",
    "\u2581already\u2581there \u0120 \u00c4\u00a0",
    "<0x41><0xE2> <|not_one|> [PAD3]",
    "x<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|> <|im_end|><|im_end|>   <|im_start|>  spaces",
    "a <tool> b<tool>c  <tool>",
    "double  triple   four    eight        end",
    "THE END. The End's near... (really?!) --- \u2014 \u201cquoted\u201d \u2018it\u2019s\u2019 don't DON'T",
]
CORPUS = [text for text in TEXTS for _ in range(3)] + [
    "the dog and the fox and the world of the lines in the code",
    "hello hello there, it is what it is and they are here now",
    "return None; let mut x = 12; print the number 123 and 1234",
] * 4


def base(name, model, pre, hparams):
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
    writer.add_context_length(2048)
    if hparams:
        writer.add_block_count(1)
        writer.add_embedding_length(64)
        writer.add_feed_forward_length(64)
        writer.add_head_count(4)
        writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def pre_tokenizer(pre):
    bytes_ = lambda words: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    if pre == "gpt-2":
        return bytes_(True)
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_(True)])
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT[pre]), "isolated"), bytes_(False)])


def byte_level(pre, hparams=False, stated=None):
    """A tokenizer of the family, trained, and its file; `stated` writes the file with another name of the rule."""
    original = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    original.normalizer = normalizers.NFC() if pre == "qwen2" else None
    original.pre_tokenizer = pre_tokenizer(pre)
    original.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False)
    original.train_from_iterator(CORPUS, trainer)
    original.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    original.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("   ", normalized=False)])
    ids = original.get_vocab()
    if pre == "llama-bpe":
        bos = "<|endoftext|>"
        original.post_processor = processors.TemplateProcessing(f"{bos} $A", f"{bos} $A {bos} $B", [(bos, ids[bos])])
    tokens = sorted(ids, key=ids.get)
    writer = base(stated or pre, "gpt2", stated or pre, hparams)
    writer.add_token_list(tokens)
    kinds = {"<|endoftext|>": 3, "<|im_start|>": 3, "<|im_end|>": 3, "<tool>": 4, "   ": 4}
    writer.add_token_types([kinds.get(token, 1) for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in json.loads(original.to_str())["model"]["merges"]])
    writer.add_bos_token_id(ids["<|endoftext|>"])
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    if pre != "llama-bpe":
        writer.add_add_bos_token(False)
    writer.add_chat_template([{"name": "default", "template": "{{ messages }}"}, {"name": "tool_use", "template": "{{ tools }}"}])
    finish(writer)
    return encode(original)


def encode(original):
    rows = []
    for text in TEXTS:
        ids = original.encode(text).ids
        rows.append({"ids": ids, "plain": original.encode(text, add_special_tokens=False).ids, "text": original.decode(ids)})
    return rows


def sentence_piece(name, prefix, hparams=False):
    """A model of SentencePiece and its file, spelled as llama.cpp's converter spells it."""
    model = OUT / "sentencepiece"
    # As in Gemma, which has no prefix. With one, SentencePiece has it before the first text alone; llama.cpp, and `tokenizer.json` of Llama 2,
    # before the text behind each such token too.
    defined = [] if prefix else ["<tool>", "\u2581\u2581", "\u2581\u2581\u2581"]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_prefix=str(model), model_type="bpe", vocab_size=620, byte_fallback=True,
        add_dummy_prefix=prefix, remove_extra_whitespaces=False, normalization_rule_name="identity", character_coverage=0.98,
        user_defined_symbols=defined, control_symbols=["<|im_start|>", "<|im_end|>"],
        allow_whitespace_only_pieces=True, minloglevel=2,
    )  # fmt: skip
    original = spm.SentencePieceProcessor(model_file=f"{model}.model")
    tokens, scores, kinds = [], [], []
    for id_ in range(original.vocab_size()):
        piece = original.id_to_piece(id_)
        kind = 1
        kind = 2 if original.is_unknown(id_) else 3 if original.is_control(id_) else 6 if original.is_byte(id_) else kind
        if piece in defined:
            kind, piece = 4, piece.replace("\u2581", " ")
        tokens.append(piece)
        scores.append(original.get_score(id_))
        kinds.append(kind)
    writer = base(name, "llama", "default", hparams)
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(original.bos_id())
    writer.add_eos_token_id(original.eos_id())
    writer.add_unk_token_id(original.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(prefix)
    finish(writer)
    rows = []
    for text in TEXTS:
        # SentencePiece itself never finds control symbols in a text.
        if "<|im_" in text:
            rows.append(None)
            continue
        ids = original.encode(text)
        rows.append({"ids": [original.bos_id(), *ids], "plain": ids, "text": original.decode(ids)})
    for suffix in ["model", "vocab"]:
        Path(f"{model}.{suffix}").unlink()
    return rows


def main():
    global OUT
    hparams = len(sys.argv) > 1
    if hparams:
        OUT = Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    cases = {pre: byte_level(pre, hparams) for pre in ["gpt-2", "llama-bpe", "qwen2", "smollm"]}
    cases["spm"] = sentence_piece("spm", True, hparams)
    cases["spm-no-prefix"] = sentence_piece("spm-no-prefix", False, hparams)
    if hparams:
        for stated in """default mpt dbrx qwen35 starcoder command-r tekken gpt-4o falcon deepseek-llm deepseek-coder deepseek-v3""".split():
            byte_level("gpt-2", hparams, stated)
    content = json.dumps({"texts": TEXTS, "cases": cases}, ensure_ascii=True, separators=(",", ":"))
    (OUT / "expected.json").write_text(content.replace('{"ids"', '\n{"ids"') + "\n")


if __name__ == "__main__":
    main()
