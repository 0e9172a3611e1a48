//! The verbs that describe the program itself: `methods`, `devices`, `env`, `init`.

mod binary;

use binary::{failed, failure, json, peft_in, stdout};

#[test]
fn methods_lists_every_method_with_options_cost_and_paper() {
    let all = json(&["methods"]);
    let methods = all["methods"].as_array().unwrap();
    let find = |id: &str| methods.iter().find(|method| method["id"] == id).unwrap();
    assert_eq!(find("lora")["default_options"]["dropout"], 0.0);
    assert_eq!(find("lora")["example"]["trainable"], 8 * (768 + 768));
    let text = stdout(&["methods"]);
    for method in methods {
        for field in ["id", "name", "summary", "paper"] {
            assert!(
                text.contains(method[field].as_str().unwrap()),
                "{field} in {text}"
            );
        }
    }
    assert!(text.contains("head") && text.contains("full"), "{text}");
}

#[test]
fn devices_says_what_is_compiled_in_and_how_to_build_the_rest() {
    let all = json(&["devices"]);
    let backends = all["backends"].as_array().unwrap();
    assert!(
        backends.iter().any(|backend| backend["compiled"] == true),
        "{all}"
    );
    let text = stdout(&["devices"]);
    for backend in backends {
        let name = backend["name"].as_str().unwrap();
        let way = match backend["compiled"].as_bool().unwrap() {
            true => format!("--device {name}"),
            false => format!("--features {name}"),
        };
        assert!(text.contains(&way), "`{way}` in {text}");
    }
    assert!(!all["auto"].as_str().unwrap().is_empty());
}

#[test]
fn a_backend_that_is_not_compiled_in_is_refused_without_a_panic() {
    let (code, error) = failed(&peft_in(&["devices"], &[("BURN_DEVICE", "abacus")]));
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("BURN_DEVICE=abacus") && !error.contains("panicked"),
        "{error}"
    );
    let output = peft_in(&["env"], &[("BURN_DEVICE", "abacus")]);
    assert!(
        output.status.success(),
        "env describes a broken set-up instead of failing on it"
    );
}

#[test]
fn env_tells_version_machine_and_variables() {
    let output = peft_in(&["env", "--json"], &[("HF_HOME", "/some/where")]);
    let env: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(env["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(env["os"], std::env::consts::OS);
    assert!(env["cpus"].as_u64().unwrap() >= 1);
    assert_eq!(env["variables"]["HF_HOME"], "/some/where");
    assert_eq!(env["variables"]["BURN_DEVICE"], serde_json::Value::Null);
    let text = stdout(&["env"]);
    assert!(text.contains("BURN_DEVICE=(unset)"), "{text}");
}

#[test]
fn the_printed_run_file_is_read_back_by_the_program() {
    let dir = tempfile::tempdir().unwrap();
    for (task, extra) in [
        ("seq-cls", "max_length"),
        ("regression", "task = \"regression\""),
    ] {
        let text = stdout(&["init", "--task", task]);
        assert!(text.contains(extra), "{text}");
        let path = dir.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        let (_, error) = failure(&["targets", path.to_str().unwrap()]);
        // Every setting is accepted: the first complaint is about the model folder, which is only an example.
        assert!(error.contains("path/to/"), "{error}");
    }
    let config = json(&["init"]);
    assert_eq!(config["train"]["epochs"], 3);
}

#[test]
fn an_unknown_task_is_wrong_usage() {
    assert_eq!(failure(&["init", "--task", "juggling"]).0, 2);
}
