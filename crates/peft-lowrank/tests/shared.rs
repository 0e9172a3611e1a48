//! What layers have in common: one A with private Bs (ShareLoRA), and matrices of the whole adapter (VeRA).

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod blocks;

use blocks::{Blocks, WIDTH, inputs};
use burn::module::ParamId;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use peft_core::file::{read_folder, write_tensors};
use peft_core::testing::contract::values;
use peft_core::tie::TieGroups;
use peft_core::{Adaptable, AdapterSpec, Method, ParamNames, Pass, count, folder};
use peft_lowrank::sharelora::{SHARE_LORA, ShareLora, ShareLoraAdapter, Shared};
use peft_lowrank::vera::{VERA, Vera, VeraAdapter};

const COUNT: usize = 3;
const RANK: usize = 2;

fn sharing(share: Shared) -> Box<dyn Method> {
    Box::new(ShareLora {
        share,
        ..ShareLora::default()
    })
}

/// Ids of `A` and `B` by layer.
fn factors(model: &Blocks) -> Vec<[ParamId; 2]> {
    let adapters = model
        .blocks
        .iter()
        .map(|linear| linear.adapter("a").unwrap());
    let adapters = adapters.map(|adapter| adapter.downcast_ref::<ShareLoraAdapter>().unwrap());
    adapters
        .map(|shared| [shared.lora.a.id, shared.lora.b.id])
        .collect()
}

/// Steps with the gradients of shared factors summed, as a session takes them.
fn trained(
    method: Box<dyn Method>,
    device: &Device,
) -> (Blocks, ParamNames, AdapterSpec, TieGroups) {
    let (mut model, names, spec) = Blocks::adapted(COUNT, method, device);
    let ties = TieGroups::of(&model, "a", spec.method.as_ref()).unwrap();
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..5 {
        let loss = model
            .forward(inputs(device), &mut Pass::train(1))
            .powi_scalar(2)
            .mean();
        let mut gradients = GradientsParams::from_grads(loss.backward(), &model);
        ties.gather(&mut gradients);
        model = ties.broadcast(optimizer.step(1e-2, model, gradients));
    }
    (model, names, spec, ties)
}

#[test]
fn a_shared_factor_stays_one_and_private_ones_part() {
    let device = Device::default().autodiff();
    for (share, is_shared) in [
        (Shared::A, [true, false]),
        (Shared::B, [false, true]),
        (Shared::Ab, [true, true]),
    ] {
        let (model, _, _, ties) = trained(sharing(share), &device);
        let values = values(&model);
        let ids = factors(&model);
        for (factor, shared) in is_shared.into_iter().enumerate() {
            for layer in 1..COUNT {
                let equal = values[&ids[0][factor]] == values[&ids[layer][factor]];
                assert_eq!(equal, shared, "{share:?}, factor {factor}, layer {layer}");
            }
        }
        let copies = is_shared.map(|shared| if shared { 1 } else { COUNT });
        let expected = WIDTH * RANK * (copies[0] + copies[1]);
        assert_eq!(count(&model, &ties.followers()).trainable, expected);
    }
}

#[test]
fn plans_count_a_shared_factor_once() {
    let device = Device::default();
    let (model, _, spec) = Blocks::adapted(COUNT, sharing(Shared::A), &device);
    let plan = spec.plan(&model.sites(), &[]).unwrap();
    let sizes: Vec<usize> = plan.sites.iter().map(|site| site.trainable).collect();
    let (a, b) = (WIDTH * RANK, WIDTH * RANK);
    assert_eq!(sizes, [a + b, b, b]);
}

#[test]
fn folders_hold_a_shared_factor_once_and_give_it_to_every_layer() {
    let device = Device::default().autodiff();
    let (model, names, spec, _) = trained(sharing(Shared::A), &device);
    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "a", &spec, dir.path()).unwrap();
    let keys: Vec<String> = read_folder(dir.path())
        .unwrap()
        .tensors
        .into_keys()
        .collect();
    let has = |factor: &str| keys.iter().filter(|key| key.contains(factor)).count();
    assert_eq!((has("lora_A"), has("lora_B")), (1, COUNT), "{keys:?}");

    let (base, names) = Blocks::new(COUNT, &device);
    let loaded = folder::load(base, &names, "a", &[&SHARE_LORA], dir.path()).unwrap();
    assert_eq!(values(&loaded.model), values(&model));
}

#[test]
fn a_folder_with_a_shared_factor_at_another_layer_is_refused() {
    let device = Device::default();
    let (model, names, spec) = Blocks::adapted(COUNT, sharing(Shared::A), &device);
    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "a", &spec, dir.path()).unwrap();
    let read = read_folder(dir.path()).unwrap();
    let mut tensors = read.tensors;
    let key = "base_model.model.blocks.0.mix.lora_A.weight";
    let other = "base_model.model.blocks.2.mix.lora_A.weight";
    let moved = tensors.remove(key).unwrap();
    tensors.insert(other.to_owned(), moved);
    write_tensors(&read.tensor_file, &tensors).unwrap();
    let (base, names) = Blocks::new(COUNT, &device);
    let error = folder::load(base, &names, "a", &[&SHARE_LORA], dir.path()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("blocks.0.mix.lora_A.weight`: missing") && message.contains("blocks.2"),
        "{message}"
    );
}

#[test]
fn veras_matrices_are_one_in_memory_in_counts_and_in_files() {
    let device = Device::default().autodiff();
    let (model, names, spec, ties) = trained(Box::new(Vera::default()), &device);
    let matrices = 2 * WIDTH * RANK;
    let base = COUNT * WIDTH * WIDTH;
    let counted = count(&model, &ties.followers());
    assert_eq!(counted.trainable, COUNT * (WIDTH + RANK));
    assert_eq!(counted.total, base + counted.trainable + matrices);

    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "a", &spec, dir.path()).unwrap();
    let tensors = read_folder(dir.path()).unwrap().tensors;
    assert_eq!(tensors.len(), 2 * COUNT + 2);
    assert_eq!(tensors["base_model.vera_A"].shape, [RANK, WIDTH]);
    let (base, names) = Blocks::new(COUNT, &device);
    let loaded = folder::load(base, &names, "a", &[&VERA], dir.path()).unwrap();
    assert_eq!(values(&loaded.model), values(&model));
}

#[test]
fn a_folder_of_veras_own_matrices_is_read_with_those() {
    let device = Device::default();
    let (model, names, spec) = Blocks::adapted(COUNT, Box::new(Vera::default()), &device);
    let dir = tempfile::tempdir().unwrap();
    folder::save(&model, &names, "a", &spec, dir.path()).unwrap();
    let read = read_folder(dir.path()).unwrap();
    let mut tensors = read.tensors;
    for value in &mut tensors.get_mut("base_model.vera_A").unwrap().data {
        *value = 7.0;
    }
    write_tensors(&read.tensor_file, &tensors).unwrap();
    let (base, names) = Blocks::new(COUNT, &device);
    let loaded = folder::load(base, &names, "a", &[&VERA], dir.path()).unwrap();
    let all = values(&loaded.model);
    for linear in &loaded.model.blocks {
        let adapter = linear.adapter("a").unwrap();
        let adapter = adapter.downcast_ref::<VeraAdapter>().unwrap();
        assert!(all[&adapter.down.id].iter().all(|value| *value == 7.0));
    }
}

#[test]
fn vera_refuses_ranks_that_differ() {
    let device = Device::default();
    let (model, _, mut spec) = Blocks::adapted(COUNT, Box::new(Vera::default()), &device);
    spec.rank_pattern.insert("blocks.1.mix".into(), 3);
    let error = spec.plan(&model.sites(), &[]).unwrap_err().to_string();
    assert!(
        error.contains("rank_pattern") && error.contains("blocks.1.mix"),
        "{error}"
    );
}

#[test]
fn sharelora_refuses_a_start_whose_factors_belong_together() {
    let options = serde_json::Map::from_iter([("init".to_owned(), "orthogonal".into())]);
    let error = (SHARE_LORA.from_options)(&options).unwrap_err().to_string();
    assert!(
        error.contains("init") && error.contains("found orthogonal"),
        "{error}"
    );
}
