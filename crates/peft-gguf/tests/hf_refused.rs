//! Models that cannot be seen as transformers have them, and what files may leave out.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;
mod small_model;

use peft_gguf::Value;
use serde_json::json;
use small_model::{File, refuses};

#[test]
fn what_files_leave_out_has_the_values_of_llama_cpp() {
    let config = File::new("llama").config();
    for (field, value) in [
        ("num_key_value_heads", json!(4)),
        ("head_dim", json!(4)),
        ("vocab_size", json!(40)),
        ("rope_theta", json!(10_000.0)),
        ("rms_norm_eps", json!(1e-5)),
        ("tie_word_embeddings", json!(true)),
        ("attention_bias", json!(false)),
    ] {
        assert_eq!(config[field], value, "{field}");
    }
    for field in ["rope_scaling", "sliding_window"] {
        assert!(!config.contains_key(field), "{field}");
    }
    assert!(config["bos_token_id"].is_null());
    let mut bare = File::new("llama").with("llama.vocab_size", 7_u32);
    assert_eq!(bare.config()["vocab_size"], 40);
    bare = File::new("llama").with("llama.vocab_size", 7_u32);
    bare.tensors.clear();
    assert_eq!(bare.config()["vocab_size"], 7);
    bare = File::new("llama");
    bare.tensors.clear();
    refuses(bare, &["no tensor `token_embd.weight`"]);
}

#[test]
fn metadata_are_read_in_every_form_they_come_in() {
    let config = File::new("llama")
        .with("llama.attention.head_count_kv", vec![2_i32, 2])
        .with("llama.rope.freq_base", 1e6_f64)
        .with("llama.rope.scale_linear", 4.0_f32)
        .with("llama.expert_count", 0_u32)
        .with("tokenizer.ggml.bos_token_id", 39_u32)
        .with("tokenizer.ggml.eos_token_id", u32::MAX)
        .with("tokenizer.ggml.padding_token_id", -1_i32)
        .config();
    assert_eq!(config["num_key_value_heads"], 2);
    assert_eq!(config["rope_theta"], 1e6);
    assert_eq!(
        config["rope_scaling"],
        json!({"rope_type": "linear", "factor": 4.0})
    );
    assert_eq!(config["bos_token_id"], 39);
    assert!(config["eos_token_id"].is_null() && config["pad_token_id"].is_null());
    let plain = File::new("llama").with("llama.rope.scaling.type", "none");
    assert!(!plain.config().contains_key("rope_scaling"));
    let yarn = File::new("qwen3")
        .with("qwen3.rope.scaling.type", "yarn")
        .with("qwen3.rope.scaling.factor", 4.0_f32)
        .with("qwen3.rope.scaling.original_context_length", 16_u32)
        .with("qwen3.rope.scaling.yarn_beta_fast", 32.0_f32)
        .config();
    let expected = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 32.0
    });
    assert_eq!(yarn["rope_scaling"], expected);
}

#[test]
fn a_llama_with_a_window_is_a_mistral() {
    let windowed = || File::new("llama").with("llama.attention.sliding_window", 16_u32);
    let config = windowed().config();
    assert_eq!(config["architectures"], json!(["MistralForCausalLM"]));
    assert_eq!(
        (&config["model_type"], &config["sliding_window"]),
        (&json!("mistral"), &json!(16))
    );
    assert!(!config.contains_key("attention_bias") && !config.contains_key("mlp_bias"));
    let mut biased = windowed();
    for block in 0..2 {
        for layer in ["ffn_gate", "ffn_up", "ffn_down"] {
            biased = biased.tensor(&format!("blk.{block}.{layer}.bias"), &[24]);
        }
    }
    refuses(
        biased,
        &["llama.attention.sliding_window is 16 in a model with biases"],
    );
    let config = File::new("gemma3").config();
    assert_eq!(config["sliding_window_pattern"], 1);
    assert!(!config.contains_key("sliding_window"));
}

#[test]
fn a_third_olmo_is_not_taken_for_a_second() {
    let third = File::new("olmo2").with("olmo2.attention.sliding_window", 16_u32);
    refuses(third, &["olmo2.attention.sliding_window is 16", "OLMo 2"]);
}

#[test]
fn architectures_and_experts_are_refused_by_name() {
    refuses(
        File::new("qwen2moe"),
        &[
            "`qwen2moe` is not known",
            "llama, qwen2, qwen3, gpt2, gemma3, phi3, gemma, gemma2, granite, smollm3, olmo2; `qwen2` is most like it",
        ],
    );
    refuses(
        File::new("llama").without("general.architecture"),
        &["no `general.architecture`"],
    );
    refuses(
        File::new("llama").with("llama.expert_count", 8_u32),
        &["llama.expert_count is 8", "experts cannot be read"],
    );
}

#[test]
fn sizes_that_a_configuration_cannot_say_are_refused() {
    let llama = || File::new("llama");
    for (key, value, parts) in [
        (
            "llama.feed_forward_length",
            Value::from(vec![24_u32, 48]),
            "24 in one block and 48 in another",
        ),
        (
            "llama.attention.head_count_kv",
            Value::from(vec![0_u32, 0]),
            "a number from 1 to",
        ),
        (
            "llama.attention.head_count_kv",
            Value::from(Vec::<u32>::new()),
            "a number from 1 to",
        ),
        (
            "llama.block_count",
            Value::from(0_u32),
            "llama.block_count is 0",
        ),
        (
            "llama.embedding_length",
            Value::from(u64::MAX),
            "must be an integer",
        ),
        (
            "llama.embedding_length",
            Value::from("wide"),
            "found text \"wide\"",
        ),
        (
            "llama.attention.head_count",
            Value::from(3_u32),
            "a divisor of 16",
        ),
        (
            "llama.attention.value_length",
            Value::from(8_u32),
            "value_length is 8, supported is 4",
        ),
    ] {
        refuses(llama().with(key, value), &[parts]);
    }
}

#[test]
fn rotations_and_biases_that_a_configuration_cannot_say_are_refused() {
    let llama = || File::new("llama");
    for (key, value, parts) in [
        (
            "llama.rope.dimension_count",
            Value::from(2_u32),
            "rope.dimension_count is 2, supported is 4",
        ),
        (
            "llama.rope.scaling.type",
            Value::from("longrope"),
            "is longrope, supported is no scaling, linear",
        ),
        (
            "llama.rope.scaling.type",
            Value::from("linear"),
            "no `llama.rope.scaling.factor`",
        ),
        (
            "llama.rope.scaling.attn_factor",
            Value::from(1.2_f32),
            "attn_factor is 1.2",
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Value::from(f32::NAN),
            "is NaN, supported is a finite number",
        ),
        (
            "llama.rope.freq_base",
            Value::from(10_000_u32),
            "must be a floating-point number",
        ),
    ] {
        refuses(llama().with(key, value), &[parts]);
    }
    let biased = llama().tensor("blk.0.attn_q.bias", &[16]);
    refuses(
        biased,
        &["biases of attn_q, attn_k, attn_v, attn_output is 1, supported is 0 or 8"],
    );
    let grouped = File::new("gpt2").with("gpt2.attention.head_count_kv", 2_u32);
    refuses(
        grouped,
        &["gpt2.attention.head_count_kv is 2, supported is 4"],
    );
    let wide = File::new("gpt2").with("gpt2.attention.key_length", 8_u32);
    refuses(wide, &["gpt2.attention.key_length is 8"]);
}

#[test]
fn tensors_of_no_parameter_are_refused_by_name() {
    for name in [
        "blk.0.ffn_gate_exps.weight",
        "blk.2.attn_q.weight",
        "blk.0.attn_q_norm.weight",
        "cls.weight",
    ] {
        let text = File::new("llama").tensor(name, &[16, 16]).refused();
        assert!(
            text.ends_with(&format!(
                "`{name}` is no tensor of a llama model of 2 blocks"
            )),
            "{text}"
        );
    }
    let odd = File::new("llama").tensor("blk.0.attn_k.weight", &[12, 16]);
    refuses(
        odd,
        &[
            "`blk.0.attn_k.weight`",
            "[12, 16]",
            "heads of an even width",
        ],
    );
    let flat = File::new("gpt2").tensor("blk.0.ffn_up.weight", &[16]);
    refuses(flat, &["`blk.0.ffn_up.weight`", "[16] must be a matrix"]);
}

#[test]
fn factors_of_other_scalings_are_refused() {
    let with = |factors: &[f32]| {
        File::new("llama")
            .with("llama.attention.key_length", 8_u32)
            .with("llama.rope.freq_base", 500_000.0_f32)
            .tensor_of(
                "rope_freqs.weight",
                &[factors.len() as u64],
                factors.to_owned(),
            )
    };
    // Frequencies 1, 0.0376, 0.00141 and 5.3e-5, of which the third lies in the ramp.
    let third = |factor: f64| {
        let turns = 8192.0 * 500_000_f64.powf(-0.5) / std::f64::consts::TAU;
        let kept = (turns - 1.0) / 3.0;
        (1.0 / ((1.0 - kept) / factor + kept)) as f32
    };
    for factor in [8.0_f32, 32.0, 4.0] {
        let config = with(&[1.0, 1.0, third(factor.into()), factor]).config();
        assert_eq!(config["rope_scaling"]["rope_type"], "llama3");
        assert_eq!(config["rope_scaling"]["factor"], factor);
    }
    assert!(!with(&[1.0; 4]).config().contains_key("rope_scaling"));
    for factors in [
        &[1.0, 1.0, third(8.0) * 1.0001, 8.0][..],
        &[1.0, 1.0, third(8.0), 32.0],
        &[1.0, 1.1, third(8.0), 8.0],
        &[1.0, 1.0, 8.0],
        &[1.0, 1.0, f32::NAN, f32::INFINITY],
        &[1.0, 1.0, f32::INFINITY, f32::INFINITY],
        &[0.0; 4],
        &[f32::NAN; 4],
    ] {
        refuses(
            with(factors),
            &[
                "rope_freqs.weight",
                "supported is 4 factors of Llama 3's scaling",
            ],
        );
    }
    let both = with(&[1.0; 4])
        .with("llama.rope.scaling.type", "linear")
        .with("llama.rope.scaling.factor", 2.0_f32);
    refuses(both, &["there beside rope_freqs.weight"]);
    let long = File::new("phi3").tensor("rope_factors_long.weight", &[2]);
    refuses(long, &["rope_factors_short.weight"]);
}
