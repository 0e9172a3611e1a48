//! Which experts are used: shares, probabilities and entropy per layer, added up over passes.

use burn::tensor::{Int, Tensor};
use indexmap::IndexMap;
use peft_core::{DeltaEvent, Observer, RoutingEvent};
use serde::{Deserialize, Serialize};

/// What one router did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteUse {
    /// Path of the layer.
    pub path: String,
    /// Rows that went through it, padding not counted.
    pub rows: u64,
    /// Of each expert, the share of rows that it was chosen by; they add up to the number of experts of a row.
    pub chosen: Vec<f64>,
    /// Of each expert, its mean probability; they add up to 1.
    pub probability: Vec<f64>,
    /// Mean entropy of a row's probabilities over that of even ones: 1 where the router does not tell experts apart.
    pub entropy: f64,
}

impl SiteUse {
    /// Experts that no row chose.
    pub fn dead(&self) -> impl Iterator<Item = usize> {
        let experts = self.chosen.iter().enumerate();
        experts
            .filter(|(_, share)| **share == 0.0)
            .map(|(at, _)| at)
    }
}

/// Adds up what routers do.
#[derive(Debug, Default)]
pub struct ExpertUse(IndexMap<String, Sums>);

#[derive(Debug, Default)]
struct Sums {
    rows: u64,
    chosen: Vec<f64>,
    probability: Vec<f64>,
    entropy: f64,
}

impl ExpertUse {
    /// What each layer's router did, in the order of the forward pass.
    #[must_use]
    pub fn sites(&self) -> Vec<SiteUse> {
        let site = |(path, sums): (&String, &Sums)| {
            let rows = sums.rows.max(1) as f64;
            let mean = |values: &[f64]| values.iter().map(|value| value / rows).collect();
            let even = (sums.chosen.len() as f64).ln();
            SiteUse {
                path: path.clone(),
                rows: sums.rows,
                chosen: mean(&sums.chosen),
                probability: mean(&sums.probability),
                entropy: if even > 0.0 {
                    sums.entropy / rows / even
                } else {
                    0.0
                },
            }
        };
        self.0.iter().map(site).collect()
    }
}

impl Observer for ExpertUse {
    fn delta(&mut self, _event: &DeltaEvent<'_>) {}

    fn routing(&mut self, event: &RoutingEvent<'_>) {
        let [rows, experts] = event.probabilities.dims();
        let real: Vec<bool> = match event.padding {
            Some(padding) => peft_core::read(padding.clone().without_autodiff())
                .iter::<bool>()
                .map(|padding| !padding)
                .collect(),
            None => vec![true; rows],
        };
        let sums = self.0.entry(event.site.path.clone()).or_default();
        sums.chosen.resize(experts, 0.0);
        sums.probability.resize(experts, 0.0);
        sums.rows += real.iter().filter(|real| **real).count() as u64;
        sums.add_choices(event.chosen, &real);
        sums.add_probabilities(event.probabilities, &real);
    }
}

impl Sums {
    fn add_choices(&mut self, chosen: &Tensor<2, Int>, real: &[bool]) {
        let [_, top_k] = chosen.dims();
        let data = peft_core::read(chosen.clone().without_autodiff());
        for (at, expert) in data.iter::<i64>().enumerate() {
            if real[at / top_k]
                && let Ok(expert) = usize::try_from(expert)
            {
                self.chosen[expert] += 1.0;
            }
        }
    }

    fn add_probabilities(&mut self, probabilities: &Tensor<2>, real: &[bool]) {
        let experts = self.probability.len();
        let data = peft_core::read(probabilities.clone().without_autodiff());
        for (at, value) in data.iter::<f32>().enumerate() {
            let value = f64::from(value);
            if real[at / experts] {
                self.probability[at % experts] += value;
                if value > 0.0 {
                    self.entropy -= value * value.ln();
                }
            }
        }
    }
}
