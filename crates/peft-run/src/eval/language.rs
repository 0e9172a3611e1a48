//! Nats per token of a language model.

use std::time::Instant;

use peft_core::select_adapters;
use peft_train::task::perplexity;

use super::{EvalResult, Evaluating};
use crate::Result;
use crate::causal_data::Files;
use crate::data::perplexity_alone;
use crate::{device, open};

/// Scores the base, or each adapter by itself, or their sum.
pub(super) fn scores(args: &Evaluating) -> Result<Vec<EvalResult>> {
    let positive = args.positive.as_deref();
    perplexity_alone(&args.metrics, positive, "--metrics, --positive")?;
    let device = device::open(&args.model.device)?;
    let opened = open::answering_causal(args.model.base(), &args.model.adapters, &device)?;
    let config = args.read();
    let rows = Files::new(&args.model.companions()?, &config)?.rows(&args.data, config.limit)?;
    log::info!("{}", rows.account);
    let score = |adapter: Option<&str>, weights: &[(&str, f64)]| -> Result<EvalResult> {
        let start = Instant::now();
        let model = select_adapters(opened.model.clone(), weights)?;
        let scores = perplexity(&model, &rows.rows, args.batch_size)?;
        Ok(EvalResult {
            adapter: adapter.map(str::to_owned),
            examples: rows.rows.len(),
            truncated: rows.account.cut_rows(),
            data: rows.account.clone(),
            scores,
            seconds: start.elapsed().as_secs_f64(),
        })
    };
    if !args.sum.is_empty() {
        let terms: Vec<(&str, f64)> = args
            .sum
            .iter()
            .map(|term| (term.name.as_str(), term.weight))
            .collect();
        return Ok(vec![score(None, &terms)?]);
    }
    match opened.adapters.as_slice() {
        [] => Ok(vec![score(None, &[])?]),
        [only] => Ok(vec![score(None, &[(only, 1.0)])?]),
        several => several
            .iter()
            .map(|name| score(Some(name), &[(name, 1.0)]))
            .collect(),
    }
}
