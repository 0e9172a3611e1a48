//! A basis: a folder with the directions that adapters share, once, and the coordinates of every adapter in them.
//!
//! ```text
//! basis.json                     version, options, sites, members; written last, so that it never names what is not there
//! components.safetensors         SITE.components_A [k_a, d_in], SITE.components_B [k_b, d_out], with a stored mean SITE.mean_A, SITE.mean_B
//! loadings/NAME.safetensors      SITE.loadings_A [k_a, r], SITE.loadings_B [k_b, r], and the adapter's other tensors unchanged
//! ```
//!
//! One row of a component tensor is one direction, and directions are only ever appended: coordinates of an adapter that joined before have
//! fewer rows, and the missing ones are zero. So a basis that is killed while an adapter joins is what it was before. In the flattened
//! variant `d_in` and `d_out` are `d_in r` and `d_out r`, and loadings are `[k, 1]`.
//!
//! With `A^T = C_A L_A` and `B = C_B L_B`, an adapter comes back as plain LoRA of its rank and of scale 1. Per site, `N` adapters of rank
//! `r` are `k (d_in + d_out) + 2 N k r` numbers instead of `N r (d_in + d_out)`. Numbers are stored in single precision, which is where exact
//! coordinates end (about 1e-7).

mod add;
mod build;
mod coordinates;
mod export;
mod files;
mod info;
mod manifest;
mod train;

use std::path::{Path, PathBuf};

use peft_format::file::{FileError, TensorFile, claim_folder, disk};

use crate::error::RecycleError;
use crate::options::{BasisOptions, Mean};
use crate::pool::{Folding, Pool};
use files::{COMPONENTS, LOADINGS, component_key, loadings_path, mean_key};
use manifest::{Manifest, Side};

pub use add::Extend;
pub(crate) use coordinates::single;
pub use coordinates::{Coordinates, Projection};
pub(crate) use files::to_tensor;
pub use info::{BasisInfo, MemberInfo, SideInfo, SiteInfo};

/// A basis in its folder. Components and coordinates are read when they are needed.
#[derive(Debug)]
pub struct Basis {
    folder: PathBuf,
    manifest: Manifest,
    components: TensorFile,
}

impl Basis {
    /// Makes a basis of all members of a pool, and writes it to a folder that must be new, empty or what a killed build left behind.
    ///
    /// Memory is that of a few sites at a time (see [`crate::Stack`]), and of the result.
    ///
    /// # Errors
    /// [`RecycleError::Members`] with every member whose factors cannot be read, [`RecycleError::Rank`] in the flattened variant,
    /// [`RecycleError::Subspace`], and [`RecycleError::File`].
    pub fn build(pool: &Pool, options: &BasisOptions, out: &Path) -> Result<Self, RecycleError> {
        let claim = claim_folder(out, files::is_leftover(out))?;
        build::build(pool, options, out)?;
        drop(claim);
        Self::open(out)
    }

    /// Opens the folder of a basis.
    ///
    /// # Errors
    /// [`RecycleError::Malformed`] when it is none, or its files do not fit together; [`RecycleError::File`].
    pub fn open(folder: &Path) -> Result<Self, RecycleError> {
        let manifest = Manifest::read(folder)?;
        let components = TensorFile::open(&folder.join(COMPONENTS))?;
        for (path, site) in &manifest.sites {
            for side in Side::BOTH {
                let (height, k) = (manifest.height(site, side), side.of(site).components);
                let key = component_key(path, side);
                let shape = components.shape(&key);
                if !matches!(shape, Some(&[rows, width]) if rows >= k && width == height) {
                    let message = format!(
                        "expected `{key}` [{k} or more, {height}], found {}",
                        shape.map_or("nothing".to_owned(), |shape| format!("{shape:?}"))
                    );
                    return Err(malformed(components.path(), message));
                }
                let key = mean_key(path, side);
                let is_there = components.shape(&key) == Some(&[height]);
                if manifest.options.mean == Mean::Stored && !is_there {
                    let message = format!("expected `{key}` [{height}]");
                    return Err(malformed(components.path(), message));
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            manifest,
            components,
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it was made.
    #[must_use]
    pub fn options(&self) -> &BasisOptions {
        &self.manifest.options
    }

    /// What became of the scales of the adapters.
    #[must_use]
    pub fn folding(&self) -> Folding {
        self.manifest.folding
    }

    /// The base model, if a member named one.
    #[must_use]
    pub fn base_model(&self) -> Option<&str> {
        self.manifest.base_model.as_deref()
    }

    /// Names of the adapters in it.
    #[must_use]
    pub fn members(&self) -> Vec<&str> {
        self.manifest.members.keys().map(String::as_str).collect()
    }

    /// Takes an adapter out. The components stay as they are, also those that only it used.
    ///
    /// # Errors
    /// [`RecycleError::NoMember`], and [`RecycleError::File`]; then it is still a member.
    pub fn remove(&mut self, name: &str) -> Result<(), RecycleError> {
        let _claim = claim_folder(&self.folder, true)?;
        // Another process may have changed it.
        *self = Self::open(&self.folder)?;
        self.tidy();
        self.known(name)?;
        let mut manifest = self.manifest.clone();
        manifest.members.shift_remove(name);
        manifest.write(&self.folder)?;
        self.manifest = manifest;
        let path = loadings_path(&self.folder, name);
        disk::remove_file(&path).map_err(|source| {
            FileError::Io {
                action: "remove",
                path,
                source,
            }
            .into()
        })
    }

    /// Removes coordinates that belong to no member: what a process left that was killed while it added or removed one.
    fn tidy(&self) {
        let members = self.manifest.members.keys();
        let known: Vec<PathBuf> = members
            .map(|name| loadings_path(&self.folder, name))
            .collect();
        let entries = self.folder.join(LOADINGS).read_dir().into_iter().flatten();
        for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
            let is_ours = path.extension().is_some_and(|end| end == "safetensors");
            if is_ours && !known.contains(&path) {
                disk::remove_file(&path).ok();
            }
        }
    }

    fn known(&self, name: &str) -> Result<&manifest::MemberEntry, RecycleError> {
        let member = self.manifest.members.get(name);
        member.ok_or_else(|| RecycleError::NoMember {
            name: name.to_owned(),
            known: self.manifest.members.keys().cloned().collect(),
        })
    }
}

fn malformed(path: &Path, message: String) -> RecycleError {
    RecycleError::Malformed {
        path: path.to_owned(),
        message,
    }
}
