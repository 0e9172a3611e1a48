//! Bases of half precision: adapters keep f32 values, whatever the type of the weights, biases and inputs they meet.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{DType, Device, FloatDType, Tensor};

use super::{Contract, ROWS, host};
use crate::adaptable::Adaptable;
use crate::adapter::cast;
use crate::attach::attach;
use crate::base_params::BiasTraining;
use crate::hosted::hosted;
use crate::linear::AdaptedLinear;
use crate::merge::{merge, merge_site};
use crate::pass::Pass;
use crate::spec::AdapterSpec;
use crate::testing::tiny::{self, Tiny};
use crate::testing::tolerance::{BF16, assert_close};
use crate::trainable::Trainable;

/// Every float parameter in another type.
struct To(FloatDType);

impl ModuleMapper for To {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| value.cast(self.0))
    }
}

impl Contract {
    /// On devices that compute in these types.
    pub(super) fn bases_of_half_precision_run_train_and_merge(&self, device: &Device) {
        for dtype in [DType::F16, DType::BF16] {
            if device.supports_dtype(dtype) {
                self.a_half_base_does_as_one_in_f32(device, dtype);
                if self.mergeable {
                    self.a_half_base_merges_in_its_type(device, dtype);
                }
            }
        }
    }

    /// The base rounded to `dtype` and stored in `stored`, with the adapter, a trained copy of the classifier and trained biases, where
    /// the method's folders can say that they train.
    fn over(&self, device: &Device, dtype: DType, stored: DType) -> (Tiny, Trainable) {
        let (base, names) = Tiny::new(device);
        let base = base.map(&mut To(dtype.into())).map(&mut To(stored.into()));
        let spec = AdapterSpec {
            modules_to_save: vec!["classifier".into()],
            bias: self.biases(),
            ..self.spec(&["up_proj", "down_proj"])
        };
        let (model, _) = attach(base, &names, "default", &spec, 1).expect("attaches");
        let trainable = Trainable::of(&model, &names);
        (model, trainable)
    }

    fn biases(&self) -> BiasTraining {
        match self.keeps("bias") {
            true => BiasTraining::All,
            false => BiasTraining::None,
        }
    }

    fn a_half_base_does_as_one_in_f32(&self, device: &Device, dtype: DType) {
        let device = device.clone().autodiff();
        let (mut full, _) = self.over(&device, dtype, DType::F32);
        let (mut half, trainable) = self.over(&device, dtype, dtype);
        assert_eq!(
            half.up().weight.val().dtype(),
            dtype,
            "the base stays as it is"
        );
        let biases = trainable
            .params
            .iter()
            .filter(|param| param.name.ends_with(".bias"));
        let of_the_base = match self.biases() {
            BiasTraining::None => 0,
            _ => 2,
        };
        assert_eq!(
            biases.count(),
            of_the_base + 1,
            "biases of the base and one of the copy train"
        );
        let (mut of_full, mut of_half) = (AdamWConfig::new().init(), AdamWConfig::new().init());
        for _ in 0..10 {
            let expected = step(&mut full, &mut of_full, DType::F32, &device);
            let found = step(&mut half, &mut of_half, dtype, &device);
            assert_close("output over a half base", &found, &expected, BF16);
        }
        // Inputs in f32, as of a layer whose own type is another.
        let x = tiny::inputs(ROWS, &device);
        let output = half.forward(x.clone(), &mut Pass::eval());
        assert_eq!(output.dtype(), DType::F32);
        let expected = host(full.forward(x, &mut Pass::eval()));
        assert_close("output of f32 inputs", &host(output), &expected, BF16);
        for value in super::values(&half).values().flatten() {
            assert!(value.is_finite());
        }
    }

    fn a_half_base_merges_in_its_type(&self, device: &Device, dtype: DType) {
        let tracked = device.clone().autodiff();
        let (mut model, _) = self.over(&tracked, dtype, dtype);
        let mut optimizer = AdamWConfig::new().init();
        for _ in 0..5 {
            step(&mut model, &mut optimizer, dtype, &tracked);
        }
        let model = model.valid();
        let x = tiny::inputs(ROWS, device).cast(FloatDType::from(dtype));
        let adapted = model.forward(x.clone(), &mut Pass::eval());
        assert_eq!(adapted.dtype(), dtype, "outputs have the type of the base");
        let merged = merge(model.clone()).expect("a half base merges");
        for site in &merged.sites {
            assert!(site.max_change > 0.0 && site.output_error.is_finite());
        }
        merged.model().visit_linears(&mut |linear| {
            assert_eq!(linear.weight.val().dtype(), dtype, "{}", linear.site().path);
        });
        let output = host(cast(
            merged.model().forward(x, &mut Pass::eval()),
            DType::F32,
        ));
        let adapted = host(cast(adapted, DType::F32));
        assert_close("merged half model", &output, &adapted, BF16);
        self.the_second_host_takes_a_half_base(model.up(), dtype, device);
    }

    fn the_second_host_takes_a_half_base(&self, up: &AdaptedLinear, dtype: DType, device: &Device) {
        let (base, _) = Tiny::new(device);
        let plain = base.map(&mut To(dtype.into())).plain();
        let (plain, names) = hosted(plain).expect("hosts");
        let spec = self.spec(&["up"]);
        let (model, _) = attach(plain, &names, "default", &spec, 1).expect("attaches");
        let x = tiny::inputs(ROWS, device).cast(FloatDType::from(dtype));
        let output = model.module().forward(x);
        assert_eq!(output.dtype(), dtype);
        assert!(
            host(cast(output, DType::F32))
                .iter()
                .all(|value| value.is_finite())
        );
        let (_, merged) = merge_site(up).expect("merges");
        assert_eq!(merged.dtype(), dtype);
    }
}

/// One step on a fixed regression batch; the output before it, in f32.
fn step(
    model: &mut Tiny,
    optimizer: &mut burn::optim::ModuleOptimizer,
    dtype: DType,
    device: &Device,
) -> Vec<f32> {
    let x = cast(tiny::inputs(ROWS, device), dtype);
    let output = model.forward(x, &mut Pass::train(0));
    assert_eq!(output.dtype(), dtype);
    let output = cast(output, DType::F32);
    let loss = tiny::loss(output.clone(), tiny::targets(ROWS, device));
    let grads = GradientsParams::from_grads(loss.backward(), model);
    *model = optimizer.step(1e-2, model.clone(), grads);
    host(output)
}
