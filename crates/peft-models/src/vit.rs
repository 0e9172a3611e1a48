//! ViT (Dosovitskiy et al., arXiv 2010.11929): images as rows of patches, pre-norm blocks, a class token, a classification head.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use peft_core::{Adaptable, AdaptedLinear, Pass, SiteKind, cast};
use peft_kernels::linear;

use crate::classifier::Loaded;
use crate::error::ModelError;
use crate::hf::{HeadLabels, HeadPolicy, ModelConfig, WeightReader};
use crate::layers::{Attention, LayerNorm, Mlp};
use crate::pooling::first_token;
use crate::vit_config::VitConfig;
use crate::vit_names::{FILES, HEAD, TRANSFORMERS_5, paths};

/// `h = x + dropout(attention(norm(x)))`, `y = h + dropout(mlp(norm(h)))`.
#[derive(Module, Debug)]
pub struct VitBlock {
    /// Before attention.
    pub attention_norm: LayerNorm,
    /// Self-attention.
    pub attention: Attention,
    /// Before the MLP.
    pub mlp_norm: LayerNorm,
    /// The MLP.
    pub mlp: Mlp,
    dropout: f64,
}

impl VitBlock {
    fn load(reader: &mut WeightReader, path: &str, config: &VitConfig) -> Self {
        let (d, d_ff, eps) = (config.d_model, config.d_ff, config.eps);
        let attention_norm = reader.layer_norm(&format!("{path}.layernorm_before"), d, eps);
        let [query, key, value, output, up, down] =
            FILES.layers.map(|layer| format!("{path}.{layer}"));
        let [query, key, value] = [query, key, value]
            .map(|path| reader.linear_of(&path, [d, d], SiteKind::Linear, config.projection_bias));
        let output = reader.linear(&output, d, d);
        let mlp_norm = reader.layer_norm(&format!("{path}.layernorm_after"), d, eps);
        let up = reader.linear(&up, d, d_ff);
        let down = reader.linear(&down, d_ff, d);
        let layers = [query, key, value, output];
        Self {
            attention_norm,
            attention: Attention::new(layers, config.heads, config.attention_dropout),
            mlp_norm,
            mlp: Mlp::new(up, down, config.activation),
            dropout: config.hidden_dropout,
        }
    }

    fn forward(&self, x: Tensor<2>, seq: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let attended = self.attention.forward(normed, seq, None, pass);
        let x = x + pass.dropout(attended, self.dropout);
        let output = self.mlp.forward(self.mlp_norm.forward(x.clone()), pass);
        x + pass.dropout(output, self.dropout)
    }

    fn linears(&self) -> impl Iterator<Item = &AdaptedLinear> {
        let mlp = [&self.mlp.up, &self.mlp.down];
        self.attention.linears().into_iter().chain(mlp)
    }

    fn linears_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        let mlp = [&mut self.mlp.up, &mut self.mlp.down];
        self.attention.linears_mut().into_iter().chain(mlp)
    }
}

/// An image classifier.
#[derive(Module, Debug)]
pub struct ImageClassifier {
    /// Shape `[d_model, channels, patch, patch]`: a convolution whose steps are whole patches, which is a linear map of each.
    pub patch_weight: Param<Tensor<4>>,
    /// Shape `[d_model]`.
    pub patch_bias: Param<Tensor<1>>,
    /// Shape `[1, 1, d_model]`: stands before the patches and is what the head sees.
    pub class_token: Param<Tensor<3>>,
    /// Shape `[1, 1 + patches, d_model]`.
    pub positions: Param<Tensor<3>>,
    /// One after the other.
    pub blocks: Vec<VitBlock>,
    /// After the last block.
    pub norm: LayerNorm,
    /// `d_model` to labels.
    pub head: AdaptedLinear,
    #[module(skip)]
    config: VitConfig,
}

impl ImageClassifier {
    /// What stands before the paths of the base model, without its dot.
    pub(crate) const PREFIX: &'static str = "vit";
    /// Path of the classification head.
    pub const HEAD: &'static str = HEAD;

    fn load(
        reader: &mut WeightReader,
        config: &VitConfig,
        num_labels: usize,
        policy: HeadPolicy,
    ) -> Self {
        let (d, patch) = (config.d_model, config.patch_size);
        let path = |name: &str| format!("{}.{name}", Self::PREFIX);
        let projection = path("embeddings.patch_embeddings.projection");
        let class_token = reader.tensor(&path("embeddings.cls_token"), [1, 1, d]);
        let tokens = config.tokens();
        let positions = reader.tensor(&path("embeddings.position_embeddings"), [1, tokens, d]);
        let shape = [d, config.channels, patch, patch];
        let patch_weight = reader.tensor(&format!("{projection}.weight"), shape);
        let patch_bias = reader.tensor(&format!("{projection}.bias"), [d]);
        let blocks = (0..config.layers)
            .map(|index| VitBlock::load(reader, &FILES.block(index), config))
            .collect();
        Self {
            patch_weight,
            patch_bias,
            class_token,
            positions,
            blocks,
            norm: reader.layer_norm(&path("layernorm"), d, config.eps),
            head: reader.head_linear(Self::HEAD, d, num_labels, policy),
            config: config.clone(),
        }
    }

    /// Sizes and options.
    #[must_use]
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// Hidden states after the last norm, the class token first: `[batch, 1 + patches, d_model]` from `pixels [batch, channels, size,
    /// size]`.
    ///
    /// # Panics
    /// When the images have another size or number of channels.
    #[must_use]
    pub fn hidden(&self, pixels: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<3> {
        let (channels, size) = (self.config.channels, self.config.image_size);
        let dims = pixels.dims();
        assert_eq!(dims[1..], [channels, size, size], "images of another shape");
        let (batch, d) = (dims[0], self.config.d_model);
        let tokens = self.config.tokens();
        let class = self.class_token.val().expand([batch, 1, d]);
        let stored = class.dtype();
        let patches = cast(self.patches(pixels), stored);
        let x = Tensor::cat(vec![class, patches], 1) + cast(self.positions.val(), stored);
        let x = pass.dropout(x, self.config.hidden_dropout);
        let mut x = x.reshape([batch * tokens, d]);
        for block in &self.blocks {
            x = pass.block(block, x, &tokens, |block, x, tokens, pass| {
                block.forward(x, *tokens, pass)
            });
        }
        self.norm.forward(x).reshape([batch, tokens, d])
    }

    /// Logits, shape `[batch, labels]`.
    ///
    /// # Panics
    /// As [`Self::hidden`].
    #[must_use]
    pub fn logits(&self, pixels: Tensor<4>, pass: &mut Pass<'_>) -> Tensor<2> {
        let first = first_token(self.hidden(pixels, pass));
        self.head.forward(first, pass)
    }

    /// Every patch through the convolution: `[batch, patches, d_model]`.
    fn patches(&self, pixels: Tensor<4>) -> Tensor<3> {
        let (channels, patch, d) = (
            self.config.channels,
            self.config.patch_size,
            self.config.d_model,
        );
        let (batch, side) = (pixels.dims()[0], self.config.image_size / patch);
        let rows = pixels
            .reshape([batch, channels, side, patch, side, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch * side * side, channels * patch * patch]);
        let weight = self.patch_weight.val();
        let weight = weight.reshape([d, channels * patch * patch]).transpose();
        let (rows, bias) = (
            cast(rows, weight.dtype()),
            cast(self.patch_bias.val(), weight.dtype()),
        );
        let embedded = linear(rows, weight, Some(bias));
        embedded.reshape([batch, side * side, d])
    }
}

impl Adaptable for ImageClassifier {
    fn visit_linears(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        let linears = self.blocks.iter().flat_map(VitBlock::linears);
        linears.chain([&self.head]).for_each(visit);
    }

    fn visit_linears_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        let linears = self.blocks.iter_mut().flat_map(VitBlock::linears_mut);
        linears.chain([&mut self.head]).for_each(visit);
    }

    fn output_heads(&self) -> Vec<String> {
        vec![self.head.site().path.clone()]
    }
}

/// Loads a folder as an image classifier; with a number of outputs its head gets that many and starts afresh where the file has
/// another number.
///
/// # Errors
/// An unreadable or unsupported configuration, unreadable files, or weights that do not fit (all listed).
pub fn load_image_classifier(
    dir: &Path,
    head: impl Into<HeadLabels>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<ImageClassifier>, ModelError> {
    load_image_classifier_with(ModelConfig::read(dir)?, dir, head, seed, device)
}

/// As [`load_image_classifier`], with a configuration that differs from the folder's own, for example in its dropout.
///
/// # Errors
/// As [`load_image_classifier`].
pub fn load_image_classifier_with(
    config: ModelConfig,
    dir: &Path,
    head: impl Into<HeadLabels>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<ImageClassifier>, ModelError> {
    let sizes = VitConfig::read(&config)?;
    let reader = WeightReader::open(
        dir,
        ImageClassifier::PREFIX,
        sizes.initializer_range,
        seed,
        device,
    )?
    .keeping(config.kept());
    build(config, &sizes, head.into(), reader)
}

/// An image classifier with fresh weights throughout.
///
/// # Errors
/// An unsupported configuration.
pub fn init_image_classifier(
    config: ModelConfig,
    seed: u64,
    device: &Device,
) -> Result<Loaded<ImageClassifier>, ModelError> {
    let sizes = VitConfig::read(&config)?;
    let reader = WeightReader::untrained(
        ImageClassifier::PREFIX,
        sizes.initializer_range,
        seed,
        device,
    );
    build(config, &sizes, HeadLabels::OfConfig, reader)
}

fn build(
    config: ModelConfig,
    sizes: &VitConfig,
    head: HeadLabels,
    mut reader: WeightReader,
) -> Result<Loaded<ImageClassifier>, ModelError> {
    let (num_labels, policy) = head.of(&config);
    let model = ImageClassifier::load(&mut reader, sizes, num_labels, policy);
    let config = config
        .with_num_labels(num_labels)
        .with_architecture("ViTForImageClassification");
    let mut report = reader.finish()?;
    for (path, other) in paths(&FILES, sizes.layers).zip(paths(&TRANSFORMERS_5, sizes.layers)) {
        report.names.also_called(&path, &other);
    }
    Ok(Loaded::new(model, config, report))
}
