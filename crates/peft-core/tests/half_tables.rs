//! Tables of half precision under adapters in f32: looked up, trained, merged, row by row, as factors and as trained copies.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use burn::module::{Module, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{DType, Device, FloatDType, Int, Tensor};
use peft_core::merge::merge;
use peft_core::target::TargetRules;
use peft_core::testing::tolerance::{BF16, assert_close};
use peft_core::{
    Adaptable, AdaptedEmbedding, AdaptedLinear, AdapterSpec, Layout, ParamNames, Pass, RowAdapters,
    Site, attach,
};

const VOCAB: usize = 9;
const DIM: usize = 6;

/// A table and a head, as of the smallest model that can be trained.
#[derive(Module, Debug)]
struct Words {
    words: AdaptedEmbedding,
    head: AdaptedLinear,
}

impl Adaptable for Words {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        visit(&self.words.table);
        visit(&self.head);
    }
    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        visit(&mut self.words.table);
        visit(&mut self.head);
    }
}

impl Words {
    fn forward(&self, ids: Tensor<2, Int>, pass: &mut Pass<'_>) -> Tensor<3> {
        let x = self.words.forward(ids, pass);
        self.head.forward(x, pass)
    }
}

/// The model rounded to `rounded`, stored in `stored`.
fn model(rounded: DType, stored: DType, device: &Device) -> (Words, ParamNames) {
    let mut names = ParamNames::new();
    let mut param = |name: &str, layout, shape: [usize; 2], seed: f32| {
        let id = names.insert(name, layout);
        let values: Vec<f32> = (0..shape[0] * shape[1])
            .map(|at| (at as f32 * 0.37 + seed).sin())
            .collect();
        let value = Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape);
        let value = value
            .cast(FloatDType::from(rounded))
            .cast(FloatDType::from(stored));
        Param::initialized(id, value)
    };
    let table = param("words.weight", Layout::AsIs, [VOCAB, DIM], 0.0);
    let weight = param("head.weight", Layout::Transposed, [DIM, 4], 1.0);
    let model = Words {
        words: AdaptedEmbedding::new("words", table),
        head: AdaptedLinear::new(Site::new("head", DIM, 4), weight, None),
    };
    (model, names)
}

fn spec(targets: &[&str], saved: &[&str]) -> AdapterSpec {
    AdapterSpec {
        rank: 2,
        alpha: 4.0,
        targets: TargetRules::list(targets.iter().copied()),
        modules_to_save: saved.iter().map(|name| (*name).to_owned()).collect(),
        ..AdapterSpec::default()
    }
}

fn ids(device: &Device) -> Tensor<2, Int> {
    Tensor::from_ints([[0, 3, 3], [8, 1, 0]], device)
}

fn host(tensor: Tensor<3>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().iter().collect()
}

fn trained(mut model: Words, device: &Device) -> Words {
    let mut optimizer = AdamWConfig::new().init();
    for _ in 0..8 {
        let output = model.forward(ids(device), &mut Pass::train(0));
        let loss = output
            .cast(FloatDType::F32)
            .sub_scalar(0.5)
            .powi_scalar(2)
            .mean();
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(3e-2, model, grads);
    }
    model.valid()
}

#[test]
fn a_half_table_trains_and_merges_as_one_in_f32() {
    let device = Device::flex();
    let tracked = device.clone().autodiff();
    let kinds: [(&[&str], &[&str]); 3] = [
        (&["words", "head"], &[]),
        (&["head"], &["words"]),
        (&["words"], &["head"]),
    ];
    for dtype in [DType::F16, DType::BF16] {
        for (targets, saved) in kinds {
            let [half, full] = [dtype, DType::F32].map(|stored| {
                let (base, names) = model(dtype, stored, &tracked);
                let before = host(base.forward(ids(&tracked), &mut Pass::eval()));
                let (model, _) = attach(base, &names, "default", &spec(targets, saved), 1).unwrap();
                let start = host(model.forward(ids(&tracked), &mut Pass::eval()));
                assert_close("a fresh adapter", &start, &before, BF16);
                trained(model, &tracked)
            });
            let output = half.forward(ids(&device), &mut Pass::eval());
            assert_eq!(output.dtype(), dtype, "outputs have the type of the base");
            let (found, expected) = (
                host(output),
                host(full.forward(ids(&device), &mut Pass::eval())),
            );
            assert_close("trained over a half table", &found, &expected, BF16);
            let (base, _) = model(dtype, dtype, &device);
            let base = host(base.forward(ids(&device), &mut Pass::eval()));
            let moved = found.iter().zip(&base).map(|(a, b)| (a - b).abs());
            assert!(
                moved.fold(0.0, f32::max) > 0.2,
                "training moves the outputs"
            );
            let merged = merge(half).unwrap();
            let table = merged.model().words.table.weight.val();
            assert_eq!(table.dtype(), dtype, "the type of the base");
            let merged = host(merged.model().forward(ids(&device), &mut Pass::eval()));
            assert_close("merged", &merged, &found, BF16);
        }
    }
}

#[test]
fn rows_of_a_half_table_use_their_own_adapters() {
    let device = Device::flex();
    for dtype in [DType::F16, DType::BF16] {
        let (base, names) = model(dtype, dtype, &device.clone().autodiff());
        let alone = host(base.forward(ids(&device.clone().autodiff()), &mut Pass::eval()));
        let (adapted, _) = attach(base, &names, "a", &spec(&["words"], &["head"]), 1).unwrap();
        let adapted = trained(adapted, &device.clone().autodiff());
        let all = host(adapted.forward(ids(&device), &mut Pass::eval()));
        let rows = RowAdapters::new(&[Some("a"), None], &device);
        let found = host(adapted.forward(ids(&device), &mut Pass::eval().with_rows(&rows)));
        let half = found.len() / 2;
        assert_close("with the adapter", &found[..half], &all[..half], BF16);
        assert_eq!(found[half..], alone[half..], "the base alone, bit for bit");
        assert_ne!(found[..half], alone[..half]);
    }
}
