//! What is said of bases and pools, as JSON and as text.

use anyhow::Result;
use indexmap::IndexMap;
use peft_recycle::{Basis, Errors, LeaveOneOut, Projection, SideInfo, Similarity};
use serde::Serialize;

use crate::commands::print_json;

/// Relative errors of the updates and of their factors.
#[derive(Debug, Serialize)]
pub(super) struct ErrorReport {
    product: f64,
    a: f64,
    b: f64,
}

impl ErrorReport {
    fn of(errors: &Errors) -> Self {
        Self {
            product: errors.product.relative(),
            a: errors.a.relative(),
            b: errors.b.relative(),
        }
    }
}

/// One factor at one layer.
#[derive(Debug, Serialize)]
struct SideReport {
    components: usize,
    principal: usize,
    pseudo: usize,
    added: usize,
    explained: f64,
}

impl SideReport {
    fn of(side: &SideInfo) -> Self {
        Self {
            components: side.components,
            principal: side.principal,
            pseudo: side.pseudo,
            added: side.added,
            explained: side.explained,
        }
    }
}

#[derive(Debug, Serialize)]
struct SiteReport {
    path: String,
    d_in: usize,
    d_out: usize,
    a: SideReport,
    b: SideReport,
    error: ErrorReport,
}

#[derive(Debug, Serialize)]
struct MemberReport {
    name: String,
    source_bytes: u64,
    loadings_bytes: u64,
    smallest_rank: usize,
    largest_rank: usize,
    error: ErrorReport,
}

/// A basis in numbers.
#[derive(Debug, Serialize)]
pub(super) struct BasisReport {
    basis: String,
    base_model: Option<String>,
    shared_bytes: u64,
    loadings_bytes: u64,
    source_bytes: u64,
    compression: f64,
    factor_compression: f64,
    error: ErrorReport,
    members: Vec<MemberReport>,
    sites: Vec<SiteReport>,
}

impl BasisReport {
    pub(super) fn of(basis: &Basis) -> Result<Self> {
        let info = basis.info()?;
        let members = info.members.iter().map(|member| MemberReport {
            name: member.name.clone(),
            source_bytes: member.source_bytes,
            loadings_bytes: member.loadings_bytes,
            smallest_rank: member.ranks.0,
            largest_rank: member.ranks.1,
            error: ErrorReport::of(&member.errors),
        });
        let sites = info.sites.iter().map(|site| SiteReport {
            path: site.path.clone(),
            d_in: site.d_in,
            d_out: site.d_out,
            a: SideReport::of(&site.a),
            b: SideReport::of(&site.b),
            error: ErrorReport::of(&site.errors),
        });
        Ok(Self {
            basis: basis.folder().display().to_string(),
            base_model: basis.base_model().map(str::to_owned),
            shared_bytes: info.shared_bytes,
            loadings_bytes: info.loadings_bytes(),
            source_bytes: info.source_bytes(),
            compression: info.compression(),
            factor_compression: info.factor_compression(),
            error: ErrorReport::of(&info.errors),
            members: members.collect(),
            sites: sites.collect(),
        })
    }

    pub(super) fn show(&self, json: bool) -> Result<()> {
        if json {
            return print_json(self);
        }
        let base = self.base_model.as_deref().unwrap_or("not named");
        println!("{}: {} adapters of {base}", self.basis, self.members.len());
        println!(
            "{} bytes of adapters are {} shared and {} of coordinates: {:.2} times smaller",
            self.source_bytes, self.shared_bytes, self.loadings_bytes, self.compression
        );
        if self.compression < 1.0 {
            println!(
                "note: the basis is larger than its adapters; it pays with more of them, or fewer components"
            );
        }
        println!(
            "lost, relative: update {:.3e}, A {:.3e}, B {:.3e}",
            self.error.product, self.error.a, self.error.b
        );
        for member in &self.members {
            println!(
                "  {}: rank {}, lost {:.3e}",
                member.name, member.largest_rank, member.error.product
            );
        }
        println!("layer: components of A and B, variance they explain in %, update lost");
        for site in &self.sites {
            println!(
                "  {}: {} and {}, {:.1} and {:.1}, {:.3e}",
                site.path,
                site.a.components,
                site.b.components,
                100.0 * site.a.explained,
                100.0 * site.b.explained,
                site.error.product
            );
        }
        Ok(())
    }
}

/// An adapter in the coordinates of a basis.
#[derive(Debug, Serialize)]
pub(super) struct ProjectionReport {
    name: String,
    error: ErrorReport,
    sites: IndexMap<String, ErrorReport>,
}

impl ProjectionReport {
    pub(super) fn of(projection: &Projection) -> Self {
        if let Some(base) = &projection.other_base {
            eprintln!(
                "warning: {}: its base is called `{base}`, unlike that of the basis; its layers have the same names and sizes, and it is \
                 taken as an adapter of the same base",
                projection.name
            );
        }
        let sites = projection.sites.iter();
        Self {
            name: projection.name.clone(),
            error: ErrorReport::of(&projection.errors),
            sites: sites
                .map(|(path, site)| (path.clone(), ErrorReport::of(&site.errors)))
                .collect(),
        }
    }

    pub(super) fn show(&self, json: bool) -> Result<()> {
        if json {
            return print_json(self);
        }
        println!(
            "{}: lost, relative: update {:.3e}, A {:.3e}, B {:.3e}",
            self.name, self.error.product, self.error.a, self.error.b
        );
        for (path, error) in &self.sites {
            println!("  {path}: update {:.3e}", error.product);
        }
        Ok(())
    }
}

/// Cosines of adapters with each other.
#[derive(Debug, Serialize)]
pub(super) struct SimilarityReport<'a> {
    names: &'a [String],
    overall: &'a [Vec<f64>],
}

impl<'a> SimilarityReport<'a> {
    pub(super) fn of(found: &'a Similarity) -> Self {
        Self {
            names: &found.names,
            overall: &found.overall.cosines,
        }
    }

    pub(super) fn show(&self, json: bool) -> Result<()> {
        if json {
            return print_json(self);
        }
        let width = self.names.iter().map(String::len).max().unwrap_or(0);
        for (name, row) in self.names.iter().zip(self.overall) {
            let row: Vec<String> = row.iter().map(|cosine| format!("{cosine:6.3}")).collect();
            println!("{name:<width$}  {}", row.join(" "));
        }
        Ok(())
    }
}

/// Errors of adapters that a basis of the others has not seen.
#[derive(Debug, Serialize)]
pub(super) struct HeldOutReport {
    components: Vec<usize>,
    mean: Vec<f64>,
    members: IndexMap<String, Vec<ErrorReport>>,
    lonely_sites: Vec<String>,
}

impl HeldOutReport {
    pub(super) fn of(found: &LeaveOneOut) -> Self {
        let members = found.members.iter().map(|member| {
            let errors = member.errors.iter().map(ErrorReport::of);
            (member.name.clone(), errors.collect())
        });
        Self {
            components: found.components.clone(),
            mean: found.mean_product_error(),
            members: members.collect(),
            lonely_sites: found.lonely_sites.clone(),
        }
    }

    pub(super) fn show(&self, json: bool) -> Result<()> {
        if json {
            return print_json(self);
        }
        let width = self
            .members
            .keys()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max(4);
        let row = |name: &str, values: &mut dyn Iterator<Item = String>| {
            let values: Vec<String> = values.map(|value| format!("{value:>7}")).collect();
            println!("{name:<width$} {}", values.join(" "));
        };
        println!("update lost, relative, for each number of components");
        row("", &mut self.components.iter().map(ToString::to_string));
        for (name, errors) in &self.members {
            row(
                name,
                &mut errors.iter().map(|error| format!("{:.4}", error.product)),
            );
        }
        row(
            "mean",
            &mut self.mean.iter().map(|mean| format!("{mean:.4}")),
        );
        if !self.lonely_sites.is_empty() {
            println!(
                "{} layers of one adapter alone are left out",
                self.lonely_sites.len()
            );
        }
        Ok(())
    }
}
