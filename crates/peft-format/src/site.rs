//! Sites: the layers of a model that can be adapted, named as Hugging Face names them.

use std::fmt;

use crate::names::Layout;

/// How a Hugging Face model stores the weight of a site.
///
/// In memory every weight is `[d_in, d_out]`; the kind says what the orientation is in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SiteKind {
    /// `torch.nn.Linear`: the file holds `[d_out, d_in]`.
    #[default]
    Linear,
    /// GPT-2's `Conv1D`: the file holds `[d_in, d_out]` (`fan_in_fan_out` in PEFT).
    Conv1d,
    /// `torch.nn.Embedding`: the file holds `[num_embeddings, dim]`, here `[d_in, d_out]`. The layer is linear in
    /// one-hot rows, which are never formed.
    Embedding,
}

impl SiteKind {
    /// How the file's weight relates to the one in memory.
    pub fn layout(self) -> Layout {
        match self {
            Self::Linear => Layout::Transposed,
            Self::Conv1d | Self::Embedding => Layout::AsIs,
        }
    }
}

/// One layer that can be adapted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// Dotted Hugging Face module path, without `base_model.model.`, for example
    /// `bert.encoder.layer.0.attention.self.query`.
    pub path: String,
    /// Number of input features; of an embedding, its number of rows.
    pub d_in: usize,
    /// Number of output features.
    pub d_out: usize,
    /// How files store the weight.
    pub kind: SiteKind,
}

impl Site {
    /// A site stored as `torch.nn.Linear` stores it.
    pub fn new(path: impl Into<String>, d_in: usize, d_out: usize) -> Self {
        Self {
            path: path.into(),
            d_in,
            d_out,
            kind: SiteKind::Linear,
        }
    }

    /// The type of the layer: its path with `*` in place of every number.
    #[must_use]
    pub fn module_type(path: &str) -> String {
        let segments = path
            .split('.')
            .map(|segment| match segment.parse::<usize>() {
                Ok(_) => "*",
                Err(_) => segment,
            });
        segments.collect::<Vec<_>>().join(".")
    }

    /// The same site with another kind of storage.
    pub fn with_kind(mut self, kind: SiteKind) -> Self {
        self.kind = kind;
        self
    }

    /// The last segment of the path: `query`, `q_proj`, `c_attn`.
    pub fn role(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// The first segment that is a number: 3 in `model.layers.3.mlp.up_proj`, `None` for a head.
    pub fn layer(&self) -> Option<usize> {
        self.path
            .split('.')
            .filter(|segment| segment.bytes().all(|byte| byte.is_ascii_digit()))
            .find_map(|segment| segment.parse().ok())
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{} -> {}]", self.path, self.d_in, self.d_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_the_last_segment() {
        assert_eq!(
            Site::new("bert.encoder.layer.0.attention.self.query", 4, 4).role(),
            "query"
        );
        assert_eq!(Site::new("score", 4, 2).role(), "score");
    }

    #[test]
    fn the_layer_is_the_first_numbered_segment() {
        assert_eq!(
            Site::new("model.layers.12.block_sparse_moe.experts.3.w1", 4, 4).layer(),
            Some(12)
        );
        assert_eq!(Site::new("h.7.attn.c_attn", 4, 12).layer(), Some(7));
        assert_eq!(Site::new("encoder.layer2.conv1", 4, 4).layer(), None);
        assert_eq!(Site::new("model..lm_head", 4, 4).layer(), None);
    }

    #[test]
    fn a_site_prints_its_path_and_shape() {
        let site = Site::new("score", 64, 2).with_kind(SiteKind::Conv1d);
        assert_eq!(site.to_string(), "score [64 -> 2]");
        assert_eq!(site.kind, SiteKind::Conv1d);
    }
}
