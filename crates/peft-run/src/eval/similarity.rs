//! Cosine similarity of sentence embeddings against a score, without a head.

use peft_models::{Pooling, l2_normalized, load_encoder};
use peft_train::data::{BatchPlan, FileAccount, Target, Targets, TokenAccount};
use peft_train::metric::{Measure, Metric};
use peft_train::task::{ExampleSet, Scores, TextSet};

use super::{EvalResult, Evaluating};
use crate::data::{self, TextInput};
use crate::device;
use crate::{Error, Result};

/// Scores cosines of pairs of sentences.
///
/// # Errors
/// When the data are no pairs with a score, or the model does not load.
pub(super) fn score(args: &Evaluating, pooling: Pooling) -> Result<EvalResult> {
    if !args.model.adapters.is_empty() {
        return Err(Error::Usage(
            "--task similarity scores a bare encoder; it takes no --adapter".into(),
        ));
    }
    let started = std::time::Instant::now();
    let (config, beside) = (args.read(), args.model.companions()?);
    let input = TextInput::<()>::read(&config, &args.data, &beside)?;
    let pairs = input.examples(Targets::Values)?;
    let mut sides = [pairs.clone(), pairs.clone()];
    for example in &mut sides[1] {
        match example.pair.take() {
            Some(second) => example.text = second,
            None => {
                return Err(Error::Usage(
                    "--task similarity needs two texts per row: columns sentence1,sentence2,score"
                        .into(),
                ));
            }
        }
    }
    sides[0].iter_mut().for_each(|example| example.pair = None);
    let [first, second] = sides;
    let (first, tokens_first) = input.tokenize(&first)?;
    let (second, tokens_second) = input.tokenize(&second)?;
    let embed = Embedder::open(args, pooling)?;
    let (left, right) = (embed.all(&first)?, embed.all(&second)?);
    let cosines: Vec<f64> = left.iter().zip(&right).map(|(a, b)| dot(a, b)).collect();
    let truth: Vec<f64> = pairs.iter().map(|example| value(example.target)).collect();
    let asked = data::measures(&args.metrics, args.positive.as_deref(), None)?;
    let metrics = asked.iter().map(Measure::metric);
    let metrics = metrics
        .filter(|metric| *metric != Metric::Mse)
        .filter_map(|metric| {
            Some((
                metric.name().to_owned(),
                metric.of_values(&cosines, &truth)?,
            ))
        })
        .collect();
    let account = account(args, pairs.len(), &tokens_first, &tokens_second);
    log::info!("{account}");
    Ok(EvalResult {
        adapter: None,
        examples: pairs.len(),
        truncated: account.cut_rows(),
        data: account,
        scores: Scores {
            metrics,
            ..Scores::default()
        },
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The account of pairs whose sides are read one by one.
fn account(
    args: &Evaluating,
    pairs: usize,
    first: &TokenAccount,
    second: &TokenAccount,
) -> FileAccount {
    FileAccount {
        path: args.data.clone(),
        rows: pairs,
        examples: pairs,
        tokens: Some(TokenAccount {
            shortest: first.shortest.min(second.shortest),
            longest: first.longest.max(second.longest),
            cut_rows: first.cut_rows + second.cut_rows,
            cut_tokens: first.cut_tokens + second.cut_tokens,
            kept: first.kept + second.kept,
            ..first.clone()
        }),
        ..FileAccount::default()
    }
}

fn value(target: Target) -> f64 {
    match target {
        Target::Value(value) => value,
        _ => f64::NAN,
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// A bare encoder that turns texts into unit vectors.
struct Embedder {
    encoder: peft_models::Encoder,
    pooling: Pooling,
    batch_size: usize,
    device: burn::tensor::Device,
}

impl Embedder {
    fn open(args: &Evaluating, pooling: Pooling) -> Result<Self> {
        let device = device::open(&args.model.device)?;
        Ok(Self {
            encoder: load_encoder(&args.model.model, &device)?.model,
            pooling,
            batch_size: args.batch_size,
            device,
        })
    }

    fn all(&self, set: &TextSet) -> Result<Vec<Vec<f32>>> {
        let plan = BatchPlan::evaluation(&set.lengths(), self.batch_size, None)?;
        let mut rows = Vec::with_capacity(set.encoded.len());
        for examples in plan.batches() {
            let batch = set.batch(examples, &self.device)?;
            self.encoder.check(&batch)?;
            let hidden = self.encoder.hidden(&batch, &mut peft_core::Pass::eval());
            let vectors = l2_normalized(self.pooling.forward(hidden, &batch));
            let width = vectors.dims()[1];
            let values: Vec<f32> = peft_core::read(vectors).iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(plan.restore(rows))
    }
}
