//! BOFT's dropout: blocks that do not turn for a step, by the seed of the pass, and never in evaluation.

use burn::tensor::{Device, Tensor};
use peft_core::target::TargetRules;
use peft_core::testing::contract::train;
use peft_core::testing::tiny::{self, Tiny};
use peft_core::{AdapterSpec, Pass, attach};
use peft_orthogonal::boft::Boft;

fn output(model: &Tiny, pass: &mut Pass<'_>, device: &Device) -> Vec<f32> {
    let output: Tensor<2> = model.forward(tiny::inputs(4, device), pass);
    output.into_data().iter::<f32>().collect()
}

#[test]
fn blocks_stand_still_by_the_seed_of_the_pass() {
    let device = Device::default().autodiff();
    let trained = |dropout| {
        let (model, names) = Tiny::new(&device);
        let spec = AdapterSpec {
            method: Box::new(Boft {
                boft_block_size: 2,
                dropout,
                ..Boft::default()
            }),
            targets: TargetRules::list(["up_proj", "down_proj"]),
            ..AdapterSpec::default()
        };
        let (model, _) = attach(model, &names, "new", &spec, 0).expect("attaches");
        train(model, &mut burn::optim::AdamWConfig::new().init(), 5)
    };
    let model = trained(0.5);
    let training = |seed| output(&model, &mut Pass::train(seed), &device);
    let turned = output(&model, &mut Pass::eval(), &device);
    assert_eq!(training(1), training(1));
    assert!((2..8).any(|seed| training(seed) != training(1)));
    assert!((1..8).all(|seed| training(seed) != turned));
    let undropped = trained(0.0);
    assert_eq!(
        output(&undropped, &mut Pass::train(1), &device),
        output(&undropped, &mut Pass::eval(), &device)
    );
}
