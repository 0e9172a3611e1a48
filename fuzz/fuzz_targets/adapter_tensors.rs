//! Tensor files of an adapter: the bytes as safetensors and as a PyTorch file, their keys, and writing back.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use peft_core::file::{
    HostTensor, TensorFile, check_finite, encode_tensors, index_keys, key_oddities, merged_linear, read_pickle, read_tensors,
};

#[path = "../src/scratch.rs"]
mod scratch;

const TENSORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

fuzz_target!(|bytes: &[u8]| {
    scratch::with_file(bytes, |path| {
        for tensors in [read_tensors(path), read_pickle(path)].into_iter().flatten() {
            check(&tensors);
        }
        check_single(path);
    });
});

fn check(tensors: &BTreeMap<String, HostTensor>) {
    let _finite = check_finite(tensors);
    let _keys = index_keys(tensors.keys().map(String::as_str), &TENSORS);
    for raw in tensors.keys() {
        let _odd = key_oddities(raw, &TENSORS);
    }
    let _merged = merged_linear(tensors);
    let values: usize = tensors.values().map(|tensor| tensor.data.len()).sum();
    if let Ok(written) = encode_tensors(Path::new("x"), tensors) {
        assert!(written.len() >= values);
    }
}

/// What can be read whole can be read tensor by tensor, and has the same shapes.
fn check_single(path: &Path) {
    let file = TensorFile::open(path);
    let single = file.as_ref().ok().map(|file| file.read(file.names().iter().map(String::as_str)));
    if let Ok(whole) = read_tensors(path) {
        let single = single.expect("its header can be read").expect("its tensors can be read");
        assert!(whole.iter().all(|(name, tensor)| single[name].shape == tensor.shape));
        assert_eq!(whole.len(), single.len());
    }
}
