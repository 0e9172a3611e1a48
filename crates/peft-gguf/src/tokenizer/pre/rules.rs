//! The rules that are known: those of the families' own `tokenizer.json`, under the names that llama.cpp gives them.

use super::Step::{self, Bytes, Digits, GptWords, Split};
use super::patterns::{
    ASIAN, CASED, CJK, CODER_LETTERS, CODER_PUNCTUATION, DEEPSEEK_PUNCTUATION, DEEPSEEK3,
    FALCON_PUNCTUATION, GPT2, GPT4O, LINE_END, LLAMA3, NUMBERS, PUNCTUATION, QWEN2, QWEN35,
    SPACE_AT_END, TEKKEN, THREE_DIGITS, UP_TO_THREE,
};

/// How a family cuts texts into words, and what llama.cpp assumes of it.
pub(super) struct Rule {
    /// What files call it.
    pub(super) names: &'static [&'static str],
    /// Whether characters that can be spelled in several ways are first spelled in one.
    pub(super) nfc: bool,
    /// Whether a word that is a token is one, though no merges lead to it.
    pub(super) ignores_merges: bool,
    /// Whether texts get the token for their beginning where the file does not say.
    pub(super) adds_bos: bool,
    pub(super) steps: &'static [Step],
}

const PLAIN: Rule = Rule {
    names: &[],
    nfc: false,
    ignores_merges: false,
    adds_bos: false,
    steps: &[GptWords],
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        names: &["gpt-2", "phi-2", "exaone4"],
        ..PLAIN
    },
    // Those of GPT-NeoX.
    Rule {
        names: &["mpt", "olmo"],
        nfc: true,
        ..PLAIN
    },
    // What llama.cpp does to files that name no family.
    Rule {
        names: &["default"],
        steps: &[
            Split(PUNCTUATION),
            Split(GPT2),
            Split(NUMBERS),
            Split(THREE_DIGITS),
            Bytes,
        ],
        ..PLAIN
    },
    Rule {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "lfm2",
        ],
        ignores_merges: true,
        adds_bos: true,
        steps: &[Split(LLAMA3), Bytes],
        ..PLAIN
    },
    Rule {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
        steps: &[Split(LLAMA3), Bytes],
        ..PLAIN
    },
    Rule {
        names: &["qwen2", "deepseek-r1-qwen", "megrez"],
        nfc: true,
        steps: &[Split(QWEN2), Bytes],
        ..PLAIN
    },
    Rule {
        names: &["qwen35"],
        nfc: true,
        steps: &[Split(QWEN35), Bytes],
        ..PLAIN
    },
    Rule {
        names: &["smollm", "starcoder", "refact", "codeshell"],
        steps: &[Digits { single: true }, GptWords],
        ..PLAIN
    },
    Rule {
        names: &["command-r"],
        nfc: true,
        steps: &[Digits { single: true }, GptWords],
        ..PLAIN
    },
    Rule {
        names: &["tekken"],
        ignores_merges: true,
        adds_bos: true,
        steps: &[Split(TEKKEN), Bytes],
        ..PLAIN
    },
    Rule {
        names: &["gpt-4o", "llama4", "kanana2", "minimax-m2"],
        steps: &[Split(GPT4O), Bytes],
        ..PLAIN
    },
    Rule {
        names: &["falcon"],
        steps: &[
            Split(FALCON_PUNCTUATION),
            Split(GPT2),
            Split(THREE_DIGITS),
            Bytes,
        ],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-llm"],
        steps: &[
            Split(LINE_END),
            Split(CASED),
            Split(DEEPSEEK_PUNCTUATION),
            Split(SPACE_AT_END),
            Split(ASIAN),
            Digits { single: false },
            Bytes,
        ],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-coder"],
        steps: &[
            Split(LINE_END),
            Split(CODER_LETTERS),
            Split(CODER_PUNCTUATION),
            Split(ASIAN),
            Digits { single: true },
            Bytes,
        ],
        ..PLAIN
    },
    Rule {
        names: &["deepseek-v3"],
        steps: &[Split(UP_TO_THREE), Split(CJK), Split(DEEPSEEK3), Bytes],
        ..PLAIN
    },
];
