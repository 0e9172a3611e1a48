//! A mixture of experts on flex; the backward keeps what passed between the factors, and makes the masks again.
//!
//! ```text
//! h = project(x, A^T),   y = expand(w h, B),   u = project(g, B)
//! dw = h . u,   dx = expand(c u, A^T),   dA^T = outer(c u, x),   dB = outer(c h, g)
//! ```

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, Flex, Shape, TensorData, TensorMetadata, backend_extension,
};
use burn::tensor::Tensor;

use super::masks::Masks;
use super::products::{Mixture, Rows, Scaled};
use super::routes::Routes;
use super::{Experts, Routing};
use crate::flex::{contiguous, values};
use crate::fused::fused;
use crate::profile;

/// The fused mixture, unless the fused path does not apply to all of its tensors.
pub(super) fn expert_mixture(
    x: &Tensor<2>,
    experts: &Experts,
    routing: &Routing,
    dropout: Option<(f64, u64)>,
) -> Option<Tensor<2>> {
    let dropout = dropout.filter(|(probability, _)| *probability > 0.0);
    let x = match dropout {
        Some((probability, _)) if probability >= 1.0 => x.clone().mul_scalar(0.0),
        _ => x.clone(),
    };
    let part = |tensor: &Tensor<2>| fused(tensor.clone()).ok();
    let (x, a, b) = (part(&x)?, part(&experts.a)?, part(&experts.b)?);
    let (weights, credits) = (part(&routing.weights)?, part(&routing.credits)?);
    let chosen = routing.chosen.to_data().try_to_vec_as::<i64>().ok()?;
    let slots = routing.chosen.dims()[1];
    let plan = Plan {
        routes: Arc::new(Routes::new(&chosen, slots, experts.count)),
        rank: experts.a.dims()[1] / experts.count,
        dropout: dropout.filter(|(probability, _)| *probability < 1.0),
    };
    let y = Dispatch::fused_expert_mixture(x, a, b, weights, credits, plan);
    Some(Tensor::from_dispatch(y))
}

/// What a call computes besides its values.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    routes: Arc<Routes>,
    rank: usize,
    dropout: Option<(f64, u64)>,
}

impl Plan {
    fn mixture(&self) -> Mixture<'_> {
        Mixture {
            routes: &self.routes,
            rank: self.rank,
        }
    }

    /// Notes so many products through both factors for each pair of a row and an expert.
    fn note(
        &self,
        name: &'static str,
        pairs: usize,
        [d_in, d_out]: [usize; 2],
        times: usize,
    ) -> Option<profile::Call> {
        let pairs = pairs * times;
        let products = [[pairs, d_in, self.rank], [pairs, self.rank, d_out]];
        profile::call(name, &products, pairs * (d_in + d_out))
    }

    /// The masks of an input of the given width.
    fn masks(&self, width: usize) -> Option<Masks> {
        let (probability, seed) = self.dropout?;
        Some(Masks::new(probability, seed, self.routes.experts(), width))
    }
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait ExpertMixtureOps: Backend {
    fn fused_expert_mixture(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        credits: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self>;
}

impl ExpertMixtureOps for Flex {
    fn fused_expert_mixture(
        x: FlexTensor,
        a: FlexTensor,
        b: FlexTensor,
        weights: FlexTensor,
        _: FlexTensor,
        plan: Plan,
    ) -> FlexTensor {
        let (x, a, b) = (contiguous(x), transposed(a), contiguous(b));
        forward(&x, &a, &b, weights, &plan).1
    }
}

impl<C: CheckpointStrategy> ExpertMixtureOps for Autodiff<Flex, C> {
    fn fused_expert_mixture(
        x: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        credits: FloatTensor<Self>,
        plan: Plan,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (a, a_node)) = (x.into_parts(), a.into_parts());
        let ((b, b_node), (weights, weights_node)) = (b.into_parts(), weights.into_parts());
        let (credits, _) = credits.into_parts();
        let (x, a, b) = (contiguous(x), transposed(a), contiguous(b));
        let (hidden, y) = forward(&x, &a, &b, weights, &plan);
        let step = ExpertMixtureStep.prepare::<C>([x_node, a_node, b_node, weights_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = Saved {
                    x,
                    a,
                    b,
                    credits: contiguous(credits),
                    hidden,
                    plan,
                };
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// What the backward needs.
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    /// Transposed.
    a: FlexTensor,
    b: FlexTensor,
    credits: FlexTensor,
    /// What passed between the factors, for each row and slot.
    hidden: Arc<[f32]>,
    plan: Plan,
}

#[derive(Debug)]
struct ExpertMixtureStep;

impl Backward<Flex, 4> for ExpertMixtureStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let saved = &ops.state;
        let (plan, x) = (&saved.plan, rows(&saved.x));
        let (mixture, masks) = (plan.mixture(), plan.masks(x.width));
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (pairs, widths) = (values(&saved.credits).len(), [x.width, saved.b.shape()[1]]);
        let _call = plan.note("expert mixture backward", pairs, widths, 2);
        let credited = |of| Scaled {
            values: of,
            scales: values(&saved.credits),
        };
        let [x_node, a_node, b_node, weights_node] = ops.parents;
        if let Some(node) = b_node {
            let d_b = mixture.outer(credited(&saved.hidden), rows(&grad), None);
            grads.register::<Flex>(node.id, matrix(d_b, saved.b.shape()));
        }
        if x_node.is_none() && a_node.is_none() && weights_node.is_none() {
            return;
        }
        let through = mixture.project(rows(&grad), rows(&saved.b), None);
        if let Some(node) = weights_node {
            let d_weights = pair_products(&saved.hidden, &through, plan.rank);
            grads.register::<Flex>(node.id, matrix(d_weights, saved.credits.shape()));
        }
        if let Some(node) = a_node {
            let d_a = mixture.outer(credited(&through), x, masks.as_ref());
            grads.register::<Flex>(node.id, transposed(matrix(d_a, saved.a.shape())));
        }
        if let Some(node) = x_node {
            let factors = rows(&saved.a);
            let count = saved.x.shape()[0];
            let d_x = mixture.expand(count, credited(&through), factors, masks.as_ref());
            grads.register::<Flex>(node.id, matrix(d_x, saved.x.shape()));
        }
    }
}

/// What passes between the factors, and the output. `a` is transposed; both factors and `x` are contiguous.
fn forward(
    x: &FlexTensor,
    a: &FlexTensor,
    b: &FlexTensor,
    weights: FlexTensor,
    plan: &Plan,
) -> (Arc<[f32]>, FlexTensor) {
    let (mixture, weights) = (plan.mixture(), contiguous(weights));
    let pairs = values(&weights).len();
    let _call = plan.note("expert mixture", pairs, [x.shape()[1], b.shape()[1]], 1);
    let masks = plan.masks(x.shape()[1]);
    let hidden = mixture.project(rows(x), rows(a), masks.as_ref());
    let weighted = Scaled {
        values: &hidden,
        scales: values(&weights),
    };
    let shape = Shape::new([x.shape()[0], b.shape()[1]]);
    let y = mixture.expand(shape[0], weighted, rows(b), None);
    (hidden.into(), matrix(y, shape))
}

/// The inner product of each pair's values.
fn pair_products(left: &[f32], right: &[f32], rank: usize) -> Vec<f32> {
    let pairs = left.chunks_exact(rank).zip(right.chunks_exact(rank));
    pairs
        .map(|(left, right)| left.iter().zip(right).map(|(l, r)| l * r).sum())
        .collect()
}

/// The rows of a contiguous matrix.
fn rows(x: &FlexTensor) -> Rows<'_> {
    Rows {
        values: values(x),
        width: x.shape()[1],
    }
}

/// The transpose in row-major order.
fn transposed(x: FlexTensor) -> FlexTensor {
    contiguous(x.transpose(0, 1))
}

fn matrix(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
