//! The tokenizer of the generated language: one token per word.

use std::path::Path;

use anyhow::{Result, anyhow};
use peft_train::synthetic::{SPECIAL_TOKENS, vocabulary};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::whitespace::Whitespace;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// Id of a special token: its place in the vocabulary.
pub(crate) fn special(name: &str) -> Result<u32> {
    let place = SPECIAL_TOKENS.iter().position(|token| *token == name);
    let place = place.ok_or_else(|| anyhow!("{name} is no special token"))?;
    Ok(u32::try_from(place)?)
}

/// Writes `tokenizer.json` and `tokenizer_config.json` into a folder.
pub(crate) fn write(dir: &Path) -> Result<()> {
    let words = (0..).zip(vocabulary());
    let words = words.map(|(id, word)| (word.to_owned(), id)).collect();
    let model = WordLevel::builder()
        .vocab(words)
        .unk_token("[UNK]".into())
        .build()
        .map_err(|e| anyhow!(e))?;
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")
        .and_then(|template| template.try_pair("[CLS] $A:0 [SEP]:0 $B:1 [SEP]:1"))
        .map_err(|e| anyhow!(e))?
        .special_tokens(vec![
            ("[CLS]", special("[CLS]")?),
            ("[SEP]", special("[SEP]")?),
        ])
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(true, false, None, true)))
        .map_err(|e| anyhow!(e))?
        .with_pre_tokenizer(Some(Whitespace {}))
        .with_post_processor(Some(template));
    let added = SPECIAL_TOKENS.map(|token| AddedToken::from(token, true));
    tokenizer
        .add_special_tokens(added)
        .map_err(|e| anyhow!(e))?;
    tokenizer
        .save(dir.join("tokenizer.json"), true)
        .map_err(|e| anyhow!(e))?;
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "model_max_length": 64,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    });
    Ok(std::fs::write(
        dir.join("tokenizer_config.json"),
        format!("{config:#}\n"),
    )?)
}
