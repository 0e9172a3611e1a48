//! Sizes and options of a ViT from its `config.json`.

use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::Activation;

/// Sizes and options of a ViT, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct VitConfig {
    /// Width of the hidden states.
    pub d_model: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads; divides `d_model`.
    pub heads: usize,
    /// Width inside the MLP.
    pub d_ff: usize,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
    /// Epsilon of the norms.
    pub eps: f64,
    /// Height and width of an image.
    pub image_size: usize,
    /// Height and width of a patch; divides `image_size`.
    pub patch_size: usize,
    /// Colours.
    pub channels: usize,
    /// Whether queries, keys and values have a bias.
    pub projection_bias: bool,
    /// Dropout after embeddings, attention and MLP.
    pub hidden_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
}

impl VitConfig {
    /// What `config.json` calls the family.
    pub const MODEL_TYPE: &'static str = "vit";

    /// Sizes and options from the fields of a configuration that is known to be a ViT's.
    pub(crate) fn from_fields(config: &ModelConfig) -> Result<Self, ModelError> {
        config.require(
            "quantization_config",
            |_| false,
            "weights that are not quantised",
        )?;
        let (d_model, heads) = (
            config.positive("hidden_size")?,
            config.positive("num_attention_heads")?,
        );
        let (image_size, patch_size) = (
            config.usize_or("image_size", 224)?,
            config.usize_or("patch_size", 16)?.max(1),
        );
        let layers = config.layers("num_hidden_layers")?;
        Self {
            d_model,
            layers,
            heads,
            d_ff: config.positive("intermediate_size")?,
            activation: Activation::from_config(config, "hidden_act", "gelu")?,
            eps: config.f64_or("layer_norm_eps", 1e-12)?,
            image_size,
            patch_size,
            channels: config.usize_or("num_channels", 3)?.max(1),
            projection_bias: config.bool_or("qkv_bias", true)?,
            hidden_dropout: config.probability_or("hidden_dropout_prob", 0.0)?,
            attention_dropout: config.probability_or("attention_probs_dropout_prob", 0.0)?,
            initializer_range: config.f64_or("initializer_range", 0.02)?,
        }
        .checked(config)
    }

    /// Refuses sizes that contradict each other.
    fn checked(self, config: &ModelConfig) -> Result<Self, ModelError> {
        let wrong = |field: &str, expected, found: String| {
            Err(ModelError::Field {
                path: config.path().to_path_buf(),
                field: field.to_owned(),
                expected,
                found,
            })
        };
        if !self.d_model.is_multiple_of(self.heads) {
            return wrong(
                "num_attention_heads",
                "a divisor of the hidden size",
                format!("{} for {}", self.heads, self.d_model),
            );
        }
        if self.image_size == 0 || !self.image_size.is_multiple_of(self.patch_size) {
            return wrong(
                "patch_size",
                "a divisor of the image size",
                format!("{} for {}", self.patch_size, self.image_size),
            );
        }
        Ok(self)
    }

    /// What an image is to the blocks: its patches and the class token.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.patches().saturating_add(1)
    }

    /// Patches of an image.
    #[must_use]
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).saturating_pow(2)
    }
}
