//! What `peft targets` foresees of a run's memory against what `peft bench` measures, for every form of a base.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::io::Write;
use std::path::Path;

use binary::{json, model, stdout};
use serde_json::{Value, json};

const VOCABULARY: usize = 16_000;
const WIDTH: usize = 512;
const INNER: usize = 1408;
const LAYERS: usize = 6;

/// A Llama of 27 M parameters in bf16, with small values that repeat.
fn write_llama(dir: &Path) {
    let config = json!({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCABULARY, "hidden_size": WIDTH,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 8, "num_key_value_heads": 8,
        "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "initializer_range": 0.02,
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![(
        "model.embed_tokens.weight".to_owned(),
        vec![VOCABULARY, WIDTH],
    )];
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((
                format!("model.layers.{layer}.{name}.weight"),
                shape.to_vec(),
            ));
        };
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[WIDTH, WIDTH]);
        }
        add("mlp.gate_proj", &[INNER, WIDTH]);
        add("mlp.up_proj", &[INNER, WIDTH]);
        add("mlp.down_proj", &[WIDTH, INNER]);
        add("input_layernorm", &[WIDTH]);
        add("post_attention_layernorm", &[WIDTH]);
    }
    tensors.push(("model.norm.weight".to_owned(), vec![WIDTH]));
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in &tensors {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let entry = json!({"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = std::fs::File::create(dir.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();
    // The upper halves of floats between -0.02 and 0.02.
    let value = |at: usize| ((at * 7919 % 4001) as f32 - 2000.0) * 1e-5;
    let bytes: Vec<u8> = (0..end / 2)
        .flat_map(|at| value(at).to_le_bytes().into_iter().skip(2))
        .collect();
    file.write_all(&bytes).unwrap();
}

/// MiB foreseen, and MiB measured.
fn compare(model: &str, settings: &[&str]) -> (f64, f64) {
    let run = [
        &["--model", model, "--batch-size", "4", "--max-length", "128"],
        settings,
    ]
    .concat();
    let memory = &json(&[&["targets"], &run[..]].concat())["memory"];
    let found = json(&[&["bench"], &run[..], &["--steps", "1"]].concat());
    let foreseen = memory["total"].as_f64().unwrap() / f64::from(1 << 20);
    (foreseen, found["peak_memory_mib"].as_f64().unwrap())
}

/// Counting each value of a base as four bytes, or forgetting the table's share, is further off than this.
fn assert_near(model: &str, settings: &[&str]) {
    let (foreseen, measured) = compare(model, settings);
    assert!(
        (foreseen / measured - 1.0).abs() < 0.12,
        "{settings:?}: {foreseen:.0} MiB foreseen, {measured} measured"
    );
}

#[test]
fn every_form_of_a_base_takes_what_was_foreseen() {
    let dir = tempfile::tempdir().unwrap();
    write_llama(dir.path());
    let model = dir.path().to_str().unwrap();
    let lora = [
        "--task",
        "causal-lm",
        "--method",
        "lora",
        "--targets",
        "all-linear",
    ];
    for form in [None, Some("f32"), Some("nf4"), Some("q8_0"), Some("bf16")] {
        let form = form.map(|form| ["--quantize", form]);
        let form = form.as_ref().map_or(&[][..], |form| &form[..]);
        assert_near(model, &[&lora, form].concat());
    }
    let again = "train.gradient_checkpointing=true";
    assert_near(model, &[&lora[..], &["--set", again]].concat());
    assert_near(model, &["--task", "causal-lm", "--method", "full"]);
}

/// Each alternative is what the settings that it names give, and those that a method refuses are not there.
#[test]
fn alternatives_are_what_their_flags_give() {
    let dir = tempfile::tempdir().unwrap();
    write_llama(dir.path());
    let model = dir.path().to_str().unwrap();
    let run = [
        "targets",
        "--model",
        model,
        "--task",
        "causal-lm",
        "--batch-size",
        "8",
    ];
    let memory = |more: &[String]| {
        let more: Vec<&str> = more.iter().flat_map(|flags| flags.split(' ')).collect();
        json(&[&run[..], &more].concat())["memory"].clone()
    };
    let alternatives = memory(&[])["alternatives"].as_array().unwrap().clone();
    let names: Vec<&str> = alternatives
        .iter()
        .map(|other| other["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "--quantize nf4",
            "gradient checkpointing",
            "batches of 1, added up"
        ]
    );
    let mut flags = Vec::new();
    for other in &alternatives {
        flags.push(other["flags"].as_str().unwrap().to_owned());
        assert_eq!(memory(&flags)["total"], other["total"], "{flags:?}");
    }
    assert_eq!(memory(&flags)["alternatives"], json!([]));
    let full = memory(&["--method full".to_owned()]);
    assert!(
        !full["alternatives"].to_string().contains("quantize"),
        "{full}"
    );
    assert!(full["available"].as_u64().unwrap() > 0);
    let text = stdout(&run);
    assert!(
        text.contains("; with --quantize nf4 ") && text.contains("; with gradient checkpointing "),
        "{text}"
    );
}

/// A model that no machine has room for is planned as any other, and the warning is there.
#[test]
fn what_does_not_fit_is_said() {
    let batch = format!("train.batch_size={}", i64::MAX);
    let text = stdout(&[
        "targets",
        "--model",
        &model("bert"),
        "--method",
        "lora",
        "--set",
        &batch,
    ]);
    assert!(text.contains("warning: this machine has "), "{text}");
}
