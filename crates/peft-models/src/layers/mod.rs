//! Layers that the families share.

mod activation;
mod attention;
mod block;
mod embeddings;
mod mlp;
mod norm;

pub use activation::Activation;
pub use attention::{Attention, attention_bias};
pub use block::{Block, BlockNames};
pub use embeddings::{EmbeddingNames, TokenEmbeddings};
pub use mlp::Mlp;
pub use norm::LayerNorm;
