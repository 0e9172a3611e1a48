//! A dry run: what a training run would adapt, and what that costs.

mod alternatives;
mod memory;
mod plan;
mod size;

use std::path::PathBuf;

use peft_core::{AttachedSite, ParameterCount, Site};
use serde::Serialize;

pub use alternatives::Alternative;
pub use memory::MemoryEstimate;

use crate::Result;
use crate::settings::RunConfig;

/// Sites that differ in nothing but their layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Path with `*` for numbers.
    pub module: String,
    /// How many sites.
    pub count: usize,
    /// Size of their input.
    pub d_in: usize,
    /// Size of their output.
    pub d_out: usize,
    /// Their rank.
    pub rank: usize,
    /// Their alpha.
    pub alpha: f64,
    /// Parameters that train in all of them.
    pub trainable: usize,
}

/// A target entry that matches no layer, with names that look like it.
#[derive(Debug, Serialize)]
pub struct Unmatched {
    /// The entry.
    pub entry: String,
    /// Names that look like it.
    pub near: Vec<String>,
}

/// What a run would train.
#[derive(Debug, Serialize)]
pub struct TargetsResult {
    /// Identifier of the method, `head` or `full`.
    pub method: String,
    /// Folder of the model.
    pub model: PathBuf,
    /// The layers, those that are alike together.
    pub groups: Vec<Group>,
    /// Every layer that would be adapted.
    pub sites: Vec<AttachedSite>,
    /// Base parameters trained as a whole.
    pub saved: Vec<String>,
    /// Parameters that would train, and all.
    pub parameters: ParameterCount,
    /// Share of those that train, in percent.
    pub trainable_percent: f64,
    /// Entries that match no layer.
    pub unmatched: Vec<Unmatched>,
    /// What the run would hold in memory.
    pub memory: MemoryEstimate,
}

impl TargetsResult {
    /// Of the run that the settings describe; nothing is attached.
    ///
    /// # Errors
    /// A model that cannot be read, an unknown method, targets that select nothing.
    pub fn of(config: &RunConfig) -> Result<Self> {
        let plan = plan::make(config)?;
        Ok(Self {
            method: config.adapter.method.clone(),
            model: config.model.clone(),
            groups: grouped(&plan.sites),
            sites: plan.sites,
            saved: plan.saved,
            parameters: plan.parameters,
            trainable_percent: plan.parameters.percent(),
            unmatched: plan.unmatched,
            memory: plan.memory,
        })
    }
}

/// Sites of the same name, size, rank and alpha as one line, in the model's order.
fn grouped(sites: &[AttachedSite]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for site in sites {
        let module = Site::module_type(&site.path);
        let same = groups.iter_mut().find(|group| {
            group.module == module
                && (group.d_in, group.d_out, group.rank) == (site.d_in, site.d_out, site.rank)
                && group.alpha.to_bits() == site.alpha.to_bits()
        });
        match same {
            Some(group) => {
                group.count += 1;
                group.trainable += site.trainable;
            }
            None => groups.push(Group {
                module,
                count: 1,
                d_in: site.d_in,
                d_out: site.d_out,
                rank: site.rank,
                alpha: site.alpha,
                trainable: site.trainable,
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(path: &str, rank: usize) -> AttachedSite {
        AttachedSite {
            path: path.into(),
            d_in: 4,
            d_out: 6,
            rank,
            alpha: 8.0,
            trainable: rank * 10,
        }
    }

    #[test]
    fn layers_of_one_name_are_one_line_unless_their_rank_differs() {
        let sites = [
            site("h.0.up", 2),
            site("h.1.up", 2),
            site("h.2.up", 3),
            site("h.0.down", 2),
        ];
        let groups = grouped(&sites);
        let found: Vec<_> = groups
            .iter()
            .map(|group| {
                (
                    group.module.as_str(),
                    group.count,
                    group.rank,
                    group.trainable,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("h.*.up", 2, 2, 40),
                ("h.*.up", 1, 3, 30),
                ("h.*.down", 1, 2, 20)
            ]
        );
    }
}
