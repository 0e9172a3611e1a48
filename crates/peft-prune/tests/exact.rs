//! What LoRA-drop must do exactly: sharing, gradients, merging, counting, files.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use peft_core::export::to_lora;
use peft_core::lora::LORA;
use peft_core::merge::merge;
use peft_core::testing::tolerance::{MATMUL, assert_close};
use peft_core::tie::TieGroups;
use peft_core::{Pass, PeftError, attach, count, folder};
use peft_prune::lora_drop::{LORA_DROP, LoraDrop};
use support::{
    D, LAYERS, RANK, Stack, adapted, factors, host, inputs, lora, product, sharing, spec, with_b,
};

/// Layers 2 and 4 use layer 1's query pair, layer 3 uses layer 0's value pair.
const PAIRS: [(&str, &str); 3] = [
    ("layers.2.query", "layers.1.query"),
    ("layers.4.query", "layers.1.query"),
    ("layers.3.value", "layers.0.value"),
];
/// Their indices: (site, owner).
const INDICES: [(usize, usize); 3] = [(4, 2), (8, 2), (7, 1)];

fn output(stack: &Stack, device: &Device) -> Vec<f32> {
    host(stack.forward(inputs(device), &mut Pass::eval()))
}

#[test]
fn before_training_the_output_is_the_bases_to_the_bit() {
    let device = Device::flex();
    let (stack, _, report) = adapted(&spec(sharing(&PAIRS)), &device, false);
    assert_eq!(
        output(&stack, &device),
        output(&Stack::new(&device).0, &device)
    );
    let shared: Vec<&str> = report
        .sites
        .iter()
        .filter(|s| s.trainable == 0)
        .map(|s| s.path.as_str())
        .collect();
    assert_eq!(
        shared,
        ["layers.2.query", "layers.3.value", "layers.4.query"]
    );
    for (site, owner) in INDICES {
        assert_eq!(
            host(factors(&stack, site).a.val()),
            host(factors(&stack, owner).a.val())
        );
    }
}

#[test]
fn changing_a_shared_pair_changes_all_its_layers_and_no_other() {
    let device = Device::flex();
    let spec = spec(sharing(&PAIRS));
    let (stack, _, _) = adapted(&spec, &device, false);
    let ties = TieGroups::of(&stack, "a", spec.method.as_ref()).unwrap();
    let before: Vec<Vec<f32>> = (0..2 * LAYERS).map(|i| product(&stack, i)).collect();
    let stack = ties.broadcast(with_b(stack, 2, vec![0.3; RANK * D]));
    let changed: Vec<usize> = (0..2 * LAYERS)
        .filter(|i| product(&stack, *i) != before[*i])
        .collect();
    assert_eq!(changed, [2, 4, 8]);
    assert_eq!(product(&stack, 2), product(&stack, 8));
}

#[test]
fn the_shared_gradient_is_the_sum_of_an_untied_copys() {
    let device = Device::flex().autodiff();
    let spec = spec(sharing(&PAIRS));
    let (stack, _, _) = adapted(&spec, &device, true);
    let ties = TieGroups::of(&stack, "a", spec.method.as_ref()).unwrap();
    let stack = ties.broadcast(stack);
    let grads = || {
        let y = stack.forward(inputs(&device), &mut Pass::train(1));
        GradientsParams::from_grads(y.powi_scalar(2).mean().backward(), &stack)
    };
    let (untied, mut tied) = (grads(), grads());
    ties.gather(&mut tied);
    for field in [
        |index: usize, s: &Stack| factors(s, index).a.id,
        |index: usize, s: &Stack| factors(s, index).b.id,
    ] {
        let id = |index| field(index, &stack);
        let sum = [2, 4, 8].map(|index| untied.get::<2>(id(index)).unwrap());
        let sum = sum.into_iter().reduce(|a, b| a + b).unwrap();
        let found = host(tied.get::<2>(id(2)).unwrap());
        assert_close("summed gradient", &found, &host(sum), MATMUL);
        assert!(tied.get::<2>(id(4)).is_none() && tied.get::<2>(id(8)).is_none());
    }
}

#[test]
fn members_stay_equal_over_a_hundred_steps_and_count_once() {
    let device = Device::flex().autodiff();
    let spec = spec(sharing(&PAIRS));
    let (mut stack, _, report) = adapted(&spec, &device, false);
    let ties = TieGroups::of(&stack, "a", spec.method.as_ref()).unwrap();
    let mut optimizer = AdamWConfig::new().init();
    for step in 0..100 {
        let y = stack.forward(inputs(&device), &mut Pass::train(step));
        let mut grads =
            GradientsParams::from_grads((y - 0.3).powi_scalar(2).mean().backward(), &stack);
        ties.gather(&mut grads);
        stack = ties.broadcast(optimizer.step(1e-2, stack, grads));
    }
    for (site, owner) in INDICES {
        let (site, owner) = (factors(&stack, site), factors(&stack, owner));
        assert_eq!(host(site.a.val()), host(owner.a.val()));
        assert_eq!(host(site.b.val()), host(owner.b.val()));
        assert!(host(owner.b.val()).iter().any(|v| *v != 0.0));
    }
    let expected = (2 * LAYERS - 3) * RANK * 2 * D;
    assert_eq!(count(&stack, &ties.followers()).trainable, expected);
    assert_eq!(
        report
            .sites
            .iter()
            .map(|site| site.trainable)
            .sum::<usize>(),
        expected
    );
}

#[test]
fn merging_gives_the_forward_and_unmerging_every_bit() {
    let device = Device::flex();
    let spec = spec(sharing(&PAIRS));
    let (stack, _, _) = adapted(&spec, &device, true);
    let stack = TieGroups::of(&stack, "a", spec.method.as_ref())
        .unwrap()
        .broadcast(stack);
    let with = output(&stack, &device);
    let merged = merge(stack).unwrap();
    assert_close("merged", &output(merged.model(), &device), &with, MATMUL);
    let back = merged.unmerge();
    assert_eq!(output(&back, &device), with);
}

#[test]
fn a_folder_holds_the_shared_pair_once_and_is_read_back() {
    let device = Device::flex();
    let spec = spec(sharing(&PAIRS));
    let (stack, names, _) = adapted(&spec, &device, true);
    let stack = TieGroups::of(&stack, "a", spec.method.as_ref())
        .unwrap()
        .broadcast(stack);
    let dir = tempfile::tempdir().unwrap();
    folder::save(&stack, &names, "a", &spec, dir.path()).unwrap();
    let tensors = peft_core::file::read_folder(dir.path()).unwrap().tensors;
    assert_eq!(tensors.len(), 2 * (2 * LAYERS - PAIRS.len()));
    assert!(!tensors.keys().any(|key| key.contains("layers.4.query")));
    let (fresh, names) = Stack::new(&device);
    let loaded = folder::load(fresh, &names, "a", &[&LORA_DROP], dir.path()).unwrap();
    assert!(
        loaded.unknown_fields.is_empty(),
        "{:?}",
        loaded.unknown_fields
    );
    assert_eq!(output(&loaded.model, &device), output(&stack, &device));

    // As a plain LoRA it has every pair, and says the same.
    let exported = to_lora(stack.clone(), "a", &spec, None).unwrap();
    let plain = tempfile::tempdir().unwrap();
    folder::save(&exported.model, &names, "a", &exported.spec, plain.path()).unwrap();
    let loaded = folder::load(Stack::new(&device).0, &names, "a", &[&LORA], plain.path()).unwrap();
    assert_close(
        "exported",
        &output(&loaded.model, &device),
        &output(&stack, &device),
        MATMUL,
    );
}

#[test]
fn sharing_that_cannot_be_is_refused_by_name() {
    let device = Device::flex();
    let attached = |pairs: &[(&str, &str)], rank_of_one: Option<usize>| {
        let mut spec = spec(sharing(pairs));
        spec.rank_pattern
            .extend(rank_of_one.map(|rank| ("layers.1.query".to_owned(), rank)));
        let (stack, names) = Stack::new(&device);
        attach(stack, &names, "a", &spec, 1).map(|_| ())
    };
    let refused = |pairs: &[(&str, &str)], rank| match attached(pairs, rank) {
        Err(PeftError::Shares { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(refused(&[("layers.0.query", "nowhere")], None).contains("not adapted"));
    let chain = [
        ("layers.2.query", "layers.1.query"),
        ("layers.1.query", "layers.0.query"),
    ];
    assert!(refused(&chain, None).contains("shares one itself"));
    assert!(refused(&PAIRS, Some(3)).contains("another size or rank"));
    let method = LoraDrop::default();
    assert_eq!(
        method,
        LoraDrop {
            shared: [].into_iter().collect(),
            ..method.clone()
        }
    );
    let (plain, _, _) = adapted(&spec(lora()), &device, true);
    let (dropped, _, _) = adapted(&spec(sharing(&[])), &device, true);
    assert_eq!(
        output(&plain, &device),
        output(&dropped, &device),
        "without sharing it is LoRA"
    );
    let _ = plain.num_params();
}
