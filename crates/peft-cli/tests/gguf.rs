//! GGUF files as models: the same model as a folder and as a file gives the same bytes, packed ones nearly the same numbers.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::fs;
use std::path::Path;

use binary::contents::contents;
use binary::tiny_llama::{HEADS, KV_HEADS, Place, TEMPLATE, TRAIN};
use peft_gguf::hf::{Architecture, Layout, names};
use peft_gguf::{GgmlType, GgufFile};
use peft_models::hf::{FloatDtype, TensorArchive};

#[test]
fn a_file_trains_as_the_folder_it_was_made_of() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    place.run(&format!("{TRAIN} --model @model --out @of-folder"));
    place.run(&format!("{TRAIN} --model @tiny.gguf --out @of-file"));
    let [folder, file] =
        ["of-folder", "of-file"].map(|name| contents(Path::new(&place.path(name))));
    let weights = "adapter_model.safetensors";
    assert!(folder[weights] == file[weights], "the adapters differ");
    let loss = |model: &str| {
        let line = format!(
            "eval --task causal-lm --model @{model} --adapter @of-file --data @valid.jsonl"
        );
        place.run(&line)["loss"].as_f64().unwrap()
    };
    assert_eq!(loss("model"), loss("tiny.gguf"));
    let said = |model: &str| {
        let line = format!(
            "generate --chat --model @{model} --adapter @of-file --prompt film --max-new-tokens 8"
        );
        place.run(&line)["answers"].clone()
    };
    assert_eq!(said("model"), said("tiny.gguf"));
    // Merged it is a folder of transformers', which needs the file no more.
    place.run("merge --model @tiny.gguf --adapter @of-file --out @merged");
    place.run("convert @of-file --to gguf --model @tiny.gguf --out @adapter.gguf");
    assert_adds_what_was_merged(&place);
    fs::remove_file(place.path("tiny.gguf")).unwrap();
    let merged = place.run("eval --task causal-lm --model @merged --data @valid.jsonl");
    let difference = merged["loss"].as_f64().unwrap() - loss("model");
    assert!(difference.abs() < 1e-4, "{difference}");
}

/// llama.cpp adds `alpha / rank * B A` to a weight of its file: that is the merged weight in the file's order of rows.
fn assert_adds_what_was_merged(place: &Place) {
    let [base, adapter] = ["tiny.gguf", "adapter.gguf"]
        .map(|name| GgufFile::open(Path::new(&place.path(name))).unwrap());
    let merged = TensorArchive::open(Path::new(&place.path("merged"))).unwrap();
    let alpha = adapter.metadata().f32("adapter.lora.alpha").unwrap();
    let mut checked = 0;
    for (hf, entry) in merged
        .entries()
        .filter(|(_, entry)| entry.shape().len() == 2)
    {
        let name = names::to_gguf(Architecture::Llama, hf).unwrap();
        let Ok(a) = adapter.values(&format!("{name}.lora_a")) else {
            assert!(hf.contains("embed_tokens"), "{hf}");
            continue;
        };
        let b = adapter.values(&format!("{name}.lora_b")).unwrap();
        let (d_out, d_in) = (entry.shape()[0], entry.shape()[1]);
        let rank = a.len() / d_in;
        let layout = Layout::of(Architecture::Llama, &name, HEADS, KV_HEADS);
        let values = merged.read_f32(entry, FloatDtype::F32).unwrap();
        let expected = layout
            .to_gguf(values, &[d_out as u64, d_in as u64])
            .unwrap();
        for (at, weight) in base.values(&name).unwrap().iter().enumerate() {
            let (row, column) = (at / d_in, at % d_in);
            let pairs = (0..rank).map(|k| b[row * rank + k] * a[k * d_in + column]);
            let found = weight + alpha / rank as f32 * pairs.sum::<f32>();
            assert!(
                (found - expected[at]).abs() < 1e-5,
                "{name}: {found} {}",
                expected[at]
            );
        }
        checked += 1;
    }
    assert_eq!(checked, 14);
}

/// A merged model as a file, from a base that is a folder and from one that is a file itself, is the merged folder.
#[test]
fn merged_models_are_files_that_answer_as_the_folder() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    place.run(&format!("{TRAIN} --model @model --out @run"));
    place.run("merge --model @model --adapter @run --out @merged");
    let loss = |model: &str| {
        let line = format!("eval --task causal-lm --model @{model} --data @valid.jsonl");
        place.run(&line)["loss"].as_f64().unwrap()
    };
    let expected = loss("merged");
    assert!(
        (expected - loss("model")).abs() > 0.01,
        "the run changed nothing"
    );
    let tokens = |model: &str| {
        let line = format!("generate --chat --model @{model} --prompt film --max-new-tokens 8");
        place.run(&line)["answers"].clone()
    };
    for base in ["model", "tiny.gguf"] {
        for (dtype, apart) in [("f32", 1e-4), ("bf16", 0.05), ("q8_0", 0.1), ("q4_k", 1.0)] {
            let out = format!("{base}-{dtype}");
            let merged = place.run(&format!(
                "merge --model @{base} --adapter @run --format gguf --dtype {dtype} --out @{out}"
            ));
            let difference = merged["largest_output_difference"].as_f64().unwrap();
            assert!(difference < apart, "{out}: {difference}");
            let file = format!("{out}/model.gguf");
            let found = loss(&file);
            assert!(
                (found - expected).abs() < apart,
                "{out}: {found} {expected}"
            );
            if dtype == "f32" {
                assert_eq!(tokens(&file), tokens("merged"));
            }
            let modelfile = fs::read_to_string(place.path(&format!("{out}/Modelfile"))).unwrap();
            assert!(modelfile.contains("FROM ./model.gguf\n"), "{modelfile}");
            assert!(modelfile.contains("PARAMETER stop \"</s>\""), "{modelfile}");
            let kind = match dtype {
                "f32" => GgmlType::F32,
                "bf16" => GgmlType::BF16,
                "q8_0" => GgmlType::Q8_0,
                // Rows of 64 and 96 values are no blocks of 256.
                _ => GgmlType::Q5_0,
            };
            let file = GgufFile::open(Path::new(&place.path(&file))).unwrap();
            let of = |name: &str| file.tensor(name).unwrap().kind();
            assert_eq!(of("blk.0.ffn_down.weight"), kind, "{out}");
            assert_eq!(of("blk.0.attn_norm.weight"), GgmlType::F32, "{out}");
            assert_eq!(
                file.metadata().text("tokenizer.chat_template").unwrap(),
                TEMPLATE
            );
        }
    }
    let error = place.refused("merge --model @model --adapter @run --dtype q4_0 --out @folder");
    assert!(error.contains("give --format gguf"), "{error}");
    assert!(!Path::new(&place.path("folder/config.json")).exists());
}

#[test]
fn packed_files_are_near_and_another_file_is_another_base() {
    let place = Place::new();
    place.write_gguf("exact.gguf", GgmlType::F32);
    place.write_gguf("tiny.gguf", GgmlType::Q8_0);
    let loss = |model: &str| {
        let line = format!("eval --task causal-lm --model @{model} --data @valid.jsonl");
        place.run(&line)["loss"].as_f64().unwrap()
    };
    let difference = loss("exact.gguf") - loss("tiny.gguf");
    assert!(difference.abs() < 0.05 && difference != 0.0, "{difference}");
    place.run(&format!("{TRAIN} --model @tiny.gguf --out @run"));
    place.write_gguf("tiny.gguf", GgmlType::Q4_0);
    let error = place.refused(&format!("{TRAIN} --model @tiny.gguf --out @run --resume"));
    assert!(
        error.contains("tiny.gguf") && error.contains("holds something else"),
        "{error}"
    );
}

#[test]
fn what_a_file_may_have_is_set_by_variables_that_its_refusal_names() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    let eval = "eval --task causal-lm --model @tiny.gguf --data @valid.jsonl";
    for (variable, small, advice) in [
        (
            "PEFT_LIMIT_GGUF_ENTRIES",
            "3",
            "PEFT_LIMIT_GGUF_ENTRIES=6 allows it",
        ),
        (
            "PEFT_LIMIT_GGUF_VALUE",
            "16",
            "PEFT_LIMIT_GGUF_VALUE=32 allows it",
        ),
        (
            "PEFT_LIMIT_GGUF_FILES",
            "many",
            "expected a whole number, found `many`",
        ),
    ] {
        let output = place.output_in(eval, &[(variable, small)]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(advice),
            "{error}"
        );
        let damaged = error.contains("damaged");
        assert!(!damaged, "{error}");
    }
}

#[test]
fn a_file_that_is_none_says_so() {
    let place = Place::new();
    place.write_gguf("tiny.gguf", GgmlType::F32);
    let whole = fs::read(place.path("tiny.gguf")).unwrap();
    fs::write(place.path("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place.path("page.gguf"), "<!DOCTYPE html><html>").unwrap();
    for (name, word) in [("cut.gguf", "cut.gguf"), ("page.gguf", "page")] {
        let error = place.refused(&format!(
            "eval --task causal-lm --model @{name} --data @valid.jsonl"
        ));
        assert!(
            error.contains(word) && error.starts_with("error:"),
            "{error}"
        );
    }
}
