//! A small model of like blocks: what layers share or hand to each other shows only between several of a type.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, activation};
use peft_core::init::gaussian;
use peft_core::target::TargetRules;
use peft_core::{
    Adaptable, AdaptedLinear, AdapterSpec, Layout, Method, ParamNames, Pass, Site, attach,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub(crate) const WIDTH: usize = 5;
const ROWS: usize = 4;

/// `x <- tanh(mix(x)) + x` in every block.
#[derive(Module, Adaptable, Debug)]
pub(crate) struct Blocks {
    pub(crate) blocks: Vec<AdaptedLinear>,
}

impl Blocks {
    pub(crate) fn new(count: usize, device: &Device) -> (Self, ParamNames) {
        let mut names = ParamNames::default();
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let blocks = (0..count).map(|index| {
            let path = format!("blocks.{index}.mix");
            let id = names.insert(&format!("{path}.weight"), Layout::Transposed);
            let weight = gaussian(WIDTH, WIDTH, 0.4, &mut rng);
            let weight = Param::initialized(id, Tensor::from_data(weight, device));
            AdaptedLinear::new(Site::new(path, WIDTH, WIDTH), weight, None)
        });
        let blocks = blocks.collect();
        (Self { blocks }, names)
    }

    /// The model with an adapter, whose trained values are none of those that methods start from.
    pub(crate) fn adapted(
        count: usize,
        method: Box<dyn Method>,
        device: &Device,
    ) -> (Self, ParamNames, AdapterSpec) {
        let (model, names) = Self::new(count, device);
        let spec = AdapterSpec {
            method,
            rank: 2,
            alpha: 3.0,
            targets: TargetRules::list(["mix"]),
            ..AdapterSpec::default()
        };
        let (model, _) = attach(model, &names, "a", &spec, 1).expect("attaches");
        (model, names, spec)
    }

    pub(crate) fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        self.blocks.iter().fold(x, |x, block| {
            pass.block(
                block,
                x,
                &Vec::<AdaptedLinear>::new(),
                |block, x, _, pass| activation::tanh(block.forward(x.clone(), pass)) + x,
            )
        })
    }
}

pub(crate) fn inputs(device: &Device) -> Tensor<2> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    Tensor::from_data(gaussian(ROWS, WIDTH, 1.0, &mut rng), device)
}
