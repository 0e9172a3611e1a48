//! `basis.json`: what a basis consists of. Readable, versioned, checked when it is read.

use std::path::Path;

use indexmap::IndexMap;
use peft_format::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_format::file::{FileError, write_atomic};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::malformed;
use crate::deviation::Errors;
use crate::error::RecycleError;
use crate::options::{BasisOptions, Variant};
use crate::pool::Folding;

/// Name of the file.
pub(super) const MANIFEST: &str = "basis.json";
/// What this crate writes.
const VERSION: u32 = 1;

/// The directions of one factor at one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SideEntry {
    /// How many in all: principal ones, the mean's, random ones, added ones.
    pub(super) components: usize,
    /// How many random ones.
    pub(super) pseudo: usize,
    /// How many were added for adapters that joined later.
    pub(super) added: usize,
    /// Singular values of the principal components.
    pub(super) singular_values: Vec<f64>,
    /// Sum of the squares of all singular values, also of the dropped ones.
    pub(super) total_variance: f64,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteEntry {
    pub(super) d_in: usize,
    pub(super) d_out: usize,
    /// Rank of all factors, in the flattened variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rank: Option<usize>,
    pub(super) a: SideEntry,
    pub(super) b: SideEntry,
}

/// One of the two factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    pub(super) fn of(self, site: &SiteEntry) -> &SideEntry {
        match self {
            Self::A => &site.a,
            Self::B => &site.b,
        }
    }
}

/// One adapter at one site.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberSiteEntry {
    pub(super) rank: usize,
    /// The scale that is not in B: 1 where it was folded.
    pub(super) scale: f64,
    /// Between the adapter and what comes back of it.
    pub(super) errors: Errors,
}

/// One adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberEntry {
    /// Bytes of the folder that it came from.
    pub(super) source_bytes: u64,
    /// The `adapter_config.json` that it gets back: scale 1, otherwise its own.
    pub(super) config: Map<String, Value>,
    pub(super) sites: IndexMap<String, MemberSiteEntry>,
}

/// All of `basis.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format_version: u32,
    pub(super) options: BasisOptions,
    pub(super) folding: Folding,
    pub(super) base_model: Option<String>,
    pub(super) sites: IndexMap<String, SiteEntry>,
    pub(super) members: IndexMap<String, MemberEntry>,
}

impl Manifest {
    pub(super) fn new(options: BasisOptions, folding: Folding, base_model: Option<&str>) -> Self {
        Self {
            format_version: VERSION,
            options,
            folding,
            base_model: base_model.map(str::to_owned),
            sites: IndexMap::new(),
            members: IndexMap::new(),
        }
    }

    /// Height of the columns of a factor.
    pub(super) fn height(&self, site: &SiteEntry, side: Side) -> usize {
        let d = match side {
            Side::A => site.d_in,
            Side::B => site.d_out,
        };
        d * site.rank.unwrap_or(1)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), RecycleError> {
        let path = folder.join(MANIFEST);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| malformed(&path, error.to_string()))?;
        Ok(write_atomic(&path, text.as_bytes())?)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, RecycleError> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let path = folder.join(MANIFEST);
        if !path.exists() {
            let hint = format!("it has no {MANIFEST}; the building of a basis writes that last");
            return Err(malformed(folder, hint));
        }
        let text = read_plain_text(&path, CONFIG_LIMIT).map_err(|source| FileError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        let bad = |error: serde_json::Error| malformed(&path, error.to_string());
        let Version { format_version } = serde_json::from_str(&text).map_err(bad)?;
        if format_version != VERSION {
            let message = format!(
                "expected format_version {VERSION}, found {format_version}; it was written by another version of this program"
            );
            return Err(malformed(&path, message));
        }
        let manifest: Self = serde_json::from_str(&text).map_err(bad)?;
        match manifest.inconsistency() {
            None => Ok(manifest),
            Some(message) => Err(malformed(&path, message)),
        }
    }

    fn inconsistency(&self) -> Option<String> {
        for (path, site) in &self.sites {
            if site.rank.is_some() != (self.options.variant == Variant::Flat) {
                return Some(format!(
                    "site `{path}`: flattened factors have a rank, columns none"
                ));
            }
            let heights = [site.d_in, site.d_out].map(|d| d.checked_mul(site.rank.unwrap_or(1)));
            if heights
                .iter()
                .any(|height| height.is_none_or(|height| height == 0))
            {
                return Some(format!("site `{path}`: its dimensions are no dimensions"));
            }
        }
        for (name, member) in &self.members {
            if !is_file_name(name) {
                return Some(format!("`{name}` is no name of a file in this folder"));
            }
            for (path, entry) in &member.sites {
                let Some(site) = self.sites.get(path) else {
                    return Some(format!("`{name}` is adapted at `{path}`, which is no site"));
                };
                if entry.rank == 0 || site.rank.is_some_and(|rank| rank != entry.rank) {
                    return Some(format!(
                        "`{name}` cannot have rank {} at `{path}`",
                        entry.rank
                    ));
                }
            }
        }
        None
    }
}

/// Whether a name stays in the folder in which it is put.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0', ':']) && name != "." && name != ".."
}
