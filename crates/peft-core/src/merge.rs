//! Merging active adapters into the weights, and taking them out again bit for bit.
//!
//! `W' = W + sum_i w_i (effective_i(W) - W)`, in f32 whatever the base's type, then rounded once to that type.
//! Merging returns a second value instead of a flag: [`Merged`] keeps the untouched base and the adapters, so that
//! [`Merged::unmerge`] restores the very same bits rather than subtracting.

use burn::module::Param;
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use serde::Serialize;

use crate::adaptable::Adaptable;
use crate::adapter::{AnyAdapter, cast};
use crate::error::PeftError;
use crate::linear::AdaptedLinear;
use crate::pass::Pass;
use crate::weight::Weight;

/// What merging did to one site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergedSite {
    /// Path of the layer.
    pub path: String,
    /// Largest absolute entry of `W' - W`.
    pub max_change: f32,
    /// Largest absolute entry of the merged weight.
    pub max_weight: f32,
    /// Largest difference between the merged and the adapted layer's output on a probe input, relative to the
    /// largest output.
    pub output_error: f32,
}

impl MergedSite {
    /// Names of the parameters that merging may change: the layer's weight and bias.
    #[must_use]
    pub fn parameters(&self) -> [String; 2] {
        ["weight", "bias"].map(|tensor| format!("{}.{tensor}", self.path))
    }
}

/// A model whose active adapters are folded into its weights.
#[derive(Debug)]
pub struct Merged<M> {
    model: M,
    kept: Vec<Kept>,
    /// One entry per merged site, in the model's order.
    pub sites: Vec<MergedSite>,
}

#[derive(Debug)]
struct Kept {
    path: String,
    weight: Weight,
    bias: Option<Param<Tensor<1>>>,
    adapters: Vec<(String, AnyAdapter)>,
    active: Vec<(String, f64)>,
}

/// Folds every active adapter into its layer's weight. An output layer that is tied to a table with adapters keeps the table's old weight, as
/// its own ([`Adaptable::untie`]).
///
/// # Errors
/// [`PeftError::NotFinite`] when a weight is or becomes NaN or infinite, and [`PeftError::NoEffectiveWeight`] when a
/// method's forward depends on the input. The model is then dropped unmerged; clone it first to keep it.
pub fn merge<M: Adaptable>(mut model: M) -> Result<Merged<M>, PeftError> {
    if let Some(tied) = model.tied()
        && is_adapted(&model, &tied.table)
    {
        model.untie();
    }
    let mut merged = Vec::new();
    let mut failure = None;
    model.visit_linears(&mut |linear| {
        if failure.is_none() && linear.active_adapters().next().is_some() {
            match merge_site(linear) {
                Ok(site) => merged.push(site),
                Err(error) => failure = Some(error),
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let mut sites = Vec::with_capacity(merged.len());
    let mut kept = Vec::with_capacity(merged.len());
    let mut merged = merged.into_iter().peekable();
    model.visit_linears_mut(&mut |linear| {
        if let Some((site, weight)) = merged.next_if(|(site, _)| site.path == linear.site().path) {
            let bias = merged_bias(linear);
            kept.push(replace(linear, weight, bias));
            sites.push(site);
        }
    });
    Ok(Merged { model, kept, sites })
}

/// Whether the layer at `path` has active adapters.
fn is_adapted<M: Adaptable>(model: &M, path: &str) -> bool {
    let mut found = false;
    model.visit_linears(&mut |linear| {
        found |= linear.site().path == path && linear.active_adapters().next().is_some();
    });
    found
}

impl<M: Adaptable> Merged<M> {
    /// The merged model; its merged layers have no adapters.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Gives the merged model away; unmerging is no longer possible.
    #[must_use]
    pub fn into_model(self) -> M {
        self.model
    }

    /// The model as it was: weights bit for bit, adapters active as before.
    #[must_use]
    pub fn unmerge(self) -> M {
        let mut model = self.model;
        let mut kept = self.kept.into_iter().peekable();
        model.visit_linears_mut(&mut |linear| {
            let Some(kept) = kept.next_if(|kept| kept.path == linear.site().path) else {
                return;
            };
            linear.weight = kept.weight;
            linear.bias = kept.bias;
            for (name, adapter) in kept.adapters {
                linear.insert(&name, adapter);
            }
            let active: Vec<(&str, f64)> = kept
                .active
                .iter()
                .map(|(name, weight)| (name.as_str(), *weight))
                .collect();
            linear.activate(&active);
        });
        model
    }
}

/// The merged weight of one layer with active adapters, in the type of its base, and what changed.
///
/// # Errors
/// As [`merge`].
pub fn merge_site(linear: &AdaptedLinear) -> Result<(MergedSite, Tensor<2>), PeftError> {
    let site = linear.site();
    let stored = linear.weight.val();
    let dtype = stored.dtype();
    let base = untracked(stored).cast(FloatDType::F32);
    require_finite(&base, &site.path, "the base weight")?;
    let effective = linear.effective_weight(base.clone());
    let sum = untracked(effective.map_err(|reason| PeftError::NoEffectiveWeight {
        method: "of this adapter",
        action: "be merged",
        reason,
    })?);
    require_finite(&sum, &site.path, "the merged weight")?;
    let rounded = cast(sum, dtype);
    let exact = rounded.clone().cast(FloatDType::F32);
    let report = MergedSite {
        path: site.path.clone(),
        max_change: largest(exact.clone() - base),
        max_weight: largest(exact.clone()),
        output_error: output_error(linear, exact),
    };
    Ok((report, rounded))
}

/// `b' = b + sum_i w_i (effective_i(b) - b)`, in the type of `b`.
fn merged_bias(linear: &AdaptedLinear) -> Option<Tensor<1>> {
    let stored = linear.bias.as_ref()?.val();
    let dtype = stored.dtype();
    let base = untracked(stored).cast(FloatDType::F32);
    Some(cast(untracked(linear.effective_bias(base)), dtype))
}

fn replace(linear: &mut AdaptedLinear, merged: Tensor<2>, bias: Option<Tensor<1>>) -> Kept {
    let active: Vec<(String, f64)> = linear
        .active_adapters()
        .map(|(name, _, weight)| (name.to_owned(), weight))
        .collect();
    let names: Vec<String> = linear.adapter_names().map(str::to_owned).collect();
    let adapters = names
        .into_iter()
        .filter_map(|name| linear.remove(&name).map(|adapter| (name, adapter)))
        .collect();
    let kept_weight = linear.weight.clone();
    let kept_bias = linear.bias.clone();
    linear.weight = with_value(kept_weight.clone().into_param(), merged).into();
    linear.bias = kept_bias
        .clone()
        .zip(bias)
        .map(|(old, new)| with_value(old, new));
    Kept {
        path: linear.site().path.clone(),
        weight: kept_weight,
        bias: kept_bias,
        adapters,
        active,
    }
}

/// The parameter with another value, on the same side of autodiff as before.
fn with_value<const D: usize>(param: Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    param.map(|old| {
        if old.is_autodiff() {
            Tensor::from_inner(value)
        } else {
            value
        }
    })
}

/// Compares both layers in f32 on a fixed probe of 16 rows with entries between -1 and 1.
fn output_error(linear: &AdaptedLinear, merged: Tensor<2>) -> f32 {
    let d_in = linear.site().d_in;
    let values: Vec<f32> = (0..16 * d_in)
        .map(|i| ((i as f32) * 0.7311).sin())
        .collect();
    let linear = in_f32(linear);
    let device = linear.weight.device();
    let probe = Tensor::<2>::from_data(TensorData::new(values, [16, d_in]), &device);
    let adapted = untracked(linear.forward(probe.clone(), &mut Pass::eval()));
    let mut direct = untracked(probe).matmul(merged);
    if let Some(bias) = merged_bias(&linear) {
        direct = direct + bias.unsqueeze();
    }
    let scale = largest(direct.clone()).max(f32::MIN_POSITIVE);
    largest(adapted - direct) / scale
}

/// The layer with its base in the type of the adapters' factors.
fn in_f32(linear: &AdaptedLinear) -> AdaptedLinear {
    let mut linear = linear.clone();
    if linear.weight.dtype() != DType::F32 {
        linear.weight = linear.weight.map(|weight| weight.cast(FloatDType::F32));
    }
    linear.bias = linear.bias.map(|bias| {
        if bias.val().dtype() == DType::F32 {
            bias
        } else {
            bias.map(|bias| bias.cast(FloatDType::F32))
        }
    });
    linear
}

fn untracked<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() {
        tensor.inner()
    } else {
        tensor
    }
}

fn largest(tensor: Tensor<2>) -> f32 {
    peft_kernels::read_number(tensor.abs().max()) as f32
}

fn require_finite(tensor: &Tensor<2>, site: &str, what: &'static str) -> Result<(), PeftError> {
    let values = peft_kernels::read(tensor.clone()).convert::<f32>();
    let count = values
        .iter::<f32>()
        .filter(|value| !value.is_finite())
        .count();
    if count == 0 {
        return Ok(());
    }
    Err(PeftError::NotFinite {
        site: site.to_owned(),
        what,
        count,
    })
}
