//! Every image decoded once before training begins, so that none is refused, or half of it learnt, hours later.

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::{Pictures, picture, raster};
use crate::TrainError;

/// What stands out about images that can all be used.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Pairs of files with the same bytes and different labels.
    pub twins: Vec<(PathBuf, PathBuf)>,
}

impl Pictures {
    /// Decodes every image; what was there as pixels already needs none of it.
    ///
    /// # Errors
    /// [`TrainError::Pictures`] with every file that is empty, cut short or cannot be decoded.
    pub fn verify(&self) -> Result<Verified, TrainError> {
        let one = |picture: &super::Picture| {
            let Some(path) = picture.file() else {
                return Ok(None);
            };
            let bytes = picture::read(path)?;
            raster::decode(path, &bytes)?;
            Ok(Some(Sha256::digest(&bytes)))
        };
        let checked: Vec<Result<_, TrainError>> = self.pictures.par_iter().map(one).collect();
        let faults = checked.iter().filter_map(|checked| checked.as_ref().err());
        let faults: Vec<String> = faults.map(ToString::to_string).collect();
        if !faults.is_empty() {
            return Err(TrainError::Pictures {
                path: self.path.clone(),
                count: faults.len(),
                faults,
            });
        }
        let mut verified = Verified::default();
        let mut seen = HashMap::new();
        for (at, digest) in checked.into_iter().enumerate() {
            let Some(digest) = digest.ok().flatten() else {
                continue;
            };
            let first = *seen.entry(digest).or_insert(at);
            if self.labels.get(first) != self.labels.get(at)
                && let (Some(one), Some(other)) =
                    (self.pictures[first].file(), self.pictures[at].file())
            {
                verified
                    .twins
                    .push((one.to_path_buf(), other.to_path_buf()));
            }
        }
        Ok(verified)
    }
}
