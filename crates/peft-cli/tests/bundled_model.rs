//! The bundled tiny model: it is the one that `transformers` reads, and it knows its language.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use peft_core::Pass;
use peft_models::{Encoder, TokenBatch, load_encoder};
use peft_train::data::{Encoded, Example, Target, TextTokenizer, TokenizeOptions};
use peft_train::synthetic::vocabulary;

/// The model as the program brings it along.
struct Bundled {
    encoder: Encoder,
    tokenizer: TextTokenizer,
}

impl Bundled {
    fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-run/assets/tiny");
        let options = TokenizeOptions {
            max_length: 64,
            pad_id: None,
            vocab_size: Some(vocabulary().len()),
        };
        let encoder = load_encoder(&folder, &Device::flex())
            .expect("the bundled weights load")
            .model;
        let tokenizer =
            TextTokenizer::load(&folder, &options).expect("the bundled tokenizer loads");
        Self { encoder, tokenizer }
    }

    fn tokens(&self, text: &str, pair: Option<&str>) -> Encoded {
        let example = Example {
            text: text.into(),
            pair: pair.map(str::to_owned),
            target: Target::None,
        };
        let tokens = self
            .tokenizer
            .encode(&[example])
            .expect("every text has tokens");
        tokens.examples[0].clone()
    }

    /// Hidden states `[seq, d_model]`.
    fn hidden(&self, tokens: &Encoded) -> Tensor<2> {
        let (ids, types) = ([tokens.ids.clone()], [tokens.type_ids.clone()]);
        let batch =
            TokenBatch::new(&ids, Some(&types), 0, &Device::flex()).expect("one row of tokens");
        self.encoder
            .hidden(&batch, &mut Pass::eval())
            .squeeze_dim(0)
    }

    /// The likeliest word at `[MASK]`.
    fn guess(&self, text: &str) -> &'static str {
        let tokens = self.tokens(text, None);
        let mask = tokens
            .ids
            .iter()
            .position(|id| *id == 4)
            .expect("the text has a [MASK]");
        let state = self.hidden(&tokens).narrow(0, mask, 1);
        let logits = state.matmul(self.encoder.embeddings.words.table.weight.val().transpose());
        let word: i64 = logits
            .argmax(1)
            .into_data()
            .iter::<i64>()
            .next()
            .expect("one row has a largest logit");
        vocabulary()[usize::try_from(word).expect("ids are not negative")]
    }
}

/// Text, second text, tokens, sum of the magnitudes of all hidden states as Python's `BertModel` computes it.
const REFERENCE: [(&str, Option<&str>, usize, f64); 3] = [
    (
        "anna never loved the soup because it was not good .",
        None,
        13,
        951.1968,
    ),
    ("The dogs do not sleep.", None, 8, 565.7923),
    (
        "anna loves it .",
        Some("because it is good ."),
        12,
        878.5908,
    ),
];

#[test]
fn tokens_and_hidden_states_are_those_of_transformers() {
    let bundled = Bundled::open();
    for (text, pair, count, expected) in REFERENCE {
        let tokens = bundled.tokens(text, pair);
        assert_eq!(tokens.ids.len(), count, "{text}");
        assert!(!tokens.ids.contains(&1), "unknown word in {text}");
        let sum = f64::from(bundled.hidden(&tokens).abs().sum().into_scalar::<f32>());
        assert!(
            (sum - expected).abs() < 1e-5 * expected,
            "{text}: {sum}, expected {expected}"
        );
    }
}

#[test]
fn a_hidden_word_is_guessed_from_agreement_and_meaning() {
    let bundled = Bundled::open();
    let guesses: [(&str, &[&str]); 5] = [
        ("the soup [MASK] awful .", &["is", "was"]),
        ("three books [MASK] awful .", &["are", "were"]),
        ("the farmers [MASK] not eat the cake .", &["do", "did"]),
        (
            "the baker read the [MASK] .",
            &["book", "letter", "story", "poem"],
        ),
        (
            "anna ate the [MASK] in the kitchen .",
            &["soup", "cake", "pie", "apple", "cheese"],
        ),
    ];
    for (text, fitting) in guesses {
        let word = bundled.guess(text);
        assert!(fitting.contains(&word), "{text}: {word}");
    }
}
