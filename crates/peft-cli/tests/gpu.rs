//! `--device wgpu`: the numbers of the processor, over bases of every kind, and how many kernels a step launches. Built for that device alone; on
//! a machine without a graphics card Mesa's driver in software does.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::fs;
use std::process::Command;

use binary::dealt_out::{line, losses};
use binary::decoder::write_fresh;
use binary::tiny_llama::Place;
use peft_gguf::GgmlType;

/// A step of Llama-3.2-1B's depth with an adapter on every layer took 7,800 launches when every operation was one of Burn's.
const LAUNCHES: usize = 2_600;

/// Losses of ten steps, and then of all that was trained: f32 sums in another order.
#[track_caller]
fn assert_near(name: &str, gpu: &[f64], processor: &[f64]) {
    assert_eq!(gpu.len(), 10, "{name}");
    for (at, (gpu, processor)) in gpu.iter().zip(processor).enumerate() {
        let error = (gpu / processor - 1.0).abs();
        assert!(error < 2e-4, "{name}, step {at}: {gpu} {processor}");
    }
}

#[test]
fn a_language_model_trains_as_on_the_processor_whatever_its_base_is_kept_in() {
    let place = Place::new();
    place.write_gguf("q8_0.gguf", GgmlType::Q8_0);
    for (name, base) in [
        ("f32", ""),
        ("bf16", "--quantize bf16"),
        ("f16", "--quantize f16"),
        ("nf4", "--quantize nf4"),
        ("q4_1", "--quantize q4_1"),
        ("q5_0", "--quantize q5_0"),
        ("dora", "--method dora --quantize q8_0"),
        ("gguf", "--model @q8_0.gguf"),
    ] {
        let found = ["wgpu", "flex"].map(|device| {
            let out = format!("{base} --out @{name}-{device}");
            let line = line(device, 10, &out);
            place.run(&match base.contains("gguf") {
                true => line.replacen("--model @model ", "", 1),
                false => line,
            });
            losses(&place, &format!("{name}-{device}"))
        });
        assert_near(name, &found[0], &found[1]);
    }
    let eval = |device: &str| {
        let line = format!(
            "eval --task causal-lm --model @model --quantize nf4 --adapter @nf4-wgpu --data @valid.jsonl --device {device}"
        );
        place.run(&line)["loss"].as_f64().unwrap()
    };
    let (gpu, processor) = (eval("wgpu"), eval("flex"));
    assert!((gpu / processor - 1.0).abs() < 2e-4, "{gpu} {processor}");
    let answer = |device: &str| {
        let line = format!(
            "generate --model @model --adapter @f32-wgpu --prompt the --max-new-tokens 8 --device {device}"
        );
        place.run(&line)["answers"].clone()
    };
    assert_eq!(answer("wgpu"), answer("flex"));
}

/// Kernels that a run of so many steps launches.
fn launches(place: &Place, steps: usize) -> usize {
    let log = place.path("launches.log");
    let settings = format!("[profiling.logger]\nlevel = \"minimal\"\nfile = \"{log}\"\n");
    fs::write(place.path("cubecl.toml"), settings).unwrap();
    let _ = fs::remove_file(&log);
    let mut command = Command::new(env!("CARGO_BIN_EXE_peft"));
    command.current_dir(place.path(""));
    command.args("train --task causal-lm --model deep --train train.jsonl --method lora --rank 8 --targets all-linear".split(' '));
    command.args(
        "--batch-size 4 --device wgpu --overwrite --out run --set train.log_every=100".split(' '),
    );
    command.args(["--max-steps", &steps.to_string()]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    fs::read_to_string(&log).unwrap().lines().count()
}

#[test]
fn a_step_of_sixteen_layers_launches_a_third_of_what_single_operations_would() {
    let place = Place::new();
    let config = fs::read_to_string(place.path("model/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_hidden_layers"] = 16.into();
    let deep = place.path("deep");
    write_fresh(std::path::Path::new(&deep), &config.to_string());
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(
            place.path(&format!("model/{file}")),
            format!("{deep}/{file}"),
        )
        .unwrap();
    }
    let (few, more) = (launches(&place, 3), launches(&place, 7));
    let step = (more - few) / 4;
    println!("{step} launches");
    assert!(
        (500..=LAUNCHES).contains(&step),
        "{step} launches in a step"
    );
}
