//! What is wrong with folders of LoRA is said before any factor is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use peft_format::file::{HostTensor, PeftConfig, StoredDtype, key, write_folder};
use peft_format::lora_folder::{FACTORS, LoraFault, LoraFolder};
use peft_format::target::Target;
use serde_json::Map;

type Tensors = BTreeMap<String, HostTensor>;

fn tensor(shape: &[usize], value: f32) -> HostTensor {
    HostTensor::new("x", shape, vec![value; shape.iter().product()]).unwrap()
}

/// A pair of rank 2 at one layer, changed, written and opened.
fn opened(change: impl FnOnce(&mut PeftConfig, &mut Tensors)) -> Result<LoraFolder, LoraFault> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = PeftConfig::new("LORA", Target::List(vec!["q".into()]));
    (config.r, config.lora_alpha) = (2, 4.0);
    let [a, b] = FACTORS.map(|name| key("layer.0.q", name));
    let mut tensors = BTreeMap::from([(a, tensor(&[2, 3], 1.0)), (b, tensor(&[5, 2], 2.0))]);
    change(&mut config, &mut tensors);
    write_folder(folder.path(), &config.to_map(&Map::new()), &tensors).unwrap();
    LoraFolder::open(folder.path())
}

fn problem(change: impl FnOnce(&mut PeftConfig, &mut Tensors)) -> String {
    opened(change).unwrap_err().to_string()
}

#[test]
fn a_folder_says_what_it_holds() {
    let lora = opened(|config, tensors| {
        config.task_type = Some("SEQ_CLS".into());
        tensors.insert(key("score", "weight"), tensor(&[2, 3], 0.5));
    });
    let lora = lora.unwrap();
    let site = &lora.sites()["layer.0.q"];
    assert_eq!((site.d_in, site.d_out, site.rank), (3, 5, 2));
    assert_eq!(site.scale, 2.0);
    assert_eq!(lora.config().modules_to_save, ["score"]);
    let carried: Vec<&str> = lora.carried_keys().collect();
    assert_eq!(carried, [key("score", "weight")]);
}

#[test]
fn tensors_that_make_no_pair_of_the_configured_rank_are_refused() {
    let [a, b] = FACTORS.map(|name| key("layer.0.q", name));
    let found = problem(|config, _| config.r = 4);
    assert!(found.contains("expected lora_A [4, d_in]"), "{found}");
    let found = problem(|_, tensors| drop(tensors.remove(&b)));
    assert!(found.contains("lacks the other factor"), "{found}");
    let found = problem(|_, tensors| drop(tensors.insert(b.clone(), tensor(&[5, 2, 1], 2.0))));
    assert!(found.contains(&b) && found.contains("[5, 2, 1]"), "{found}");
    let found = problem(|config, _| config.use_dora = true);
    assert!(found.contains("there is no magnitude"), "{found}");
    let found = problem(|_, tensors| {
        tensors.remove(&a);
        tensors.remove(&b);
    });
    assert!(found.contains("no pair lora_A and lora_B"), "{found}");
}

#[test]
fn integers_where_numbers_were_trained_are_refused_and_counters_are_not() {
    let whole = |value: f32| HostTensor {
        stored: StoredDtype::I8,
        ..tensor(&[1], value)
    };
    let counted = opened(|_, tensors| {
        tensors.insert(key("norm", "num_batches_tracked"), whole(3.0));
    });
    assert_eq!(counted.unwrap().carried_keys().count(), 1);
    let found = problem(|_, tensors| drop(tensors.insert(key("score", "weight"), whole(3.0))));
    assert!(found.contains("score.weight"), "{found}");
}

#[test]
fn a_saved_module_that_is_there_twice_must_be_the_same() {
    let twice = |value: f32| {
        move |_: &mut PeftConfig, tensors: &mut Tensors| {
            for (name, value) in [("weight", 1.0), ("modules_to_save.weight", value)] {
                tensors.insert(key("score", name), tensor(&[2, 3], value));
            }
        }
    };
    assert_eq!(opened(twice(1.0)).unwrap().carried_keys().count(), 1);
    let found = problem(twice(2.0));
    assert!(
        found.contains("one tensor with different values"),
        "{found}"
    );
}
