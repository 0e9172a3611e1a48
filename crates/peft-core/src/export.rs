//! Any adapter with an effective weight as a plain LoRA, which every tool reads: `W' - W = A B`.
//!
//! Exact, up to rounding, where the method has such a form ([`crate::Adapter::low_rank`]). Elsewhere the change `W' - W` is cut to
//! the asked rank by a singular value decomposition in `f64`, which gives the nearest matrix of that rank (Eckart and Young 1936),
//! and the error is reported: `||W' - W - A B||_F / ||W' - W||_F`.

use burn::module::Param;
use burn::tensor::{FloatDType, Tensor, TensorData};
use faer::Mat;
use peft_format::Ranks;
use serde::Serialize;

use crate::adaptable::Adaptable;
use crate::adapter::AnyAdapter;
use crate::copy::TrainedCopy;
use crate::error::PeftError;
use crate::linear::AdaptedLinear;
use crate::lora::{Lora, LoraAdapter};
use crate::names::param_id;
use crate::spec::AdapterSpec;

/// What exporting did to one site.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportedSite {
    /// Path of the layer.
    pub path: String,
    /// Rank of the LoRA there.
    pub rank: usize,
    /// `||W' - W - A B||_F / ||W' - W||_F`; 0 where the form is exact, up to rounding.
    pub error: f64,
}

/// A model whose adapter became a plain LoRA.
#[derive(Debug)]
pub struct Exported<M> {
    /// The model with the LoRA in the adapter's place.
    pub model: M,
    /// What the folder of the LoRA says.
    pub spec: AdapterSpec,
    /// One entry per site, in the model's order.
    pub sites: Vec<ExportedSite>,
}

/// Replaces the adapter called `name` by a plain LoRA of at most `rank` at each site; its trained copies of layers stay.
///
/// Without a rank every site gets the rank of the method's own exact form, which it must have. The LoRA has a scale of 1: `alpha`
/// is the rank, at every site.
///
/// # Errors
/// [`PeftError::NoLowRankForm`] where a rank is needed and none was given, [`PeftError::NoEffectiveWeight`] for methods whose
/// forward depends on the input or changes the bias, and [`PeftError::NotFinite`].
pub fn to_lora<M: Adaptable>(
    mut model: M,
    name: &str,
    spec: &AdapterSpec,
    rank: Option<usize>,
) -> Result<Exported<M>, PeftError> {
    let method = spec.method.entry().id;
    let mut sites = Vec::new();
    let mut failure = None;
    model.visit_linears_mut(&mut |linear| {
        if failure.is_none() {
            match export(linear, name, method, rank) {
                Ok(site) => sites.extend(site),
                Err(error) => failure = Some(error),
            }
        }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(Exported {
            model,
            spec: described(spec, &sites),
            sites,
        }),
    }
}

/// The configuration of the LoRA, of scale 1 at every site.
fn described(spec: &AdapterSpec, sites: &[ExportedSite]) -> AdapterSpec {
    let ranks = sites
        .iter()
        .map(|site| (site.path.as_str(), site.rank, site.rank as f64));
    let mut spec = spec.clone().with_ranks(Ranks::of_sites(ranks));
    spec.method = Box::new(Lora::default());
    spec
}

/// Exports one layer; `None` where it has no adapter of the name, or a trained copy, which PEFT knows too.
fn export(
    linear: &mut AdaptedLinear,
    name: &str,
    method: &'static str,
    rank: Option<usize>,
) -> Result<Option<ExportedSite>, PeftError> {
    let site = linear.site().clone();
    let adapter = match linear.adapter(name) {
        Some(adapter) if adapter.downcast_ref::<TrainedCopy>().is_none() => adapter,
        _ => return Ok(None),
    };
    let exact = adapter.low_rank();
    let fits = |a: &Tensor<2>| rank.is_none_or(|rank| a.dims()[1] <= rank);
    let (a, b, error) = match (exact, rank) {
        (Some((a, b)), _) if fits(&a) => (a, b, 0.0),
        (_, Some(rank)) => nearest(&change(linear, adapter, method)?, &site.path, rank)?,
        (_, None) => {
            // Where no rank would do, that is what there is to say.
            change(linear, adapter, method)?;
            return Err(PeftError::NoLowRankForm {
                method,
                site: site.path,
            });
        }
    };
    let report = ExportedSite {
        rank: a.dims()[1],
        error,
        path: site.path.clone(),
    };
    let param = |field: &str, value: Tensor<2>| {
        Param::initialized(param_id(&format!("{name}#{}#{field}", site.path)), value)
    };
    let lora = AnyAdapter::new(LoraAdapter {
        a: param("a", a),
        b: param("b", b),
        scale: 1.0,
        dropout: 0.0,
        kind: site.kind,
    });
    linear.replace(name, lora);
    Ok(Some(report))
}

/// `W' - W` in f32, where the adapter changes nothing else.
fn change(
    linear: &AdaptedLinear,
    adapter: &AnyAdapter,
    method: &'static str,
) -> Result<Tensor<2>, PeftError> {
    let weight = linear.weight.val().cast(FloatDType::F32);
    let effective = match changes_bias(linear, adapter) {
        false => linear.effective_weight_with(adapter, weight.clone()),
        true => Err("it changes the bias of the layer too, which a LoRA leaves as it is"),
    };
    match effective {
        Ok(effective) => Ok(effective - weight),
        Err(reason) => Err(PeftError::NoEffectiveWeight {
            method,
            action: "be exported as a LoRA",
            reason,
        }),
    }
}

/// Whether the adapter changes the bias of the layer; one with an exact low-rank form never does.
fn changes_bias(linear: &AdaptedLinear, adapter: &AnyAdapter) -> bool {
    linear.bias.as_ref().is_some_and(|bias| {
        let bias = bias.val().cast(FloatDType::F32);
        let change = adapter.effective_bias(bias.clone()) - bias;
        peft_kernels::read_number(change.abs().max()) > 0.0
    })
}

/// The nearest `A B` of a rank, with the singular values shared between both, and its error relative to the whole.
fn nearest(
    change: &Tensor<2>,
    site: &str,
    rank: usize,
) -> Result<(Tensor<2>, Tensor<2>, f64), PeftError> {
    let [d_in, d_out] = change.dims();
    let values: Vec<f32> = peft_kernels::read(change.clone()).iter::<f32>().collect();
    let broken = values.iter().filter(|value| !value.is_finite()).count();
    if broken > 0 {
        return Err(PeftError::NotFinite {
            site: site.to_owned(),
            what: "the change of the weight",
            count: broken,
        });
    }
    let matrix = Mat::from_fn(d_in, d_out, |i, o| f64::from(values[i * d_out + o]));
    let svd = matrix.thin_svd().map_err(|_| PeftError::Base {
        site: site.to_owned(),
        problem: "the singular value decomposition of its change does not converge".into(),
    })?;
    let sigma: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let rank = rank.clamp(1, sigma.len());
    let energy = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let whole = energy(&sigma);
    let error = if whole > 0.0 {
        (energy(&sigma[rank..]) / whole).sqrt()
    } else {
        0.0
    };
    let a = (0..d_in * rank)
        .map(|at| (svd.U()[(at / rank, at % rank)] * sigma[at % rank].sqrt()) as f32)
        .collect();
    let b = (0..rank * d_out)
        .map(|at| (svd.V()[(at % d_out, at / d_out)] * sigma[at / d_out].sqrt()) as f32)
        .collect();
    let tensor = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::from_data(TensorData::new(values, shape), &change.device())
    };
    Ok((tensor(a, [d_in, rank]), tensor(b, [rank, d_out]), error))
}
