//! Language modelling: the next token of every row, where it is to be learnt.

use burn::tensor::{Device, Int, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::Pass;
use peft_models::{CausalLm, Text};

use super::{Prompts, Scores, Task};
use crate::TrainError;
use crate::data::{BatchPlan, TokenRow};
use crate::metric::{Measure, Metric};
use crate::spread::Spread;
use crate::stop::Stop;

/// Training and validation rows of a language model.
#[derive(Debug, Clone)]
pub struct CausalTask {
    /// What is learnt from.
    pub train: Vec<TokenRow>,
    /// What models are judged on.
    pub valid: Option<Vec<TokenRow>>,
    /// Rows of an evaluation batch.
    pub eval_batch_size: usize,
    /// Continued after every evaluation.
    pub prompts: Option<Prompts>,
}

impl Task for CausalTask {
    type Model = CausalLm;

    fn lengths(&self) -> Vec<usize> {
        lengths(&self.train)
    }

    /// Tokens to be predicted: the mean over a step is one over its tokens, however they fall into batches.
    fn weight(&self, examples: &[usize]) -> f64 {
        let targets = examples.iter().map(|at| self.train[*at].targets());
        targets.sum::<usize>() as f64
    }

    fn loss(
        &self,
        model: &CausalLm,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let rows: Vec<&TokenRow> = examples.iter().map(|at| &self.train[*at]).collect();
        loss(model, &rows, device, pass)
    }

    fn evaluate(
        &self,
        spread: &Spread<CausalLm>,
        stop: &Stop,
    ) -> Result<Option<Scores>, TrainError> {
        let Some(valid) = &self.valid else {
            return Ok(None);
        };
        let mut scores = perplexity_until(spread, valid, self.eval_batch_size, stop)?;
        if let Some(prompts) = &self.prompts {
            scores.samples = prompts.continued(spread.model())?;
        }
        Ok(Some(scores))
    }

    fn headline(&self) -> Measure {
        Metric::Perplexity.into()
    }
}

/// Nats per predicted token over all rows, and its exponential.
///
/// # Errors
/// When a batch does not fit the model.
pub fn perplexity(
    model: &CausalLm,
    rows: &[TokenRow],
    batch_size: usize,
) -> Result<Scores, TrainError> {
    perplexity_until(&Spread::one(model), rows, batch_size, &Stop::default())
}

/// The same, unless somebody asks to stop.
fn perplexity_until(
    spread: &Spread<CausalLm>,
    rows: &[TokenRow],
    batch_size: usize,
    stop: &Stop,
) -> Result<Scores, TrainError> {
    let plan = BatchPlan::evaluation(&lengths(rows), batch_size, None)?;
    let batches = spread.map(plan.batches(), |model, device, examples| {
        stop.check()?;
        let rows: Vec<&TokenRow> = examples.iter().map(|at| &rows[*at]).collect();
        let count: usize = rows.iter().map(|row| row.targets()).sum();
        let mean = loss(model, &rows, device, &mut Pass::eval())?;
        Ok((peft_core::read_number(mean), count))
    })?;
    let (mut nats, mut tokens) = (0.0, 0);
    for (mean, count) in batches {
        nats += mean * count as f64;
        tokens += count;
    }
    let loss = nats / tokens.max(1) as f64;
    let metrics = [(Metric::Perplexity.name().to_owned(), loss.exp())];
    Ok(Scores {
        loss,
        metrics: IndexMap::from(metrics),
        ..Scores::default()
    })
}

fn lengths(rows: &[TokenRow]) -> Vec<usize> {
    rows.iter().map(|row| row.ids.len()).collect()
}

/// Mean cross entropy of the tokens to be learnt, shape `[1]`. Logits are computed where they are needed alone.
fn loss(
    model: &CausalLm,
    rows: &[&TokenRow],
    device: &Device,
    pass: &mut Pass<'_>,
) -> Result<Tensor<1>, TrainError> {
    let texts = rows.iter().map(|row| Text {
        ids: &row.ids,
        segments: &row.segments,
    });
    let batch = model.decoder.batch(&texts.collect::<Vec<_>>(), device)?;
    model.decoder.check(&batch)?;
    let (mut places, mut wanted) = (Vec::new(), Vec::new());
    for (row, text) in rows.iter().zip(batch.texts()) {
        for target in (0..row.ids.len()).filter(|target| row.learnt[*target]) {
            places.push((text.start + target - 1) as i64);
            wanted.push(row.ids[target]);
        }
    }
    let count = wanted.len();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), device);
    let hidden = model.decoder.hidden(&batch, None, pass);
    let [rows, seq, d] = hidden.dims();
    let needed = hidden.reshape([rows * seq, d]).select(0, places);
    Ok(model.losses(needed, &wanted, pass).mean())
}
