//! What EVA sees of the inputs of layers, and the ranks that follow.
//!
//! Layers with the same input, such as the projections of an attention, are seen once. A layer whose directions no longer change is not looked at
//! until its rank grows beyond those.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{DType, Int, Tensor, TensorData};
use peft_core::{
    AttachedSite, DeltaEvent, Observer, PeftError, Survey, Surveyed, param_id, read, read_number,
};

use super::{Eva, EvaOptions};
use crate::components::Components;

/// Watches the inputs of the sites of an adapter.
pub(super) struct EvaSurvey {
    options: EvaOptions,
    seed: u64,
    sites: Vec<AttachedSite>,
    /// What goes into the layers.
    inputs: Vec<Input>,
    /// Which of them goes into a site, by the site's path.
    of_site: HashMap<String, usize>,
    /// Rank of each site by what was seen so far.
    ranks: Vec<usize>,
    batches: usize,
    problem: Option<PeftError>,
}

/// What goes into one layer or several.
struct Input {
    /// The first site that it went into.
    path: String,
    /// Sum of squares and mean of its first batch, by which another layer's input is known to be the same.
    first: (f64, Vec<f32>),
    /// The most directions that one of its sites may get.
    limit: usize,
    components: Option<Components>,
}

impl EvaSurvey {
    pub(super) fn new(options: &EvaOptions, sites: &[AttachedSite], seed: u64) -> Self {
        let mut survey = Self {
            options: options.clone(),
            seed,
            sites: sites.to_vec(),
            inputs: Vec::new(),
            of_site: HashMap::new(),
            ranks: Vec::new(),
            batches: 0,
            problem: None,
        };
        let limits = survey.sites.iter().map(|site| survey.limit(site));
        survey.ranks = limits.collect();
        survey
    }

    /// The most directions that a site may get.
    fn limit(&self, site: &AttachedSite) -> usize {
        let most = (site.rank as f64 * self.options.rho).round_ties_even();
        (most as usize).min(site.d_in)
    }

    /// How many directions of an input its sites have by now.
    fn needed(&self, index: usize) -> usize {
        let sites = self.sites.iter().zip(&self.ranks);
        let its = sites.filter(|(site, _)| self.of_site.get(&site.path) == Some(&index));
        its.map(|(_, rank)| *rank).max().unwrap_or_default()
    }

    /// The components of what goes into a site.
    fn components(&self, site: &AttachedSite) -> Option<&Components> {
        self.input_of(site)?.components.as_ref()
    }

    /// The input of a site, which is known after the first batch.
    fn input_of(&self, site: &AttachedSite) -> Option<&Input> {
        self.inputs.get(*self.of_site.get(&site.path)?)
    }

    /// Sees one batch of what goes into a site.
    fn see(&mut self, at: usize, x: Tensor<2>) -> Result<(), PeftError> {
        let site = &self.sites[at];
        let index = match self.of_site.get(&site.path) {
            Some(index) => *index,
            None => {
                let input = Input::new(&site.path, &x);
                if !input.first.0.is_finite() {
                    return Err(problem(
                        &site.path,
                        "it holds values that are NaN or infinite",
                    ));
                }
                let mut known = self.inputs.iter();
                let known = known.position(|known| known.first == input.first);
                let index = known.unwrap_or(self.inputs.len());
                if known.is_none() {
                    self.inputs.push(input);
                }
                self.of_site.insert(site.path.clone(), index);
                index
            }
        };
        let (limit, needed) = (self.limit(site), self.needed(index));
        let input = &mut self.inputs[index];
        input.limit = input.limit.max(limit);
        let found = input.components.as_ref();
        let settled = found.is_some_and(|found| found.have_settled(needed, self.options.tau));
        if input.path != site.path || settled || x.dims()[0] < input.limit {
            return Ok(());
        }
        let seed = self.seed ^ param_id(&input.path).val();
        let next = Components::after(input.components.take(), x, input.limit, seed);
        input.components = Some(next.map_err(|what| problem(&input.path, what))?);
        Ok(())
    }

    /// Why nothing is known of a site.
    fn unseen(&self, site: &AttachedSite) -> PeftError {
        let batches = self.batches;
        let what = match self.input_of(site) {
            None => format!("nothing went into it in {batches} batches"),
            Some(input) => format!(
                "none of {batches} batches had {} rows, as many as directions are looked for; give larger batches or a smaller rank",
                input.limit
            ),
        };
        problem(&site.path, what)
    }

    /// Deals the ranks of all sites out to the directions that explain most of their layer's variance.
    fn deal_out(&mut self) {
        let shares = self.sites.iter().enumerate().flat_map(|(at, site)| {
            let shares = self.components(site).map(Components::shares);
            let shares = shares.unwrap_or_default().into_iter();
            shares.map(move |share| (share, at))
        });
        let mut shares: Vec<(f64, usize)> = shares.collect();
        shares.sort_by(|one, other| other.0.total_cmp(&one.0));
        let budget = self.sites.iter().map(|site| site.rank).sum();
        self.ranks = vec![0; self.sites.len()];
        for (_, at) in shares.into_iter().take(budget) {
            self.ranks[at] += 1;
        }
    }

    fn is_settled(&self) -> bool {
        self.sites.iter().zip(&self.ranks).all(|(site, rank)| {
            let found = self.components(site);
            found.is_some_and(|found| found.have_settled(*rank, self.options.tau))
        })
    }
}

impl Input {
    fn new(path: &str, x: &Tensor<2>) -> Self {
        let squares = read_number(x.clone().powi_scalar(2).sum());
        let mean = read(x.clone().mean_dim(0));
        Self {
            path: path.to_owned(),
            first: (squares, mean.iter::<f32>().collect()),
            limit: 0,
            components: None,
        }
    }
}

fn problem(site: &str, problem: impl Into<String>) -> PeftError {
    PeftError::Survey {
        site: site.to_owned(),
        problem: problem.into(),
    }
}

/// The rows that are no padding.
fn rows(event: &DeltaEvent<'_>) -> Tensor<2> {
    let x = event.input.clone().without_autodiff();
    let Some(padding) = event.padding else {
        return x;
    };
    let padded = read(padding.clone().int());
    let kept = padded.iter::<i64>().enumerate();
    let kept: Vec<i64> = kept
        .filter(|(_, padded)| *padded == 0)
        .map(|(row, _)| row as i64)
        .collect();
    let count = kept.len();
    let kept = TensorData::new(kept, [count]);
    let kept = Tensor::<1, Int>::from_data(kept, (&x.device(), DType::I64));
    x.select(0, kept)
}

impl Observer for EvaSurvey {
    fn delta(&mut self, event: &DeltaEvent<'_>) {
        let at = self
            .sites
            .iter()
            .position(|site| site.path == event.site.path);
        if let (Some(at), None) = (at, &self.problem) {
            self.problem = self.see(at, rows(event)).err();
        }
    }
}

impl Survey for EvaSurvey {
    fn batch_ended(&mut self) -> Result<bool, PeftError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        self.batches += 1;
        let seen = |input: &Input| input.components.is_some();
        if self.inputs.iter().all(seen) {
            self.deal_out();
        }
        Ok(self.is_settled() || self.batches >= self.options.batches)
    }

    fn found(&self) -> Result<Surveyed, PeftError> {
        let mut start = HashMap::new();
        let mut sites = Vec::new();
        for (site, rank) in self.sites.iter().zip(&self.ranks) {
            let Some(found) = self.components(site) else {
                return Err(self.unseen(site));
            };
            if *rank == 0 {
                continue;
            }
            let alpha = match self.options.adjust_scaling_factors {
                true => site.alpha * (*rank as f64 / site.rank as f64),
                false => site.alpha,
            };
            start.insert(
                site.path.clone(),
                found.directions(*rank, self.options.whiten),
            );
            sites.push(AttachedSite {
                rank: *rank,
                alpha,
                ..site.clone()
            });
        }
        let method = Eva {
            options: self.options.clone(),
            start: Arc::new(start),
        };
        Ok(Surveyed {
            method: Box::new(method),
            sites,
        })
    }
}
