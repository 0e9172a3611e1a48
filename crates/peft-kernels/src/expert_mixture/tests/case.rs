//! One mixture with its reference in f64.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::expert_mixture::{Experts, Routing};
use crate::testing::{EXPERT_MIXTURE, device, noise, tensor, values, wide};
use crate::{derive_seed, expert_mixture};

/// The function under test.
type Mixture = fn(Tensor<2>, Experts, Routing, Option<(f64, u64)>) -> Tensor<2>;

/// What [`Case::run`] returns.
const NAMES: [&str; 5] = ["y", "dx", "da", "db", "dweights"];

#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) d_in: usize,
    pub(super) d_out: usize,
    pub(super) experts: usize,
    pub(super) rank: usize,
    pub(super) slots: usize,
}

#[derive(Clone)]
pub(super) struct Case {
    sizes: Sizes,
    pub(super) x: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    weights: Vec<f32>,
    credits: Vec<f32>,
    pub(super) chosen: Vec<usize>,
    cotangent: Vec<f32>,
    pub(super) dropout: Option<(f64, u64)>,
}

impl Case {
    pub(super) fn new(sizes: Sizes, seed: u64) -> Self {
        let width = sizes.experts * sizes.rank;
        let pairs = sizes.rows * sizes.slots;
        let mut chosen = Vec::new();
        for row in 0..sizes.rows {
            let mut order: Vec<usize> = (0..sizes.experts).collect();
            order.sort_by_key(|e| derive_seed(seed, (row * sizes.experts + e) as u64));
            chosen.extend_from_slice(&order[..sizes.slots]);
        }
        Self {
            sizes,
            x: noise(seed, sizes.rows * sizes.d_in, 2.0),
            a: noise(seed ^ 1, sizes.d_in * width, 1.0),
            b: noise(seed ^ 2, width * sizes.d_out, 1.0),
            weights: noise(seed ^ 3, pairs, 1.0),
            credits: noise(seed ^ 4, pairs, 1.0),
            chosen,
            cotangent: noise(seed ^ 5, sizes.rows * sizes.d_out, 1.0),
            dropout: None,
        }
    }

    pub(super) fn credited_by_weights(mut self) -> Self {
        self.credits.clone_from(&self.weights);
        self
    }

    /// `x`, `a`, `b` and the weights.
    pub(super) fn inputs(&self, device: &Device) -> [Tensor<2>; 4] {
        let s = self.sizes;
        let width = s.experts * s.rank;
        [
            tensor(&self.x, [s.rows, s.d_in], device),
            tensor(&self.a, [s.d_in, width], device),
            tensor(&self.b, [width, s.d_out], device),
            tensor(&self.weights, [s.rows, s.slots], device),
        ]
    }

    pub(super) fn credits(&self, device: &Device) -> Tensor<2> {
        tensor(&self.credits, [self.sizes.rows, self.sizes.slots], device)
    }

    pub(super) fn chosen(&self, device: &Device) -> Tensor<2, Int> {
        let chosen: Vec<i64> = self.chosen.iter().map(|e| *e as i64).collect();
        let shape = [self.sizes.rows, self.sizes.slots];
        Tensor::from_data(TensorData::new(chosen, shape), device)
    }

    pub(super) fn cotangent(&self, device: &Device) -> Tensor<2> {
        tensor(&self.cotangent, [self.sizes.rows, self.sizes.d_out], device)
    }

    /// The output for `x`, `a`, `b` and the weights.
    pub(super) fn apply(&self, inputs: &[Tensor<2>; 4], mixture: Mixture) -> Tensor<2> {
        let [x, a, b, weights] = inputs.clone();
        let device = x.device();
        let experts = Experts {
            a,
            b,
            count: self.sizes.experts,
        };
        let routing = Routing {
            credits: self.credits(&device).cast(weights.dtype()),
            weights,
            chosen: self.chosen(&device),
        };
        mixture(x, experts, routing, self.dropout)
    }

    /// The output, and the gradients of `sum(y cotangent)` with respect to `x`, `a`, `b` and the weights.
    pub(super) fn run(&self, device: &Device, mixture: Mixture) -> [Vec<f32>; 5] {
        let inputs = self.inputs(device).map(Tensor::require_grad);
        let y = self.apply(&inputs, mixture);
        let grads = (y.clone() * self.cotangent(device)).sum().backward();
        let [d_x, d_a, d_b, d_weights] =
            inputs.map(|input| values(input.grad(&grads).expect("a gradient")));
        [values(y), d_x, d_a, d_b, d_weights]
    }

    /// `drop_e(x)` per unit of `x`, for each row, expert and column.
    fn masks(&self) -> Vec<f64> {
        let s = self.sizes;
        let Some((probability, seed)) = self.dropout else {
            return vec![1.0; s.rows * s.experts * s.d_in];
        };
        let width = s.d_in.next_multiple_of(32);
        let mut masks = vec![0.0; s.rows * s.experts * s.d_in];
        for e in 0..s.experts {
            let ones = Tensor::<2>::ones([s.rows, width], &Device::flex());
            let seed = derive_seed(seed, e as u64);
            let mask = values(crate::dropout(ones, probability, seed));
            for row in 0..s.rows {
                let target = &mut masks[(row * s.experts + e) * s.d_in..][..s.d_in];
                let source = wide(&mask[row * width..][..s.d_in]);
                target.copy_from_slice(&source);
            }
        }
        masks
    }

    /// What [`Self::run`] should return, by the formulas in f64, for inputs that `of` was applied to; `credits` in place of the
    /// credits, and `weights` in place of the weights.
    fn formulas(&self, of: fn(f64) -> f64, weights: &[f64], credits: &[f64]) -> [Vec<f64>; 5] {
        let s = self.sizes;
        let width = s.experts * s.rank;
        let [x, a, b, g] = [&self.x, &self.a, &self.b, &self.cotangent]
            .map(|v| v.iter().map(|v| of(f64::from(*v))).collect::<Vec<_>>());
        let masks = self.masks();
        let mut y = vec![0.0; g.len()];
        let (mut d_x, mut d_a, mut d_b) =
            (vec![0.0; x.len()], vec![0.0; a.len()], vec![0.0; b.len()]);
        let mut d_weights = vec![0.0; weights.len()];
        for (pair, e) in self.chosen.iter().enumerate() {
            let row = pair / s.slots;
            let g = &g[row * s.d_out..][..s.d_out];
            let mask = &masks[(row * s.experts + e) * s.d_in..][..s.d_in];
            let x = &x[row * s.d_in..][..s.d_in];
            for q in e * s.rank..(e + 1) * s.rank {
                let h: f64 = (0..s.d_in).map(|i| x[i] * mask[i] * a[i * width + q]).sum();
                let u: f64 = (0..s.d_out).map(|o| g[o] * b[q * s.d_out + o]).sum();
                d_weights[pair] += h * u;
                for o in 0..s.d_out {
                    y[row * s.d_out + o] += weights[pair] * h * b[q * s.d_out + o];
                    d_b[q * s.d_out + o] += credits[pair] * h * g[o];
                }
                for i in 0..s.d_in {
                    d_a[i * width + q] += credits[pair] * u * x[i] * mask[i];
                    d_x[row * s.d_in + i] += credits[pair] * u * a[i * width + q] * mask[i];
                }
            }
        }
        [y, d_x, d_a, d_b, d_weights]
    }

    /// Asserts that results are those of the formulas. The tolerance is relative to the formulas of absolute values: what rounding of
    /// relative size 1 would move a sum by.
    #[track_caller]
    pub(super) fn assert_close(&self, actual: &[Vec<f32>; 5]) {
        let (weights, credits) = (wide(&self.weights), wide(&self.credits));
        let sizes: Vec<f64> = weights
            .iter()
            .zip(&credits)
            .map(|(w, c)| w.abs() + c.abs())
            .collect();
        let expected = self.formulas(|v| v, &weights, &credits);
        let scales = self.formulas(f64::abs, &sizes, &sizes);
        for (at, name) in NAMES.iter().enumerate() {
            assert_eq!(actual[at].len(), expected[at].len());
            for (i, a) in actual[at].iter().enumerate() {
                let (value, scale) = (expected[at][i], scales[at][i]);
                let error = (f64::from(*a) - value).abs();
                assert!(
                    error <= EXPERT_MIXTURE * scale,
                    "{name} at {i}: {a} is not {value} (scale {scale}, {:?})",
                    self.sizes
                );
            }
        }
    }

    /// Asserts that the gradients of the fused function are its differences: it is linear in each of its inputs, so that steps may be
    /// large. The credits must be the weights.
    #[track_caller]
    pub(super) fn assert_slopes(&self) {
        let gradients = self.run(&device(), expert_mixture);
        for at in 0..4 {
            let step = noise(at as u64, gradients[at + 1].len(), 1.0);
            let (mut moved, mut sized) = (self.clone(), self.clone());
            for (i, step) in step.iter().enumerate() {
                moved.input_mut(at)[i] += step;
                sized.input_mut(at)[i] = sized.input_mut(at)[i].abs() + step.abs();
            }
            let difference = moved.loss() - self.loss();
            let terms = gradients[at + 1].iter().zip(&step);
            let slope: f64 = terms.map(|(g, s)| f64::from(*g) * f64::from(*s)).sum();
            let sizes: Vec<f64> = wide(&sized.weights).iter().map(|w| w.abs()).collect();
            let scale: f64 = sized.formulas(f64::abs, &sizes, &sizes)[0].iter().sum();
            assert!(
                (slope - difference).abs() <= EXPERT_MIXTURE * scale,
                "{}: {slope} is not {difference} (scale {scale}, {:?})",
                NAMES[at + 1],
                self.sizes
            );
        }
    }

    /// `sum(y cotangent)` of the fused function.
    fn loss(&self) -> f64 {
        let y = values(self.apply(&self.inputs(&Device::flex()), expert_mixture));
        let terms = wide(&y).into_iter().zip(wide(&self.cotangent));
        terms.map(|(y, g)| y * g).sum()
    }

    /// The values of one of [`Self::inputs`].
    fn input_mut(&mut self, at: usize) -> &mut [f32] {
        match at {
            0 => &mut self.x,
            1 => &mut self.a,
            2 => &mut self.b,
            _ => &mut self.weights,
        }
    }
}
