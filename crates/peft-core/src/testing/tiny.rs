//! A tiny model for tests: two adapted linear layers and a head, of different widths.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};
use peft_format::Site;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::adaptable::Adaptable;
use crate::init;
use crate::linear::AdaptedLinear;
use crate::names::{Layout, ParamNames};
use crate::pass::Pass;

/// `head(tanh(down(tanh(up(x)))))`, with sites `layers.0.up_proj`, `layers.1.down_proj` and `classifier`.
#[derive(Module, Debug)]
pub struct Tiny {
    up: AdaptedLinear,
    down: AdaptedLinear,
    classifier: AdaptedLinear,
}

/// Widths of [`Tiny`]: input, hidden, inner, classes. All differ, so that a transposition cannot hide.
pub const WIDTHS: [usize; 4] = [6, 10, 8, 3];

impl Tiny {
    /// A frozen model with fixed weights on `device`, and the names of its parameters.
    #[must_use]
    pub fn new(device: &Device) -> (Self, ParamNames) {
        let mut names = ParamNames::default();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut linear = |path: &str, d_in: usize, d_out: usize| {
            let weight = init::gaussian(d_in, d_out, 0.4, &mut rng);
            let bias = init::gaussian(1, d_out, 0.1, &mut rng);
            let bias = TensorData::new(bias.iter::<f32>().collect::<Vec<f32>>(), [d_out]);
            let weight_id = names.insert(&format!("{path}.weight"), Layout::Transposed);
            let bias_id = names.insert(&format!("{path}.bias"), Layout::AsIs);
            AdaptedLinear::new(
                Site::new(path, d_in, d_out),
                Param::initialized(weight_id, Tensor::from_data(weight, device)),
                Some(Param::initialized(bias_id, Tensor::from_data(bias, device))),
            )
        };
        let [input, hidden, inner, classes] = WIDTHS;
        let model = Self {
            up: linear("layers.0.up_proj", input, hidden),
            down: linear("layers.1.down_proj", hidden, inner),
            classifier: linear("classifier", inner, classes),
        };
        (model, names)
    }

    /// Outputs `[rows, classes]` for inputs `[rows, input]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let x = activation::tanh(self.up.forward(x, pass));
        let x = activation::tanh(self.down.forward(x, pass));
        self.classifier.forward(x, pass)
    }

    /// The first layer.
    #[must_use]
    pub fn up(&self) -> &AdaptedLinear {
        &self.up
    }

    /// The same network as an ordinary Burn module that knows nothing of adapters.
    #[must_use]
    pub fn plain(&self) -> Plain {
        let linear = |from: &AdaptedLinear| {
            let site = from.site();
            let mut to = LinearConfig::new(site.d_in, site.d_out).init(&from.weight.device());
            to.weight = from.weight.clone().into_param();
            to.bias = from.bias.clone();
            to
        };
        Plain {
            up: linear(&self.up),
            down: linear(&self.down),
            classifier: linear(&self.classifier),
        }
    }
}

impl Adaptable for Tiny {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        visit(&self.up);
        visit(&self.down);
        visit(&self.classifier);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        visit(&mut self.up);
        visit(&mut self.down);
        visit(&mut self.classifier);
    }

    fn output_heads(&self) -> Vec<String> {
        vec!["classifier".into()]
    }
}

/// [`Tiny`] built from Burn's own layers.
#[derive(Module, Debug)]
pub struct Plain {
    up: Linear,
    down: Linear,
    classifier: Linear,
}

impl Plain {
    /// Outputs `[rows, classes]` for inputs `[rows, input]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = activation::tanh(self.up.forward(x));
        let x = activation::tanh(self.down.forward(x));
        self.classifier.forward(x)
    }
}

/// Fixed inputs of shape `[rows, WIDTHS[0]]`.
#[must_use]
pub fn inputs(rows: usize, device: &Device) -> Tensor<2> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    Tensor::from_data(init::gaussian(rows, WIDTHS[0], 1.0, &mut rng), device)
}

/// Fixed regression targets of shape `[rows, WIDTHS[3]]`, which the frozen model does not meet.
#[must_use]
pub fn targets(rows: usize, device: &Device) -> Tensor<2> {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    Tensor::from_data(init::gaussian(rows, WIDTHS[3], 0.7, &mut rng), device)
}

/// Mean squared error.
#[must_use]
pub fn loss(output: Tensor<2>, target: Tensor<2>) -> Tensor<1> {
    (output - target).powi_scalar(2).mean()
}
