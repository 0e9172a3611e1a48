//! Models of which a byte of the header is another one: read or refused, and nothing else. Every fifth byte, to take a few seconds at most.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::fs;

use common::golden;
use peft_gguf::GgufFile;
use peft_gguf::hf::{HfError, HfTensors};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Everything that there is to know of a model; the number of values.
fn all(model: &HfTensors) -> Result<usize, HfError> {
    model.config()?;
    let mut count = 0;
    for tensor in model.iter() {
        let values = model.values(tensor.name())?;
        let order = model.row_order(tensor.name())?;
        let rows = tensor.shape().first().copied();
        assert!(order.is_none_or(|order| Some(order.len() as u64) == rows));
        count += values.len();
    }
    Ok(count)
}

#[test]
fn changed_headers_make_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut draw = ChaCha8Rng::seed_from_u64(5);
    let (mut read, mut refused) = (0, 0);
    for name in ["llama_llama3", "gemma3", "gpt2"] {
        let file = golden(&format!("hf/{name}.gguf"));
        let header = GgufFile::open(&file).unwrap().header().data_start() as usize;
        let bytes = fs::read(&file).unwrap();
        for at in (0..header).step_by(5) {
            let mut changed = bytes.clone();
            changed[at] ^= draw.random_range(1..=255_u8);
            fs::write(&path, &changed).unwrap();
            match HfTensors::open(&path).and_then(|model| all(&model)) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 50 && refused > 500, "{read} read, {refused} refused");
}
