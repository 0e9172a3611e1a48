//! AdamW whose step is one pass over a parameter. Its state is that of Burn's own, and so are its bits.

use burn::optim::{AdamWState, AdaptiveMomentumState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};
use peft_kernels::{AdamWStep, Moving, adamw};

/// The settings of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AdamW {
    /// Decay of the first moment.
    pub(crate) beta1: f32,
    /// Decay of the second moment.
    pub(crate) beta2: f32,
    /// Floor of the denominator.
    pub(crate) epsilon: f32,
    /// Decay of the weights, decoupled from the gradient.
    pub(crate) weight_decay: f64,
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let (seen, first, second) = match state.map(|state| state.momentum) {
            Some(moments) => (moments.time, moments.moment_1, moments.moment_2),
            None => (0, grad.zeros_like(), grad.zeros_like()),
        };
        let how = AdamWStep {
            lr,
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            time: seen + 1,
        };
        let at = Moving {
            weight,
            first,
            second,
        };
        let Moving {
            weight,
            first,
            second,
        } = adamw(at, grad, how);
        let moments = AdaptiveMomentumState::new(how.time, first, second);
        (weight, Some(AdamWState::new(moments)))
    }

    fn to_device<const D: usize>(mut state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        state.momentum = state.momentum.to_device(device);
        state
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::AdamWConfig;
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn steps_are_those_of_burns_own_to_the_bit() {
        let device = Device::flex();
        let own = AdamW {
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: f64::from(0.05_f32),
        };
        let burns = AdamWConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.99)
            .with_epsilon(1e-8)
            .with_weight_decay(0.05)
            .build();
        let random = || Tensor::<2>::random([9, 31], Distribution::Normal(0.0, 1.0), &device);
        let start = random();
        let (mut a, mut b) = ((start.clone(), None), (start, None));
        for step in 0..20 {
            let (lr, grad) = (1e-3 * f64::from(step + 1), random());
            a = own.step(lr, a.0, grad.clone(), a.1);
            b = burns.step(lr, b.0, grad, b.1);
            assert_eq!(a.0.to_data(), b.0.to_data(), "step {step}");
        }
        let [a, b] = [a.1, b.1].map(|state| state.expect("a state").momentum);
        assert_eq!(
            (a.time, a.moment_1.to_data()),
            (b.time, b.moment_1.to_data())
        );
        assert_eq!(a.moment_2.to_data(), b.moment_2.to_data());
    }
}
