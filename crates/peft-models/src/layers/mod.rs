//! Layers that the families share.

mod activation;
mod attention;
mod block;
mod causal_attention;
mod decoder_block;
mod embeddings;
mod gated_mlp;
mod mlp;
mod norm;
mod rope;
mod vocabulary;

pub use activation::Activation;
pub use attention::{Attention, attention_bias};
pub use block::{Block, BlockNames};
pub use causal_attention::{AttentionContext, CausalAttention, Heads, LayerCache};
pub(crate) use decoder_block::norm as decoder_norm;
pub use decoder_block::{DecoderBlock, FeedForward};
pub use embeddings::{EmbeddingNames, TokenEmbeddings};
pub use gated_mlp::GatedMlp;
pub use mlp::Mlp;
pub use norm::{LayerNorm, Norm, RmsNorm};
pub use rope::{Rope, RopeFields, Rotation};
pub(crate) use vocabulary::with_tokens;
