//! Trained copies: a layer that an adapter trains and saves as a whole, such as a classification head.
//!
//! `y = x W' + b'` with `W' [d_in, d_out]` and `b' [d_out]` of the adapter's own. The base keeps its weight, so that
//! several adapters each bring their own head to one model, can be switched, and leave nothing behind. This is what
//! PEFT's `modules_to_save` does; files hold `weight` and `bias` under the path of the layer.

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor};
use peft_format::SiteKind;
use peft_kernels::linear;

use crate::adapter::{Adapter, AnyAdapter, BaseLinear, TensorName, cast};
use crate::linear::AdaptedLinear;
use crate::names::{Layout, param_id};
use crate::pass::Pass;

/// A copy of one layer's weight and bias that trains in its place.
#[derive(Module, Debug)]
pub struct TrainedCopy {
    /// Shape `[d_in, d_out]`.
    pub weight: Param<Tensor<2>>,
    /// Shape `[d_out]`, where the layer has one.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    kind: SiteKind,
}

impl TrainedCopy {
    /// A copy of `linear` for the adapter called `adapter`, equal to it at first: in f32, as all that trains, whatever the layer's type.
    pub(crate) fn of(linear: &AdaptedLinear, adapter: &str) -> AnyAdapter {
        let site = linear.site();
        let id = |field: &str| param_id(&format!("{adapter}#{}#{field}", site.path));
        AnyAdapter::new(Self {
            weight: Param::initialized(id("weight"), own(linear.weight.val())),
            bias: linear
                .bias
                .as_ref()
                .map(|bias| Param::initialized(id("bias"), own(bias.val()))),
            kind: site.kind,
        })
    }

    /// `x W' + b'`.
    fn output(&self, x: Tensor<2>) -> Tensor<2> {
        linear(x, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

fn own<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    cast(value.detach(), DType::F32)
}

impl Adapter for TrainedCopy {
    fn tensors(&self) -> Vec<TensorName> {
        let weight = TensorName::trained("weight", "weight", self.kind.layout());
        vec![weight, TensorName::trained("bias", "bias", Layout::AsIs)]
    }

    /// `x (W' - W) + (b' - b)`.
    fn delta(
        &self,
        x: Tensor<2>,
        product: &Tensor<2>,
        base: &BaseLinear<'_>,
        _pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let own = self.output(x);
        own - base.add_bias(product.clone())
    }

    fn forward(&self, x: Tensor<2>, _base: &BaseLinear<'_>, _pass: &mut Pass<'_>) -> Tensor<2> {
        self.output(x)
    }

    fn replaces_base(&self) -> bool {
        true
    }

    fn effective_weight(&self, weight: Tensor<2>) -> Result<Tensor<2>, &'static str> {
        Ok(self.weight.val().cast(weight.dtype()))
    }

    fn effective_bias(&self, bias: Tensor<1>) -> Tensor<1> {
        match &self.bias {
            Some(own) => own.val().cast(bias.dtype()),
            None => bias,
        }
    }

    fn lookup(&self, ids: Tensor<1, Int>, base: &BaseLinear<'_>) -> Option<Tensor<2>> {
        let own = self.weight.val().select(0, ids.clone());
        let frozen: Tensor<2> = base.weight.lookup(ids.unsqueeze()).squeeze_dim(0);
        Some(own - cast(frozen, DType::F32))
    }
}
